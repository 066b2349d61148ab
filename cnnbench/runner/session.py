"""A whole run: specs in, records out, even if some fail.

Groups are measured in batches: in every round one pool serves the whole batch, so that its import
is paid once. What an ensemble measured is handed over at once, so that a kill loses no more than
the ensemble at work.

Without a budget, a batch gets all its rounds before the next begins. With one, every group gets one
round of timing first, so that every spec has an answer; what time is left goes to what is missing
or still uncertain.
"""

from __future__ import annotations

import secrets
import shutil
import time
from typing import TYPE_CHECKING, Protocol

from cnnbench.runner import halving
from cnnbench.runner.ahead import open_its_doors
from cnnbench.runner.halving import Known
from cnnbench.runner.passes import Passes
from cnnbench.runner.schedule import START_SECONDS, allowed, next_groups, remaining, settled
from cnnbench.runner.seat import Seat
from cnnbench.runner.subject import groups
from cnnbench.scratch import scratch_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from cnnbench.environment import Environment
    from cnnbench.plan import Plan
    from cnnbench.record import Record
    from cnnbench.runner.executor import AnyPool, Executor
    from cnnbench.runner.subject import Group
    from cnnbench.spec import Spec


# A worker is forked in less than this, where the imports are over.
_BEGUN_SECONDS = 0.5


class Watcher(Protocol):
    """A listener for the progress of a session."""

    def working(self, what: str, done: int, total: int) -> None:
        """A step begins; ``done`` of ``total`` units of work are finished."""

    def first(self, records: Sequence[Record]) -> None:
        """Specs that are compared have had the first of several rounds."""

    def finished(self, record: Record) -> None:
        """A spec has its record; with a budget, a better one may replace it later."""


class Again(Protocol):
    """Who of a group that has had all its rounds takes part in another."""

    @property
    def precisions(self) -> Sequence[str]:
        """Precisions of specs that may come in later."""

    def __call__(self, records: Sequence[Record], passed: float) -> Sequence[Spec]:
        """None if enough is known.

        Args:
            records: of the group.
            passed: seconds since the session began.
        """


