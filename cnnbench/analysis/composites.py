"""Functions that torch composes of operators, as a CPU does where it knows what it runs on.

While anything looks on, ``linear`` adds the bias of a transposed input to a new tensor instead of
in place. On meta, GRU and RNN multiply the input step by step instead of all steps at once. Both
change what is alive, not what is counted.

Source: torch, ``aten/src/ATen/native/Linear.cpp`` and ``RNN.cpp``.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import torch
from torch import _VF, Tensor
from torch.nn import functional

from cnnbench.analysis.autocast import lowered
from cnnbench.analysis.stand_ins import replaced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    # From a step's input, multiplied already, and the hidden state, multiplied and not, to the
    # next state.
    Cell = Callable[[Tensor, Tensor, Tensor], Tensor]

_linear = functional.linear


def linear(source: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``functional.linear``, whose product takes the bias in place if the source is no matrix."""
    if bias is None or source.is_nested or not source.is_meta:  # whose layout cannot be asked for
        return _linear(source, weight, bias)
    if source.dim() < 3 or source.is_contiguous():
        return _linear(source, weight, bias)
    return _linear(source, weight).add_(lowered(bias))


def _gru(given: Tensor, product: Tensor, hidden: Tensor) -> Tensor:
    reset, keep, new = product.unsafe_chunk(3, 1)
    given_reset, given_keep, given_new = given.unsafe_chunk(3, 1)
    reset = reset.add_(given_reset).sigmoid_()
    keep = keep.add_(given_keep).sigmoid_()
    new = given_new.add(new.mul_(reset)).tanh_()
    return (hidden - new).mul_(keep).add_(new)


def _rnn_tanh(given: Tensor, product: Tensor, hidden: Tensor) -> Tensor:
    del hidden
    return product.add_(given).tanh()


def _rnn_relu(given: Tensor, product: Tensor, hidden: Tensor) -> Tensor:
    del hidden
    return product.add_(given).relu()


def _layer(
    cell: Cell, source: Tensor, hidden: Tensor, weights: Sequence[Tensor], *, back: bool
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """One layer in one direction: its result, its last state, and what is held beside them.

    Two directions hold their states until they are joined, and the products of the second.
    """
    into, inside, *biases = weights
    steps = linear(source, into, biases[0] if biases else None).unbind(0)
    states = []
    for given in reversed(steps) if back else steps:
        hidden = cell(given, linear(hidden, inside, biases[1] if biases else None), hidden)
        states.append(hidden)
    held = [*states, *steps] if back else states
    return torch.stack(states[::-1] if back else states, 0), hidden, held


def _stack(
    cell: Cell,
    source: Tensor,
    states: Tensor,
    weights: Sequence[Tensor],
    bias: bool,
    layers: int,
    dropout: float,
    train: bool,
    both: bool,
    batch_first: bool,
) -> tuple[Tensor, Tensor]:
    """All layers, as ``torch.gru`` takes them."""
    source = source.transpose(0, 1) if batch_first else source
    hidden, each, ways, last = states.unbind(0), 4 if bias else 2, 2 if both else 1, []
    for layer in range(layers):
        found = []
        for way in range(ways):
            place = layer * ways + way
            own = weights[place * each : (place + 1) * each]
            found.append(_layer(cell, source, hidden[place], own, back=way == 1))
        last += [state for _, state, _ in found]
        source = torch.cat([one for one, _, _ in found], -1) if both else found[0][0]
        del found
        if dropout and train and layer < layers - 1:
            source = torch.dropout(source, dropout, train)
    return source.transpose(0, 1) if batch_first else source, torch.stack(last, 0)


_CELLS: dict[str, Cell] = {"gru": _gru, "rnn_tanh": _rnn_tanh, "rnn_relu": _rnn_relu}


def _stepping(name: str, unknown: set[str]) -> Callable[..., Any]:
    original, cell = getattr(_VF, name), _CELLS[name]

    def call(*args: Any) -> Any:
        # Sizes of a packed sequence have one axis.
        if args[0].is_meta and args[1].dim() == 3:
            return _stack(cell, *args)
        unknown.add(name.partition("_")[0].upper())
        return original(*args)

    return call


@contextlib.contextmanager
def composites(unknown: set[str]) -> Iterator[None]:
    """Replace the functions during a trace; layers of other forms are noted as ``unknown``."""
    with replaced(
        (functional, "linear", linear),
        *((_VF, name, _stepping(name, unknown)) for name in _CELLS),
    ):
        yield
