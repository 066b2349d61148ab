"""Receptive fields: which pixels of the input one element of a layer's result can depend on.

Per spatial axis of the input:

* the *size* is the extent, from the first to the last pixel, that one element depends on, and of
  all elements the largest; a border cuts no field off: the picture is thought to go on;
* the *stride* is the number of input pixels between neighbouring elements: a fraction after
  upsampling, negative after a flip, ``None`` where elements have no places in the picture;
* the *centre* is the middle of what the first element depends on: pixel 0 is the first.

Everything: elements that depend on all positions at once, as after global pooling, a linear layer
on a map, attention, a norm whose statistics are taken over positions, a Fourier transform, or a
gate computed from such (squeeze-and-excitation). Pixels that strides leave over at edges count as
read.
Batch norm in training is followed as in inference, and nothing depends on the batch. The seam of a
rotation and of circular padding is a border. What has no rule in ``field_table``, or cannot be
followed through it, is *not known*.

Nothing is recognised by pattern: elements of every tensor, views included, are followed by exact
interval arithmetic (``reach``). For convolutions alone it is that of Araujo, Norris, Sim,
"Computing Receptive Fields of Convolutional Neural Networks", Distill 2019.
"""

from __future__ import annotations

import contextlib
from math import prod
from typing import TYPE_CHECKING, Any

from cnnbench.analysis.field_rules import Operand
from cnnbench.analysis.field_table import operands
from cnnbench.analysis.reach import FAR, NotFollowed
from cnnbench.analysis.storages import Seen, Storage
from cnnbench.analysis.tracked import Tracked, begin, ended
from cnnbench.costs import EVERYTHING, NOT_KNOWN, Field

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cnnbench.analysis.reach import Reach
    from cnnbench.analysis.trace import Raw


def follow(
    rows: Sequence[Raw], inputs: Iterable[tuple[Seen, int]], asked: Mapping[int, Sequence[Seen]]
) -> tuple[list[Field | None], dict[tuple[Seen, int], Field | None]]:
    """The field of every row's first result, and of the tensors asked for.

    Args:
        rows: recorded operators in order.
        inputs: the network's, each with its first spatial axis.
        asked: row -> tensors to be looked at when it is over.
    """
    storages = {
        view.key: Storage(view, begin(view.shape, first))
        for view, first in inputs
        if first < len(view.shape)
    }
    fields: list[Field | None] = []
    found: dict[tuple[Seen, int], Field | None] = {}
    for number, row in enumerate(rows):
        results = [] if row.backward else _step(row, storages)
        fields.append(_field(results[0]) if results else None)
        for view in asked.get(number, ()):
            found[view, number] = _field(_read(view, storages))
    if not rows:
        # A network that returns its input.
        found = {(view, 0): _field(_read(view, storages)) for view in asked.get(0, ())}
    return fields, found


def _step(row: Raw, storages: dict[int, Storage]) -> Sequence[Tracked | None]:
    """Follow one operator."""
    for key in row.unseen:
        storages.pop(key, None)
    results = _results(row, [_operand(value, storages) for value in row.arguments], storages)
    for view, tracked in zip(row.results, results, strict=True):
        storage = storages.get(view.key)
        # What is given as out= has been there before, and may be a part of its storage.
        fresh = view.key not in row.reads and not row.plan.outs
        if fresh or (storage is None and tracked is not None):
            storages[view.key] = Storage(view, tracked)
        elif storage is not None and row.plan.rule.kind == "view":
            storage.views[view.plain()] = tracked
        elif storage is not None:
            storages[view.key] = storage.written(view, tracked)
    return results


def _read(view: Seen, storages: Mapping[int, Storage]) -> Tracked | None:
    storage = storages.get(view.key)
    # Parameters and buffers are of no recorded operator.
    return storage.read(view) if storage is not None else None


def _operand(value: Any, storages: Mapping[int, Storage]) -> Any:
    if isinstance(value, Seen):
        return Operand(tuple(value.shape), _read(value, storages))
    if type(value) is list:
        return [_operand(item, storages) for item in value]
    return value


def _results(
    row: Raw, arguments: list[Any], storages: Mapping[int, Storage]
) -> Sequence[Tracked | None]:
    """What the rule of an operator says of its results, or what is certain without one."""
    others = [_read(view, storages) for view in row.keywords]
    known = [one for one in (*(o.tracked for o in operands(arguments)), *others) if one is not None]
    shapes = [tuple(view.shape) for view in row.results]
    if not known or not shapes:
        return [None] * len(shapes)
    found: Sequence[Tracked | None] = ()
    if row.plan.field is not None and not any(others):
        # Arguments that a rule does not expect are no reason for a count to fail.
        with contextlib.suppress(NotFollowed, TypeError, ValueError, IndexError, ArithmeticError):
            found = row.plan.field(shapes, *arguments)
    fits = [one is None or one.shape == shape for one, shape in zip(found, shapes, strict=False)]
    return [
        found[place] if place < len(fits) and fits[place] else ended(known, shape)
        for place, shape in enumerate(shapes)
    ]


def _field(tracked: Tracked | None) -> Field | None:
    # Where there is no element, nothing is read.
    if tracked is None or 0 in tracked.factors:
        return None
    reaches = [one for one in tracked.reaches if one is not None]
    if len(reaches) < len(tracked.reaches):
        return NOT_KNOWN
    widest = [one.widest(tracked.factors) for one in reaches]
    sizes = tuple(size if size < FAR else None for size in widest)
    if not any(sizes):
        return EVERYTHING
    first = [one.middle for one in reaches]
    return Field(sizes, tuple(_stride(tracked, one) for one in reaches), tuple(first))


def _stride(tracked: Tracked, one: Reach) -> float | None:
    """Between neighbours along the axis on which it is largest, if several are in the picture."""
    steps, last = [], 0
    for dim in tracked.dims:
        factors = range(last, last + len(dim))
        last += len(dim)
        moving = [factor for factor in factors if one.advance[factor]]
        if moving:
            # Neighbours in one window of attention read the same; those along another axis do too.
            still = [f for f in factors if f > moving[-1] and not _moves(tracked, f)]
            shared = prod(tracked.factors[factor] for factor in still)
            steps.append(one.advance[moving[-1]] / (one.period(moving[-1]) * shared))
    return max(steps, key=abs, default=None)


def _moves(tracked: Tracked, factor: int) -> bool:
    return any(one is not None and one.advance[factor] for one in tracked.reaches)
