"""A whole run: specs in, records out, whatever happens to any of them.

Workloads are measured in batches: in every round one crew serves the whole batch, so that its
import is paid once, and a batch is small enough that a killed run loses minutes and not a night.
"""

from __future__ import annotations

import itertools
import secrets
import tempfile
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cnnbench.codec import decode, encode
from cnnbench.errors import WorkerError
from cnnbench.record import (
    Cost,
    Environment,
    Failure,
    Memory,
    Record,
    Reference,
    Run,
    with_failure,
)
from cnnbench.runner.ensemble import Ensemble, Lost, failure
from cnnbench.runner.inquiry import ask, tell
from cnnbench.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from cnnbench.channel import Message
    from cnnbench.runner.executor import AnyCrew, Executor
    from cnnbench.runner.plan import Plan
    from cnnbench.spec import Workload


class Watcher(Protocol):
    """Who wants to know how far a session is."""

    def working(self, what: str, done: int, total: int) -> None:
        """Something begins; ``done`` of ``total`` units of work are behind."""

    def finished(self, record: Record) -> None:
        """A record is closed."""


@dataclass
class _Progress:
    """What is known of one spec so far."""

    spec: Spec
    runs: list[Run] = field(default_factory=list)
    memory: Memory | None = None
    failure: Failure | None = None
    notes: list[str] = field(default_factory=list)


@dataclass
class _Common:
    """What the specs of one workload share."""

    cost: Cost | None = None
    reference: Reference | None = None
    no_reference: str = ""
    notes: list[str] = field(default_factory=list)


def batches(
    specs: Sequence[Spec], seconds: Callable[[Spec], float], limit: float = 90.0
) -> Iterator[list[Spec]]:
    """Cut specs into batches of whole workloads.

    Each expected to take at most about ``limit`` seconds.
    """
    batch: list[Spec] = []
    for _, group in itertools.groupby(specs, key=lambda spec: (spec.workload, spec.device)):
        members = list(group)
        if batch and sum(map(seconds, [*batch, *members])) > limit:
            yield batch
            batch = []
        batch += members
    if batch:
        yield batch


class Session:
    """Measures batches with one executor and one plan."""

    def __init__(
        self, executor: Executor, plan: Plan, environment: Environment, watcher: Watcher
    ) -> None:
        self._executor = executor
        self._plan = plan
        self._environment = environment
        self._watcher = watcher
        self._done = 0
        self._total = 1

    def run(self, work: Iterable[list[Spec]]) -> Iterator[list[Record]]:
        """Measure batch after batch.

        A batch's records come together when its last round is over.
        """
        plan_of_work = list(work)
        self._total = sum(len(batch) for batch in plan_of_work) * (self._plan.rounds + 1)
        behind = 0
        for batch in plan_of_work:
            with tempfile.TemporaryDirectory(prefix="cnnbench-") as folder:
                records = _Batch(self, batch, Path(folder)).measure()
            # A spec that failed early leaves work undone that was counted as ahead.
            behind += len(batch) * (self._plan.rounds + 1)
            self._done = behind
            yield records
            for record in records:
                self._watcher.finished(record)

    def step(self, what: str, units: int = 0) -> None:
        """Tell the watcher what begins, and count what is behind."""
        self._watcher.working(what, self._done, self._total)
        self._done += units

    @property
    def plan(self) -> Plan:
        """How to measure."""
        return self._plan

    @property
    def fingerprint(self) -> str:
        """Of the environment."""
        return self._environment.fingerprint

    def crew(self, scratch: Path) -> Any:
        """A fresh crew."""
        return self._executor.open(scratch)


