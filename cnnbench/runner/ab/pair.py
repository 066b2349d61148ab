"""One pair: a fresh process of each side, taking turns on the same cores.

The primitive of comparing two codes. As in an ensemble, exactly one works at a time, in slices of
at least 60 ms, in random order; here each side has a pool of its own, because its code may come
from elsewhere.
"""

from __future__ import annotations

import math
import os
import random
import statistics
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnbench.errors import UsageError, WorkerError
from cnnbench.gate import agreement
from cnnbench.gate.outcomes import ROLES
from cnnbench.metrics import slice_seconds
from cnnbench.record import Failure, Run
from cnnbench.requests import Finish, TakeSlice
from cnnbench.runner.ensemble import failure
from cnnbench.runner.inquiry import tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cnnbench.messages import Answer, Request
    from cnnbench.plan import Plan
    from cnnbench.requests import MeasureLatency
    from cnnbench.runner.executor import AnyPool, AnyWorker
    from cnnbench.slices import Slice

# After so many turns, the tensors of both sides move: much of what makes two processes of the same
# code differ is where their memory lies.
_TURNS_PER_PLACE = 2
# A slice holds two calls where that is not too long to keep neighbouring slices neighbours.
_LONGEST_SLICE = 0.25
# Where the turns of a pair are too far apart, it goes on for up to so many times as many.
_LONGER = 4


@dataclass(frozen=True)
class PairedRun:
    """The result of one pair of processes.

    Attributes:
        base, head: the two runs; slices of equal turn were next to each other.
        seconds: that it took, preparation included.
    """

    base: Run
    head: Run
    seconds: float

    @property
    def preparing(self) -> float:
        """Seconds spent on building and on first calls, which compile."""
        return sum(one.build_ns + sum(one.warmup_ns[:1]) for one in (self.base, self.head)) / 1e9

    @property
    def ratio(self) -> float:
        """log(head / base) of this pair: the median over turns of the log-ratio of medians."""
        return statistics.median(self.turns())

    @property
    def awake(self) -> float | None:
        """The ratio without the time that a process was ready to run but had no core.

        A neighbour on the core adds to the wall clock what the code has nothing to do with, more
        than most changes do. The kernel counts it; what is left holds computing and everything that
        the code itself waits for, unlike CPU time. Right for processes of one thread, since it is
        the main thread's waiting that is known; ``None`` where it is not.
        """
        slices = [*self.base.slices, *self.head.slices]
        if any(one.awake_seconds is None for one in slices):
            return None
        return statistics.median(self._ratios(lambda one: one.awake_seconds or one.seconds))

    @property
    def cpu_ratio(self) -> float | None:
        """The ratio of CPU times; ``None`` if they were not measured."""
        slices = [*self.base.slices, *self.head.slices]
        if any(not one.cpu_seconds for one in slices):
            return None
        return statistics.median(self._ratios(lambda one: one.cpu_seconds or one.seconds))

    def turns(self, *, awake: bool = False) -> list[float]:
        """Log-ratios by turn, in order.

        Args:
            awake: without waiting for a core, where that is known of every slice.
        """
        slices = [*self.base.slices, *self.head.slices]
        if awake and all(one.awake_seconds is not None for one in slices):
            return self._ratios(lambda one: one.awake_seconds or one.seconds)
        return self._ratios(slice_seconds)

    @property
    def off_cpu(self) -> float | None:
        """Share of the sampled time that the processes were ready to run but had no core."""
        slices = [*self.base.slices, *self.head.slices]
        delays = [one.run_delay_ns for one in slices]
        total = sum(sum(one.ns) for one in slices)
        known = [one for one in delays if one is not None]
        return sum(known) / total if total and len(known) == len(delays) else None

    def _ratios(self, of: Callable[[Slice], float]) -> list[float]:
        """Log-ratios of slices, by turn."""
        base = {one.turn: of(one) for one in self.base.slices}
        head = {one.turn: of(one) for one in self.head.slices}
        return [math.log(head[turn] / base[turn]) for turn in sorted(base.keys() & head.keys())]


