"""The convolution lab's records, related: each implementation of a layer beside the others.

Implementations are compared with the library's *default* (plain eager in the same dtype) and with
the *best library implementation* (default, channels_last, prepacked weights, …, in the same dtype):
a gain over the default alone may be nothing but a memory format. A substitute is another
function and is never mixed with them.

Values in, values out: knows nothing of how anything was measured or is shown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from cnnbench import flaws, metrics, stats
from cnnbench.choice import leaders
from cnnbench.conv import catalogue
from cnnbench.conv.problem import ConvProblem, of_workload
from cnnbench.record import Record
from cnnbench.spec import Device, Mode, Workload
from cnnbench.stats import Estimate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


# Class of advice -> what a change of that class involves.
CLASSES = {
    "A": "configuration only",
    "B": "same function, another graph",
    "C": "another function (needs retraining)",
}


def seconds(record: Record) -> float:
    """Seconds of one call; infinite if it was not measured."""
    time = metrics.latency(record)
    return float("inf") if time is None else time.point


def is_library(mode: Mode) -> bool:
    """Whether the library's own kernel computes it, with whatever flags or prepared weights."""
    return is_configuration(mode) or mode.implementation in {"prepacked", "folded"}


def is_configuration(mode: Mode) -> bool:
    """Whether a mode consists of flags, dtype and memory format only, without a graph change."""
    return not mode.implementation or bool(catalogue.entry(mode.implementation).flags)


@dataclass(frozen=True)
class ConvResult:
    """One implementation of a layer, as measured.

    Attributes:
        record: as measured.
        default: the library's plain eager in the same dtype.
        library: the fastest correct library implementation in the same dtype; may be the record
            itself.
    """

    record: Record
    default: Record | None
    library: Record | None

    @cached_property
    def problem(self) -> ConvProblem:
        """The layer in the cell's dtype and memory format."""
        return of_workload(self.record.spec.workload, self.record.spec.mode)

    @cached_property
    def speedup(self) -> Estimate | None:
        """The speed-up over the default; exactly one for itself."""
        return _against(self.record, self.default)

    @cached_property
    def library_speedup(self) -> Estimate | None:
        """The speed-up over the best library implementation; exactly one for itself."""
        return _against(self.record, self.library)

    @property
    def refusal(self) -> str:
        """Why it does not apply or was left out; empty otherwise."""
        failure = self.record.failure
        return failure.message if failure is not None and self.record.refused else ""


@dataclass(frozen=True)
class SubstituteResult:
    """A substitute in a mode, beside the layer in the same mode.

    Attributes:
        record: of the substitute.
        layer: of the layer itself.
    """

    record: Record
    layer: Record | None

    @property
    def name(self) -> str:
        """The name of the substitute."""
        return self.record.spec.workload.architecture.partition("~")[2]

    @property
    def promised(self) -> float | None:
        """Multiply-accumulates of the layer divided by those of the substitute, in its phase."""
        mine, whole = _work(self.record), None if self.layer is None else _work(self.layer)
        return whole / mine if mine and whole is not None else None

    @cached_property
    def measured(self) -> Estimate | None:
        """Time of the layer divided by that of the substitute, side by side."""
        return _against(self.record, self.layer)

    @property
    def refusal(self) -> str:
        """Why it cannot replace the layer; empty if it can."""
        failure = self.record.failure
        return failure.message if failure is not None and self.record.refused else ""


@dataclass(frozen=True)
class LayerResults:
    """A layer on a device: its implementations and substitutes, in the order of the records.

    ``environment`` is the fingerprint of where all of them were measured.
    """

    workload: Workload
    device: Device
    threads: int
    environment: str
    cells: tuple[ConvResult, ...]
    standins: tuple[SubstituteResult, ...]

    @property
    def baseline(self) -> Record | None:
        """Plain eager in fp32, or else in the first dtype."""
        found = [cell.default for cell in self.cells if cell.default is not None]
        plain = [record for record in found if record.spec.mode == Mode()]
        return next(iter([*plain, *found]), None)