class _Batch:
    """One batch on its way from specs to records."""

    def __init__(self, session: Session, specs: list[Spec], scratch: Path) -> None:
        self._session = session
        self._plan = session.plan
        self._scratch = scratch
        self._specs = {spec.id: _Progress(spec) for spec in specs}
        self._common: dict[Workload, _Common] = {spec.workload: _Common() for spec in specs}
        self._token = secrets.token_hex(4)

    def measure(self) -> list[Record]:
        for number in range(self._plan.rounds):
            with self._session.crew(self._scratch) as crew:
                for workload in self._common:
                    self._workload(crew, workload, number)
        return [self._record(progress) for progress in self._specs.values()]

    def _members(self, workload: Workload) -> list[_Progress]:
        every = self._specs.values()
        return [one for one in every if one.spec.workload == workload and one.failure is None]

    def _workload(self, crew: AnyCrew, workload: Workload, number: int) -> None:
        if number == 0:
            self._reference(crew, workload)
            self._cost(crew, workload)
        members = self._members(workload)
        if members:
            self._round(crew, members, number)
        if number == 0:
            for progress in self._members(workload):
                self._memory(crew, progress)

    def _request(self, spec: Spec, task: str) -> Message:
        return {
            "task": task,
            "spec": spec.id,
            "seed": self._plan.seed,
            "memory_limit": self._plan.memory_limit,
            "reference_path": str(self._scratch / f"reference-{self._number(spec)}.npz"),
        }

    def _number(self, spec: Spec) -> int:
        return list(self._common).index(spec.workload)

    def _reference(self, crew: AnyCrew, workload: Workload) -> None:
        common = self._common[workload]
        plain = self._members(workload)[0].spec.plain
        self._session.step(f"{workload.id}: reference")
        message = self._request(plain, "reference")
        try:
            common.reference = self._ask_reference(crew, message)
        except WorkerError as error:
            common.no_reference = f"no reference: {error}"
            if error.kind == "timeout":
                # The plain network itself hangs; every mode of it would, one timeout after the
                # other.
                for progress in self._members(workload):
                    progress.failure = failure(error)
                    self._session.step(progress.spec.id, self._plan.rounds + 1)

    def _ask_reference(self, crew: AnyCrew, message: Message) -> Reference:
        worker = crew.start()
        try:
            answer = tell(worker, message | {"float64": True}, self._plan.timeout)
        except WorkerError as error:
            if error.phase != "reference float64":
                raise
            # Too slow or too large in float64 only: fp32 eager alone is a reference too.
            answer = ask(crew, message | {"float64": False}, self._plan.timeout)
        finally:
            worker.close()
        return decode(Reference, answer)

    def _cost(self, crew: AnyCrew, workload: Workload) -> None:
        members = self._members(workload)
        if not members:
            return
        common = self._common[workload]
        self._session.step(f"{workload.id}: static cost")
        try:
            answer = ask(crew, self._request(members[0].spec, "analyze"), self._plan.timeout)
            common.cost = decode(Cost, answer)
        except WorkerError as error:
            common.notes.append(f"static cost not known: {error}")

    def _round(self, crew: AnyCrew, members: list[_Progress], number: int) -> None:
        name = f"{self._token}-{number}-{self._number(members[0].spec)}"
        specs = [progress.spec for progress in members]
        what = f"{specs[0].workload.id} on {specs[0].device.text}"
        words = ", ".join(spec.mode.text for spec in specs)
        self._session.step(
            f"{what}: {words} (round {number + 1} of {self._plan.rounds})", len(specs)
        )
        self._take(crew, specs, name, number)
        # Whoever was lost with the crew is tried again alone, so that only the guilty fails.
        for progress in members:
            if progress.failure is not None and progress.failure.kind == "lost":
                progress.failure = None
                self._take(crew, [progress.spec], f"{name}-again-{progress.spec.mode.text}", number)
                if progress.failure is not None and progress.failure.kind == "lost":
                    progress.failure = replace(progress.failure, kind="died")

    def _take(self, crew: AnyCrew, specs: list[Spec], name: str, number: int) -> None:
        """One ensemble; its outcomes go to the specs."""

        def request(spec: Spec) -> Message:
            common = self._common[spec.workload]
            return self._request(spec, "measure") | {
                "round": number,
                "ensemble": name,
                "warm_up": self._plan.warm_up,
                "reference": None if common.reference is None else encode(common.reference),
                "no_reference": common.no_reference,
                "compile_cache": self._compile_cache(spec),
            }

        # The name is new in every session; the order of turns depends on nothing but the seed.
        order = f"{number}/{specs[0].workload.id}"
        outcomes = Ensemble(crew, self._plan, order).measure(specs, request)
        for key, outcome in outcomes.items():
            progress = self._specs[key]
            if isinstance(outcome, Run):
                progress.runs.append(outcome)
            elif isinstance(outcome, Lost):
                progress.failure = Failure("measure", "lost", outcome.message)
            else:
                progress.failure = outcome

    def _compile_cache(self, spec: Spec) -> str | None:
        """A folder of the spec's own.

        So that its first round compiles from nothing and the others do not.
        """
        if spec.mode.compiler == "eager":
            return None
        return str(self._scratch / f"compiled-{list(self._specs).index(spec.id)}")

    def _memory(self, crew: AnyCrew, progress: _Progress) -> None:
        self._session.step(f"{progress.spec.id}: memory", 1)
        request = self._request(progress.spec, "memory")
        request["compile_cache"] = self._compile_cache(progress.spec)
        try:
            progress.memory = decode(Memory, ask(crew, request, self._plan.timeout))
        except WorkerError as error:
            progress.notes.append(f"memory not measured: {error}")

    def _record(self, progress: _Progress) -> Record:
        common = self._common[progress.spec.workload]
        record = Record(
            id=progress.spec.id,
            environment=self._session.fingerprint,
            measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
            cost=common.cost,
            reference=common.reference,
            memory=progress.memory,
            runs=tuple(progress.runs),
            notes=(*common.notes, *progress.notes),
        )
        if progress.failure is not None:
            record = with_failure(record, progress.failure)
        return record
