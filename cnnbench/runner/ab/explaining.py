"""Why one side is slower: pairs of processes with a clock in every module, within a budget.

As in a paired comparison, a pair is a fresh process of each side, and the two take turns. Beside
the clocks, one process of each side says what its modules are and do. Only code of this revision
has clocks: where a side runs another revision of cnnbench itself that has none, that is said.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from cnnbench import files, store
from cnnbench.codec import decode, encode
from cnnbench.errors import SchemaError, StoreError, WorkerError
from cnnbench.gate import explaining, side_by_side
from cnnbench.gate.explaining import ClockedPair, ClockedSide
from cnnbench.gate.explanation import Explanation, Span
from cnnbench.gate.outcomes import ROLES
from cnnbench.plan import Plan
from cnnbench.requests import ClockModules, DescribeModules, TakeClocks
from cnnbench.runner.ab import paired, sides, waiting
from cnnbench.runner.device import memory_limit
from cnnbench.runner.executor import Executor
from cnnbench.runner.inquiry import ask, tell
from cnnbench.scratch import scratch_directory

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from cnnbench.clocked import Clocked, ClockedTurn, StepFacts
    from cnnbench.gate.outcomes import PairedComparison, PairedOutcome
    from cnnbench.runner.ab.paired import Maker, PairedPlan
    from cnnbench.runner.executor import AnyPool, AnyWorker

NAME = "explanations.json"
_SCHEMA = 1
# Pairs before the first look, unless the budget is spent before.
LEAST = 6
# A process alone on its core waits for it some thousandths of the time.
_WAITED = 0.01
# So many times the budget, at most, where a process waits for its core.
_LONGER = 3.0
_TURNS = 8
_TURNS_PER_PLACE = 2
# A turn holds this many steps, half of them with clocks, unless that takes too long.
_STEPS, _SHORTEST, _LONGEST = 10, 0.06, 0.4


@dataclass(frozen=True)
class Clocking:
    """How an explanation is measured.

    Attributes:
        executors: who measures, by role.
        plan: seed, limits and conditions.
        budget: seconds per comparison; the fewest pairs are measured anyway.
        say: told of progress.
    """

    executors: Mapping[str, Executor]
    plan: Plan
    budget: float
    say: Callable[[str], None]

    def explain(
        self, comparison: PairedComparison, total: Span | None = None, *, busy: bool = False
    ) -> Explanation:
        """Measure pair after pair until what is named explains the change, or the budget is spent.

        Args:
            comparison: the sides.
            total: the change of the step as it was measured without clocks.
            busy: others are known to use the core.
        """
        began = time.monotonic()
        chance = random.Random(f"{self.plan.seed}/explain/{comparison.name}")
        known: tuple[StepFacts, StepFacts] | None = None
        pairs: list[ClockedPair] = []
        cpu_time = busy and waiting.of_one_thread(comparison)
        with scratch_directory() as folder, _Starters(self.executors, folder, chance) as starters:
            while True:
                self.say(f"{comparison.name}: explaining, pair {len(pairs) + 1}")
                try:
                    pools = starters.fresh()
                    known = known or self._facts(comparison, pools)
                    pair = self._pair(comparison, pools, chance, cpu_time=cpu_time)
                except WorkerError as error:
                    return _impossible(comparison, total, error, time.monotonic() - began)
                if pair.waiting > _WAITED and not cpu_time and waiting.of_one_thread(comparison):
                    # Times by two clocks cannot stand beside each other.
                    cpu_time, pairs = True, []
                    continue
                pairs.append(pair)
                taken = time.monotonic() - began
                spent = taken * _counted(pairs)
                if self._enough(len(pairs), spent):
                    found = explaining.explain(comparison.name, pairs, known, total, taken)
                    last = len(pairs) >= explaining.MOST or self._over(len(pairs), spent)
                    if last or explaining.settled(found):
                        return found

    def _enough(self, count: int, spent: float) -> bool:
        """Whether to look at the pairs so far: from the fewest pairs on, or where time is over."""
        return count >= LEAST or (count >= explaining.FEWEST and self._over(count, spent))

    def _over(self, count: int, spent: float) -> bool:
        return spent * (count + 1) / max(1, count) > self.budget

    def _facts(
        self, comparison: PairedComparison, pools: Mapping[str, AnyPool]
    ) -> tuple[StepFacts, StepFacts]:
        found = []
        for role in ROLES:
            request = DescribeModules.planned(comparison.spec(role), self.plan)
            found.append(ask(pools[role], request, self.plan.timeout))
        return found[0], found[1]

    def _pair(
        self,
        comparison: PairedComparison,
        pools: Mapping[str, AnyPool],
        chance: random.Random,
        *,
        cpu_time: bool,
    ) -> ClockedPair:
        workers: dict[str, AnyWorker] = {}
        steps: dict[str, Clocked] = {}
        turns: dict[str, list[ClockedTurn]] = {role: [] for role in ROLES}
        try:
            for role in chance.sample(ROLES, len(ROLES)):
                workers[role] = pools[role].start()
                spec = comparison.spec(role)
                request = ClockModules.planned(spec, self.plan, cpu_time=cpu_time)
                steps[role] = tell(workers[role], request, self.plan.timeout)
            slowest = max(one.estimate for one in steps.values())
            seconds = max(_SHORTEST, min(_STEPS * slowest, _LONGEST))
            for turn in range(_TURNS):
                for role in chance.sample(ROLES, len(ROLES)):
                    move = turn % _TURNS_PER_PLACE == 0
                    command = TakeClocks(turn=turn, seconds=seconds, move=move)
                    turns[role].append(tell(workers[role], command, self.plan.timeout))
        finally:
            for worker in workers.values():
                worker.close()
        base, head = (ClockedSide(steps[role], tuple(turns[role])) for role in ROLES)
        return ClockedPair(base, head, cpu_time)


def _counted(pairs: Sequence[ClockedPair]) -> float:
    """The share of the time that counts for the budget: waiting for a core does not, up to a limit.

    It is no time of the explanation's, and a busy machine is where more pairs are needed.
    """
    if not pairs[0].cpu_time:
        return 1.0
    return max(1 / _LONGER, 1 - statistics.fmean(one.waiting for one in pairs))


class _Starters:
    """The starters of both sides: one for all pairs where both run the same code, else fresh ones.

    A starter for both gives what it does to its forks to either side; two of them would favour one.
    """

    def __init__(
        self, executors: Mapping[str, Executor], folder: Path, chance: random.Random
    ) -> None:
        self._executors = executors
        self._folder = folder
        self._random = chance
        self._stack = ExitStack()
        self._pools: dict[str, AnyPool] = {}
        self._shared = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def fresh(self) -> dict[str, AnyPool]:
        """Pools for the next pair, by role."""
        if self._shared:
            return self._pools
        self._stack.close()
        first, second = self._random.sample(ROLES, len(ROLES))
        pool = self._opened(first)
        joined = self._executors[second].join(pool)
        self._shared = joined is not None
        self._pools = {first: pool, second: joined or self._opened(second)}
        return self._pools

    def _opened(self, role: str) -> AnyPool:
        own = self._folder / role
        own.mkdir(exist_ok=True)
        return self._stack.enter_context(self._executors[role].open(own))


def wanted(outcome: PairedOutcome, asked: bool | None) -> bool:
    """Whether an outcome is to be explained.

    Args:
        outcome: of a comparison.
        asked: by the user, or forbidden; ``None``: where it is a confirmed regression.
    """
    if outcome.failure is not None:
        return False
    return outcome.verdict == "regression" if asked is None else asked


def of_outcomes(
    outcomes: Iterable[PairedOutcome],
    executors: Mapping[str, Executor],
    plan: Plan,
    budget: float,
    say: Callable[[str], None],
    out: Path | None = None,
) -> dict[str, Explanation]:
    """Explanations of outcomes whose sides are still open, by the names of their comparisons.

    Args:
        outcomes: those that are wanted.
        executors: by role.
        plan: of their pairs.
        budget: seconds for each.
        say: told of progress.
        out: a directory that gets them all as ``explanations.json``.

    Raises:
        StoreError: that cannot be written.
    """
    clocking = Clocking(executors, plan, budget, say)
    found = {}
    for one in outcomes:
        busy = one.waited > 0
        found[one.comparison.name] = clocking.explain(
            one.measured_as, side_by_side.total(one), busy=busy
        )
        if out is not None:
            where = str(out)
            found[one.comparison.name] = replace(found[one.comparison.name], where=where)
            store.write_whole(
                out / NAME, {"schema": _SCHEMA, "explanations": encode([*found.values()])}
            )
    return found


def again(
    outcomes: Sequence[PairedOutcome],
    words: tuple[str, str],
    repo: Path,
    how: PairedPlan,
    say: Callable[[str], None],
    out: Path | None = None,
    executor: Maker | str = "process",
) -> dict[str, Explanation]:
    """Explanations of outcomes of two revisions, which are checked out once more for it.

    Args:
        outcomes: those that are wanted; nothing is checked out for none.
        words: BASE and HEAD, as they were measured.
        repo: the user's repository.
        how: as they were measured.
        say: told of progress.
        out: as in ``of_outcomes``.
        executor: ``process`` or ``fake``, or what makes the executor of a side.

    Raises:
        UsageError: a revision cannot be checked out.
        StoreError: ``out`` cannot be written.
    """
    if not outcomes:
        return {}
    both = sides.pair(words, repo, pythons=False)
    with sides.opened(both, repo, (None, None)) as opened:
        executors = {side.role: paired.executor_of(side, executor) for side in opened}
        limit = how.plan.memory_limit or memory_limit(outcomes[0].comparison.base.device)
        plan = replace(how.of_a_pair, memory_limit=limit)
        return of_outcomes(outcomes, executors, plan, how.budget, say, out)


def read(folder: Path) -> tuple[Explanation, ...]:
    """The explanations that a directory keeps.

    Raises:
        StoreError: it keeps none, or they cannot be read.
    """
    path = folder / NAME
    try:
        data = json.loads(files.read_text(path))
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(f"{folder} has no {NAME}; 'cnnbench ab --explain' writes it") from None
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError):
        raise StoreError(f"{path}: not valid JSON") from None
    if not isinstance(data, dict) or "explanations" not in data:
        raise StoreError(f"{path}: holds no explanations of cnnbench")
    if data.get("schema") != _SCHEMA:
        raise StoreError(f"{path}: schema {data.get('schema')} is not known to this version")
    try:
        return decode(tuple[Explanation, ...], data["explanations"], str(path))
    except SchemaError as error:
        raise StoreError(str(error)) from None


def _impossible(
    comparison: PairedComparison, total: Span | None, error: WorkerError, seconds: float
) -> Explanation:
    reason = f"modules cannot be timed: {error}"
    return Explanation(comparison.name, total or Span(0.0), seconds=seconds, notes=(reason,))
