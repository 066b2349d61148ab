"""Kernels that a CPU runs in place of what torch runs on meta, and the memory inside of them.

On meta, attention layers, encoder layers and LSTMs run operator by operator; on a CPU without
gradients each is one kernel. Counts stay those of the operators. For memory, what is born and dies
during such a call is replaced by the most that the kernel holds beyond its results. Whether torch
would take the kernel torch itself decides: its own conditions run, on meta, up to the call.

Measured through the allocator's events (torch 2.14, oneDNN 3.12, x86 with AVX-512, one thread).
"""

from __future__ import annotations

import contextlib
import inspect
from typing import TYPE_CHECKING, Any

import torch
from torch import _VF, Tensor, nn
from torch.nn import functional

from cnnbench.analysis.recurrent import Problem
from cnnbench.analysis.stand_ins import replaced

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


def _takes(kernel: str, call: Callable[[], Any]) -> bool:
    """Whether torch would call a kernel, if meta were a device that has it."""
    if torch.is_grad_enabled():
        return False
    registered: Any = torch.utils.backend_registration
    stopped = _raising(_NotTaken)
    try:
        with (
            torch._C._DisableTorchDispatch(),  # type: ignore[attr-defined]  # noqa: SLF001
            replaced(
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


def _attention_scratch(
    layer: nn.MultiheadAttention, query: Tensor, *masks: Tensor | None, weights: bool
) -> int:
    """Projections twice while their bias is added, then scores beside them, then two results.

    Masks (of scores, of padding) become numbers, the first is spread over all scores, and softmax
    writes to new ones. Scores that are wanted live until they have been averaged.
    """
    tokens, heads = int(query.nbytes), layer.num_heads
    scored = query.shape[0] * heads * query.shape[1] ** 2
    scores = int(scored * query.itemsize)
    given = [mask for mask in masks if mask is not None]
    masked = sum(mask.numel() * query.itemsize for mask in given) + (scores if given else 0)
    masked += scored if masks[0] is not None else 0
    late = max(2 * tokens, tokens + scores // heads) + scores if weights else 2 * tokens
    return max(6 * tokens, 3 * tokens + max(scores + masked, late))


def _encoder_scratch(layer: nn.TransformerEncoderLayer, attention: int, source: Tensor) -> int:
    """Attention, then the hidden features of the feed-forward part beside results of its size."""
    tokens = int(source.nbytes)
    hidden = tokens // source.shape[-1] * layer.linear1.out_features
    first = tokens if layer.norm_first else 0
    return max(first + attention, first + 2 * tokens + hidden, first + 3 * tokens)


def _bound(function: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.arguments


def _watched_attention(live: Liveness) -> Callable[..., Any]:
    original = nn.MultiheadAttention.forward

    def forward(self: nn.MultiheadAttention, *args: Any, **kwargs: Any) -> Any:
        taken = _takes("_native_multi_head_attention", lambda: original(self, *args, **kwargs))
        mark = live.mark()
        result = original(self, *args, **kwargs)
        if taken:
            call = _bound(original, self, *args, **kwargs)
            live.fused(
                mark,
                _attention_scratch(
                    self,
                    call["query"],
                    call["attn_mask"],
                    call["key_padding_mask"],
                    weights=call["need_weights"],
                ),
            )
        return result

    return forward


def _watched_encoder(live: Liveness) -> Callable[..., Any]:
    original = nn.TransformerEncoderLayer.forward

    def forward(self: nn.TransformerEncoderLayer, *args: Any, **kwargs: Any) -> Any:
        taken = _takes("_transformer_encoder_layer_fwd", lambda: original(self, *args, **kwargs))
        mark = live.mark()
        result = original(self, *args, **kwargs)
        if taken:
            call = _bound(original, self, *args, **kwargs)
            attention = _attention_scratch(
                self.self_attn,
                call["src"],
                call["src_mask"],
                call["src_key_padding_mask"],
                weights=False,
            )
            live.fused(mark, _encoder_scratch(self, attention, call["src"]))
        return result

    return forward


class FusedCalls:
    """Calls whose backward is one kernel too, and the layers of which nothing is known.

    A call: its module, its number for ``Liveness.returned``, the bytes that it holds in backward,
    and its result, which it needs there.
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._found: list[tuple[int, int, int, frozenset[int]]] = []
        self.unknown = trace.unmodelled
        self.lowered = False

    def begin(self, since: int, problem: Problem, results: Any) -> None:
        """After the forward call of a training step."""
        number = self._trace.live.unrolled(since, results, problem.forward(), problem.kept())
        known = self._trace.live.numbers(results[:1])
        self._found.append((self._trace.stack.stack[-1], number, problem.backward(), known))

    def end(self) -> None:
        """After backward."""
        for layer, number, nbytes, known in self._found:
            places = [
                place
                for place, row in enumerate(self._trace.rows)
                if row.backward and row.layer == layer
            ]
            if places:
                self._trace.live.returned(number, places[0], places[-1], nbytes, known)


def _watched_lstm(live: Liveness, regions: FusedCalls) -> Callable[..., Any]:
    original = _VF.lstm

    def lstm(*args: Any) -> Any:
        mark = live.mark()
        result = original(*args)
        if not _is_modelled(*args):
            regions.unknown.add("LSTM")
        else:
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
def fused_kernels(trace: Trace) -> Iterator[FusedCalls]:
    """Tell the lifetimes of storages where a CPU would run one kernel, during a trace."""
    live, regions = trace.live, FusedCalls(trace)
    with replaced(
        (nn.MultiheadAttention, "forward", _watched_attention(live)),
        (nn.TransformerEncoderLayer, "forward", _watched_encoder(live)),
        (_VF, "lstm", _watched_lstm(live, regions)),
    ):
        yield regions
