"""Specs -> their predicted latencies: operators that were not timed yet are timed first.

Everything that is timed is added to the table of this environment at once, so that the next
prediction begins where this one stopped, however that was. The networks of a job are never run;
those that the model is fitted on are, once per environment, mode and number of threads.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from cnnbench import catalogue
from cnnbench.errors import Unsupported, UsageError, WorkerError
from cnnbench.plan import Plan
from cnnbench.prediction import model, table
from cnnbench.prediction.operators import OperatorCall, OperatorTime, OperatorTrace
from cnnbench.prediction.result import PredictedRow, Predictions
from cnnbench.prediction.table import MeasuredNetwork, OperatorTable, TimedOperator
from cnnbench.requests import Finish, MeasureLatency, TakeSlice, TimeOperators, TraceOperators
from cnnbench.runner.inquiry import ask, asking, tell
from cnnbench.spec import Spec, Workload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from cnnbench.mode import Mode
    from cnnbench.prediction.model import Model
    from cnnbench.prediction.operators import TracedCall
    from cnnbench.prediction.table import TableWriter
    from cnnbench.runner.campaign import Job
    from cnnbench.runner.executor import AnyPool

# Modes that only change how the same operators are called; a compiler makes others of them.
MODES = ("eager", "channels_last")

# The networks that a model is fitted on: quick ones, of families whose operators differ. The first
# ones differ most, for a probe that ends early.
NETWORKS = (
    "squeezenet1_1", "resnet18", "mobilenet_v2", "densenet121", "alexnet", "shufflenet_v2_x0_5",
    "googlenet", "efficientnet_b0", "regnet_y_400mf", "mnasnet0_5", "convnext_tiny", "vgg11",
)  # fmt: skip

# How those are measured: in one process, whose tensors move from slice to slice, because where they
# lie makes processes of the same code differ.
_PLAN = Plan(slices=6, warm_up_calls=5, warm_up_seconds=0.1)
# Operators that one worker times: a turn has to be so long that each finds the caches as a network
# leaves them. Where fewer are missing, others of the network keep them company.
_FEWEST, _MOST = 32, 64
# Share of the probe after which the networks asked for have their turn before further ones to fit
# a model on.
_FITTING = 0.6


def refuse_modes(modes: Iterable[Mode]) -> None:
    """Refuse what is not predicted at all.

    Raises:
        UsageError: a mode is none of ``MODES``.
    """
    for mode in modes:
        if mode.text not in MODES:
            raise UsageError(
                f"mode {mode.text} is not predicted, because other operators run in it; use"
                f" --mode {' or '.join(MODES)}, or measure it with 'cnnbench run'"
            )


def predict(
    job: Job, folder: Path, seconds: float, say: Callable[[str], None] = lambda _: None
) -> Predictions:
    """Predict on this machine, and time what is missing for that.

    Args:
        job: specs in modes of ``MODES`` on the CPU.
        folder: of the tables, one file per environment.
        seconds: after which nothing more is timed.
        say: told what begins.

    Raises:
        StoreError: the table cannot be read or written.
    """
    path = folder / table.file_name(job.environment)
    with asking(job.executor) as pool, table.adding(path, job.environment) as writer:
        probe = OperatorProbe(pool, job.plan, writer, table.read(path), seconds, say)
        traces = _traces(pool, job, say)
        return _predicted(job, probe, traces)


def predict_by(
    job: Job, known: OperatorTable, path: Path, say: Callable[[str], None] = lambda _: None
) -> Predictions:
    """Predict from a table alone, which may be of another machine; nothing is timed."""
    with asking(job.executor) as pool:
        traces = _traces(pool, job, say)
    rows, fitted = _rows(job, known, traces)
    here = known.environment.fingerprint == job.environment.fingerprint
    return Predictions(rows, fitted, known.environment, here, str(path), problems=known.problems)


# By id of a spec: its operators, or why they are not known.
_Traces = dict[str, "OperatorTrace | str"]


def _traces(pool: AnyPool, job: Job, say: Callable[[str], None]) -> _Traces:
    found: _Traces = dict(job.impossible)
    for spec in job.possible:
        say(f"{spec.id}: operators")
        try:
            found[spec.id] = ask(pool, TraceOperators.planned(spec, job.plan), job.plan.timeout)
        except WorkerError as error:
            found[spec.id] = str(error) if error.kind == "unsupported" else _failed(error)
    return found


def _failed(error: WorkerError) -> str:
    return f"{error.phase}: {error}"


def _rows(
    job: Job, known: OperatorTable, traces: Mapping[str, OperatorTrace | str]
) -> tuple[tuple[PredictedRow, ...], Model | None]:
    """The answer for every spec, and the model, which all specs of one mode share."""
    first = job.specs[0]
    timed = known.timed(first.threads)
    fitted, why = None, ""
    try:
        fitted = model.fit(known.measured(first.mode.text, first.threads))
    except Unsupported as error:
        why = str(error)
    rows = []
    for spec in job.specs:
        trace = traces[spec.id]
        if isinstance(trace, str) or fitted is None:
            rows.append(PredictedRow(spec.id, why=trace if isinstance(trace, str) else why))
            continue
        try:
            rows.append(PredictedRow(spec.id, model.predict(fitted, model.terms(trace, timed))))
        except Unsupported as error:
            rows.append(PredictedRow(spec.id, why=str(error)))
    return tuple(rows), fitted


def _predicted(
    job: Job, probe: OperatorProbe, traces: Mapping[str, OperatorTrace | str]
) -> Predictions:
    first = job.specs[0]
    wanted = [trace for trace in traces.values() if isinstance(trace, OperatorTrace)]
    networks = [fitting(name, first) for name in NETWORKS] if wanted else []
    probe.measure_networks(networks, _FITTING)
    for trace in wanted:
        probe.time_operators(trace, first.threads, 1.0)
    probe.measure_networks(networks, 1.0)
    rows, fitted = _rows(job, probe.known, traces)
    return Predictions(
        rows, fitted, job.environment, True, str(probe.path), probe.operators,
        probe.networks, probe.passed, (*probe.known.problems, *probe.problems),
    )  # fmt: skip


def fitting(name: str, like: Spec) -> Spec:
    """The spec of a network that a model is fitted on, for specs of a mode and threads."""
    return replace(like, workload=Workload(name, 1, catalogue.entry(name).input))


class OperatorProbe:
    """Times what is missing in a table while there is time, and adds it.

    Attributes:
        path: of the table.
        known: what is in it now.
        operators, networks: how many were added.
        problems: lines for people about what could not be timed.
        traced: by id of a spec, what is known of networks that are about to be measured.
    """

    def __init__(
        self, pool: AnyPool, plan: Plan, writer: TableWriter, known: OperatorTable,
        seconds: float, say: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self._pool = pool
        self._plan = replace(_PLAN, seed=plan.seed, timeout=plan.timeout)
        self._writer = writer
        self._seconds = seconds
        self._say = say
        self._begun = time.monotonic()
        self.path = writer.path
        self.known = known
        self.operators = self.networks = 0
        self.problems: list[str] = []
        self.traced: dict[str, OperatorTrace] = {}

    @property
    def passed(self) -> float:
        """Seconds since the probe began."""
        return time.monotonic() - self._begun

    def is_over(self, share: float) -> bool:
        """Whether a share of its time has passed."""
        return self.passed >= share * self._seconds

    def measure_networks(self, specs: Sequence[Spec], share: float) -> None:
        """Measure networks to fit a model on, each with all of its operators or not at all.

        Args:
            specs: the networks.
            share: of the time, after which no other one begins.
        """
        for spec in specs:
            if spec.id in self.known.networks or self.is_over(share):
                continue
            try:
                self._measure(spec)
            except (WorkerError, Unsupported) as error:
                self.problems.append(f"{spec.id}: not fitted on: {error}")

    def _measure(self, spec: Spec) -> None:
        timeout = self._plan.timeout
        trace = self.traced.get(spec.id) or ask(
            self._pool, TraceOperators.planned(spec, self._plan), timeout
        )
        self.time_operators(trace, spec.threads, 1.0)
        terms = model.terms(trace, self.known.timed(spec.threads))
        if terms.untimed:
            return  # There was no time for the rest of its operators.
        self._say(f"{spec.id}: latency")
        usual, part = self.known.usual_pace(spec.threads), trace.calls[:_FEWEST]
        before = self._pace(part, spec.threads)
        seconds = self._latency(spec)
        beside = [one for one in (before, self._pace(part, spec.threads)) if one is not None]
        if usual is not None and beside:
            seconds *= usual / statistics.fmean(beside)
        row = MeasuredNetwork(
            spec.id, catalogue.entry(spec.workload.architecture).family, seconds,
            terms.alone.point, terms.calls, terms.held_bytes, terms.moved_bytes, usual,
        )  # fmt: skip
        self._writer.add([row])
        self.networks += 1
        self.known = replace(self.known, networks={**self.known.networks, spec.id: row})

    def _pace(self, calls: Sequence[TracedCall], threads: int) -> float | None:
        """Seconds of the pace at this moment, between operators as it is where they are timed."""
        found = self._asked([one.call for one in calls], threads)
        paces = [one.pace for one in found if one.pace is not None]
        return statistics.median(paces) if paces else None

    def _latency(self, spec: Spec) -> float:
        """Seconds of one pass; of one thread without the waiting for a core."""
        plan, worker = self._plan, self._pool.start()
        try:
            request = MeasureLatency.planned(spec, plan, round=0, ensemble="predict")
            tell(worker, request, plan.timeout)
            for turn in range(plan.slices):
                command = TakeSlice(turn=turn, seconds=plan.slice_seconds, move=turn > 0)
                tell(worker, command, plan.timeout)
            run = tell(worker, Finish(), plan.timeout)
        finally:
            worker.close()
        awake = run.awake_seconds if spec.threads == 1 else None
        seconds = awake or run.seconds
        if seconds is None:
            raise Unsupported("it was not sampled")
        return seconds

    def time_operators(self, trace: OperatorTrace, threads: int, share: float) -> None:
        """Time the operators of a network that were not timed yet, those of most work first.

        Args:
            trace: of the network.
            threads: of operators.
            share: of the time, after which no others begin.
        """
        timed = self.known.timed(threads)
        missing = [one for one in trace.calls if one.call not in timed]
        others = [one.call for one in trace.calls if one.call in timed]
        # Parts of the network's own order; the one with the most work comes first.
        parts = [missing[start : start + _MOST] for start in range(0, len(missing), _MOST)]
        parts.sort(key=lambda part: -sum(one.count * one.macs for one in part))
        for part in parts:
            if self.is_over(share):
                return
            self._say(f"{len(part)} operators")
            self._time(part, others, threads)

    def _time(self, part: Sequence[TracedCall], others: Sequence[str], threads: int) -> None:
        facts = {one.call: one for one in part}
        company = others[: max(0, _FEWEST - len(part))]
        found = self._asked([*facts, *company], threads)
        rows = [
            TimedOperator(one.call, threads, one.seconds, facts[one.call].macs,
                          facts[one.call].written_bytes, one.pace)
            for one in found
            if one.call in facts and one.seconds is not None
        ]  # fmt: skip
        failed = [one for one in found if one.call in facts and one.seconds is None]
        self.problems += [f"{_short(one.call)}: not timed: {one.why}" for one in failed]
        self._writer.add(rows)
        self.operators += len(rows)
        new = {(row.call, row.threads): row for row in rows}
        self.known = replace(self.known, operators={**self.known.operators, **new})

    def _asked(self, calls: Sequence[str], threads: int) -> Sequence[OperatorTime]:
        """The times of calls; where a worker dies of one, that one alone has none."""
        try:
            request = TimeOperators(calls=tuple(calls), threads=threads)
            return ask(self._pool, request, self._plan.timeout)
        except WorkerError as error:
            if len(calls) == 1:
                return [OperatorTime(calls[0], None, why=str(error))]
        half = len(calls) // 2
        return [*self._asked(calls[:half], threads), *self._asked(calls[half:], threads)]


def _short(call: str) -> str:
    return OperatorCall.parse(call).short
