"""The lab's records -> what a reader asks first: a layer's ways by time, and sentences above them.

For people on a terminal; every figure with all that belongs to it stands in ``lab``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnbench import flaws, metrics, roofline, units
from cnnbench.choice import STANDINGS, Standing, standing
from cnnbench.conv import catalogue, results
from cnnbench.conv.problem import UNITS, ConvProblem
from cnnbench.record import Record
from cnnbench.report import cells, lab_advice, marks
from cnnbench.report.table import Column, Table
from cnnbench.units import significant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cnnbench.conv.results import LayerResults, SubstituteResult
    from cnnbench.report.entry import Entry

# Before the row of the fastest, and before a substitute.
_FIRST, _OTHER = "> ", "~ "
# Below this share of the best probe, a matrix product holds back whatever is made of it.
_HELD_BACK = 0.75
# A substitute that gains less than this share of what its arithmetic promises needs a reason.
_KEPT = 0.75
# Words for what may follow a convolution.
_OPERATORS = {word for words in UNITS.values() for word in words}
# Rounds from which on there are intervals.
_REPEATED = 2
# What binds a step -> in words.
_BINDS = {
    "compute": "arithmetic binds it",
    "memory": "its bytes bind it",
    "dispatch": "the call itself binds it",
}

_COLUMNS = (
    Column("way", "implementation"),
    Column("latency", "latency", "seconds"),
    Column("speedup", "vs default", "ratio"),
    Column("gflops", "GFLOP/s"),
    Column("gbytes", "GB/s"),
    Column("error", "error", "error"),
    Column("repaid", "repaid in"),
)


def overview(found: Sequence[LayerResults], entries: Sequence[Entry]) -> Table:
    """Every layer's ways by time, substitutes among them; what does not apply in a line each."""
    known = {one.record.id: one for one in entries}
    parts = [(heading(bench), _rows(bench, known)) for bench in found]
    filled = [(title, rows) for title, rows in parts if rows]
    table = Table(
        _COLUMNS,
        tuple(row for _, rows in filled for row in rows),
        groups=tuple((title, len(rows)) for title, rows in filled),
    )
    return Table(table.columns, table.rows, groups=table.groups, notes=(*_legend(table), *(
        line for bench in found for line in _left_out(bench, alone=len(found) == 1)
    )))  # fmt: skip


def heading(bench: LayerResults) -> str:
    """The layer, its work, and where it ran."""
    work = bench.workload
    macs = bench.cells[0].problem.macs if bench.cells and work.phase == "inference" else None
    told = "" if macs is None else f", {units.count(macs)} MACs"
    return (
        f"{work.architecture} on {work.batch}x{work.shape_text}{lab_advice.phase(bench)}{told},"
        f" {bench.device.text}, {units.number(bench.threads, 'thread')}"
    )


@dataclass(frozen=True)
class _Row:
    """A way or a substitute in a mode, and what its gain is over."""

    name: str
    record: Record
    base: Record | None
    tried: int
    compulsory: int | None

    @property
    def seconds(self) -> float:
        """Seconds of a call; infinite if it was not measured."""
        return results.seconds(self.record)


def _rows(bench: LayerResults, known: Mapping[str, Entry]) -> list[tuple[str, ...]]:
    first = results.fastest(bench)
    made = [*_ways(bench), *_substitutes(bench)]
    made.sort(key=lambda one: one.seconds)
    return [_filled(row, known, row.record is first) for row in made]


def _ways(bench: LayerResults) -> list[_Row]:
    shown = [cell for cell in bench.cells if not cell.refusal]
    return [
        _Row(_mode(cell.record), cell.record, bench.baseline, _tried(bench),
             cell.problem.compulsory_bytes if bench.workload.phase == "inference" else None)
        for cell in shown
    ]  # fmt: skip


def _tried(bench: LayerResults) -> int:
    """Ways beside the default, which share the error of saying that one is faster."""
    return max(1, sum(not c.refusal and c.record is not bench.baseline for c in bench.cells))


def _substitutes(bench: LayerResults) -> list[_Row]:
    """Every substitute in the mode in which it is fastest, beside the plain layer."""
    quickest: dict[str, SubstituteResult] = {}
    for one in bench.standins:
        before = quickest.get(one.name)
        if not one.refusal and (
            before is None or results.seconds(one.record) < results.seconds(before.record)
        ):
            quickest[one.name] = one
    return [
        _Row(f"{_OTHER}{one.name}{_in_mode(one.record)}", one.record, bench.baseline,
             len(quickest), None)
        for one in quickest.values()
    ]  # fmt: skip


def _mode(record: Record) -> str:
    return record.spec.mode.text.removeprefix("impl=")


def _in_mode(record: Record) -> str:
    mode = record.spec.mode.text
    return "" if mode == "eager" else f" {mode}"


