"""The state of specs while they are measured: groups on their way to records.

Knows nothing of how anything is measured.
"""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cnnbench import metrics, units
from cnnbench.choice import choose
from cnnbench.record import UNFINISHED, Record, notes_of, with_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cnnbench.facts import Algorithm, Ceilings, ColdStart, Reference, Structure, Values
    from cnnbench.record import Cost, Failure, Memory, Run
    from cnnbench.spec import Spec, Workload


class Subject:
    """One spec and the results about it so far.

    ``dropped`` says why no more are wanted; ``resting``, that it takes no part in a round of some;
    ``crowded``, that it ran out of a device's memory beside others and not without them.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.runs: list[Run] = []
        self.memory: Memory | None = None
        self.structure: Structure | None = None
        self.cold_start: ColdStart | None = None
        self.algorithm: Algorithm | None = None
        self.failure: Failure | None = None
        self.notes: list[str] = []
        self.dropped = ""
        self.resting = False
        self.crowded = False

    def slower_than(self, seconds: float) -> bool:
        """Whether every slice was slower, the waiting for a core taken out where it is known."""
        found = [run.slices.awake_seconds or run.slices.seconds for run in self.runs]
        return any(found) and all(one > seconds for some in found for one in some)


class Shared:
    """What all specs of one workload share."""

    def __init__(self) -> None:
        self.cost: Cost | None = None
        self.values: Values | None = None
        self.reference: Reference | None = None
        self.no_reference = ""
        self.notes: list[str] = []


class Group:
    """Specs that are compared with each other, and so measured side by side.

    Attributes:
        name: unique in a session; fit for a file name.
        subjects: its specs.
        shared: per workload; a group has several if it holds substitutes.
        ceilings: of the machine, probed beside the group.
        begun: it has been visited in this session.
        rounds: how many it has had.
        round_seconds: what the last one took.
        first_seconds: what its first visit took, with all that comes before a round.
        untimed_seconds: what the passes that need no clock took.
        further: rounds beyond those of the plan.
        later: precisions of specs that may come in later.
        complete: the passes that need no clock have been made.
        reported: its records have been handed over before.
        replaced: if it was out of memory, what a smaller batch does is known.
    """

    def __init__(self, name: str, specs: Sequence[Spec]) -> None:
        self.name = name
        self.subjects = [Subject(spec) for spec in specs]
        self.shared = {spec.workload: Shared() for spec in specs}
        self.ceilings: list[Ceilings] = []
        self.begun = False
        self.rounds = 0
        self.round_seconds = 0.0
        self.first_seconds = 0.0
        self.untimed_seconds = 0.0
        self.further = 0
        self.later: Sequence[str] = ()
        self.complete = False
        self.reported = False
        self.replaced = False

    @property
    def workload(self) -> Workload:
        """The workload that all of its own are compared with."""
        return self.subjects[0].spec.workload.group

    @property
    def alive(self) -> list[Subject]:
        """The subjects that are measured now: neither failed nor dropped, nor at rest."""
        found = [one for one in self.subjects if one.failure is None and not one.dropped]
        return [one for one in found if not one.resting]

    def members(self, workload: Workload) -> list[Subject]:
        """The living subjects of one workload."""
        return [one for one in self.alive if one.spec.workload == workload]

    def go_on(self, kept: Mapping[str, Record]) -> None:
        """Take over what is known: the rounds, if all subjects have as many, memory, structure."""
        found = [kept.get(one.spec.id) for one in self.subjects]
        rounds = {len({run.round for run in one.runs}) if one else 0 for one in found}
        if len(rounds) > 1:
            return
        for subject, record in zip(self.subjects, found, strict=True):
            if record is not None:
                subject.runs = list(record.runs)
                subject.memory, subject.structure = record.memory, record.structure
                subject.cold_start = record.cold_start
                self.ceilings = list(record.ceilings)
                self.shared[subject.spec.workload].values = record.values
        (self.rounds,) = rounds

    def gather(self, specs: Sequence[Spec]) -> None:
        """One round more, of these alone; one that was not of the group is from now on."""
        known = {one.spec for one in self.subjects}
        new = [Subject(spec) for spec in specs if spec not in known]
        self.subjects += new
        for one in self.subjects:
            one.resting = one.spec not in specs
        self.further += 1
        self.complete = self.complete and not new

    def drop(self, limit: float | None) -> None:
        """Give up what clearly takes more seconds per call.

        The reference mode stays as long as another mode does, which is compared with it.
        """
        if limit is None:
            return
        slow = {one.spec.id for one in self.alive if one.slower_than(limit)}
        kept = [one for one in self.alive if one.spec.id not in slow]
        needed = {one.spec.baseline.id for one in kept}
        for one in self.alive:
            if one.spec.id in slow - needed:
                one.dropped = f"every slice was slower than --max-latency {units.seconds(limit)}"

    def records(self, environment: str, missing: str = "") -> list[Record]:
        """Its subjects in their present state, as records that are closed now.

        Args:
            environment: fingerprint.
            missing: what is still planned, if anything is.
        """
        return [self.record(one, environment, missing) for one in self.subjects]

    def record(self, subject: Subject, environment: str, missing: str = "") -> Record:
        """One subject as a record."""
        shared = self.shared[subject.spec.workload]
        record = Record(
            id=subject.spec.id,
            environment=environment,
            measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
            cost=shared.cost,
            reference=shared.reference,
            memory=subject.memory,
            runs=tuple(subject.runs),
            notes=(
                *shared.notes,
                *subject.notes,
                *notes_of(subject.spec.mode, subject.runs),
                *self._left_out(subject, missing),
            ),
            structure=subject.structure,
            algorithm=subject.algorithm,
            ceilings=tuple(self.ceilings),
            values=shared.values,
            cold_start=subject.cold_start,
        )
        return record if subject.failure is None else with_failure(record, subject.failure)

    def _left_out(self, subject: Subject, missing: str) -> tuple[str, ...]:
        if subject.failure is not None:
            return ()
        if subject.dropped:
            return (f"not measured further: {subject.dropped}",)
        if missing:
            return (f"{UNFINISHED}{missing}",)
        if self.complete or subject.memory is not None:
            return ()
        return ("memory and structure not measured: the budget left no time",)

    def call_seconds(self) -> float:
        """One call of every living spec, one after the other, as last measured."""
        found = [metrics.run_seconds(one.runs[-1]) for one in self.alive if one.runs]
        return sum(seconds for seconds in found if seconds is not None)

    @property
    def undecided(self) -> bool:
        """Whether a mode may be faster than the one to use by more than is worth it.

        Asked as it is answered: for each number of threads, and of a layer for what computes in the
        precision of plain eager.
        """
        asked: dict[object, list[Record]] = {}
        for one in self.alive:
            spec = one.spec
            if not spec.workload.is_layer or spec.mode.precision == spec.plain.mode.precision:
                asked.setdefault((spec.workload, spec.threads), []).append(self.record(one, ""))
        found = [choose(records) for records in asked.values()]
        return any(one is not None and bool(one.rivals) for one in found)

    def margin(self) -> float | None:
        """The widest relative interval of any of its figures: latencies and speed-ups.

        ``None`` if one has no interval yet; zero if nothing is left to be measured.
        """
        records = {one.spec.id: self.record(one, "") for one in self.alive}
        estimates = [metrics.latency(record) for record in records.values()]
        for one in self.alive:
            baseline = records.get(one.spec.baseline.id)
            if baseline is not None and baseline.id != one.spec.id:
                estimates.append(metrics.speedup(records[one.spec.id], baseline))
        margins = [None if estimate is None else estimate.margin for estimate in estimates]
        if any(margin is None for margin in margins):
            return None
        return max((margin for margin in margins if margin is not None), default=0.0)


def groups(specs: Sequence[Spec], first: int = 0) -> list[Group]:
    """Specs in groups, in the order of the specs; ``first`` numbers the first group."""
    table: dict[object, list[Spec]] = {}
    for spec in specs:
        table.setdefault((spec.workload.group, spec.device), []).append(spec)
    return [Group(f"{number}", members) for number, members in enumerate(table.values(), first)]


def batches(
    specs: Sequence[Spec], seconds: Callable[[Spec], float], limit: float = 90.0
) -> Iterator[list[Spec]]:
    """Cut specs into batches of whole groups, each expected to take at most about ``limit`` s."""
    batch: list[Spec] = []
    for _, group in itertools.groupby(specs, key=lambda spec: (spec.workload.group, spec.device)):
        members = list(group)
        if batch and sum(map(seconds, [*batch, *members])) > limit:
            yield batch
            batch = []
        batch += members
    if batch:
        yield batch
