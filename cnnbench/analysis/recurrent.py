"""Memory that oneDNN holds inside of an LSTM, by the rules of its workspace.

One call per layer and direction: the biases added, the weights in blocks, and a workspace of pages
with the states of all steps. Leading dimensions are whole cache lines, and one more where their
number would collide in a cache (oneDNN, ``rnn_utils``). Fitted to the allocator's events of torch
2.14 with oneDNN 3.12, AVX-512 without AMX, float32; a sum of pages is exact but for one or two.
"""

from __future__ import annotations

from typing import Any

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
        + _pages(states * hidden)
        + _pages(batch * _leading(hidden))
        + _pages(batch * _leading(4 * hidden) * (steps if batch == 1 else 1))
        + _REST
    )


def _weights(width: int, hidden: int) -> int:
    blocked = -(-hidden // _BLOCK) * _BLOCK
    return 4 * (width + hidden) * blocked * _FLOAT


class Problem:
    """Sizes of what ``torch.lstm`` was called with, in bytes where nothing else is said."""

    def __init__(self, *call: Any) -> None:
        source, states, _, bias, layers, _, _, bidirectional, batch_first = call
        first, second, width = map(int, source.shape)
        self._batch, self._steps = (first, second) if batch_first else (second, first)
        self._width, self._hidden = width, int(states[0].shape[-1])
        self._ways, self._layers = (2 if bidirectional else 1), int(layers)
        self._given = int(source.nbytes) if batch_first else 0  # copied with its steps first
        self._state = 2 * self._batch * self._hidden * _FLOAT
        self._result = self._steps * self._batch * self._hidden * _FLOAT
        self._bias = 4 * self._hidden * _FLOAT if bias else 0

    def _widths(self) -> list[int]:
        return [self._width] + [self._ways * self._hidden] * (self._layers - 1)

    def inference(self) -> int:
        """The most that all layers hold, their results included; an input outlives its layer.

        Two directions are joined in a copy, and their own results live until they are replaced.
        """
        worst = kept = 0
        for layer, width in enumerate(self._widths()):
            inner = _weights(width, self._hidden) + self._bias
            inner += _workspace(self._steps, self._batch, width, self._hidden)
            before = self._given + (self._ways * self._result if layer else 0)
            for way in range(self._ways):
                kept += self._state
                results = way + 1 if not layer or self._ways == 1 else 3
                worst = max(worst, before + kept + results * self._result + inner)
            if self._ways == 2:
                worst = max(worst, before + kept + 4 * self._result)
        return worst

    def _kept_of(self, width: int) -> int:
        """One layer's workspace: gates, states and their gradients, and outputs, of every step."""
        steps, batch, hidden = self._steps, self._batch, self._hidden
        states = 2 * (steps + 1) * batch
        return (
            _pages(steps * batch * _leading(4 * hidden))
            + 3 * _pages(states * _leading(max(width, hidden)))
            + 2 * _pages(states * hidden)
            + _pages(steps * batch * _leading(hidden))
        )

    def _training_step(self) -> int:
        """What both passes hold while they run."""
        return (
            _pages(self._steps * self._batch * _leading(4 * self._hidden))
            + 2 * _pages(self._batch * _leading(self._hidden))
            + _PAGE
            + 568
        )

    def _padded(self, width: int) -> int:
        return (width + self._hidden) * _leading(4 * self._hidden) * _FLOAT

    def _turned(self, width: int) -> int:
        """Weights whose rows have no good length are copied for backward."""
        bad = [size for size in (width, self._hidden) if _leading(size) != size]
        return sum(4 * self._hidden * _leading(size) * _FLOAT for size in bad)

    def kept(self) -> int:
        """What lives from forward to backward, beyond the results."""
        between = (self._layers - 1) * self._ways * self._result
        workspaces = sum(self._kept_of(width) for width in self._widths()) * self._ways
        states = self._layers * self._ways * self._state
        return self._given + between + workspaces + states + self._halves() * self._layers

    def _halves(self) -> int:
        """Two directions keep their own results beside the copy that joins them."""
        return 2 * self._result if self._ways == 2 else 0

    def forward(self) -> int:
        """The most that the layers hold in a training step's forward pass."""
        width = self._widths()[-1]
        once = self._padded(width) + self._bias + self._training_step()
        return self.kept() + self._ways * self._result + once

    def backward(self) -> int:
        """The most that they hold in backward beyond what is kept; layers go from last to first."""
        worst, held = 0, self._halves() // 2  # one direction's part of the gradient
        for width in reversed(self._widths()):
            gradient = self._steps * self._batch * width * _FLOAT
            weights = 4 * self._hidden * (width + self._hidden) * _FLOAT + 2 * self._bias
            own = 2 * self._state + gradient + weights
            inner = self._turned(width) + self._padded(width) + self._bias + self._training_step()
            worst = max(worst, held + own + inner)
            held += self._ways * (weights - self._kept_of(width)) + gradient
        return worst