class Session:
    """Measures batches with one executor and one plan."""

    def __init__(
        self,
        executor: Executor,
        plan: Plan,
        environment: Environment,
        watcher: Watcher,
        macs: Mapping[str, int] | None = None,
        kept: Mapping[str, Record] | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        seat: Seat | None = None,
        known: Known | None = None,
        again: Again | None = None,
    ) -> None:
        """A session.

        Args:
            executor: measures.
            plan: how.
            environment: of every record.
            watcher: told of progress.
            macs: by spec id, roughly.
            kept: by spec id, what an earlier session has left.
            clock: of the budget.
            seat: of a session beside others, each on a GPU of its own.
            known: specs that it or another measures anyway; those of its own if not given.
            again: says after all rounds of a group who takes part in another; nobody if not given.
        """
        self._executor = executor
        self._plan = plan
        self._environment = environment
        self._watcher = watcher
        self._macs = dict(macs or {})
        self._kept = kept or {}
        self._clock = clock
        self._seat = seat or Seat()
        self._known = known
        self._again = again
        self._began = clock()
        self._token = secrets.token_hex(4)
        self._done = 0
        self._total = 1
        self._everything: Sequence[Group] = ()
        self._start = START_SECONDS

    def run(self, work: Iterable[list[Spec]]) -> Generator[list[Record]]:
        """Measure batch after batch; a group's records come after each of its ensembles.

        Every time they hold all that is known by then; the last ones of a spec count.
        """
        batches: list[list[Group]] = []
        for specs in work:
            batches.append(groups(specs, first=sum(map(len, batches))))
        everything = [group for batch in batches for group in batch]
        self._everything = everything
        for group in everything:
            group.go_on(self._kept)
            group.later = () if self._again is None else self._again.precisions
        known = self._known or Known(one.spec.id for group in everything for one in group.subjects)
        units = [sum(len(group.subjects) for group in batch) for batch in batches]
        self._total = max(1, sum(units) * (self._plan.rounds + 1))
        self._began = self._clock()
        with scratch_directory() as folder:
            behind = 0
            for batch, size in zip(list(batches), units, strict=True):
                yield from self._batch(batch, folder)
                for group in batch:
                    if self._is_halved(group):
                        size += yield from self._smaller(group, batches, known, folder)
                    group.replaced = True
                # A spec that failed early leaves work undone that was counted as ahead.
                behind += size * (self._plan.rounds + 1)
                self._done = behind
            if self._plan.budget is not None:
                yield from self._refine([one for batch in batches for one in batch], folder)

    def _is_halved(self, group: Group) -> bool:
        """Whether half the batch of a group is to be measured, and has not been yet."""
        return self._plan.halve_batch and not group.replaced and halving.too_large(group)

    def _smaller(
        self, group: Group, batches: list[list[Group]], known: Known, scratch: Path
    ) -> Generator[list[Record], None, int]:
        """In place of a group that is out of memory the same at half the batch, and so on.

        Returns:
            How many specs that were.
        """
        chain, size = [group], 0
        while specs := halving.smaller(chain[-1], known):
            macs = self._macs.get(chain[-1].subjects[0].spec.id, 0) // 2
            self._macs |= dict.fromkeys((spec.id for spec in specs), macs)
            new = groups(specs, first=sum(map(len, batches)))
            new[0].go_on(self._kept)
            batches.append(new)
            self._total += len(specs) * (self._plan.rounds + 1)
            yield from self._batch(new, scratch)
            chain, size = [*chain, *new], size + len(specs)
        halving.tell(chain)
        for one in chain:
            one.replaced = True
            yield from self._hand_over(one)
        return size

    def _batch(self, batch: list[Group], scratch: Path) -> Iterator[list[Record]]:
        """All rounds of a batch; only the first where time is short."""
        rounds = self._plan.rounds if self._plan.budget is None else 1
        for _ in range(rounds):
            yield from self._round(batch, scratch)
        if self._again is not None:
            for group in batch:
                yield from self._go_on(group, self._again, scratch)
        if self._plan.budget is None:
            for group in batch:
                shutil.rmtree(scratch / group.name, ignore_errors=True)

    def _go_on(self, group: Group, again: Again, scratch: Path) -> Iterator[list[Record]]:
        """Rounds of some of a group, for as long as somebody wants them."""
        fingerprint = self._environment.fingerprint
        known = group.records(fingerprint)
        while chosen := again(known, self._clock() - self._began):
            group.gather(chosen)
            self._total += len(chosen) + len(group.subjects) - len(known)
            yield from self._round([group], scratch)
            records = group.records(fingerprint)
            for record in records[len(known) :]:
                self._watcher.finished(record)
            known = records

    def _round(self, batch: list[Group], scratch: Path) -> Iterator[list[Record]]:
        """One pool for the groups of a batch that still need it."""
        waiting = [group for group in batch if not group.begun or not settled(group, self._plan)]
        if not waiting:
            return
        with self._executor.open(scratch) as pool:
            living = (one.spec for group in waiting for one in group.alive)
            pool.begin(compiling=any(spec.imports_compiler for spec in living))
            self._wait(pool)
            for group in waiting:
                folder = scratch / group.name
                folder.mkdir(exist_ok=True)
                passes = Passes(self._plan, pool, group, folder, self._step, self._seat)
                with self._seat.taken(group.workload.id):
                    for _ in self._visit(passes, group):
                        yield from self._hand_over(group)

    def _wait(self, pool: AnyPool) -> None:
        """Wait for a pool's first worker, and learn how long that takes."""
        began = self._clock()
        open_its_doors(pool)
        # One that was begun long before takes no time, which says nothing of the next.
        if (took := self._clock() - began) > _BEGUN_SECONDS:
            self._start = took

    def _visit(self, passes: Passes, group: Group) -> Iterator[None]:
        """What one pool does for a group; with a budget, first answers come before the rest.

        A stop wherever something has become known that a kill should not take.
        """
        first, group.begun = not group.begun, True
        if first:
            passes.first(self._token, lambda spec: self._macs.get(spec.id, 0))
            group.drop(self._plan.max_latency)
            yield
        elif group.rounds < allowed(group, self._plan):
            passes.round(self._token)
            yield
        if not group.complete and not (first and self._plan.budget is not None):
            passes.untimed()
            yield

    def _hand_over(self, group: Group) -> Iterator[list[Record]]:
        hurried = self._plan.budget is not None
        finished = settled(group, self._plan)
        # A round beyond those of the plan is owed to nobody.
        owed = not (hurried or finished or group.further)
        missing = f"{group.rounds} of {self._plan.rounds} rounds" if owed else ""
        records = group.records(self._environment.fingerprint, missing)
        if halved := self._is_halved(group):
            records = list(map(halving.unfinished, records))
        yield records
        going_on = group.rounds == 1 < self._plan.rounds and not group.complete
        if missing and going_on and hasattr(self._watcher, "first"):  # some users' have it not yet
            self._watcher.first(records)
        if (hurried or finished) and not (group.reported or halved):
            group.reported = True
            for record in records:
                self._watcher.finished(record)

    def _refine(self, everything: list[Group], scratch: Path) -> Iterator[list[Record]]:
        """Further rounds, as long as there is time, for whatever is still uncertain."""
        while batch := next_groups(everything, self._plan, self._left(), self._start):
            yield from self._round(batch, scratch)

    def _left(self) -> float:
        """Seconds of the budget that are left."""
        assert self._plan.budget is not None  # noqa: S101 - for the type checker
        return self._plan.budget - (self._clock() - self._began)

    def _step(self, what: str, units: int = 0) -> None:
        """Tell the watcher what begins, and count what is behind."""
        if self._plan.budget is None:
            self._watcher.working(what, self._done, self._total)
        else:
            passed = self._clock() - self._began
            left = max(0.0, self._plan.budget - passed)
            needed = remaining(self._everything, self._plan, self._start)
            end = passed + (left if needed is None else min(left, needed))
            self._watcher.working(what, round(passed), round(end))
        self._done += units
