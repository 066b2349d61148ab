"""Starters begun before they are needed, so that their imports are over together.

A round's starter is used for that round only, but nothing asks that its import wait for the round.
On two cores, the imports of four starters take half as long at once as one after the other, and
nothing is measured beside them.
"""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from cnnbench import machine
from cnnbench.errors import WorkerError
from cnnbench.scratch import scratch_directory

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from cnnbench.quiet import CoreUse
    from cnnbench.runner.executor import AnyPool, Executor
    from cnnbench.runner.halt import Halt

# What a starter holds for itself once torch is imported, roughly; and the share of the memory that
# is free now which those that only wait may take.
_STARTER_BYTES = 0.5 * 2**30
_SHARE = 0.25
# No more rounds are begun at a time than comparisons have unless told.
_MOST = 10


def most(each: int = 1) -> int:
    """Rounds that may be begun at a time, with ``each`` starters a round."""
    if machine.usable_cores() < 2:
        return 1
    free = machine.memory_available()
    return 1 if free is None else min(_MOST, int(_SHARE * free / (each * _STARTER_BYTES)))


def open_its_doors(pool: AnyPool) -> None:
    """Wait until a pool has a starter, so that no measurement includes an import.

    If there can be no worker at all, the first request for one finds out.
    """
    try:
        pool.start().close()
    except WorkerError:
        return


class InPlaceOf:
    """What an executor is besides its pools, for one that opens them in another way.

    Args:
        who: the executor.
    """

    def __init__(self, who: Executor) -> None:
        self._who = who
        self.name, self.pretends = who.name, who.pretends

    def seeing(self, gpu: str, halt: Halt) -> Executor:
        """The executor itself, seeing one GPU; it shares no starter with this one."""
        return self._who.seeing(gpu, halt)

    def with_allocator(self, condition: str) -> Executor:
        """The executor itself in a state of malloc; it shares no starter with this one."""
        return self._who.with_allocator(condition)

    def core_use(self) -> CoreUse | None:
        """How busy the cores are."""
        return self._who.core_use()

    def freest_core(self) -> int | None:
        """The core that others use least."""
        return self._who.freest_core()

    def join(self, pool: AnyPool) -> AnyPool | None:
        """Its own workers from another's pool."""
        return self._who.join(pool)


class Ahead(InPlaceOf):
    """An executor whose first pools are begun at once, and wait. A context manager.

    Questions before the first round are put to a worker of the pool of that round.

    Args:
        who: whose pools.
        rounds: how many are sure to come.
        compiling: those in which workers will need torch's compiler, from 0.
    """

    def __init__(self, who: Executor, rounds: int, compiling: Collection[int] = ()) -> None:
        super().__init__(who)
        self._rounds = rounds
        self._compiling = compiling
        self._stack = ExitStack()
        self._begun: deque[tuple[AnyPool, ExitStack]] = deque()

    def __enter__(self) -> Ahead:
        with ExitStack() as begun:
            folder = begun.enter_context(scratch_directory())
            for number in range(max(1, min(self._rounds, most()))):
                stack = begun.enter_context(ExitStack())
                pool = stack.enter_context(self._who.open(folder))
                pool.begin(compiling=number in self._compiling)
                self._begun.append((pool, stack))
            self._stack = begun.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def asked(self) -> FirstRound:
        """The executor for questions: its workers come from the pool of the next round."""
        return FirstRound(self)

    @contextmanager
    def open(self, scratch: Path) -> Iterator[AnyPool]:
        """The next pool that was begun, or a fresh one when there is none left."""
        if not self._begun:
            with self._who.open(scratch) as pool:
                yield pool
            return
        self.wait()
        found, stack = self._begun.popleft()
        with stack:
            yield found

    def wait(self) -> None:
        """Wait until the imports of all that were begun are over."""
        for waiting, _ in self._begun:
            open_its_doors(waiting)

    def front(self) -> AnyPool | None:
        """The pool of the next round, which stays open for it; ``None`` if none was begun."""
        return self._begun[0][0] if self._begun else None


class FirstRound(Ahead):
    """The same executor for questions, whose workers share the starter of the next round."""

    def __init__(self, ahead: Ahead) -> None:
        super().__init__(ahead, 0)
        self._ahead = ahead

    @contextmanager
    def open(self, scratch: Path) -> Iterator[AnyPool]:
        """The pool of the next round; it stays open when the context ends."""
        front = self._ahead.front()
        if front is not None:
            yield front
            return
        with self._ahead.open(scratch) as pool:
            yield pool
