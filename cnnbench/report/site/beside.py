"""Two environments -> their page: every network and mode that both have, with a ratio for each.

The two are always named, and no figure is made of several rows: how much faster a machine is
depends on the network and the mode.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cnnbench import flaws, metrics, stats, units
from cnnbench.gate.changes import unlike
from cnnbench.report import answers, cells
from cnnbench.report.budget import memory
from cnnbench.report.conclusions import Sentence
from cnnbench.report.entry import Entry
from cnnbench.report.page import context
from cnnbench.report.page.document import Document
from cnnbench.report.page.heading import Heading
from cnnbench.report.page.parts import Heat, Section, Square
from cnnbench.report.site import names
from cnnbench.report.site.places import Place
from cnnbench.report.table import Column, Table
from cnnbench.stats import Estimate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cnnbench.report.page.document import PageLink

# Rows of a heat map that somebody looks at.
_MOST_ROWS = 200
# Either side of an interval of 95 %.
_ERROR = 0.025

METHOD = (
    "Rows are paired where the workload and the mode are the same, and the device and the number of"
    " threads too, or else where either environment has only one of them; what each was measured"
    " with stands in the row.",
    "A ratio is the latency of the one over that of the other, of their newest records. Its 95 %"
    " interval is Welch's, from the rounds of both; how the machines change from day to day is not"
    " in it. Where the time that a process waited for a core is taken out, it is on both sides.",
    "There is no mean over networks: it would be a number of no network and no machine.",
)


@dataclass(frozen=True)
class Pair:
    """What both environments measured.

    Attributes:
        one, other: the newest records in each.
        ratio: the latency in the one over that in the other: above 1 the other is faster;
            nothing where an output is wrong or a time is missing.
    """

    one: Entry
    other: Entry
    ratio: Estimate | None


@dataclass(frozen=True)
class MachineComparison:
    """Two environments with something in common.

    Attributes:
        one, other: themselves, in the order of their fingerprints.
        pairs: at least one, in the order of the one.
    """

    one: Place
    other: Place
    pairs: tuple[Pair, ...]

    @property
    def name(self) -> str:
        """Both names."""
        return f"{self.one.name} beside {self.other.name}"

    @property
    def page(self) -> str:
        """The file that is about it."""
        return names.comparison(self.one.fingerprint, self.other.fingerprint)


def comparisons(places: Sequence[Place]) -> list[MachineComparison]:
    """Every two environments that have something in common."""
    ordered = sorted(places, key=lambda where: where.fingerprint)
    made = (
        MachineComparison(one, other, tuple(_pairs(one.found, other.found)))
        for one, other in itertools.combinations(ordered, 2)
    )
    return [one for one in made if one.pairs]


def _pairs(found: Sequence[Entry], others: Sequence[Entry]) -> Iterable[Pair]:
    there = answers.by(others, _work)
    for work, some in answers.by(found, _work).items():
        for one, other in _matched(some, there.get(work, [])):
            yield Pair(one, other, _ratio(one, other))


def _work(entry: Entry) -> tuple[str, str]:
    return entry.record.spec.workload.id, entry.mode


def _matched(some: Sequence[Entry], others: Sequence[Entry]) -> Iterable[tuple[Entry, Entry]]:
    """One workload in one mode on the same device with as many threads; or the only ones."""
    if len(some) == len(others) == 1:
        return [(some[0], others[0])]
    there = {one.record.id: one for one in others}
    return [(one, there[one.record.id]) for one in some if one.record.id in there]


def _ratio(one: Entry, other: Entry) -> Estimate | None:
    records = (one.record, other.record)
    if not all(map(flaws.fit, records)):
        return None
    alike = metrics.alike("latency", records)
    above, below = alike or (one.estimates["latency"], other.estimates["latency"])
    if above is None or below is None or min(above.point, below.point) <= 0:
        return None
    shift = stats.shift(below, above)
    point, half = stats.ratio_of(shift.centre), shift.half(_ERROR)
    if half is None:
        return Estimate(point)
    ends = (stats.ratio_of(shift.centre - half), stats.ratio_of(shift.centre + half))
    return Estimate(point, *ends, shift.rounds)


def document(
    found: MachineComparison, trail: Sequence[PageLink], addresses: Mapping[str, Mapping[str, str]]
) -> Document:
    """The page of two environments.

    Args:
        found: them.
        trail: links to pages around it.
        addresses: column -> text of a cell -> the page that the cell leads to.
    """
    one, other = found.one, found.other
    return Document(
        heading=Heading(found.name, f"{one.days}; {other.days}"),
        sentences=list(_said(found)),
        table=_table(found),
        sections=[*_heat(found), *_environments(found)],
        absent=(),
        method=METHOD,
        downloads={},
        listing="Side by side",
        trail=trail,
        addresses=addresses,
        shared=True,
    )


def _said(found: MachineComparison) -> Iterable[Sentence]:
    one, other = found.one, found.other
    timed = [pair.ratio for pair in found.pairs if pair.ratio is not None]
    faster = sum(ratio.low is not None and ratio.low > 1 for ratio in timed)
    slower = sum(ratio.high is not None and ratio.high < 1 for ratio in timed)
    yield Sentence(
        f"{units.number(len(found.pairs), 'row')} of a network in a mode that both have;"
        f" {other.name} is clearly faster in {faster}, {one.name} in {slower}, and the other"
        f" {len(found.pairs) - faster - slower} show no clear difference or have no ratio."
    )
    lines = unlike(one.environment, other.environment)
    facts = sorted({line.partition(":")[0] for line in lines})
    if facts:
        yield Sentence(f"They differ in {', '.join(facts)}; every fact stands under Evidence.")
    if any(where.environment.hard.get("fake") for where in (one, other)):
        yield Sentence("Numbers of the fake executor are made up.", "bad")


def _table(found: MachineComparison) -> Table:
    one, other = found.one.name, found.other.name
    columns = (
        Column("model", "network"), Column("workload", "workload"), Column("mode", "mode"),
        Column("one", f"latency, {one}", "seconds"),
        Column("other", f"latency, {other}", "seconds"),
        Column("ratio", f"times as fast: {other} over {one}", "ratio"),
        Column("gain_one", f"vs eager, {one}", "ratio"),
        Column("gain_other", f"vs eager, {other}", "ratio"),
        Column("memory_one", f"memory, {one}", "bytes"),
        Column("memory_other", f"memory, {other}", "bytes"),
        Column("status_one", f"output, {one}"), Column("status_other", f"output, {other}"),
        Column("as_one", f"measured with, {one}"), Column("as_other", f"measured with, {other}"),
    )  # fmt: skip
    return Table(columns, tuple(map(_cells, found.pairs)))


def _cells(pair: Pair) -> tuple[str | float | Estimate | None, ...]:
    one, other = pair.one, pair.other
    workload = one.record.spec.workload.id.partition("/")[2]
    return (
        one.network, workload, one.mode, one.latency, other.latency, pair.ratio,
        one.speedup, other.speedup, memory(one), memory(other),
        one.record.status, other.record.status, _with(one), _with(other),
    )  # fmt: skip


def _with(entry: Entry) -> str:
    spec = entry.record.spec
    return f"{spec.device.text}, threads {spec.threads}"


def _heat(found: MachineComparison) -> Iterable[Section]:
    """Networks x modes; nothing without a ratio."""
    some = [pair for pair in found.pairs if pair.ratio is not None]
    if not some:
        return
    name = answers.names([pair.one for pair in some])
    rows = list(dict.fromkeys(name(pair.one) for pair in some))
    modes = list(dict.fromkeys(pair.one.mode for pair in some))
    squares = tuple(_square(pair, name(pair.one), found) for pair in some)
    title = f"How many times as fast {found.other.name} is as {found.one.name}"
    left = len(rows) - _MOST_ROWS
    yield Section(
        "ratios",
        title,
        "Blue is above 1, orange below, pale is alike. A value in brackets is no clear difference:"
        " its interval includes 1. Each field is one network in one mode, and holds for no other."
        + (f" The table above holds {left} more networks." if left > 0 else ""),
        plots=((title, Heat(tuple(rows[:_MOST_ROWS]), tuple(modes), squares)),),
    )


_RATIO = Column("ratio", "", "ratio")
_TIME = Column("latency", "", "seconds")


def _square(pair: Pair, row: str, found: MachineComparison) -> Square:
    ratio = pair.ratio
    assert ratio is not None  # noqa: S101 - the others were left out
    text = units.significant(ratio.point, 2 if ratio.point < 10 else 3)
    if ratio.low is None or ratio.high is None or ratio.low < 1 < ratio.high:
        text = f"({text})"
    tip = (
        row,
        pair.one.mode,
        cells.text(_RATIO, ratio),
        f"{found.one.name}: {cells.text(_TIME, pair.one.latency)}, {pair.one.trust}",
        f"{found.other.name}: {cells.text(_TIME, pair.other.latency)}, {pair.other.trust}",
    )
    return Square(row, pair.one.mode, ratio.point, text, tip)


def _environments(found: MachineComparison) -> Iterable[Section]:
    section = context.environments([found.pairs[0].one, found.pairs[0].other])
    if section is not None:
        yield replace(section, folded=True)