def _filled(row: _Row, known: Mapping[str, Entry], first: bool) -> tuple[str, ...]:
    record = row.record
    prefix = "" if row.name.startswith(_OTHER) else _FIRST if first else " " * len(_FIRST)
    return (
        prefix + row.name,
        marks.time(known[record.id]),
        _gain(row),
        _billions(_rate(record)),
        _billions(_moved(row)),
        cells.text(_COLUMNS[5], None if record.check is None else record.check.error_float64),
        _repaid(row),
    )


def _gain(row: _Row) -> str:
    if row.base is None or row.record is row.base:
        return "1.00x" + " " * len(" ±1 % +") if row.base is not None else cells.NOT_MEASURED
    change = metrics.speedup(row.record, row.base)
    if change is None:
        return cells.NOT_MEASURED
    text = units.ratio(change.point)
    if change.low is None or change.high is None:
        return f"{text} {STANDINGS['once'].mark}"
    if units.vague(change.point, change.low, change.high, change.rounds):
        return f"{text} {marks.VAGUE}"
    return f"{text} {units.margin(change.margin or 0.0)} {STANDINGS[_standing(row)].mark}"


def _standing(row: _Row) -> Standing:
    return standing(row.record, row.base, row.tried) if flaws.fit(row.record) else "unfit"


def _rate(record: Record) -> float | None:
    found = metrics.metric("effective_flops").of(record)
    return None if found is None else found.point


def _moved(row: _Row) -> float | None:
    """Bytes per second that it reads and writes at least."""
    done = metrics.work(row.record)
    moved = None if done is None else done.moved_bytes
    moved = row.compulsory if moved is None else moved
    return None if moved is None or row.seconds == float("inf") else moved / row.seconds


def _billions(value: float | None) -> str:
    return cells.NOT_MEASURED if value is None else significant(value / 1e9)


def _repaid(row: _Row) -> str:
    """Calls after which preparing its weights is repaid; empty if it is not known to save time."""
    prepared = results.preparation(row.record)
    if prepared is None or row.base is None or row.record is row.base:
        return ""
    how, saved = _standing(row), results.seconds(row.base) - row.seconds
    if how != "faster" or not saved > 0:
        return "never" if how == "slower" else ""
    return units.number(max(1, round(prepared / saved)), "call")


def _legend(table: Table) -> list[str]:
    names = [str(row[0]) for row in table.rows]
    told = [f"{_FIRST.strip()} to use: the fastest clear gain, else the default"] * any(
        one.startswith(_FIRST) for one in names
    )
    told += [f"{_OTHER.strip()} another function, which needs retraining"] * any(
        one.startswith(_OTHER) for one in names
    )
    repaid = any(row[6] for row in table.rows)
    told += ["repaid in: calls whose gain pays for preparing the weights"] * repaid
    return ["; ".join(told), *marks.legend(table)] if told else [*marks.legend(table)]


def _left_out(bench: LayerResults, *, alone: bool) -> list[str]:
    """What does not apply, and what would have taken too long: a line each."""
    slow: list[str] = []
    unfit: list[str] = []
    for one in bench.cells:
        if one.refusal:
            some = slow if one.refusal.startswith("left out") else unfit
            some.append(_mode(one.record).partition("+")[0])
    unfit += [f"~{one.name}" for one in bench.standins if one.refusal]
    where = "" if alone else f"{bench.workload.architecture}: "
    lines = []
    if unfit:
        lines.append(f"{where}not applicable (--wide says why): {_listed(unfit)}")
    if slow:
        lines.append(f"{where}too slow unless named with --impl: {_listed(slow)}")
    return lines


