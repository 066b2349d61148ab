"""Entries -> answers to the questions of readers: which network, which mode.

Values only; ``conclusions`` puts them into sentences, a page draws them.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from cnnbench import axes, flaws
from cnnbench.choice import STANDINGS, ModeChoice, Standing, choose
from cnnbench.report.entry import Entry, compared, once, place
from cnnbench.stats import Estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cnnbench.axes import Axis

Key = TypeVar("Key")

# Percentage points of ImageNet top-1 that many readers would give for speed.
WITHIN = 1.0


def names(found: Sequence[Entry], *, batch: bool = True) -> Callable[[Entry], str]:
    """The names of workloads: the model, and what else differs between them."""
    parts = differing(found)
    others = [part for name, part in parts.items() if batch or name != "batch"]
    return lambda one: ", ".join(text for of in (_model, *others) if (text := of(one)))


@once
def differing(found: Sequence[Entry]) -> Mapping[str, Callable[[Entry], str]]:
    """The axes other than model and mode in which entries differ, and their values in words."""
    parts: dict[str, Callable[[Entry], str]] = {
        axis.name: partial(_words, axis)
        for axis in compared()
        if axes.tells({place(axis, one) for one in found}, axis.default)
    }
    # One network at two sizes is told apart by the size; another size of another network is not.
    sizes = {(_model(one), one.record.spec.workload.input) for one in found}
    if len(sizes) > len({model for model, _ in sizes}):
        parts["input"] = lambda one: one.record.spec.workload.shape_text
    return parts


def _words(axis: Axis, one: Entry) -> str:
    """The value of an axis in words, even a default; empty where it has none."""
    value = place(axis, one)
    return "" if value is None else axis.phrase.format(value)


def _model(one: Entry) -> str:
    return one.network


def by(found: Iterable[Entry], key: Callable[[Entry], Key]) -> dict[Key, list[Entry]]:
    """Entries by key, in order of appearance."""
    groups: dict[Key, list[Entry]] = {}
    for entry in found:
        groups.setdefault(key(entry), []).append(entry)
    return groups


def trusted(entry: Entry) -> bool:
    """Whether the time of an entry can be shown: it was measured and its output is not wrong."""
    return entry.flaw not in {flaws.FAILED, flaws.WRONG, flaws.UNMEASURED}


@dataclass(frozen=True)
class Candidate:
    """A network in a mode, as a trade-off between accuracy and time.

    Attributes:
        entry: what was measured.
        top1: published accuracy of its weights in percent.
        seconds: its latency.
        front: no other of its setting is both as accurate and as fast, and better in one.
    """

    entry: Entry
    top1: float
    seconds: Estimate
    front: bool = False


@once
def candidates(found: Sequence[Entry]) -> Mapping[str, Sequence[Candidate]]:
    """Candidates by setting: those whose accuracy is known for exactly what was measured.

    An accuracy is published for one input size and for the builder's defaults; other sizes and
    arguments have none. Candidates are recommended, so ``choice`` says which outputs are fit.
    """
    known: dict[str, list[Candidate]] = {}
    for entry in found:
        top1, time = entry.top1, entry.latency
        if top1 is not None and time is not None and flaws.fit(entry.record):
            known.setdefault(entry.setting, []).append(Candidate(entry, top1, time))
    return {name: _with_front(some) for name, some in known.items()}


def _with_front(some: Sequence[Candidate]) -> list[Candidate]:
    front = pareto([(one.seconds.point, one.top1) for one in some])
    return [Candidate(one.entry, one.top1, one.seconds, i in front) for i, one in enumerate(some)]


def pareto(points: Sequence[tuple[float, float]]) -> set[int]:
    """Indices of the (cost, value) pairs that no other pair beats.

    Of equal pairs all are on the front.
    """
    order = sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1]))
    front: set[int] = set()
    best = float("-inf")
    for index in order:
        value = points[index][1]
        twin = points[index] in {points[one] for one in front}
        if value > best or twin:
            front.add(index)
            best = max(best, value)
    return front


def fastest_within(some: Sequence[Candidate], points: float = WITHIN) -> Candidate:
    """The fastest candidate at most ``within`` percentage points below the most accurate one.

    Raises:
        ValueError: there are no candidates.
    """
    best = max(one.top1 for one in some)
    return min(
        (one for one in some if one.top1 >= best - points), key=lambda one: one.seconds.point
    )


@dataclass(frozen=True)
class BestMode:
    """The best mode of a workload.

    Attributes:
        entry: the best, as ``choice`` decides; plain eager where no other is clearly faster.
        choice: what that follows from.
        entries: the workload in all its modes, by the id of their records.
    """

    entry: Entry
    choice: ModeChoice
    entries: Mapping[str, Entry]

    @property
    def sure(self) -> bool:
        """Whether a mode is clearly faster than plain eager."""
        return self.choice.gain is not None

    @property
    def equal(self) -> str:
        """Other modes without a clear difference from the best."""
        return ", ".join(one.spec.mode.text for one in self.choice.equal)

    @property
    def tried(self) -> int:
        """The number of fit modes with a speed-up, including plain eager."""
        return len(self.choice.tried) + 1

    @property
    def of(self) -> str:
        """What it is the best of."""
        count = f"{self.tried} modes"
        return f"those of {count} whose gain is certain" if self.choice.hopeful else count

    @property
    def level(self) -> list[str]:
        """Modes that it does not differ from clearly, in a clause; none if there is none."""
        return [f"no clear difference from {self.equal}"] if self.equal else []

    @property
    def hopeful(self) -> list[str]:
        """Modes that look faster, in a clause; none if there is no such mode."""
        names = [one.spec.mode.text for one in self.choice.hopeful]
        verb = "looks" if len(names) == 1 else "look"
        return [f"{', '.join(names)} {verb} faster: more --rounds may decide it"] if names else []


@once
def best_modes(found: Sequence[Entry]) -> Sequence[BestMode]:
    """One per workload, device and threads, if it was measured in another mode than plain eager."""
    groups = by(
        (entry for entry in found if _against_itself(entry)),
        lambda entry: (entry.run, entry.record.spec.plain.id),
    )
    return [best for group in groups.values() if (best := _best(group)) is not None]


def _against_itself(entry: Entry) -> bool:
    """Whether its speed-up is relative to its own workload, which is not so for substitutes."""
    spec = entry.record.spec
    return entry.speedup is not None and spec.workload.group is spec.workload


def _best(group: Sequence[Entry]) -> BestMode | None:
    table = {entry.record.id: entry for entry in group}  # one run may have been named twice
    chosen = choose(entry.record for entry in table.values())
    if chosen is None or chosen.verdict == "alone":
        return None
    return BestMode(table[chosen.best.id], chosen, table)


@dataclass(frozen=True)
class ModeAnswer:
    """Where one mode pays, over all workloads that were measured in it beside plain eager.

    Attributes:
        mode: its text.
        faster: clearly faster, with an output that is fit.
        slower: clearly slower.
        level: tested without a gain: the difference is known to be small.
        unclear: the interval allows a gain and a loss.
        once: not repeated; one round shows no difference.
        unfit: the output is loose or wrong, whatever the speed.
        gain: the median speed-up of those that were repeated; ``None`` if none was.
        error: the largest relative error of an output that was checked and is fit.
    """

    mode: str
    faster: tuple[Entry, ...]
    slower: tuple[Entry, ...]
    level: tuple[Entry, ...]
    unclear: tuple[Entry, ...]
    once: tuple[Entry, ...]
    unfit: tuple[Entry, ...]
    gain: float | None
    error: float | None

    @property
    def tried(self) -> int:
        """The number of workloads."""
        return sum(map(len, self.standings.values()))

    @property
    def standings(self) -> Mapping[Standing, tuple[Entry, ...]]:
        """The workloads by how the mode stands there, in the order in which that is told."""
        return {how: getattr(self, how) for how in STANDINGS if how != "apart"}


@once
def by_mode(found: Sequence[Entry]) -> Sequence[ModeAnswer]:
    """An answer for every mode but plain eager, in the order of appearance."""
    table: dict[str, dict[Standing, list[Entry]]] = {}
    for best in best_modes(found):
        for entry in best.entries.values():
            how = _standing(entry, best.choice)
            if how is not None:
                table.setdefault(_mode(entry), {}).setdefault(how, []).append(entry)
    return [_mode_answer(mode, standings) for mode, standings in table.items()]


def _mode(entry: Entry) -> str:
    return entry.mode


def _standing(entry: Entry, choice: ModeChoice) -> Standing | None:
    """How it compares with plain eager; ``None`` if it does not."""
    record = entry.record
    if record is choice.baseline or record.status == "failed":
        return None
    how = choice.standing(record)
    return None if how == "apart" else how


def _mode_answer(mode: str, of: Mapping[Standing, Sequence[Entry]]) -> ModeAnswer:
    some = {how: tuple(of.get(how, ())) for how in STANDINGS if how != "apart"}
    repeated = [one for how in some if how not in {"once", "unfit"} for one in some[how]]
    gains = [entry.speedup.point for entry in repeated if entry.speedup is not None]
    fit = [one.record for one in (*repeated, *some["once"]) if one.record.status == "ok"]
    # A record's own check is the first of its worst; another process may have been further off.
    checks = [run.check for record in fit for run in record.runs]
    errors = [one.error for one in checks if one is not None and one.error is not None]
    gain = statistics.median(gains) if gains else None
    error = max(errors, default=None)
    return ModeAnswer(mode, **some, gain=gain, error=error)
