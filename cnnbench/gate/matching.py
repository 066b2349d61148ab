"""Which module of one network is which of another: by path, or by what it is where paths changed.

Two lists in order of registration are aligned as sequences are (Needleman and Wunsch 1970): the
more two modules have in common, the more it counts to put them side by side, and a module that has
nothing to stand beside costs nothing. So an inserted layer shifts the numbers of a ``Sequential``
without any harm, and a layer that grew is still that layer.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from cnnbench.clocked import ModuleFacts

    # Places in the first and the second list; ``None`` where one has no such module.
    Pair = tuple[int | None, int | None]

# What two modules side by side are worth: everything equal; equal but for the path (a little more
# if its last name is the same); the same path and class; the same path.
_SAME, _MOVED, _LAST, _GREW, _REPLACED = 8, 5, 1, 4, 2
# Steps of the alignment are a product; beyond this, only paths are compared.
_LARGEST = 1_500_000

_SHAPE = re.compile(r"\[[\d,]*\]")


def matched(base: Sequence[ModuleFacts], head: Sequence[ModuleFacts]) -> list[Pair]:
    """Every module of both, each once, in the order of the head; what is gone stands last."""
    found = _aligned(base, head)
    found |= _left(base, head, found, lambda one: one.name)
    found |= _left(base, head, found, likeness)
    after = {there: here for here, there in found.items()}
    pairs: list[Pair] = [(after.get(index), index) for index in range(len(head))]
    return pairs + [(index, None) for index in range(len(base)) if index not in found]


def likeness(one: ModuleFacts) -> tuple[str, int, int, str]:
    """What a module is, whatever it is called: class, parameters, calls, shape of its output."""
    shape = _SHAPE.search(one.output)
    return one.type, one.params, one.calls, shape[0] if shape else ""


def alike(base: ModuleFacts, head: ModuleFacts) -> bool:
    """Whether two modules are the same but for their path, or the same one changed.

    One of another class that has the same path, and takes the place in all but what it does inside,
    is the same one changed: a subclass of a layer, another activation.
    """
    if base.name == head.name:
        return base.type == head.type or likeness(base)[1:] == likeness(head)[1:]
    return likeness(base) == likeness(head)


def _worth(base: ModuleFacts, head: ModuleFacts) -> int:
    if likeness(base) == likeness(head):
        if base.name == head.name:
            return _SAME
        last = base.name.rpartition(".")[2] == head.name.rpartition(".")[2]
        return _MOVED + _LAST * last
    if base.name == head.name:
        return _GREW if base.type == head.type else _REPLACED
    return 0


def _aligned(base: Sequence[ModuleFacts], head: Sequence[ModuleFacts]) -> dict[int, int]:
    """Place in the first -> place in the second, in order."""
    start, end = 0, 0
    short = min(len(base), len(head))
    while start < short and _worth(base[start], head[start]) == _SAME:
        start += 1
    while end < short - start and _worth(base[-1 - end], head[-1 - end]) == _SAME:
        end += 1
    found = {index: index for index in range(start)}
    found |= {len(base) - 1 - n: len(head) - 1 - n for n in range(end)}
    rows, columns = base[start : len(base) - end], head[start : len(head) - end]
    if len(rows) * len(columns) > _LARGEST:
        return found
    return found | {start + here: start + there for here, there in _path(rows, columns)}


def _path(base: Sequence[ModuleFacts], head: Sequence[ModuleFacts]) -> list[tuple[int, int]]:
    best = [[0] * (len(head) + 1) for _ in range(len(base) + 1)]
    worth = [[_worth(one, other) for other in head] for one in base]
    for i in reversed(range(len(base))):
        for j in reversed(range(len(head))):
            beside = worth[i][j] + best[i + 1][j + 1] if worth[i][j] else 0
            best[i][j] = max(beside, best[i + 1][j], best[i][j + 1])
    found, i, j = [], 0, 0
    while i < len(base) and j < len(head):
        if worth[i][j] and best[i][j] == worth[i][j] + best[i + 1][j + 1]:
            found.append((i, j))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return found


def _left(
    base: Sequence[ModuleFacts],
    head: Sequence[ModuleFacts],
    found: Mapping[int, int],
    key: Callable[[ModuleFacts], Hashable],
) -> dict[int, int]:
    """Those with nothing beside them yet that alone on both sides have the same key."""
    taken = {*found.values()}
    here = _unique([(key(one), i) for i, one in enumerate(base) if i not in found])
    there = _unique([(key(one), i) for i, one in enumerate(head) if i not in taken])
    return {here[one]: there[one] for one in here.keys() & there.keys()}


def _unique(keyed: Sequence[tuple[Hashable, int]]) -> dict[Hashable, int]:
    counts = Counter(key for key, _ in keyed)
    return {key: index for key, index in keyed if counts[key] == 1}
