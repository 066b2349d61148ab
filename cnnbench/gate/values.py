"""Whether two records compute the same: outputs by value, within what rounding explains.

A record keeps a sketch of every output (``facts.Sketch``): sums with random signs, whose distance
is that of the outputs. What a network computes is not judged where it draws random numbers, where
rounding alone moves it too far, or where the two sides were not given the same.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cnnbench import recipes, units

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cnnbench.facts import Sketch, Values
    from cnnbench.record import Record

# A relative distance below this is nobody's change: processors, thread counts and libraries were
# below 1e-9 of it in float64, another epsilon of one layer is above 1e-4.
_LEAST = 1e-5
# So many times as far as roundings of float32 in everything that goes in: an equivalent way to
# write the network, or a processor where it does not run in float64.
_TIMES = 16.0
# Beyond this a tolerance would let anything pass.
_BLIND = 0.05
# Initial weights pass through no network; a singular value decomposition may be another library's.
_WEIGHTS = 1e-4
# A multiple of what it was is named as such, if no more than this share of the change is left over.
_LEFT = 0.01


def changed(old: Record, new: Record) -> list[str] | None:
    """What is computed differently, a line per output; ``None`` where that is not known."""
    if old.values is None or new.values is None:
        of = new.spec.workload
        return [] if of.is_layer or recipes.is_pipeline(of.architecture) else None
    before, after = old.values, new.values
    if before.random != after.random and not (before.reason and after.reason):
        now, was = ("", " not") if after.random else (" not", "")
        return [f"values: outputs are{now} random now, they were{was} before"]
    if _unlike(before, after):
        return None
    lines = [*_outputs(before.outputs, after.outputs)]
    if not lines and all(_blind(a, b) for a, b in _both(before, after)):
        return None if before.outputs else []
    return lines + _initial(before, after)


def unjudged(old: Record, new: Record) -> str:
    """Why ``changed`` is ``None``."""
    if old.values is None or new.values is None:
        return ""
    why = _unlike(old.values, new.values)
    if why:
        return why
    moved = min((max(a.moved, b.moved) for a, b in _both(old.values, new.values)), default=0.0)
    return f"calls that differ in roundings differ by {units.share(moved)}"


def alike(old: Record, new: Record) -> bool:
    """Whether both are known and compute the same."""
    return changed(old, new) == []


def _unlike(before: Values, after: Values) -> str:
    """Why the two cannot be compared; empty if they can."""
    for one in (before, after):
        if one.reason:
            return one.reason
    # Where memory is short, a network may have run in its own precision only.
    told = [
        f"{one.weights} weights, {one.batch} samples, {one.precision} precision"
        for one in (before, after)
    ]
    if told[0] != told[1]:
        return f"computed from other things: {' -> '.join(told)}"
    return ""


def _both(before: Values, after: Values) -> list[tuple[Sketch, Sketch]]:
    """The outputs side by side: by their names where these are the same, else by place."""
    old, new = ({one.name: one for one in side.outputs} for side in (before, after))
    if old.keys() == new.keys() and len(old) == len(before.outputs) == len(after.outputs):
        return [(one, new[name]) for name, one in old.items()]
    return list(zip(before.outputs, after.outputs, strict=False))


def _outputs(before: Sequence[Sketch], after: Sequence[Sketch]) -> Iterator[str]:
    if len(before) != len(after):
        yield f"values: {units.number(len(before), 'output')} -> {len(after)}"
        return
    names = {one.name: one for one in after}
    by_name = names.keys() == {one.name for one in before} and len(names) == len(before)
    for place, one in enumerate(before):
        other = names[one.name] if by_name else after[place]
        line = _line(one, other)
        if line:
            yield f"values: {one.name or 'output'} {line}"


def _blind(old: Sketch, new: Sketch) -> bool:
    return tolerance(old, new) > _BLIND


def tolerance(old: Sketch, new: Sketch) -> float:
    """The relative distance up to which two outputs are the same."""
    # Of the same network they are alike; one that has become chaotic has changed.
    return max(_LEAST, _TIMES * min(old.moved, new.moved))


def _line(old: Sketch, new: Sketch) -> str:
    """How one output differs; empty if it does not, or if nobody can tell."""
    if old.count != new.count:
        return f"has {new.count} numbers, {old.count} before"
    if bool(old.digest) != bool(new.digest):
        return "has another kind of type"
    if old.nonfinite != new.nonfinite and not _blind(old, new):
        return f"has {new.nonfinite} numbers that are not finite, {old.nonfinite} before"
    if _blind(old, new):
        return ""
    if old.digest:
        return "" if old.digest == new.digest else "has other whole numbers"
    found = distance(old, new)
    limit = tolerance(old, new)
    if found <= limit:
        return ""
    times = _multiple(old, new)
    return f"changed by {found:.1e} of the norm{times}, limit {limit:.1e}"


def distance(old: Sketch, new: Sketch) -> float:
    """Relative Frobenius distance of two outputs, as their sketches tell it."""
    if len(old.sums) != len(new.sums):
        return math.inf
    gap = math.dist(old.sums, new.sums)
    if old.count > len(old.sums):
        gap /= math.sqrt(max(1, len(old.sums)))
    if not gap:
        return 0.0
    return gap / old.norm if old.norm else math.inf


def _multiple(old: Sketch, new: Sketch) -> str:
    """That it is a multiple of what it was, if it is: a sign, a scale."""
    square = sum(one * one for one in old.sums)
    # A file may hold as many sums as it likes; of others there is no multiple.
    if not square or old.count < 2 or len(old.sums) != len(new.sums):
        return ""
    times = sum(a * b for a, b in zip(old.sums, new.sums, strict=True)) / square
    left = math.dist([times * one for one in old.sums], new.sums)
    if left > _LEFT * math.dist(old.sums, new.sums):
        return ""
    return f" (it is {times:.4g} times what it was)"


def _initial(before: Values, after: Values) -> list[str]:
    """That the weights begin differently, which calibration may have levelled out."""
    old, new = before.initial, after.initial
    # Another number of tensors is another network anyway.
    if old is None or new is None or old.count != new.count:
        return []
    found = distance(old, new)
    if found <= _WEIGHTS:
        return []
    return [f"values: initial weights changed by {found:.1e} of their norms"]
