"""Entries -> the table that answers first: a row per network, a column per mode, in 80 columns.

For people only; every figure with all that belongs to it stands in ``table.summary``.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

from cnnbench import units
from cnnbench.choice import choose
from cnnbench.report import answers, budget, cells, cold, conclusions, images, marks, usability
from cnnbench.report.budget import fits
from cnnbench.report.cells import NOT_MEASURED
from cnnbench.report.entry import place
from cnnbench.report.fitting import GAP, least
from cnnbench.report.rows import together
from cnnbench.report.selection import Selection, chosen_rows, explained, view
from cnnbench.report.table import Column, Table, apart, axes_told, captions, column

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cnnbench.record import Record
    from cnnbench.report.budget import Budget
    from cnnbench.report.conclusions import Sentence
    from cnnbench.report.entry import Entry

# The width of a line where nobody says otherwise.
WIDTH = 80
# One network in more modes has a row for each.
_FEW_MODES = 2
# Above this number of rows a reader of Markdown needs parts.
_MANY = 50
_ALL = Selection()
_EVERY = "Every row with every figure:"

# A column, and its text for a network.
_Field = tuple[Column, "Callable[[_Network], str]"]


class _Network:
    """One workload on one device with one number of threads, in all of its modes."""

    def __init__(self, found: Sequence[Entry]) -> None:
        self.first = found[0]
        self.modes = {entry.mode: entry for entry in found}
        self._chosen = choose(entry.record for entry in self.modes.values())

    @cached_property
    def other(self) -> Entry | None:
        """The mode beside plain eager that is shown: the one to use, or what came nearest."""
        if self._chosen is None:
            return None
        gaining = self._chosen.gain is not None
        record = self._chosen.best if gaining else self._chosen.foremost
        return None if record is None else self.modes[record.spec.mode.text]

    @cached_property
    def use(self) -> Entry:
        """The mode to use; the first where nothing was compared."""
        return self.first if self._chosen is None else self.modes[_mode(self._chosen.best)]

    def time(self, mode: str) -> str:
        """The latency in a mode with its mark."""
        return "-" if mode not in self.modes else marks.time(self.modes[mode])

    def gain(self, entry: Entry | None) -> str:
        """The speed-up of a mode over plain eager with its mark."""
        return "-" if entry is None else marks.gain(entry, self._chosen)


def _mode(record: Record) -> str:
    return record.spec.mode.text


def opening(
    found: Sequence[Entry],
    wanted: Selection = _ALL,
    within: Budget | None = None,
    *,
    kind: str = "table",
    width: int | None = WIDTH,
) -> tuple[Table, ...]:
    """The tables that a report opens with: the overview, and in Markdown every row after it.

    Raises:
        UsageError: the selection has no filter.
        UnknownName: it names a column that does not exist.
    """
    rows, groups = chosen_rows(found, wanted)
    many = wanted.group_by is None and len(rows) > _MANY
    if kind != "markdown":
        table = overview(rows, width=width, within=within, groups=groups)
        return (explained(table, found, rows, wanted.filter),)
    first = overview(rows, within=within, groups=groups, single=False)
    shown = [one for fit in fits(rows, within) for one in fit.fitting] if within else found
    every = view(shown, replace(wanted, group_by="family") if many else wanted, people=True)
    captions = [line for line in every.captions if line not in first.captions]
    known = usability.lines(shown)
    notes = tuple(line for line in every.notes if line not in known)
    return first, replace(every, captions=(_EVERY, *captions), notes=notes)


def overview(
    found: Sequence[Entry],
    *,
    width: int | None = WIDTH,
    within: Budget | None = None,
    groups: Sequence[tuple[str, int]] = (),
    single: bool = True,
    said: bool = True,
) -> Table:
    """A row per network; the widest of several layouts that fits.

    Args:
        found: what was measured.
        width: of a line; ``None`` for any.
        within: show what fits it instead, the most accurate first.
        groups: heading and number of entries of each part.
        single: say what is to be said of single rows, too.
        said: draw the conclusions; otherwise nothing stands under the table but what marks mean.
    """
    head = (*_shared(found), *_machine(found))
    if within:
        return replace(_fitting(found, within), captions=head)
    sections = _sections(found, groups)
    rows = [network for _, some in sections for network in some]
    alone = len(rows) == 1 and len(rows[0].modes) > _FEW_MODES
    table = _of_modes(rows[0]) if alone else _laid_out(found, rows, width)
    parts = tuple((heading, len(some)) for heading, some in sections) if groups else ()
    legend = [*marks.legend(table)]
    if not alone:
        legend += images.legend({column.name for column in table.columns}, found)
    notes = (*legend, *(_sentences(found) if said else ()))
    notes += (*cold.lines(found), *(together(found) if single else ())) if said else ()
    return replace(table, captions=head, notes=notes, groups=parts)


def _sections(
    found: Sequence[Entry], groups: Sequence[tuple[str, int]]
) -> list[tuple[str, list[_Network]]]:
    parts, start = [], 0
    for heading, count in groups or [("", len(found))]:
        some = found[start : start + count]
        together = answers.by(some, lambda one: (one.run, one.record.spec.plain.id))
        parts.append((heading, [_Network(of) for of in together.values()]))
        start += count
    return parts


def _shared(found: Sequence[Entry]) -> list[str]:
    """What holds for all rows: run, phase, batch, device, threads."""
    told = [axis for axis in axes_told() if axis.name != "mode"]
    return apart(told, [[place(axis, one) for axis in told] for one in found])[1]


def _machine(found: Sequence[Entry]) -> list[str]:
    """Machines, and how to read the figures."""
    lines = [line for line in captions(found) if not line.startswith("latency:")]
    counts = sorted({one.record.rounds for one in found if one.record.rounds})
    if counts:
        span = "-".join(str(one) for one in dict.fromkeys((counts[0], counts[-1])))
        rounds = f"{span} round{'' if counts == [1] else 's'}"
        lines.append(f"median over {rounds}; gain: side by side with eager, 95 % interval")
    return lines


def _laid_out(found: Sequence[Entry], rows: Sequence[_Network], width: int | None) -> Table:
    table = Table((), ())
    for fields in _layouts(found, rows):
        filled = [tuple(of(row) for _, of in fields) for row in rows]
        table = _without_empty([one for one, _ in fields], filled)
        if width is None or _width(table) <= width:
            break
    return table


def _without_empty(columns: Sequence[Column], rows: Sequence[tuple[str, ...]]) -> Table:
    keep = [i for i in range(len(columns)) if {row[i].strip() for row in rows} - {"", NOT_MEASURED}]
    chosen = tuple(tuple(row[i] for i in keep) for row in rows)
    return Table(tuple(columns[i] for i in keep), chosen)


def _of_modes(network: _Network) -> Table:
    """A row per mode, for a single network."""
    rows = [
        (
            _mode(one.record), marks.time(one), network.gain(one),
            _rate_of(one) if _on_gpu(one) else "", _peak_of(one),
            cells.text(_ERROR, one.estimates["error"]), one.record.status,
            cells.text(_ACCURACY, images.accuracy(one)),
            cells.text(_AGREEMENT, images.agreement(one)),
        )
        for one in network.modes.values()
    ]  # fmt: skip
    columns = (Column("mode", "mode"), Column("latency", "latency", "seconds"), _GAIN[0],
               _RATES, _MEMORY[0], _ERROR, Column("status", "output"), _ACCURACY,
               _AGREEMENT)  # fmt: skip
    return _without_empty(columns, rows)


def _width(table: Table) -> int:
    titles = [one.title for one in table.columns]
    widths = [max(map(len, texts)) for texts in zip(titles, *table.rows, strict=True)]
    return sum(map(least, widths[:1])) + sum(one + GAP for one in widths[1:])


def _layouts(found: Sequence[Entry], rows: Sequence[_Network]) -> Iterable[list[_Field]]:
    """From wide to narrow: every mode with its gain, every mode, the best of them.

    Where rows differ in what is trained, that is what they are compared by, modes come second.
    """
    modes = list(dict.fromkeys(mode for row in rows for mode in row.modes))
    modes.sort(key=lambda mode: mode != "eager")
    others = [mode for mode in modes if mode != "eager"]
    names, eager = _names(found), _in_mode("eager")
    own = any(_own(row, ends=False) != NOT_MEASURED for row in rows)
    top1s = [_OWN_WITH_ENDS, _OWN] if own else [_TOP1]
    rate = [_RATE] if any(map(_on_gpu, found)) else []
    best = [_OTHER, _GAIN, *rate] if len(others) > 1 else [_GAIN, *rate]
    gains = [field for mode in others for field in (_in_mode(mode), _gain_in(mode))]
    narrow = [eager, _OTHER, _LATENCY, _GAIN, *rate]
    if "train" in answers.differing(found):
        parts = [*names, *_PARTS]
        yield [*parts, eager, *gains, *best[: -1 - len(rate)], *rate, _MEMORY]
        yield [*parts, *map(_in_mode, modes), _MEMORY]
        yield [*parts, eager, _MEMORY]
    for fields in (
        [eager, *gains, *best[: -1 - len(rate)], *rate, _AGREES, _MEMORY, *_COSTS],
        [*map(_in_mode, modes), *best, _AGREES, _MEMORY],
        [*narrow, _AGREES, _MEMORY],
        [*narrow, _AGREES],
    ):
        yield from ([*names, top1, *fields] for top1 in top1s)
    yield [*names, *narrow]
    yield [*names, _OTHER, _GAIN, *rate]


def _names(found: Sequence[Entry]) -> list[_Field]:
    """The model, and what else differs between rows."""
    told = [axis for axis in axes_told() if axis.name in {"model", *answers.differing(found)}]
    told.sort(key=lambda axis: axis.name != "model")

    def fill(index: int) -> Callable[[_Network], str]:
        return lambda row: cells.text(column(told[index]), place(told[index], row.first))

    return [(column(axis), fill(index)) for index, axis in enumerate(told)]


def _in_mode(mode: str) -> _Field:
    return Column(f"latency:{mode}", mode, "seconds"), lambda row: row.time(mode)


def _gain_in(mode: str) -> _Field:
    return Column(f"gain:{mode}", "gain", "ratio"), lambda row: row.gain(row.modes.get(mode))


def _accuracy(row: _Network) -> str:
    top1 = row.first.top1
    return NOT_MEASURED if top1 is None else units.significant(top1)


def _own(row: _Network, *, ends: bool) -> str:
    return images.percent(row.modes.get("eager", row.first), ends=ends) or NOT_MEASURED


def _peak(row: _Network) -> str:
    return _peak_of(row.use)


def _peak_of(entry: Entry) -> str:
    peak = budget.memory(entry)
    return NOT_MEASURED if peak is None else units.size(peak)


def _rate(row: _Network) -> str:
    return _rate_of(row.use)


def _rate_of(entry: Entry) -> str:
    """Samples per second, which is what throughput on a GPU is read in."""
    rate = entry.throughput if answers.trusted(entry) else None
    return NOT_MEASURED if rate is None else cells.text(_RATES, rate.point)


def _on_gpu(entry: Entry) -> bool:
    return entry.record.spec.device.kind == "cuda"


def _cost(name: str, title: str) -> _Field:
    def text(row: _Network) -> str:
        value = row.first.estimates[name]
        return NOT_MEASURED if value is None else units.count(value.point)

    return Column(name, title, "count"), text


_TOP1: _Field = (Column("top1", "top-1", "number"), _accuracy)
_AGREEMENT = Column(images.AGREEMENT, "agreement", "share")
_OWN, _OWN_WITH_ENDS = (
    (Column(images.OWN, "your top-1", "number"), partial(_own, ends=ends)) for ends in (False, True)
)
_AGREES: _Field = (
    _AGREEMENT,
    lambda row: "-" if row.other is None else cells.text(_AGREEMENT, images.agreement(row.other)),
)
_OTHER: _Field = (
    Column("other", "best other"),
    lambda row: "-" if row.other is None else row.other.mode,
)
_LATENCY: _Field = (
    Column("latency", "its time", "seconds"),
    lambda row: "-" if row.other is None else marks.time(row.other),
)
_GAIN: _Field = (Column("speedup", "gain", "ratio"), lambda row: row.gain(row.other))
_RATES = Column("throughput", "samples/s", "rate")
_RATE: _Field = (_RATES, _rate)
_MEMORY: _Field = (budget.MEMORY[0], _peak)
_ERROR = Column("relative_error", "rel. error", "error")
_ACCURACY = Column("accuracy_top1", "accuracy", "fraction")
_COSTS = [_cost("params", "params"), _cost("macs", "MACs")]
_PARTS = [_cost("trainable_params", "trainable"), _cost("training_macs", "training MACs")]


def _fitting(found: Sequence[Entry], within: Budget) -> Table:
    """What fits a budget, the most accurate first; what no other beats is on the front."""
    fits = budget.fits(found, within)
    some = [(entry, fit) for fit in fits for entry in fit.fitting]
    names = _names([entry for entry, _ in some]) if some else []
    titles = (Column("mode", "mode"), Column("latency", "latency", "seconds"), _TOP1[0],
              _MEMORY[0], Column("front", "front"))  # fmt: skip
    rows = [
        (
            *(of(_Network([entry])) for _, of in names),
            entry.mode,
            marks.time(entry),
            _accuracy(_Network([entry])),
            _peak(_Network([entry])),
            "front" if entry in fit.front else "",
        )
        for entry, fit in some
    ]
    table = Table((*(one for one, _ in names), *titles), tuple(rows))
    front = ["front: no other is both faster and more accurate"] if rows else []
    table = replace(table, notes=(*marks.legend(table), *front, *_sentences(found, within)))
    return table if rows else replace(table, columns=())


def _sentences(found: Sequence[Entry], within: Budget | None = None) -> list[str]:
    """The conclusions, as a table shows them."""
    return _lines(conclusions.brief(found, within))


def _lines(some: Iterable[Sentence]) -> list[str]:
    """Sentences as lines; what limits them stands out."""
    stands_out = {"warn": "! ", "bad": "! "}
    return [f"{stands_out.get(one.mark, '')}{one.text}" for one in some]


def limited(table: Table, found: Sequence[Entry], within: Budget) -> Table:
    """A table of what fits a budget, with what is said of that.

    Args:
        table: its rows are what fits.
        found: all that was measured.
        within: the budget.
    """
    said = _lines(conclusions.affordable(found, within))
    # That there are no rows is said by the budget.
    return replace(table, notes=(*said, *(table.notes if table.rows else ())))


__all__ = ["WIDTH", "limited", "opening", "overview"]