@dataclass(frozen=True)
class BrokenPair:
    """A pair without a result: which side failed, and how."""

    role: str
    failure: Failure


def measure(
    pools: Mapping[str, AnyPool],
    requests: Mapping[str, MeasureLatency],
    plan: Plan,
    order: str,
    core: int | None = None,
    enough: float = math.inf,
) -> PairedRun | BrokenPair:
    """Start a worker of each side, let them take turns, collect.

    Args:
        pools: starts workers, by role.
        requests: what to ask of each side, by role.
        plan: how many slices, how long.
        order: seeds turns, beside the plan.
        core: that both workers are kept on; ``None`` leaves them where they may run.
        enough: standard error of the ratio that needs no further turns. A restless moment costs
            turns, which are cheaper than pairs. How far turns are apart says nothing about which
            side is faster, so going on favours none.
    """
    chance = random.Random(f"{plan.seed}/{order}")
    return _LivePair(pools, plan, chance, core, enough).measure(requests)


class _LivePair:
    """Two workers, and which of them is being asked."""

    def __init__(
        self,
        pools: Mapping[str, AnyPool],
        plan: Plan,
        chance: random.Random,
        core: int | None,
        enough: float,
    ) -> None:
        self._pools = pools
        self._core = core
        self._enough = enough
        self._plan = plan
        self._random = chance
        self._workers: dict[str, AnyWorker] = {}
        self._asked = ROLES[0]

    def measure(self, requests: Mapping[str, MeasureLatency]) -> PairedRun | BrokenPair:
        began = time.monotonic()
        try:
            estimates = [self._prepare(role, requests[role]) for role in self._shuffled(ROLES)]
            self._turns(max(estimates))
            runs = {role: self._ask(role, Finish()) for role in ROLES}
        except WorkerError as error:
            return BrokenPair(self._asked, failure(error))
        finally:
            for worker in self._workers.values():
                worker.close()
        return PairedRun(runs["base"], runs["head"], time.monotonic() - began)

    def _prepare(self, role: str, request: MeasureLatency) -> float:
        self._asked = role
        self._workers[role] = self._pools[role].start()
        if self._core is not None:
            self._workers[role].keep_on(self._core)
        return self._ask(role, request).estimate

    def _turns(self, estimate: float) -> None:
        length = max(self._plan.slice_seconds, min(2 * estimate, _LONGEST_SLICE))
        planned = self._plan.turns(estimate)
        longest = int(_LONGER * self._plan.turn_budget / max(length, estimate))
        most = max(planned, min(_LONGER * planned, longest))
        ratios: list[float] = []
        for turn in range(most):
            if turn >= planned and turn % planned == 0 and agreement.error(ratios) <= self._enough:
                return
            taken = {}
            for role in self._shuffled(ROLES):
                move = turn % _TURNS_PER_PLACE == 0
                taken[role] = self._ask(role, TakeSlice(turn=turn, seconds=length, move=move))
            known = [taken[role].seconds for role in ROLES]
            if not all(known):  # a worker of an older revision does not tell
                self._enough = math.inf
            else:
                base, head = (one or 1.0 for one in known)
                ratios.append(math.log(head / base))

    def _ask(self, role: str, request: Request[Answer]) -> Answer:
        self._asked = role
        return tell(self._workers[role], request, self._plan.timeout)

    def _shuffled(self, roles: Sequence[str]) -> list[str]:
        return self._random.sample(roles, len(roles))


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Run this process, and every one it starts, on one core only.

    Raises:
        UsageError: this process may not run there.
    """
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    if core not in before:
        allowed = ", ".join(map(str, sorted(before)))
        raise UsageError(f"--core {core}: this process may only run on {allowed}")
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