def _listed(names: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def sentences(bench: LayerResults) -> list[str]:
    """Which way is fastest, by how much, how near to what the machine can do; and what is not."""
    first = results.fastest(bench)
    if first is None:
        return ["nothing with a right output was measured"]
    lines = [f"{_head(bench, first)}."]
    lines += [line for line in (_unit(bench), _fewer_bits(bench), _held_back(bench)) if line]
    return lines + [_substitute(bench, one) for one in results.front(bench)]


def _head(bench: LayerResults, first: Record) -> str:
    count = sum(flaws.of_output(c.record) is None for c in results.same_bits(bench))
    time = units.seconds(results.seconds(first))
    base = bench.baseline
    if first is base:
        return f"The default is the one to use: {time}{_ceiling(first)}{_others(first, count - 1)}"
    gain = metrics.speedup(first, base)
    told = "" if gain is None else f", {units.ratio(gain.point)} as fast as the default"
    near = _listed([_mode(one) for one in results.leading(bench) if one is not first])
    return (
        f"{_mode(first)} is the fastest of {count} implementations: {time}{told}{_ceiling(first)}"
        + (f"; no clear difference from it: {near}" if near else "")
    )


def _others(base: Record, count: int) -> str:
    """What is known of the implementations beside the default, where it is the one to use."""
    if count < 1:
        return ""
    if base.rounds < _REPEATED:
        return f"; {lab_advice.ONE_ROUND}"
    return f"; none of {count} other implementations is clearly faster"


def _ceiling(record: Record) -> str:
    rate, peak = _rate(record), _peak(record)
    if rate is None:
        return ""
    told = f", {significant(rate / 1e9)} GFLOP/s"
    return told if peak is None else f"{told}, {units.share(rate / peak)} of what is reached here"


def _peak(record: Record) -> float | None:
    spec = record.spec
    return roofline.peak(roofline.usable(record.ceilings, spec.threads), spec.mode.precision)


def _fewer_bits(bench: LayerResults) -> str:
    """The fastest that computes with fewer bits, if it clearly gains."""
    base, same = bench.baseline, {cell.record.id for cell in results.same_bits(bench)}
    narrow = [c.record for c in bench.cells if c.record.id not in same and flaws.fit(c.record)]
    clear = [one for one in narrow if standing(one, base, _tried(bench)) == "faster"]
    best = min(clear, key=results.seconds, default=None)
    gain = None if best is None else metrics.speedup(best, base)
    if best is None or gain is None or best.check is None:
        return ""
    return (
        f"With fewer bits, {_mode(best)} takes {units.seconds(results.seconds(best))}"
        f" ({units.ratio(gain.point)}), at an error of"
        f" {cells.text(_COLUMNS[5], best.check.error_float64)}."
    )


def _held_back(bench: LayerResults) -> str:
    """That matrix products are slower here than convolutions, where that is so."""
    base = bench.baseline
    if base is None:
        return ""
    probes = roofline.by_probe(
        roofline.usable(base.ceilings, base.spec.threads), base.spec.mode.precision
    )
    product, whole = probes.get("matmul"), max(probes.values(), default=None)
    if product is None or whole is None or product >= _HELD_BACK * whole:
        return ""
    return (
        f"A matrix product reaches {significant(product / 1e9)} of {significant(whole / 1e9)}"
        " GFLOP/s here, which holds back whatever is made of one: im2col and its kin, Winograd,"
        " 1x1 kernels in their default."
    )


def _substitute(bench: LayerResults, one: SubstituteResult) -> str:
    """What a substitute costs beside the plain layer, and what its arithmetic promises."""
    gain = metrics.speedup(one.record, bench.baseline)
    time = units.seconds(results.seconds(one.record))
    told = "" if gain is None else f", {units.ratio(gain.point)} as fast"
    promise = "" if one.promised is None else f" where MACs promise {units.ratio(one.promised)}"
    if gain is not None and one.promised is not None and gain.point < _KEPT * one.promised:
        promise += _binding(one.record)
    lacks = catalogue.substitute(one.name).lacks
    return (
        f"{one.name}{_in_mode(one.record)} instead: {time}{told}{promise}{_stages(one.record)}"
        + (f"; it {lacks}" if lacks else "")
    )


def _unit(bench: LayerResults) -> str:
    """Where the time of a unit goes whose operators run one by one; empty of a bare convolution."""
    base = bench.baseline
    if base is None:
        return ""
    told = _stages(base)
    return told and f"Operator by operator, {_mode(base)} takes{told.removeprefix(':')}."


def _stages(record: Record) -> str:
    """Where its time goes, convolution by convolution; empty if it is one."""
    taken = {} if record.algorithm is None else dict(record.algorithm.stage_ns)
    rest = taken.pop("", 0)
    if len(taken) < 2:
        return ""
    rated = record.spec.workload.phase == "inference"  # the counts are of a forward pass
    told = [
        f"{text} {units.seconds(ns / 1e9)}"
        if text in _OPERATORS
        else _stage(ConvProblem.parse(text), ns, rated=rated)
        for text, ns in taken.items()
    ]
    return f": {', '.join([*told, f'rest {units.seconds(rest / 1e9)}'])}"


def _stage(problem: ConvProblem, ns: int, *, rated: bool) -> str:
    """``1x1 64->16 63.0 µs (20.4 GFLOP/s)``."""
    size, groups = f"{problem.r}x{problem.s}", ""
    size = f"transposed {size}" if problem.transposed else size
    if problem.groups > 1:
        groups = " depthwise" if problem.groups == problem.c else f" in {problem.groups} groups"
    more = "".join(f"+{word}" for word in problem.post_ops)
    told = f"{size} {problem.c}->{problem.k}{groups}{more} {units.seconds(ns / 1e9)}"
    rate = significant(2 * problem.macs / max(ns, 1))
    return f"{told} ({rate} GFLOP/s)" if rated else told


def _binding(record: Record) -> str:
    told = _BINDS.get(metrics.binding(record) or "")
    return f" ({told})" if told else ""
