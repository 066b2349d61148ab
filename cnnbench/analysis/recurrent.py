"""Memory that oneDNN holds inside of an LSTM, by the rules of its workspace.

One call per layer and direction: the biases added, the weights in blocks, and a workspace of pages
with the states of all steps. Leading dimensions are whole cache lines, and one more where their
number would collide in a cache (oneDNN, ``rnn_utils``). Fitted to the allocator's events of torch
2.14 with oneDNN 3.12, AVX-512 without AMX, float32; a sum of pages is exact but for one or two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

_LINE, _PAGE, _FLOAT = 16, 4096, 4
_BLOCK = 32  # output features of a gate in the blocked weights
_REST = _PAGE + 776  # bookkeeping


def _lines(size: int) -> int:
    return -(-size // _LINE) * _LINE


def _leading(size: int) -> int:
    """A leading dimension that does not map to few cache sets."""
    lines = _lines(size)
    return lines + _LINE if lines % 256 == 0 else lines


def _pages(elements: int) -> int:
    return -(-elements * _FLOAT // _PAGE) * _PAGE


def _workspace(steps: int, batch: int, width: int, hidden: int) -> int:
    """States of every step below and above the layer, one cell state, the gates of one step."""
    states = 2 * (steps + 1) * batch
    return (
        _pages(states * _leading(max(width, hidden)))
        + _pages(states * _lines(hidden))
        + _pages(batch * _leading(hidden))
        + _pages(batch * _leading(4 * hidden) * (steps if batch == 1 else 1))
        + _REST
    )


def _weights(width: int, hidden: int) -> int:
    blocked = -(-hidden // _BLOCK) * _BLOCK
    return 4 * (width + hidden) * blocked * _FLOAT + 4 * hidden * _FLOAT


def inference_scratch(
    source: Tensor,
    states: Sequence[Tensor],
    weights: Any,
    bias: bool,
    layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
    /,
) -> int:
    """The most that all layers hold, their results included, beyond their arguments.

    Takes what ``torch.lstm`` takes. A layer's input lives until its result exists.
    """
    del weights, bias, dropout, train
    batch, steps, width = source.shape if batch_first else (
        source.shape[1], source.shape[0], source.shape[2]
    )  # fmt: skip
    hidden, ways = states[0].shape[-1], 2 if bidirectional else 1
    given = source.nbytes if batch_first else 0
    state = 2 * batch * hidden * _FLOAT
    result = steps * batch * hidden * _FLOAT
    worst = kept = 0
    for layer in range(layers):
        inner = _weights(width, hidden) + _workspace(steps, batch, width, hidden)
        before = given if layer == 0 else given + ways * result
        for way in range(ways):
            kept += state
            worst = max(worst, before + kept + (way + 1) * result + inner)
        worst = max(worst, before + kept + 2 * result * ways) if ways == 2 else worst
        width = ways * hidden
    return worst