def layer_results(records: Iterable[Record]) -> tuple[LayerResults, ...]:
    """Every layer of some records in every environment; networks among them are left out."""
    table: dict[tuple[Workload, Device, int, str], list[Record]] = {}
    for record in records:
        spec = record.spec
        if spec.workload.is_layer:
            # Times of unlike environments are no ratio.
            key = spec.workload.group, spec.device, spec.threads, record.environment
            table.setdefault(key, []).append(record)
    return tuple(_bench(*key, found) for key, found in table.items())


def _bench(
    workload: Workload, device: Device, threads: int, environment: str, found: Sequence[Record]
) -> LayerResults:
    own = [record for record in found if record.spec.workload == workload]
    by_mode = {record.spec.mode: record for record in own}
    cells = []
    for record in own:
        precision = record.spec.mode.precision
        beside = Mode.precision if precision == "int8" else _tensors(precision)
        default = by_mode.get(Mode(precision=beside))
        cells.append(ConvResult(record, default, _best_library(own, beside)))
    others = [
        SubstituteResult(record, by_mode.get(record.spec.mode))
        for record in found
        if record.spec.workload != workload
    ]
    return LayerResults(workload, device, threads, environment, tuple(cells), tuple(others))


def _tensors(precision: str) -> str:
    """The precision that tensors outside the layer have: autocast's are fp32."""
    return "fp32" if precision.startswith("amp") else precision


def _best_library(own: Sequence[Record], precision: str) -> Record | None:
    ways = [
        record
        for record in own
        if record.spec.mode.precision == precision
        and is_library(record.spec.mode)
        and flaws.fit(record)
    ]
    return min(ways, key=seconds, default=None)


def same_bits(bench: LayerResults) -> tuple[ConvResult, ...]:
    """What was measured in the precision of plain eager."""
    base = bench.baseline
    return tuple(
        cell
        for cell in bench.cells
        if base is not None
        and cell.record.spec.mode.precision == base.spec.mode.precision
        and metrics.latency(cell.record) is not None
    )


def fastest(bench: LayerResults) -> Record | None:
    """Which to use in the precision of plain eager: that, unless another clearly gains."""
    base = bench.baseline
    usable = base if base is not None and flaws.of_output(base) is None else None
    return next(iter(leading(bench)), usable)


def leading(bench: LayerResults) -> tuple[Record, ...]:
    """The fastest clear gain over plain eager, then those without a clear difference from it."""
    base = bench.baseline
    fit = [one.record for one in same_bits(bench) if flaws.fit(one.record)]
    return leaders([(one, base) for one in fit if base is not None and one.id != base.id])


def _work(record: Record) -> int | None:
    """Multiply-accumulates of a step."""
    if record.cost is None:
        return None
    inference = record.spec.workload.phase == "inference"
    return record.cost.macs if inference else record.cost.training_macs


