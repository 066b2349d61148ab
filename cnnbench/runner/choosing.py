"""Contenders -> the most accurate within a limit of time: by prediction, and then by proof.

What can be the answer is predicted (``foretelling``), and what then may be the answer is measured,
as any other run is. Everything that becomes known is kept in the run directory at once.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING

from cnnbench import proving, store, trust, units
from cnnbench.codec import decode
from cnnbench.errors import Incomparable, UsageError
from cnnbench.plan import Plan
from cnnbench.prediction import kept, table
from cnnbench.prediction.chosen import Chosen
from cnnbench.prediction.contenders import Proof, chance, decide, next_to_measure
from cnnbench.runner.campaign import Job
from cnnbench.runner.executor import executor
from cnnbench.runner.foretelling import Foreteller, Rates, Tracer
from cnnbench.runner.inquiry import asking, describe
from cnnbench.runner.lanes import measured_by
from cnnbench.runner.predicting import MODES, OperatorProbe
from cnnbench.runner.source import source
from cnnbench.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from cnnbench.prediction.contenders import ChoiceLimits, ChoiceState, Contender
    from cnnbench.prediction.table import OperatorTable
    from cnnbench.record import Record
    from cnnbench.runner.field import ChoiceField
    from cnnbench.runner.session import Watcher
    from cnnbench.store import Writer

# Networks that a worker traces, at first and later, and those that are measured together.
_FIRST_TRACED, _TRACED, _MEASURED = 8, 24, 3
# Share of the time from which on nothing is predicted while there is something to measure.
_PREDICTING = 0.6
# A network so much more accurate than the best so far is measured before others are predicted: if
# it fits, they need not be.
_MUCH = 1.0
# As long as nothing fits, so many that likely do are enough to begin to measure.
_LIKELY = 4
# Kinds of failures that another try may not have.
_PASSING = frozenset({"timeout", "died", "out_of_memory"})
# What is guessed of a measurement before there was one, seconds.
_FIRST_PROOF = 15.0


class Chooser:
    """A choice that is being made in a run directory."""

    def __init__(
        self, job: Job, contenders: Sequence[Contender], limits: ChoiceLimits, writer: Writer,
        seconds: float, watcher: Watcher, say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.job, self.limits, self._writer = job, limits, writer
        self._seconds, self._watcher, self._say = seconds, watcher, say
        self.contenders = {one.spec: one for one in contenders}
        self.proofs: dict[str, Proof] = {}
        self.records: dict[str, Record] = {}
        self.rates: Callable[[], Rates] | None = None
        self._proof_seconds: list[float] = []
        self._begun = time.monotonic()

    @property
    def passed(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._begun

    @property
    def state(self) -> ChoiceState:
        """What follows from what is known now."""
        return decide([*self.contenders.values()], self.proofs, self.limits)

    def update(self, some: Sequence[Contender]) -> None:
        """Take and keep what has become known of contenders."""
        changed = [one for one in some if self.contenders[one.spec] != one]
        self.contenders |= {one.spec: one for one in changed}
        kept.keep(self._writer.path, changed)

    def update_rates(self) -> None:
        """Take over what the operators that are timed by now say of the least time of each."""
        if self.rates is not None:
            told = self.rates().told([*self.contenders.values()], self.job.macs)
            self.contenders |= {one.spec: one for one in told}

    def go_on(self, foreteller: Foreteller | None) -> None:
        """Predict and measure until everything is certain, or the time is over."""
        while not (state := self.state).is_complete and self.passed < self._seconds:
            some = next_to_measure(state, _MEASURED)
            if not self._has_time_for(len(some)):
                some = some[:1] if self._has_time_for(1) else ()
            if state.unseen and foreteller is not None and not (some and self._is_time(state)):
                self._predict(foreteller, state)
            elif some:
                self.measure([Spec.parse(one.spec) for one in some])
            else:
                return

    def _is_time(self, state: ChoiceState) -> bool:
        """Whether a measurement now may save predictions, or the time for it is short."""
        limit = self.limits.seconds
        likely = [one for one in state.could if chance(one, limit, state.widening) >= 0.5]
        if not likely:
            return False
        if self.passed > _PREDICTING * self._seconds:
            return True
        if state.best is None:
            return len(likely) >= _LIKELY
        return likely[0].top1 >= state.best.top1 + _MUCH

    def _has_time_for(self, count: int) -> bool:
        each = max(self._proof_seconds, default=_FIRST_PROOF)
        # Without any answer yet, one is worth being late for.
        late = not self.proofs and count == 1
        return late or self.passed + each * count <= self._seconds

    def _predict(self, foreteller: Foreteller, state: ChoiceState) -> None:
        each = _FIRST_TRACED if state.best is None else _TRACED
        some = state.unseen[: each * foreteller.side_by_side]
        best = "" if state.best is None else f"; best so far: {state.best.network}"
        self._say(f"predicting {len(some)} of {len(state.unseen)} networks that are left{best}")
        # What may be the answer already is measured in the time that is left.
        share = _PREDICTING if state.could else 1.0
        found = []
        for one in foreteller.told(some, self.limits.seconds, share):
            self.update([one])
            found.append(one)
        times = {one.network: one.seconds for one in found if one.seconds is not None}
        # What is known of a network says something of its modes that are not predicted.
        others = [
            replace(one, rough=times[one.network])
            for one in self.contenders.values()
            if one.seconds is None and not one.is_unseen and one.network in times
        ]
        self.update([one for one in others if one.spec not in {other.spec for other in found}])
        self.update_rates()

    def measure(self, specs: Sequence[Spec]) -> None:
        """Measure specs as any other run does, in further rounds what has some; keep what comes."""
        self._writer.replan({}, [spec.id for spec in specs])
        job, began, records = replace(self.job, specs=tuple(specs)), self.passed, []
        known = {spec.id: self.records[spec.id] for spec in specs if spec.id in self.records}
        had = max((one.rounds for one in known.values() if not one.unfinished), default=0)
        job = replace(job, plan=replace(job.plan, rounds=had + job.plan.rounds))
        with closing(measured_by(job, self._watcher, known)) as measured:
            for some in measured:
                told = [replace(one, notes=(*job.notes(one.spec), *one.notes)) for one in some]
                self._writer.append(told)
                records += told
        self.records |= {one.id: one for one in records}
        self.proofs |= proving.proofs(records)
        self._proof_seconds.append((self.passed - began) / max(len(specs), 1))

    def chosen(self) -> Chosen:
        """What came of it."""
        return Chosen(
            self.limits, tuple(self.contenders.values()), self.proofs, self.state,
            self.job.environment, True, str(self._writer.path), seconds=self.passed,
        )  # fmt: skip


def start(
    field: ChoiceField, limits: ChoiceLimits, out: Path, tables: Path, seconds: float,
    watcher: Watcher, say: Callable[[str], None] = lambda _: None,
) -> Chosen:  # fmt: skip
    """Choose, and keep it all in a new run directory.

    Args:
        field: contenders and a job of their specs.
        limits: what is asked for.
        out: the run directory.
        tables: folder of what was timed, a file per environment.
        seconds: after which nothing more is begun.
        watcher: told of measurements.
        say: told of the rest.

    Raises:
        StoreError: the directory cannot be used, or a table.
    """
    job, code = field.job, source()
    what = store.manifest(store.new_run_name(), (), job.plan, job.executor.name)
    what = replace(what, revision=code.revision, dirty=code.dirty)
    with store.create(out, what, job.environment) as writer:
        kept.begin(out, limits, field.unknown, field.elsewhere, len(field.contenders))
        kept.keep(out, field.contenders)
        chooser = Chooser(job, field.contenders, limits, writer, seconds, watcher, say)
        found = _finished(chooser, tables, seconds, say)
        writer.settle()
    return replace(found, unknown=field.unknown, elsewhere=field.elsewhere)


def resume(
    path: Path, tables: Path, seconds: float, watcher: Watcher,
    say: Callable[[str], None] = lambda _: None, allowed: Sequence[str] = (),
) -> Chosen:  # fmt: skip
    """Go on with a choice, with its own limits and plan.

    Raises:
        UsageError: it is no run of a choice, or names models that may not be built.
        Incomparable: it was begun in another environment.
    """
    stored, known = store.read(path), kept.read(path)
    if known is None:
        raise UsageError(
            f"{path} is no run of cnnbench choose; go on with it by cnnbench run --resume"
        )
    if not known.contenders:
        raise UsageError(f"{path / kept.PREDICTIONS} names no network; start a new choice")
    specs = trust.specs(known.contenders, path, allowed)
    who = executor(stored.manifest.executor)
    with asking(who) as pool:
        environment = describe(pool)
    if environment.fingerprint != stored.environment.fingerprint:
        changed = ", ".join(stored.environment.differing(environment))
        raise Incomparable(
            f"{path} was started in another environment (different: {changed}); start a new run"
        )
    plan = decode(Plan, dict(stored.manifest.plan), "plan")
    macs = {one.spec: one.macs for one in known.contenders.values() if one.macs}
    job = Job(specs, {}, macs, plan, environment, who)
    begun = {*stored.missing, *stored.unfinished} & known.contenders.keys()
    with store.Writer(path) as writer:
        whole = [one for one in stored.records if not one.unfinished and not _may_pass(one)]
        proofs = proving.proofs(one for one in whole if one.id in known.contenders)
        contenders = [_asked_again(one, proofs) for one in known.contenders.values()]
        chooser = Chooser(job, contenders, known.limits, writer, seconds, watcher, say)
        chooser.proofs |= proofs
        chooser.records |= {one.id: one for one in stored.records}
        if begun:
            chooser.measure([spec for spec in specs if spec.id in begun])
        found = _finished(chooser, tables, seconds, say)
        writer.settle()
    problems = (*known.problems, *found.problems)
    return replace(found, unknown=known.unknown, elsewhere=known.elsewhere, problems=problems)


def _may_pass(record: Record) -> bool:
    """Whether a failure may have been of the machine at that time, so that it is tried again."""
    return record.failure is not None and record.failure.kind in _PASSING


def _asked_again(one: Contender, proofs: Mapping[str, Proof]) -> Contender:
    """What was not predicted for want of time may be now."""
    again = one.why and not one.out and one.mode in MODES and one.spec not in proofs
    return replace(one, why="") if again else one


def _finished(chooser: Chooser, tables: Path, seconds: float, say: Callable[[str], None]) -> Chosen:
    """Go on until all is certain or the time is over."""
    job = chooser.job
    if chooser.state.is_complete or not any(spec.mode.text in MODES for spec in job.specs):
        chooser.go_on(None)
        return chooser.chosen()
    path = tables / table.file_name(job.environment)
    with ExitStack() as stack:
        pool = stack.enter_context(asking(job.executor))
        writer = stack.enter_context(table.adding(path, job.environment))
        left = seconds - chooser.passed
        probe = OperatorProbe(pool, job.plan, writer, table.read(path), left, say)
        tracer = Tracer(pool, job.plan.seed, job.plan.timeout, lambda: seconds - chooser.passed)
        threads = job.specs[0].threads
        foreteller = Foreteller(tracer, lambda: probe.known, threads, probe)
        foreteller.fit(job)
        chooser.rates = lambda: Rates(probe.known, threads)
        chooser.update_rates()
        chooser.go_on(foreteller)
        problems = (*probe.known.problems, *probe.problems)
        return replace(chooser.chosen(), operators=probe.operators, networks=probe.networks,
                       problems=problems)  # fmt: skip


def by_table(
    field: ChoiceField, limits: ChoiceLimits, known: OperatorTable, path: Path,
    say: Callable[[str], None] = lambda _: None,
) -> Chosen:  # fmt: skip
    """Choose for the machine of a table, by predictions alone, which stand in for proofs.

    Peak memory is not predicted; only weights are held against a limit of it.
    """
    began, job, threads = time.monotonic(), field.job, field.job.specs[0].threads
    limits_of_time = replace(limits, memory=None)
    with asking(job.executor) as pool:
        tracer = Tracer(pool, job.plan.seed, job.plan.timeout)
        foreteller = Foreteller(tracer, lambda: known, threads)
        foreteller.fit(job)
        some = Rates(known, threads).told(field.contenders, job.macs)
        contenders = {one.spec: one for one in some}
        while True:
            proofs = {
                name: Proof(one.seconds, one.low, one.high)
                for name, one in contenders.items()
                if one.seconds is not None
            }
            state = decide([*contenders.values()], proofs, limits_of_time)
            if not state.unseen:
                break
            say(f"predicting {units.number(len(state.unseen), 'network')}")
            chunk = state.unseen[: _TRACED * tracer.side_by_side]
            contenders |= {one.spec: one for one in foreteller.told(chunk, limits.seconds)}
    return Chosen(
        limits, tuple(contenders.values()), proofs, state, known.environment, False, str(path),
        field.unknown, field.elsewhere, seconds=time.monotonic() - began, problems=known.problems,
    )  # fmt: skip
