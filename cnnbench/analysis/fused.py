"""Kernels that a CPU runs in place of what torch runs on meta, and the memory inside of them.

On meta, attention layers, encoder layers and LSTMs run operator by operator; on a CPU without
gradients each is one kernel. Counts stay those of the operators. For memory, what is born and dies
during such a call is replaced by the most that the kernel holds beyond its results. Whether torch
would take the kernel torch itself decides: its own conditions run, on meta, up to the call.

Measured through the allocator's events (torch 2.14, oneDNN 3.12, x86 with AVX-512, one thread).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import torch
from torch import _VF, Tensor, nn
from torch.nn import functional

from cnnbench.analysis.recurrent import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cnnbench.analysis.liveness import Liveness
    from cnnbench.analysis.trace import Trace


class _Taken(BaseException):
    """Torch has come to the point where it calls the kernel."""


class _NotTaken(BaseException):
    """Torch has come to the point where it runs operator by operator."""


def _raising(error: type[BaseException]) -> Callable[..., Any]:
    def stop(*_: Any, **__: Any) -> Any:
        raise error

    return stop


@contextlib.contextmanager
def _replaced(*stand_ins: tuple[Any, str, Any]) -> Iterator[None]:
    before = [(owner, name, vars(owner).get(name)) for owner, name, _ in stand_ins]
    try:
        for owner, name, value in stand_ins:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in before:
            if value is None:
                delattr(owner, name)
            else:
                setattr(owner, name, value)


def _takes(kernel: str, call: Callable[[], Any]) -> bool:
    """Whether torch would call a kernel, if meta were a device that has it."""
    if torch.is_grad_enabled():
        return False
    registered: Any = torch.utils.backend_registration
    stopped = _raising(_NotTaken)
    try:
        with (
            torch._C._DisableTorchDispatch(),  # type: ignore[attr-defined]  # noqa: SLF001
            _replaced(
                (registered, "_privateuse1_backend_name", "meta"),
                (torch, kernel, _raising(_Taken)),
                (functional, "multi_head_attention_forward", stopped),
                (nn.TransformerEncoderLayer, "_sa_block", stopped),
            ),
        ):
            call()
    except _Taken:
        return True
    except (_NotTaken, Exception):  # noqa: BLE001 - the call that counts raises it again
        return False
    return False


def _attention_scratch(layer: nn.MultiheadAttention, query: Tensor) -> int:
    """Projections twice while their bias is added, then scores beside them, then two results."""
    tokens, scores = _attention_sizes(layer, query)
    return max(6 * tokens, 3 * tokens + max(scores, 2 * tokens))


def _weights_scratch(layer: nn.MultiheadAttention, query: Tensor) -> int:
    """The same where the scores are wanted too: they live until they have been averaged."""
    tokens, scores = _attention_sizes(layer, query)
    return max(
        6 * tokens, 3 * tokens + scores + max(2 * tokens, tokens + scores // layer.num_heads)
    )


def _attention_sizes(layer: nn.MultiheadAttention, query: Tensor) -> tuple[int, int]:
    batch, length, _ = query.shape
    return query.nbytes, batch * layer.num_heads * length * length * query.itemsize


def _encoder_scratch(layer: nn.TransformerEncoderLayer, source: Tensor) -> int:
    """Attention, then the hidden features of the feed-forward part beside results of its size."""
    tokens = source.numel() * source.itemsize
    hidden = tokens // source.shape[-1] * layer.linear1.out_features
    first = tokens if layer.norm_first else 0
    attention = first + _attention_scratch(layer.self_attn, source)
    return max(attention, first + 2 * tokens + hidden, first + 3 * tokens)


def _watched_attention(live: Liveness) -> Callable[..., Any]:
    original = nn.MultiheadAttention.forward

    def forward(self: nn.MultiheadAttention, *args: Any, **kwargs: Any) -> Any:
        taken = _takes("_native_multi_head_attention", lambda: original(self, *args, **kwargs))
        mark = live.mark()
        result = original(self, *args, **kwargs)
        if taken:
            query = args[0] if args else kwargs["query"]
            wanted = args[4] if len(args) > 4 else kwargs.get("need_weights", True)
            held = _weights_scratch if wanted else _attention_scratch
            live.fused(mark, held(self, query))
        return result

    return forward


def _watched_encoder(live: Liveness) -> Callable[..., Any]:
    original = nn.TransformerEncoderLayer.forward

    def forward(self: nn.TransformerEncoderLayer, *args: Any, **kwargs: Any) -> Any:
        taken = _takes("_transformer_encoder_layer_fwd", lambda: original(self, *args, **kwargs))
        mark = live.mark()
        result = original(self, *args, **kwargs)
        if taken:
            live.fused(mark, _encoder_scratch(self, args[0] if args else kwargs["src"]))
        return result

    return forward


class Regions:
    """Calls whose backward is one kernel too: module, number, bytes held in backward."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._found: list[tuple[int, int, int]] = []

    def begin(self, since: int, problem: Problem, results: Any) -> None:
        """After the forward call of a training step."""
        number = self._trace.live.unrolled(since, results, problem.forward(), problem.kept())
        self._found.append((self._trace.stack.stack[-1], number, problem.backward()))

    def end(self) -> None:
        """After backward."""
        for layer, number, nbytes in self._found:
            places = [
                place
                for place, row in enumerate(self._trace.rows)
                if row.backward and row.layer == layer
            ]
            if places:
                self._trace.live.returned(number, places[0], places[-1], nbytes)


def _watched_lstm(live: Liveness, regions: Regions) -> Callable[..., Any]:
    original = _VF.lstm

    def lstm(*args: Any) -> Any:
        mark = live.mark()
        result = original(*args)
        if _is_modelled(*args):
            problem = Problem(*args)
            if torch.is_grad_enabled():
                regions.begin(mark, problem, result)
            else:
                live.fused(mark, problem.inference())
        return result

    return lstm


def _is_modelled(*call: Any) -> bool:
    """Neither packed sequences nor projections, and no dropout between layers."""
    source, states = call[:2]
    if isinstance(states, Tensor) or source.dtype is not torch.float32:
        return False
    drops = call[4] > 1 and call[5] > 0 and call[6]
    mixed = torch.is_autocast_enabled("cpu")
    return states[0].shape == states[1].shape and not drops and not mixed


@contextlib.contextmanager
def fused_kernels(trace: Trace) -> Iterator[Regions]:
    """Tell the lifetimes of storages where a CPU would run one kernel, during a trace."""
    live, regions = trace.live, Regions(trace)
    with _replaced(
        (nn.MultiheadAttention, "forward", _watched_attention(live)),
        (nn.TransformerEncoderLayer, "forward", _watched_encoder(live)),
        (_VF, "lstm", _watched_lstm(live, regions)),
    ):
        yield regions
