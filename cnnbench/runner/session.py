"""A whole run: specs in, records out, even if some fail.

Groups are measured in batches: in every round one pool serves the whole batch, so that its import
is paid once, and a batch is small enough that a killed run loses minutes and not a night.

Without a budget, a batch gets all its rounds before the next begins. With one, every group gets one
round of timing first, so that every spec has an answer; what time is left goes to what is missing
or still uncertain.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cnnbench.runner.passes import Passes
from cnnbench.runner.schedule import next_groups, settled
from cnnbench.runner.subject import groups

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from cnnbench.environment import Environment
    from cnnbench.plan import Plan
    from cnnbench.record import Record
    from cnnbench.runner.executor import Executor
    from cnnbench.runner.subject import Group
    from cnnbench.spec import Spec


class Watcher(Protocol):
    """A listener for the progress of a session."""

    def working(self, what: str, done: int, total: int) -> None:
        """A step begins; ``done`` of ``total`` units of work are finished."""

    def finished(self, record: Record) -> None:
        """A spec has its record; with a budget, a better one may replace it later."""


class Session:
    """Measures batches with one executor and one plan."""

    def __init__(
        self,
        executor: Executor,
        plan: Plan,
        environment: Environment,
        watcher: Watcher,
        macs: Mapping[str, int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args: macs: spec id -> roughly its multiply-accumulates. clock: seconds, for budgets."""
        self._executor = executor
        self._plan = plan
        self._environment = environment
        self._watcher = watcher
        self._macs = macs or {}
        self._clock = clock
        self._began = clock()
        self._token = secrets.token_hex(4)
        self._done = 0
        self._total = 1

    def run(self, work: Iterable[list[Spec]]) -> Iterator[list[Record]]:
        """Measure batch after batch; a batch's records come together.

        With a budget, records of the same specs may come again, with more rounds.
        """
        batches: list[list[Group]] = []
        for specs in work:
            batches.append(groups(specs, first=sum(map(len, batches))))
        units = [sum(len(group.subjects) for group in batch) for batch in batches]
        self._total = max(1, sum(units) * (self._plan.rounds + 1))
        self._began = self._clock()
        with tempfile.TemporaryDirectory(prefix="cnnbench-") as folder:
            behind = 0
            for batch, size in zip(batches, units, strict=True):
                yield from self._hand_over(self._batch(batch, Path(folder)), batch)
                # A spec that failed early leaves work undone that was counted as ahead.
                behind += size * (self._plan.rounds + 1)
                self._done = behind
            if self._plan.budget is not None:
                yield from self._refine([one for batch in batches for one in batch], Path(folder))

    def _batch(self, batch: list[Group], scratch: Path) -> list[Record]:
        """All rounds of a batch; only the first where time is short."""
        rounds = self._plan.rounds if self._plan.budget is None else 1
        for _ in range(rounds):
            self._round(batch, scratch)
        if self._plan.budget is None:
            for group in batch:
                shutil.rmtree(scratch / group.name, ignore_errors=True)
        return [
            record for group in batch for record in group.records(self._environment.fingerprint)
        ]

    def _round(self, batch: list[Group], scratch: Path) -> None:
        """One pool for the groups of a batch that still need it."""
        waiting = [group for group in batch if not group.rounds or not settled(group, self._plan)]
        if not waiting:
            return
        with self._executor.open(scratch) as pool:
            for group in waiting:
                folder = scratch / group.name
                folder.mkdir(exist_ok=True)
                self._visit(Passes(self._plan, pool, group, folder, self._step), group)

    def _visit(self, passes: Passes, group: Group) -> None:
        """What one pool does for a group; with a budget, first answers come before the rest."""
        first = not group.rounds
        if first:
            passes.first(self._token, lambda spec: self._macs.get(spec.id, 0))
        elif group.rounds < self._plan.rounds:
            passes.round(self._token)
        if not group.complete and not (first and self._plan.budget is not None):
            passes.untimed()

    def _hand_over(self, records: list[Record], batch: list[Group]) -> Iterator[list[Record]]:
        yield records
        if not all(group.reported for group in batch):
            for record in records:
                self._watcher.finished(record)
        for group in batch:
            group.reported = True

    def _refine(self, everything: list[Group], scratch: Path) -> Iterator[list[Record]]:
        """Further rounds, as long as there is time, for whatever is still uncertain."""
        while batch := next_groups(everything, self._plan, self._left()):
            self._round(batch, scratch)
            fingerprint = self._environment.fingerprint
            records = [record for group in batch for record in group.records(fingerprint)]
            yield from self._hand_over(records, batch)

    def _left(self) -> float:
        """Seconds of the budget that are left."""
        assert self._plan.budget is not None  # noqa: S101 - for the type checker
        return self._plan.budget - (self._clock() - self._began)

    def _step(self, what: str, units: int = 0) -> None:
        """Tell the watcher what begins, and count what is behind."""
        if self._plan.budget is None:
            self._watcher.working(what, self._done, self._total)
        else:
            passed = round(self._clock() - self._began)
            self._watcher.working(what, passed, max(passed, round(self._plan.budget)))
        self._done += units