def preparation(record: Record) -> float | None:
    """Seconds that preparing the weights takes; ``None`` where nothing is prepared."""
    done = record.algorithm
    if done is None or not done.preparation_ns:
        return None
    return sorted(done.preparation_ns)[len(done.preparation_ns) // 2] / 1e9


def front(bench: LayerResults) -> tuple[SubstituteResult, ...]:
    """The substitutes that no other beats in all of time, parameters and mixing; fastest first.

    Each is the one of its modes in which it is fastest. A substitute that mixes less is another
    choice however fast it is, so it never takes the place of one that mixes more.
    """
    quickest: dict[str, SubstituteResult] = {}
    for one in bench.standins:
        if flaws.of_output(one.record) is None and metrics.latency(one.record) is not None:
            before = quickest.setdefault(one.name, one)
            if seconds(one.record) < seconds(before.record):
                quickest[one.name] = one
    some = sorted(quickest.values(), key=lambda one: seconds(one.record))
    return tuple(one for one in some if not any(_beats(other, one) for other in some))


def _beats(one: SubstituteResult, other: SubstituteResult) -> bool:
    """Whether it is as good in every respect and better in one."""
    mine, yours = _merits(one), _merits(other)
    whole = catalogue.substitute(one.name).mixes >= catalogue.substitute(other.name).mixes
    return whole and all(a <= b for a, b in zip(mine, yours, strict=True)) and mine != yours


def _merits(one: SubstituteResult) -> tuple[float, float]:
    cost = one.record.cost
    return seconds(one.record), float("inf") if cost is None else cost.params


def _against(record: Record, other: Record | None) -> Estimate | None:
    if other is not None and other.id == record.id:
        return stats.exact(1.0) if metrics.latency(record) is not None else None
    return metrics.speedup(record, other)


@dataclass(frozen=True)
class Advice:
    """The gain of one class of change for one layer.

    Attributes:
        bench: the layer.
        kind: a key of ``CLASSES``.
        dtype: that it keeps; empty for class A, which may change it.
        chosen: the fastest of those that clearly gain (``choice``); ``None`` if none does.
        gain: over the default of its dtype, or for a substitute over the layer in its mode; for
            class A over the plain layer.
        beside: for class B, against the best library implementation.
        promised: for class C, the gain that multiply-accumulates promise.
        tried: number of those with a correct output.
        wrong, loose: number of those left out because of their output.
        rounds: the most that any of them was measured in; one cannot show a difference.
    """

    bench: LayerResults
    kind: str
    dtype: str
    chosen: Record | None
    gain: Estimate | None
    tried: int
    beside: Estimate | None = None
    promised: float | None = None
    wrong: int = 0
    loose: int = 0
    rounds: int = 0

    @property
    def visible(self) -> bool:
        """Whether there is a clear difference."""
        return self.chosen is not None


def advice(bench: LayerResults) -> tuple[Advice, ...]:
    """A line per class that was tried, in the order of ``CLASSES``; B and C for every dtype.

    Within a dtype, because a gain over a slow default in one says nothing about another.
    """
    base = bench.baseline
    config = [c.record for c in bench.cells if is_configuration(c.record.spec.mode)]
    graph = {c.record.id: c for c in bench.cells if not is_configuration(c.record.spec.mode)}
    pairs = [(one, base) for one in config if base is not None and one.id != base.id]
    found = _chosen(bench, "A", "", pairs)
    dtypes = dict.fromkeys(_tensors(cell.record.spec.mode.precision) for cell in bench.cells)
    for dtype in dtypes:
        ways = [(c.record, c.default) for c in graph.values() if _dtype(c.record) == dtype]
        for one in _chosen(bench, "B", dtype, ways):
            cell = graph[one.chosen.id] if one.chosen is not None else None
            beside = None if cell is None else cell.library_speedup
            found.append(replace(one, beside=beside))
    for dtype in dtypes:
        others = {s.record.id: s for s in bench.standins if _dtype(s.record) == dtype}
        for one in _chosen(bench, "C", dtype, [(s.record, s.layer) for s in others.values()]):
            standin = others[one.chosen.id] if one.chosen is not None else None
            promised = None if standin is None else standin.promised
            found.append(replace(one, promised=promised))
    return tuple(found)


def _dtype(record: Record) -> str:
    return _tensors(record.spec.mode.precision)


def _chosen(
    bench: LayerResults, kind: str, dtype: str, pairs: Sequence[tuple[Record, Record | None]]
) -> list[Advice]:
    """The choice among the fit ones; ``None`` if nothing was measured."""
    measured = [pair for pair in pairs if metrics.latency(pair[0]) is not None]
    usable = [pair for pair in measured if flaws.fit(pair[0])]
    if not measured:
        return []
    wrong, loose = (
        sum(record.status == status for record, _ in measured) for status in ("wrong", "loose")
    )
    counts = [len(metrics.log_speedups(one, base)) for one, base in usable if base is not None]
    rounds = max(counts, default=0)
    none = Advice(
        bench, kind, dtype, None, None, len(usable), wrong=wrong, loose=loose, rounds=rounds
    )
    best = next(iter(leaders(usable)), None)
    if best is None:
        return [none]
    base = next(base for one, base in usable if one is best)
    return [replace(none, chosen=best, gain=metrics.speedup(best, base))]
