"""The operators that a pass calls on meta, each distinct call once, so that they can be timed.

A pass of inference as a CPU runs it, by torch's own kernels for meta, so that every layout is the
one that the real pass has. Unlike ``trace`` it counts nothing, and looks at all arguments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from cnnbench.analysis import operators, rules
from cnnbench.analysis.arguments import twins
from cnnbench.analysis.attention import fused_attention
from cnnbench.analysis.composites import composites
from cnnbench.analysis.copies import tensors_of
from cnnbench.analysis.meta import without_collector
from cnnbench.analysis.modules import set_training
from cnnbench.errors import Unsupported
from cnnbench.prediction.operators import (
    ITEM_BYTES,
    NAMESPACES,
    Argument,
    OperatorCall,
    OperatorTrace,
    TensorLayout,
    TorchName,
    TracedCall,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import nn

# Operators that compute nothing beside views: they take memory, or name it in another way.
_LIGHT = frozenset(
    {
        "aten::_unsafe_view", "aten::empty", "aten::empty_like", "aten::empty_strided",
        "aten::new_empty", "aten::new_empty_strided", "aten::lift_fresh",
    }
)  # fmt: skip
_PLAIN = (bool, int, float, str, type(None))
_NAMES: tuple[tuple[type, str], ...] = (
    (torch.dtype, "dtype"),
    (torch.layout, "layout"),
    (torch.memory_format, "memory_format"),
)


class _EnoughError(BaseException):
    """There is more work than was asked about; not for a module's own ``except Exception``."""


def calls(
    module: nn.Module,
    inputs: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None = None,
    most_macs: int | None = None,
) -> OperatorTrace:
    """The operators of one pass of inference.

    Args:
        module: on meta, in the memory format that is meant; set to evaluation.
        inputs: positional arguments of ``forward``, in that format; their values are not looked at.
        kwargs: its keyword arguments.
        most_macs: stop once there are more multiply-accumulates, with what was called by then.

    Raises:
        Unsupported: what it calls depends on values, or cannot run on meta.
    """
    set_training(module, training=False)
    args, keywords = twins((tuple(inputs), dict(kwargs or {})), real=False)
    listening = _Listening(tensors_of(module), most_macs)
    whole = True
    with without_collector(), torch.inference_mode(mode=False), torch.no_grad():
        try:
            with fused_attention(), composites(set()), listening:
                module(*args, **keywords)
        except _EnoughError:
            whole = False
        except Unsupported:
            raise
        except Exception as error:
            first = str(error).partition("\n")[0]
            raise Unsupported(f"its operators cannot be traced without values: {first}") from error
    return listening.trace(whole=whole)


class _Listening(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes every call of an operator while active."""

    def __init__(self, held: Iterable[Tensor], most_macs: int | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._most_macs, self._macs = most_macs, 0
        # Kept beside their keys: a buffer that is replaced must not leave its place to another.
        self._kept = tuple(held)
        self._held = {_key(tensor) for tensor in self._kept}
        self._found: dict[str, TracedCall] = {}
        self._light = 0
        self._foreign: set[str] = set()
        self._kinds: dict[Any, tuple[str, bool, bool]] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # See ``trace.Trace``: nothing compiles here.
        return False

    def trace(self, *, whole: bool) -> OperatorTrace:
        """What was noted."""
        found, foreign = tuple(self._found.values()), tuple(sorted(self._foreign))
        return OperatorTrace(found, self._light, foreign, whole)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func not in self._kinds:
            name = operators.full_name(func)
            light = operators.is_view(func) or name.partition(".")[0] in _LIGHT
            self._kinds[func] = name, operators.is_composite(func), light
        name, composite, light = self._kinds[func]
        if composite:
            with self:
                return func.decompose(*args, **kwargs)
        # Before it runs: an operator may change the layout of what it is given.
        call = None if light else self._call(name, args, kwargs)
        out = func(*args, **kwargs)
        if name == "aten::convolution":
            out = _laid_out(out, *args[:2])
        if light:
            self._light += 1
        elif call is not None:
            self._note(func, call, args, kwargs, out)
            self._macs += self._found[call.text].macs
            if self._most_macs is not None and self._macs > self._most_macs:
                raise _EnoughError
        return out

    def _call(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> OperatorCall | None:
        if name.partition("::")[0] not in NAMESPACES:
            self._foreign.add(name)
            return None
        keywords = tuple((key, self._argument(one)) for key, one in kwargs.items())
        return OperatorCall(name, tuple(map(self._argument, args)), keywords)

    def _note(
        self, func: Any, call: OperatorCall, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
    ) -> None:
        known = self._found.get(call.text)
        if known is not None:
            self._found[call.text] = TracedCall(
                known.call, known.count + 1, known.macs, known.written_bytes
            )
            return
        counted = rules.rule_for(func).macs
        results = out if isinstance(out, (tuple, list)) else [out]
        self._found[call.text] = TracedCall(
            call.text,
            1,
            counted(out, *args, **kwargs) if counted is not None else 0,
            sum(one.nbytes for one in results if isinstance(one, Tensor)),
        )

    def _argument(self, given: Any) -> Argument:
        if isinstance(given, Tensor):
            dtype = str(given.dtype).removeprefix("torch.")
            if dtype not in ITEM_BYTES:
                raise Unsupported(f"an operator takes a tensor of {dtype}, which is not timed")
            held = _key(given) in self._held
            return TensorLayout(tuple(given.shape), tuple(given.stride()), dtype, held)
        if isinstance(given, _PLAIN):
            return given
        if isinstance(given, (list, tuple)):
            return tuple(map(self._argument, given))
        if isinstance(given, torch.device):
            return TorchName("device", "cpu")
        for kind, word in _NAMES:
            if isinstance(given, kind):
                return TorchName(word, str(given).removeprefix("torch."))
        raise Unsupported(f"an operator takes a {type(given).__name__}, which is not timed")


def _laid_out(result: Tensor, source: Tensor, weight: Tensor) -> Tensor:
    """The result of a convolution as a CPU lays it out; on meta it is contiguous.

    Channels come last if they do in either operand, where that can be told (torch,
    ``mkldnn_conv_use_channels_last`` and ``thnn_conv_use_channels_last`` in ConvUtils.h).
    """
    layout = {4: torch.channels_last, 5: torch.channels_last_3d}.get(result.dim())
    if layout is None or not any(
        one.is_contiguous(memory_format=layout) and not one.is_contiguous()
        for one in (source, weight)
    ):
        return result
    return torch.empty_like(result, memory_format=layout)


def _key(tensor: Tensor) -> int:
    key: int = tensor.untyped_storage()._cdata  # noqa: SLF001
    return key
