"""A record with its context: what every table, sentence and plot is about.

What follows from a record is computed once however many of them ask.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property, wraps
from typing import TYPE_CHECKING, Any, TypeVar

from cnnbench import axes, catalogue, flaws, metrics, units
from cnnbench.axes import Axis
from cnnbench.environment import Environment
from cnnbench.metrics import METRICS, Awake
from cnnbench.prediction import kept
from cnnbench.prediction.kept import KeptChoice
from cnnbench.record import Record
from cnnbench.report import usability
from cnnbench.report.usability import Usability
from cnnbench.stats import Estimate, exact

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from cnnbench.axes import AxisValue
    from cnnbench.flaws import Flaw
    from cnnbench.store import StoredRun

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Entry:
    """A record with its context.

    Attributes:
        record: itself.
        run: name of its run.
        baseline: plain eager on the same workload, device and threads in the same run, if there is
            one.
        environment: where it was measured.
        judge: its run, asked once however many rows it has.
        choice: what its run was to choose among, if it was; read when asked for.
        by_clock: its latency is the clock's, with all waiting for a core: beside figures that have
            it too.
    """

    record: Record
    run: str
    baseline: Record | None
    environment: Environment
    judge: Callable[[], Usability | None] = field(default=lambda: None, compare=False, repr=False)
    choice: Callable[[], KeptChoice | None] = field(default=lambda: None, compare=False, repr=False)
    by_clock: bool = False

    @cached_property
    def network(self) -> str:
        """Its model, by the name that people know."""
        return units.readable(self.record.spec.workload.model)

    @property
    def mode(self) -> str:
        """Its mode, as it is asked for."""
        return self.record.spec.mode.text

    @property
    def usability(self) -> Usability | None:
        """What its whole run is good for, whichever rows are shown."""
        return self.judge()

    @cached_property
    def estimates(self) -> Mapping[str, Estimate | None]:
        """Every metric by its name."""
        return {metric.name: metric.of(self.record) for metric in METRICS}

    @cached_property
    def latency(self) -> Estimate | None:
        """Seconds per call as people are shown them; ``metrics.Awake`` where they wait no more."""
        return self.shown(self.record)

    @property
    def base_latency(self) -> Estimate | None:
        """The same of its reference mode."""
        return None if self.baseline is None else self.shown(self.baseline)

    def shown(self, record: Record) -> Estimate | None:
        """The latency of a record as it stands beside this one."""
        return metrics.latency(record) if self.by_clock else metrics.shown(record)

    @property
    def throughput(self) -> Estimate | None:
        """Samples per second at that latency."""
        time = self.latency
        return None if time is None else metrics.over(self.record.spec.workload.batch, time)

    @cached_property
    def speedup(self) -> Estimate | None:
        """The speed-up over the reference mode; exactly one for that mode itself."""
        if self.baseline is not None and self.record.id == self.baseline.id:
            return exact(1.0) if self.estimates["latency"] is not None else None
        return metrics.speedup(self.record, self.baseline)

    @cached_property
    def break_even(self) -> Estimate | None:
        """Calls after which a compiled mode, by itself against eager, has paid for compiling."""
        return metrics.break_even(self.record, self.baseline)

    @cached_property
    def quality(self) -> str | None:
        """The quality of the measurement itself, in words."""
        return metrics.quality(self.record)

    @cached_property
    def flaw(self) -> Flaw | None:
        """Why it cannot be believed, or not wholly: its weightiest flaw."""
        return flaws.flaw(self.record, by_clock=self.by_clock)

    @property
    def trust(self) -> str:
        """How far it can be believed, in words."""
        if self.flaw is None and isinstance(self.latency, Awake):
            return "clean once the waiting for a core is taken out"
        if self.flaw is None or self.flaw in flaws.OF_TIMES:
            return self.quality or "not measured"
        return self.flaw.name

    @cached_property
    def places(self) -> Mapping[str, AxisValue]:
        """Its value on every axis, by the axis's name."""
        spec = self.record.spec
        return {axis.name: axis.of(spec) for axis in axes.AXES} | {RUN.name: self.run}

    @cached_property
    def setting(self) -> str:
        """The axes that must be equal for latencies of different networks to be comparable."""
        said = (hoisted(axis, (place(axis, self),)) for axis in compared())
        return ", ".join(filter(None, said))

    @cached_property
    def top1(self) -> float | None:
        """Published top-1 of what was measured, in percent.

        It is of float weights: what quantising them costs differs from network to network, so that
        a network in int8 has none.
        """
        if self.record.spec.mode.precision == "int8":
            return None
        work = self.record.spec.workload
        row = catalogue.published(
            work.architecture, work.input, work.phase, arguments=bool(work.arguments)
        )
        return None if row is None else row.top1

    @cached_property
    def answers(self) -> dict[object, tuple[Sequence[Entry], Any]]:
        """What was asked by ``once`` of entries that begin with this one; it goes with them."""
        return {}


def once(ask: Callable[[Sequence[Entry]], Answer]) -> Callable[[Iterable[Entry]], Answer]:
    """A question about some entries that is answered once, however many parts of a report ask it.

    The answer is shared, so it must not be changed.
    """

    @wraps(ask)
    def asked(found: Iterable[Entry]) -> Answer:
        some = tuple(found)
        if not some:
            return ask(some)
        known, key = some[0].answers, (ask, *map(id, some))
        if key not in known:
            known[key] = some, ask(some)  # kept, so that no other entry gets one of their ids
        answer: Answer = known[key][1]
        return answer

    return asked


def entries(runs: Sequence[StoredRun]) -> list[Entry]:
    """Every record of the runs with its reference mode."""
    return [entry for run in runs for entry in _entries(run)]


def _entries(run: StoredRun) -> list[Entry]:
    table = {record.id: record for record in run.records}
    found: list[Entry] = []
    judge = cache(lambda: usability.judge(found))
    choice = cache(lambda: kept.look(run.path)[0])
    for record in run.records:
        baseline = table.get(record.spec.baseline.id)
        found.append(Entry(record, run.manifest.run, baseline, run.environment, judge, choice))
    return found


# Entries are told apart by the axes of their specs, and by this one, which no spec has.
RUN = Axis("run", lambda _: None, phrase="run {}", compared=True)


def place(axis: Axis, entry: Entry) -> AxisValue:
    """The value that an entry has on an axis."""
    return entry.places[axis.name]


def hoisted(axis: Axis, values: Collection[AxisValue]) -> str:
    """The words for an axis on which all entries agree; empty for a default."""
    one = next(iter(values)) if len(values) == 1 else None
    return "" if one in {None, axis.default} else axis.phrase.format(one)


def compared() -> list[Axis]:
    """The axes that tell settings apart."""
    return [axis for axis in (*axes.AXES, RUN) if axis.compared]
