"""Sections about how to run a network: modes, implementations, batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnbench import flaws, metrics, units
from cnnbench.choice import STANDINGS
from cnnbench.conv import results
from cnnbench.report import answers, cells
from cnnbench.report.entry import Entry
from cnnbench.report.page.offers import TIME
from cnnbench.report.page.parts import Heat, Line, PlotAxis, PlotPoint, Points, Section, Square
from cnnbench.report.table import Column, Table
from cnnbench.stats import Estimate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cnnbench.choice import Standing
    from cnnbench.report.answers import ModeAnswer

_RATIO = Column("speedup", "vs eager", "ratio")

# More rows than this are beyond what people look at.
_MOST_ROWS = 200
# Lines that can still be followed.
_MOST_LINES = 40


# The result over all modes of a workload -> the words for it.
_VERDICTS: Mapping[str, str] = {how: words.text for how, words in STANDINGS.items()}


def best(found: Sequence[Entry]) -> Section | None:
    """The best mode of each workload."""
    chosen = answers.best_modes(found)
    if not chosen:
        return None
    columns = (Column("workload", "workload"), Column("mode", "best mode"), _RATIO,
               Column("verdict", "against eager"), Column("equal", "no clear difference from"),
               Column("tried", "modes tried", "whole"))  # fmt: skip
    rows = tuple(
        (one.entry.record.spec.workload.id, one.entry.mode, one.entry.speedup,
         _VERDICTS[one.choice.verdict], one.equal or None, one.tried)
        for one in chosen
    )  # fmt: skip
    return Section(
        "best",
        "Best mode of each workload",
        "The simplest of the modes without a clear difference from the fastest, and within 5 % of"
        " it, if it is clearly faster than plain eager: the whole interval of its speed-up lies"
        f" above 1, with an error of {100 * metrics.ERROR:g} % shared among all modes tried. Modes"
        " with a wrong or loose output are not recommended.",
        Table(columns, rows),
    )


# Strips that somebody looks at; a mode with more workloads comes first. And marks in one.
_MOST_STRIPS, _MOST_MARKS = 8, 400


def strips(found: Sequence[Entry]) -> Section | None:
    """A strip per mode: its speed-ups in order, and in how many workloads it pays."""
    modes = answers.by_mode(one for one in found if not _of_lab(one))
    told = [(one, pairs) for one in modes if (pairs := _told(one))]
    if not told:
        return None
    name = answers.names([entry for _, pairs in told for entry, _ in pairs])
    columns = (Column("mode", "mode"), Column("workload", "workload"), _RATIO,
               Column("standing", "how it stands"))  # fmt: skip
    rows = tuple(
        (one.mode, name(entry), entry.speedup, STANDINGS[how].text)
        for one, pairs in told for entry, how in pairs
    )  # fmt: skip
    largest = sorted(told, key=lambda pair: -len(pair[1]))[:_MOST_STRIPS]
    return Section(
        "strips",
        "Does a mode pay?",
        "Each mark is a network, by its speed-up over plain eager. A mode pays where it is faster,"
        " the whole interval above 1; it is slower where that lies below; no gain is known to"
        " differ by little. The error is shared among all modes tried. A ring is not repeated,"
        " which decides nothing. Networks whose output is wrong or loose are left out; with more"
        f" than {_MOST_MARKS} networks, marks at equal steps are drawn.",
        Table(columns, rows),
        tuple((f"{one.mode}: {_tally(pairs)}", _strip(pairs, name)) for one, pairs in largest),
    )


def _told(one: ModeAnswer) -> list[tuple[Entry, Standing]]:
    """Every workload with how the mode stands there, the largest speed-up first."""
    pairs = [
        (entry, how) for how, some in one.standings.items() if how != "unfit" for entry in some
    ]
    return sorted(pairs, key=lambda pair: -_ratio(pair[0]))


def _ratio(entry: Entry) -> float:
    return 0.0 if entry.speedup is None else entry.speedup.point


def _tally(pairs: Sequence[tuple[Entry, Standing]]) -> str:
    """``faster 17 · slower 14 · no clear difference 22 · not repeated 100``."""
    counts = Counter(how for _, how in pairs)
    return " · ".join(
        f"{words.text} {counts[how]}"
        for how, words in STANDINGS.items()
        if counts[how] or how in {"faster", "slower"}
    )


def _strip(pairs: Sequence[tuple[Entry, Standing]], name: Callable[[Entry], str]) -> Points:
    ends = (-0.5, len(pairs) - 0.5)
    return Points(
        PlotAxis("networks, the largest speed-up first", ranks=True),
        PlotAxis("times as fast as eager", log=True),
        tuple(_stripped(place, *pairs[place], name) for place in _places(len(pairs))),
        (Line("as fast as eager", ends, (1.0, 1.0), dashed=True),),
        interval="y",
        groups=tuple(words.text for words in STANDINGS.values()),
        grey=tuple(words.text for words in STANDINGS.values() if words.open),
        height=130,
        calm=len(pairs) > _MOST_LINES,
    )


def _places(count: int) -> Iterable[int]:
    """All of some places, or at most as many at equal steps as can be seen."""
    if count <= _MOST_MARKS:
        return range(count)
    return (round(n * (count - 1) / (_MOST_MARKS - 1)) for n in range(_MOST_MARKS))


def _stripped(place: int, entry: Entry, how: Standing, name: Callable[[Entry], str]) -> PlotPoint:
    gain = entry.speedup
    assert gain is not None  # noqa: S101 - what compares has one
    word = STANDINGS[how].text
    tip = (f"{name(entry)}, {_mode(entry)}", f"{cells.text(_RATIO, gain)} eager: {word}",
           cells.text(TIME, entry.latency), entry.trust)  # fmt: skip
    network = entry.network
    return PlotPoint(
        float(place), gain.point, word, tip, gain.low, gain.high, size=7.0,
        hollow=how == "once", data=(("n", network),),
    )  # fmt: skip


def speedups(found: Sequence[Entry]) -> Section | None:
    """Heat map of networks x modes."""
    some = [one for one in found if not _of_lab(one)]
    return _heat_section(
        some,
        "speedups",
        "Speed-up by network and mode",
        "How many times faster than plain eager: blue is faster, orange is slower, pale is no"
        " difference; the largest gains come first. A value in brackets is no clear difference:"
        f" its interval includes 1. {flaws.WRONG.mark} marks a wrong output; an empty field failed"
        " or was not measured.",
    )


def lab(found: Sequence[Entry]) -> Section | None:
    """Heat map of convolutions x implementations."""
    some = [one for one in found if _of_lab(one)]
    return _heat_section(
        some,
        "lab",
        "Convolutions by implementation",
        "Each row is one convolution, each column one implementation: how many times faster than"
        " the library's own choice (plain eager). A value in brackets is no clear difference: its"
        " interval includes 1.",
    )


def library(found: Sequence[Entry]) -> Section | None:
    """Heat map of convolutions x implementations against the library at its best."""
    some = [one for one in found if _of_lab(one)]
    ratios: dict[tuple[str, str], Estimate | None] = {}
    for run, group in answers.by(some, lambda one: one.run).items():
        for bench in results.layer_results(one.record for one in group):
            ratios |= {(run, cell.record.id): cell.library_speedup for cell in bench.cells}
    if not any(one is not None for one in ratios.values()):
        return None
    # A substitute is another function and stands in no cell.
    return _heat_section(
        [one for one in some if (one.run, one.record.id) in ratios],
        "library",
        "Convolutions against the best library implementation",
        "As above, but against the fastest correct implementation of the library in the same dtype:"
        " its default, channels_last, its native kernels, or weights reordered beforehand. If a"
        f" whole row is orange, the library at its best is the fastest. {flaws.WRONG.mark} marks a"
        " wrong output.",
        _Beside("the best library implementation", lambda one: ratios[one.run, one.record.id]),
    )


def _of_lab(entry: Entry) -> bool:
    return entry.record.spec.workload.is_layer


@dataclass(frozen=True)
class _Beside:
    """The denominator of the ratios of a heat map."""

    name: str
    ratio: Callable[[Entry], Estimate | None]


_EAGER = _Beside("eager", lambda one: one.speedup)


def _heat_section(
    found: Sequence[Entry], name: str, title: str, reading: str, base: _Beside = _EAGER
) -> Section | None:
    columns = list(dict.fromkeys(_mode(one) for one in found))
    measured = [one for one in found if base.ratio(one) is not None]
    if len(columns) < 2 or all(_mode(one) == "eager" for one in measured):
        return None
    named = list(zip(map(answers.names(found), found), map(_mode, found), found, strict=True))
    gain: dict[str, float] = {}
    for row, _, one in named:
        ratio = base.ratio(one) if one.record.status != "wrong" else None
        gain[row] = max(gain.get(row, 0.0), 0.0 if ratio is None else ratio.point)
    rows = sorted(gain, key=lambda row: -gain[row])
    drawn = set(rows[:_MOST_ROWS])
    squares = tuple(
        _square(one, row, base)
        for row, _, one in named
        if row in drawn and base.ratio(one) is not None
    )
    if len(rows) > len(drawn):
        reading += f" Shown are the {len(drawn)} of {len(rows)} rows with the largest gains."
    by_cell = {(row, mode): base.ratio(one) for row, mode, one in named}
    table = Table(
        (Column("workload", "workload"), *(Column(mode, mode, "ratio") for mode in columns)),
        tuple((row, *(by_cell.get((row, mode)) for mode in columns)) for row in rows),
    )
    plot = Heat(tuple(rows[:_MOST_ROWS]), tuple(columns), squares)
    return Section(name, title, reading, table, ((title, plot),))


def _mode(entry: Entry) -> str:
    return entry.mode


def _square(entry: Entry, row: str, base: _Beside) -> Square:
    column, ratio = _mode(entry), base.ratio(entry)
    assert ratio is not None  # noqa: S101 - only entries with one get a square
    text = units.significant(ratio.point, 2 if ratio.point < 10 else 3)
    low, high = ratio.low, ratio.high
    if low is None or high is None or (low < 1 < high):
        text = f"({text})"
    if entry.flaw is flaws.WRONG:
        text += f" {entry.flaw.mark}"
    time = cells.text(TIME, entry.latency)
    tip = (row, column, f"{cells.text(_RATIO, ratio)} {base.name}", time,
           f"output {entry.record.status}, {entry.quality}")  # fmt: skip
    return Square(row, column, ratio.point, text, tip)


def batches(found: Sequence[Entry]) -> Section | None:
    """Throughput by batch."""
    some = [one for one in found if answers.trusted(one)]
    name = answers.names(some, batch=False)
    groups = answers.by(some, lambda one: f"{name(one)}, {one.mode}")
    groups = {
        key: group
        for key, group in groups.items()
        if len({one.record.spec.workload.batch for one in group}) > 1
    }
    if not groups:
        return None
    columns = (Column("line", "network and mode"), Column("batch", "batch", "whole"),
               Column("throughput", "samples/s", "rate"),
               Column("latency", "latency of a call", "seconds"))  # fmt: skip
    rows, points = [], []
    reading = "" if len(groups) <= _MOST_LINES else (
        f" Drawn are the first {_MOST_LINES} of {len(groups)}.")  # fmt: skip
    for number, (key, group) in enumerate(groups.items()):
        for one in sorted(group, key=lambda one: one.record.spec.workload.batch):
            batch, rate = one.record.spec.workload.batch, one.throughput
            rows.append((key, batch, rate, one.latency))
            if rate is not None and number < _MOST_LINES:
                tip = (key, f"batch {batch}", cells.text(columns[2], rate))
                points.append(PlotPoint(batch, rate.point, key, tip, rate.low, rate.high))
    x, y = PlotAxis("batch", log=True), PlotAxis("samples per second", log=True)
    plot = Points(x, y, tuple(points), interval="y", joined=True)
    return Section(
        "batches",
        "Batch scaling",
        "Samples per second by batch. A line that rises to the right gains from larger batches;"
        f" where it is flat, the machine is full and only latency grows.{reading}",
        Table(columns, tuple(rows)),
        (("throughput by batch", plot),),
    )
