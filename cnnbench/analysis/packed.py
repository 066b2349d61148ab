"""MACs of quantised operators, whose weights are packed: no tensors, and no parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from torch import Tensor, nn

# Where torch has the modules that hold packed weights, and under which names.
_HOME = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized")
_HOLDERS = ("_packed_params", "_all_weight_values", "_packed_weight_ih")

_LAYERS = (
    *(f"conv{axes}d{suffix}" for axes in (1, 2, 3)
      for suffix in ("", "_relu", "_add", "_add_relu", "_dynamic")),
    *(f"linear{suffix}" for suffix in (
        "", "_relu", "_leaky_relu", "_tanh", "_dynamic", "_relu_dynamic", "_dynamic_fp16",
        "_relu_dynamic_fp16")),
)  # fmt: skip


def layers(modules: Iterable[nn.Module]) -> int:
    """How many of a network's modules hold packed weights."""
    return sum(
        any(hasattr(child, one) for one in _HOLDERS)
        for child in modules
        if type(child).__module__.startswith(_HOME)
        # A part of a layer, which has the same attribute.
        and not type(child).__name__.endswith("PackedParams")
    )


def _rows(out: Tensor, /, *arguments: Any, **_: Any) -> int:
    """Linear layers and convolutions: one row of the weight for every result."""
    (weight,) = _unpacked(arguments)
    return out.numel() * (weight.numel() // weight.shape[0])


def _transposed(out: Tensor, source: Tensor, /, *arguments: Any, **_: Any) -> int:
    """Transposed convolutions: one row for every element of the input."""
    del out
    (weight,) = _unpacked(arguments)
    return source.numel() * (weight.numel() // weight.shape[0])


def _cell(out: Any, source: Tensor, state: Any, /, *arguments: Any, **_: Any) -> int:
    """A recurrent cell: both of its matrices for every sample."""
    del out, state
    return _every_position(source, _unpacked(arguments))


def _recurrent(
    out: Any, source: Tensor, state: Any, cells: Sequence[Any], /, *_: Any, **__: Any
) -> int:
    """A stack of recurrent layers: every matrix at every step; a cell per layer and direction."""
    del out, state
    return _every_position(source, _matrices(cells))


def _sequence(
    out: Any,
    source: Tensor,
    lengths: Tensor,
    state: Any,
    cells: Sequence[Any],
    /,
    *_: Any,
    **__: Any,
) -> int:
    """The same on a packed sequence, which holds the steps that there are."""
    del out, lengths, state
    return _every_position(source, _matrices(cells))


def _every_position(source: Tensor, matrices: Iterable[Tensor]) -> int:
    return source.numel() // source.shape[-1] * sum(one.numel() for one in matrices)


def _matrices(cells: Sequence[Any]) -> list[Tensor]:
    # The state of a cell ends with its packed matrices.
    return [one for cell in cells for one in _unpacked(cell.__getstate__()[0][-1])]


def _unpacked(arguments: Sequence[Any]) -> list[Tensor]:
    return [item.unpack()[0] for item in arguments if hasattr(item, "unpack")]


# Operator -> its MACs.
COUNTS: dict[str, Callable[..., int]] = {
    **{f"quantized::{name}": _rows for name in _LAYERS},
    **{
        f"quantized::conv_transpose{axes}d{suffix}": _transposed
        for axes in (1, 2, 3)
        for suffix in ("", "_dynamic")
    },
    **{
        f"quantized::quantized_{kind}_cell_dynamic": _cell
        for kind in ("lstm", "gru", "rnn_relu", "rnn_tanh")
    },
    **{f"aten::quantized_{kind}.input": _recurrent for kind in ("lstm", "gru")},
    **{f"aten::quantized_{kind}.data": _sequence for kind in ("lstm", "gru")},
}
