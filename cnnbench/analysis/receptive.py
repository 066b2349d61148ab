"""Receptive field and stride of feature maps, followed through the recorded operators.

Per spatial axis, a window of kernel ``k``, stride ``s``, dilation ``d`` turns (size, stride) into
``(size + (k - 1) d stride, stride s)``. Source: Araujo, Norris, Sim, Distill 2019, "Computing
Receptive Fields".

What is not followed: attention and other mixing of positions ends a field (``size is None``); gates
computed from a global average (squeeze-and-excitation) are ignored, as in the papers' own figures.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from cnnbench.costs import Field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cnnbench.analysis.trace import Raw


class Window(NamedTuple):
    """How an operator reads its input; ``sizes`` where input and output sizes determine it.

    ``padding``, ``groups`` and the shape of the ``source`` are known of convolutions only.
    """

    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    transposed: bool = False
    sizes: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    groups: int = 1
    source: tuple[int, ...] = ()


def _full(values: Any, axes: int) -> tuple[int, ...]:
    items = tuple(values) if isinstance(values, (list, tuple)) else (values,)
    return items * axes if len(items) == 1 else items


def _convolution(
    source: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: Any,
    output_padding: Any = (), groups: int = 1,
) -> Window:  # fmt: skip
    del bias, output_padding
    kernel = tuple(weight.shape[2:])
    axes = len(kernel)
    return Window(
        kernel,
        _full(stride, axes),
        _full(dilation, axes),
        bool(transposed),
        padding=_full(padding, axes),
        groups=groups,
        source=tuple(source.shape),
    )


def _max_pool(
    source: Any, kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, *_: Any
) -> Window:
    del padding
    axes = source.dim() - 2
    sizes = _full(kernel, axes)
    return Window(sizes, _full(stride, axes) if stride else sizes, _full(dilation, axes))


def _average_pool(source: Any, kernel: Any, stride: Any = (), *_: Any) -> Window:
    axes = source.dim() - 2
    sizes = _full(kernel, axes)
    return Window(sizes, _full(stride, axes) if stride else sizes, (1,) * axes)


def _resized(source: Any, *_: Any) -> Window:
    return Window(sizes=tuple(source.shape[2:]))


def _reduced(source: Any, axes: Any = None, *_: Any) -> Window:
    count = source.dim()
    gone = {axis % count for axis in axes or ()}
    # A mean over channels keeps positions; over all spatial axes it is global.
    spatial = tuple(source.shape[2:]) if gone & set(range(2, count)) or not axes else ()
    return Window(sizes=spatial)


WINDOWS: dict[str, Callable[..., Window]] = {
    "aten::convolution": _convolution,
    "aten::max_pool2d_with_indices": _max_pool,
    "aten::max_pool3d_with_indices": _max_pool,
    "aten::avg_pool1d": _average_pool,
    "aten::avg_pool2d": _average_pool,
    "aten::avg_pool3d": _average_pool,
    "aten::_adaptive_avg_pool2d": _resized,
    "aten::_adaptive_avg_pool3d": _resized,
    "aten::adaptive_max_pool2d": _resized,
    "aten::mean": _reduced,
    "aten::upsample_nearest2d": _resized,
    "aten::upsample_bilinear2d": _resized,
    "aten::upsample_bicubic2d": _resized,
    "aten::upsample_nearest3d": _resized,
    "aten::upsample_trilinear3d": _resized,
}

_GLOBAL = Field(None, None)
_MIXING = ("aten::bmm", "aten::baddbmm", "aten::_scaled_dot_product")


@dataclass(frozen=True, slots=True)
class _State:
    """A field and the map it belongs to."""

    field: Field
    spatial: tuple[int, ...]


def follow(rows: Iterable[Raw], inputs: dict[int, tuple[int, ...]]) -> list[Field | None]:
    """The field of every row's result, in order.

    Args:
        rows: recorded operators in order.
        inputs: spatial sizes of the network's inputs by storage key.
    """
    states: dict[int, _State] = {
        key: _State(Field((1.0,) * len(spatial), (1.0,) * len(spatial)), spatial)
        for key, spatial in inputs.items()
        if spatial
    }
    fields: list[Field | None] = []
    for row in rows:
        state = None if row.backward else _next(row, states)
        for key in row.writes:
            if key in row.reads:
                continue
            if state is None:
                states.pop(key, None)
            else:
                states[key] = state
        fields.append(state.field if state is not None else None)
    return fields


def _next(row: Raw, states: dict[int, _State]) -> _State | None:
    known = [states[key] for key in row.reads if key in states]
    if not known:
        return None
    state = _joined(known)
    if state.field.size is None or row.plan.rule.kind == "view":
        return state
    if row.window is not None:
        return _through(state, row.window, tuple(row.output))
    if row.plan.name.startswith(_MIXING):
        return replace(state, field=_GLOBAL)
    if row.plan.rule.kind == "contraction" and not _per_position(state, row.output):
        return replace(state, field=_GLOBAL)
    return state


def _joined(states: Sequence[_State]) -> _State:
    """The widest of several inputs; global ones only if there are no others."""
    local = [state for state in states if state.field.size is not None]
    if not local:
        return states[0]
    if len(local) == 1:
        return local[0]
    axes = min(len(state.field.size or ()) for state in local)
    size = tuple(max((state.field.size or ())[axis] for state in local) for axis in range(axes))
    return replace(local[0], field=replace(local[0].field, size=size))


def _per_position(state: _State, output: Sequence[int]) -> bool:
    """Whether a linear layer ran at every position (channels last), not on a flattened map."""
    positions = prod(state.spatial)
    return positions > 1 and prod(output[:-1]) % positions == 0


def _through(state: _State, window: Window, output: tuple[int, ...]) -> _State:
    size, stride = state.field.size, state.field.stride
    spatial = output[2:]
    if size is None or stride is None:
        return state
    if not window.kernel:
        return _resize(state, window.sizes, spatial)
    if not len(size) == len(window.kernel) == len(window.stride):
        return replace(state, field=_GLOBAL)
    if window.transposed:
        # Every output position sees ceil(k / s) input positions.
        taps = [-(-k // s) for k, s in zip(window.kernel, window.stride, strict=True)]
        grown = [a + (t - 1) * b for a, t, b in zip(size, taps, stride, strict=True)]
        finer = [b / s for b, s in zip(stride, window.stride, strict=True)]
        return _State(Field(tuple(grown), tuple(finer)), spatial)
    grown = [
        a + (k - 1) * d * b
        for a, k, d, b in zip(size, window.kernel, window.dilation, stride, strict=True)
    ]
    coarser = [b * s for b, s in zip(stride, window.stride, strict=True)]
    return _State(Field(tuple(grown), tuple(coarser)), spatial)


def _resize(state: _State, before: tuple[int, ...], after: tuple[int, ...]) -> _State:
    """Adaptive pooling, interpolation and means, determined by the sizes before and after."""
    size, stride = state.field.size or (), state.field.stride or ()
    if not before:
        return state
    if len(after) != len(before) or prod(after) == 1 or len(size) != len(before):
        return _State(_GLOBAL, after)
    scale = [old / new for old, new in zip(before, after, strict=True)]
    # Downscaling by s reads ceil(s) positions, upscaling reads two neighbours.
    taps = [
        max(-(-old // new), 2 if old < new else 1) for old, new in zip(before, after, strict=True)
    ]
    grown = tuple(a + (t - 1) * b for a, t, b in zip(size, taps, stride, strict=True))
    return _State(Field(grown, tuple(b * s for b, s in zip(stride, scale, strict=True))), after)
