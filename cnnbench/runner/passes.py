"""The passes over one group in one pool: reference, static cost, a round of timing, memory.

Each pass is a worker of its own. What goes wrong in a pass beside the timing is a note; what goes
wrong in the timing is a failure of that spec alone.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from cnnbench import catalogue, recipes
from cnnbench.asking import CALIBRATED, NO_IMAGES
from cnnbench.errors import WorkerError
from cnnbench.facts import ColdStart, doubts
from cnnbench.plan import COLD_STARTS
from cnnbench.record import Failure, Run
from cnnbench.requests import (
    ComputeReference,
    CountCost,
    DescribeAlgorithm,
    MeasureLatency,
    MeasureMemory,
    PrepareColdStart,
    ProbeCeilings,
    TakeStructure,
    TakeValues,
)
from cnnbench.runner import room, schedule
from cnnbench.runner.device import memory_limit
from cnnbench.runner.ensemble import Ensemble, Lost, failure
from cnnbench.runner.halving import full
from cnnbench.runner.inquiry import ask, tell
from cnnbench.runner.reference import ask_reference, narrow
from cnnbench.spec import Device

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cnnbench.plan import Plan
    from cnnbench.runner.executor import AnyPool
    from cnnbench.runner.seat import Seat
    from cnnbench.runner.subject import Group, Shared, Subject
    from cnnbench.spec import Spec, Workload


class Passes:
    """All passes that one pool makes for one group."""

    def __init__(
        self,
        plan: Plan,
        pool: AnyPool,
        group: Group,
        folder: Path,
        tell_watcher: Callable[..., None],
        seat: Seat,
    ) -> None:
        """Args: folder: keeps the group's reference outputs and compiler caches between pools."""
        self._plan = plan
        self._pool = pool
        self._group = group
        self._folder = folder
        self._step = tell_watcher
        self._seat = seat

    def first(self, token: str, macs: Callable[[Spec], int]) -> None:
        """The passes for a first answer: reference, static cost, a round of timing."""
        began = time.monotonic()
        for workload in self._group.shared:
            self._reference(workload, macs)
            self._cost(workload)
        self._ceilings()
        self.round(token)
        if self._plan.budget is None:  # a second look takes a second
            self._ceilings()
        self._group.first_seconds = time.monotonic() - began

    def untimed(self) -> None:
        """The passes without a clock: memory, structure, algorithm, values; made once."""
        began = time.monotonic()
        for subject in self._group.alive:
            self._memory(subject)
            self._cold_start(subject)
            self._algorithm(subject)
        for workload in self._group.shared:
            self._values(workload)
        self._group.complete = True
        self._group.untimed_seconds = time.monotonic() - began

    def round(self, token: str) -> None:
        """One round of timing: every living spec of the group in an ensemble."""
        group, began = self._group, time.monotonic()
        number = group.rounds
        parts = self._ensembles()
        for index, members in enumerate(parts):
            name = f"{token}-{number}-{group.name}" + (f".{index}" if len(parts) > 1 else "")
            self._take_together(members, name, number)
        group.rounds += 1
        group.round_seconds = time.monotonic() - began

    def _ensembles(self) -> list[list[Subject]]:
        """The living specs of the group, as many side by side as there is memory for."""
        alive = self._group.alive
        if not alive:
            return []
        within = room.limits(self._group, self._pool, self._plan)
        said = room.ONE_PROCESS if within.one_process and len(alive) > 1 else within.note
        for subject in alive:
            if said and said not in subject.notes:
                subject.notes.append(said)
        if within.one_process:
            return [[one] for one in alive]
        needs = [room.needed(one, self._shared(one.spec).cost, within) for one in alive]
        return schedule.ensembles(self._group, needs, within.room)

    @property
    def _title(self) -> str:
        """The workload and device, for people."""
        return self._seat.titled(self._group.subjects[0].spec)

    def _path(self, what: str, workload: Workload) -> str:
        place = list(self._group.shared).index(workload)
        return str(self._folder / f"{what}-{place}.npz")

    def _weights(self, spec: Spec) -> str | None:
        """The file of calibrated weights, if the reference left one."""
        known = self._shared(spec).reference
        calibrated = known is not None and known.weights == CALIBRATED
        return self._path("weights", spec.workload) if calibrated else None

    def _shared(self, spec: Spec) -> Shared:
        return self._group.shared[spec.workload]

    def _reference(self, workload: Workload, macs: Callable[[Spec], int]) -> None:
        shared = self._group.shared[workload]
        members = self._group.members(workload)
        if not members:
            return
        plain = members[0].spec.plain
        precisions = {*narrow(subject.spec for subject in members), *self._group.later}
        self._step(f"{workload.id}: reference{_images(workload)}")
        wide = self._plan.float64_macs is None or macs(members[0].spec) <= self._plan.float64_macs
        if not wide:
            shared.notes.append(
                "not compared with float64, which would take too much of the budget"
            )
        try:
            request = ComputeReference.planned(
                plain,
                self._plan,
                reference_path=self._path("reference", workload),
                float64=wide,
                precisions=tuple(sorted(precisions)),
                calibrate=self._path("weights", workload),
                every_image=True,
            )
            found = ask_reference(self._pool, request, self._plan.timeout)
            shared.notes += found.notes
            shared.reference = replace(found, notes=())
        except WorkerError as error:
            shared.no_reference = f"no reference: {error}"
            if error.kind == "timeout":
                # The plain network itself hangs; every mode of it would, one timeout after the
                # other.
                for subject in members:
                    subject.failure = failure(error)
                    self._step(subject.spec.id, self._plan.rounds + 1)

    def _cost(self, workload: Workload) -> None:
        members = self._group.members(workload)
        if not members or recipes.is_pipeline(workload.architecture):
            return
        shared = self._group.shared[workload]
        self._step(f"{workload.id}: static cost")
        try:
            request = CountCost.planned(members[0].spec, self._plan)
            shared.cost = ask(self._pool, request, self._plan.timeout)
            shared.notes += doubts(shared.cost.assumptions)
        except WorkerError as error:
            shared.notes.append(f"static cost not known: {error}")

    def _values(self, workload: Workload) -> None:
        """What a network of the user's computes, whatever the mode.

        Those of the catalogue change with the libraries alone, which is another environment, so a
        run of many does not pay for it. A look at structure alone asks for them too.
        """
        members = self._group.members(workload)
        shared = self._group.shared[workload]
        if not members or catalogue.known(workload.architecture) is not None:
            return
        if workload.is_layer or recipes.is_pipeline(workload.architecture):
            return
        most, cost = self._plan.float64_macs, shared.cost
        if shared.values is not None or (most and cost is not None and cost.macs > most):
            return
        self._step(f"{workload.id}: values of the outputs")
        try:
            # On the CPU, whatever is measured; a GPU's plan has no limit for that.
            limit = self._plan.memory_limit or memory_limit(Device("cpu"))
            request = TakeValues.planned(members[0].spec, self._plan, memory_limit=limit)
            shared.values = ask(self._pool, request, self._plan.timeout)
        except WorkerError as error:
            shared.notes.append(f"values of the outputs not known: {error}")

    def _ceilings(self) -> None:
        if not self._plan.ceilings or not self._group.alive:
            return
        first = self._group.alive[0].spec
        self._step(f"{self._title}: ceilings of the machine")
        try:
            request = ProbeCeilings(device=first.device.text, threads=first.threads)
            self._group.ceilings.append(ask(self._pool, request, self._plan.timeout))
        except WorkerError as error:
            self._shared(first).notes.append(f"ceilings not known: {error}")

    def _take_together(self, members: list[Subject], name: str, number: int) -> None:
        specs = [subject.spec for subject in members]
        words = ", ".join(dict.fromkeys(spec.mode.text for spec in specs))
        images = _images(members[0].spec.workload) if number == 0 else ""
        most = max(self._plan.rounds + self._group.further, number + 1)
        left = f"round {number + 1} of {most}{images}"
        self._step(f"{self._title}: {words} ({left})", len(specs))
        self._take(members, name, number)
        # Whoever was lost with the pool is tried again alone, so that only the guilty fails.
        for place, subject in enumerate(members):
            if subject.failure is not None and subject.failure.kind == "lost":
                subject.failure = None
                self._take([subject], f"{name}-again-{place}", number)
                if subject.failure is not None and subject.failure.kind == "lost":
                    subject.failure = replace(subject.failure, kind="died")
            if self._may_be_crowded(subject, members):
                self._with_more_room(subject, members, f"{name}-alone-{place}", number)

    def _may_be_crowded(self, subject: Subject, members: Sequence[Subject]) -> bool:
        """Whether others may have taken the memory that a subject did not get.

        On the host every worker has its own limit.
        """
        return full(subject) and len(members) > 1 and subject.spec.device.kind != "cpu"

    def _with_more_room(
        self, subject: Subject, members: Sequence[Subject], name: str, number: int
    ) -> None:
        """Beside nothing but its reference mode, for the sake of its speed-up; then alone."""
        usual = [one for one in self._group.alive if one.spec.id == subject.spec.baseline.id]
        companies = [usual, []] if usual and len(members) > len(usual) + 1 else [[]]
        for company in companies:
            subject.failure = None
            self._take([*company, subject], f"{name}-{len(company)}", number)
            for one in company:
                one.failure = None  # it has been measured before
            if not full(subject):
                break
        if subject.failure is None:
            subject.crowded = True
            beside = usual[0].spec.mode.text if company else ""
            how = f"beside nothing but {beside}" if beside else "alone, without a speed-up"
            note = f"the device had no memory left beside all other modes, so it was measured {how}"
            if note not in subject.notes:
                subject.notes.append(note)

    def _take(self, members: list[Subject], name: str, number: int) -> None:
        """One ensemble; its outcomes go to the subjects."""

        def request(spec: Spec) -> MeasureLatency:
            shared = self._shared(spec)
            return MeasureLatency.planned(
                spec,
                self._plan,
                round=number,
                ensemble=name,
                reference=shared.reference,
                no_reference=shared.no_reference,
                reference_path=self._path("reference", spec.workload),
                weights=self._weights(spec),
                compile_cache=self._compile_cache(spec),
            )

        # The name is new in every session; the order of turns depends on nothing but the seed.
        order = f"{number}/{members[0].spec.workload.id}"
        subjects = {subject.spec.id: subject for subject in members}
        specs = [subject.spec for subject in members]
        began = self._seat.now()
        outcomes = Ensemble(self._pool, self._plan, order).measure(specs, request)
        gpu = self._seat.since(began)
        for key, outcome in outcomes.items():
            if isinstance(outcome, Run):
                subjects[key].runs.append(outcome if gpu is None else replace(outcome, gpu=gpu))
            elif isinstance(outcome, Lost):
                subjects[key].failure = Failure("measure", "lost", outcome.message)
            else:
                subjects[key].failure = outcome

    def _compile_cache(self, spec: Spec) -> str | None:
        """A folder of the spec's own.

        So that its first round compiles from nothing and the others do not.
        """
        if not spec.mode.kept:
            return None
        place = [subject.spec.id for subject in self._group.subjects].index(spec.id)
        return str(self._folder / f"compiled-{place}")

    def _memory(self, subject: Subject) -> None:
        """Peak memory, then the structure of the step from the same process.

        Pictures of PIL are in nobody's allocator, and what loaders run is no operator of torch's.
        """
        if recipes.is_pipeline(subject.spec.workload.architecture):
            self._step(f"{subject.spec.id}: done", 1)
            return
        known = subject.memory is not None and subject.structure is not None
        if known and self._group.untimed_seconds:
            return  # made and counted before another came in
        self._step(f"{subject.spec.id}: memory", 1)
        if known:
            return
        cache = self._compile_cache(subject.spec)
        request = MeasureMemory.planned(
            subject.spec, self._plan, compile_cache=cache, weights=self._weights(subject.spec)
        )
        what = "memory not measured"
        worker = None
        try:
            worker = self._pool.start()
            subject.memory = tell(worker, request, self._plan.timeout)
            what = "structure not known"
            subject.structure = tell(worker, TakeStructure(), self._plan.timeout)
        except WorkerError as error:
            subject.notes.append(f"{what}: {error}")
        finally:
            if worker is not None:
                worker.close()

    def _cold_start(self, subject: Subject) -> None:
        """Fresh processes from their start to their first answer, where that is asked for."""
        spec = subject.spec
        if not self._plan.cold_start or subject.cold_start is not None:
            return
        self._step(f"{spec.id}: cold start")
        request = PrepareColdStart.planned(
            spec, self._plan, place=str(self._folder / "cold-start"),
            compile_cache=self._compile_cache(spec), weights=self._weights(spec),
        )  # fmt: skip
        try:
            order = ask(self._pool, request, self._plan.timeout)
            starts = range(COLD_STARTS)
            subject.cold_start = ColdStart.of(
                [self._pool.first_answer(order, self._plan.timeout) for _ in starts]
            )
        except WorkerError as error:
            subject.notes.append(f"cold start not measured: {error}")

    def _algorithm(self, subject: Subject) -> None:
        if not subject.spec.workload.is_layer:
            return
        try:
            request = DescribeAlgorithm.planned(subject.spec, self._plan)
            subject.algorithm = ask(self._pool, request, self._plan.timeout)
        except WorkerError as error:
            subject.notes.append(f"algorithm not described: {error}")


def _images(workload: Workload) -> str:
    """What is done beside, in words, where there are pictures of the user's."""
    given = workload.setting("images", NO_IMAGES) != NO_IMAGES
    return ", every picture of --images" if given else ""
