"""The starters of a paired comparison: fresh ones for every round, begun before they are needed.

A round's starter is used for that round only, so that memory lies elsewhere in every pair; but
nothing asks that its import wait for the round. The starters of all rounds that must come are begun
at once, are over with their imports before anything is measured, and sleep until their turn. Those
of the first round also answer the questions of a preparation.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnbench.gate.outcomes import ROLES
from cnnbench.runner import ahead
from cnnbench.runner.executor import AnyPool, Executor
from cnnbench.scratch import scratch_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class OpenRound:
    """The pools of one round.

    Attributes:
        pools: starts workers, by role.
        one_code: one starter forks the workers of both sides.
        stack: closes the pools.
    """

    pools: Mapping[str, AnyPool]
    one_code: bool
    stack: ExitStack


class Rounds:
    """Starters of two sides, round by round. A context manager: none is left when it ends.

    Args:
        executors: who measures, by role.
        seed: of the order in which the two sides start.
    """

    def __init__(self, executors: Mapping[str, Executor], seed: int = 0) -> None:
        self._executors = executors
        self._random = random.Random(f"{seed}/starters")
        self._stack = ExitStack()
        self._open: deque[OpenRound] = deque()
        self._waited = 0.0
        self._compiling = False

    def __enter__(self) -> Rounds:
        self._scratch = self._stack.enter_context(scratch_directory())
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def begin(self, count: int, *, compiling: bool = False) -> None:
        """Begin the starters of the next rounds, and wait until all imports are over.

        Args:
            compiling: workers of these rounds need torch's compiler; so do all later ones.
            count: rounds that are still to come for certain; at least one. Fewer are begun where
                that is no faster, or where memory is short.
        """
        began = time.monotonic()
        self._compiling = self._compiling or compiling
        most = ahead.most(len(ROLES))
        new = [self._begun() for _ in range(len(self._open), max(1, min(count, most)))]
        for one in new:
            self._open.append(one)
            for pool in one.pools.values():
                ahead.open_its_doors(pool)
        self._waited += time.monotonic() - began

    def take_waited(self) -> float:
        """Seconds that went into starting since this was last asked."""
        waited, self._waited = self._waited, 0.0
        return waited

    @contextmanager
    def next(self) -> Iterator[OpenRound]:
        """The next round; its processes are gone when the context ends."""
        self.begin(1)
        found = self._open.popleft()
        with found.stack:
            # One that was killed while it slept is begun anew, before a comparison pays for that.
            for pool in found.pools.values():
                ahead.open_its_doors(pool)
            yield found

    def asked(self, role: str) -> Asked:
        """The executor of a side for questions before the first round."""
        return Asked(self, role, self._executors[role])

    def front(self, role: str) -> AnyPool:
        """A side's pool of the next round, which stays open for it."""
        self.begin(1)
        return self._open[0].pools[role]

    def _begun(self) -> OpenRound:
        """A fresh starter for both sides, or one for each in random order.

        One where only networks differ: it costs half, and its forks share the memory that libraries
        and interpreter lie in.
        """
        first, second = self._random.sample(ROLES, len(ROLES))
        with ExitStack() as stack:
            pools = {first: self._pool(stack, first)}
            joined = self._executors[second].join(pools[first])
            pools[second] = joined or self._pool(stack, second)
            # Closed with the round, or at the latest with all of them.
            own = self._stack.enter_context(stack.pop_all())
            return OpenRound(pools, joined is not None, own)

    def _pool(self, stack: ExitStack, role: str) -> AnyPool:
        folder = self._scratch / role
        folder.mkdir(exist_ok=True)
        pool = stack.enter_context(self._executors[role].open(folder))
        pool.begin(compiling=self._compiling)
        return pool


class Asked(ahead.InPlaceOf):
    """An executor of one side whose workers come from the starter of the next round."""

    def __init__(self, rounds: Rounds, role: str, who: Executor) -> None:
        super().__init__(who)
        self._rounds, self._role = rounds, role

    @contextmanager
    def open(self, scratch: Path) -> Iterator[AnyPool]:
        """The pool of the next round; it stays open when the context ends."""
        del scratch
        yield self._rounds.front(self._role)
