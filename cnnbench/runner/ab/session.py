"""Duets to their verdicts: pair after pair over all contests that are still open.

The starter of a pair, or the two, serve every open contest, so that their import is paid once. A
contest leaves when the rule has decided; a regression must first be confirmed by pairs of its own.
Knows nothing of where the sides come from or where results are kept.
"""

from __future__ import annotations

import math
import os
import random
import secrets
import statistics
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cnnbench import units
from cnnbench.errors import WorkerError
from cnnbench.gate.rule import (
    MANY,
    Decision,
    SequentialRule,
    Verdict,
    decide,
    holm,
    p_value,
    witnessed,
)
from cnnbench.record import Failure, Run
from cnnbench.runner.ab import pair
from cnnbench.runner.ab.pair import ROLES, BrokenPair, PairedRun
from cnnbench.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cnnbench.channel import Message
    from cnnbench.plan import Plan
    from cnnbench.runner.executor import AnyPool, Executor


# A process alone on its core waits for it some thousandths of the time.
_WAITED = 0.01


@dataclass(frozen=True)
class PairedComparison:
    """Two specs to compare, and the rule that decides.

    Attributes:
        base, head: often the same spec of two codes.
        rule: threshold and looks.
    """

    base: Spec
    head: Spec
    rule: SequentialRule

    @property
    def name(self) -> str:
        """Its name in tables."""
        base, head = self.base.id, self.head.id
        if base == head:
            return base
        if replace(self.base, mode=self.head.mode) == self.head:
            modes = f"{self.base.mode.text} -> {self.head.mode.text}"
            return base.replace(f"/{self.base.mode.text}/", f"/{modes}/")
        return f"{base} -> {head}"


@dataclass(frozen=True)
class PairedOutcome:
    """What became of a contest.

    Attributes:
        contest: which.
        verdict: regression, improvement, unchanged, inconclusive or failed.
        decision: of the last look: estimate, interval, pairs, reason.
        pairs: log(head / base) of each pair of the first look, in order.
        confirmation: the same of the pairs that had to confirm a regression; the decision is then
            about these alone.
        witness: log-ratios of CPU time of the pairs that decided; empty if not measured.
        seconds: spent on it, with its share of starting processes.
        off_cpu: share of the sampled time without a core.
        waited: pairs in which that was so much that it was taken out, slice by slice.
        runs: by role, of every pair.
        failure, failed: what went wrong, and with which side.
    """

    contest: PairedComparison
    verdict: Verdict
    decision: Decision
    pairs: tuple[float, ...] = ()
    confirmation: tuple[float, ...] = ()
    witness: tuple[float, ...] = ()
    seconds: float = 0.0
    off_cpu: float | None = None
    waited: int = 0
    runs: Mapping[str, tuple[Run, ...]] = field(default_factory=dict)
    failure: Failure | None = None
    failed: str = ""


class PairWatcher(Protocol):
    """Who wants to know how far a match is."""

    def pair(self, number: int, undecided: int, total: int) -> None:
        """A pair of starters begins, with so many contests still open."""

    def working(self, contest: PairedComparison, number: int, *, confirming: bool) -> None:
        """A pair of workers of a contest begins."""

    def judged(self, outcome: PairedOutcome) -> None:
        """A contest is decided."""


@dataclass
class _Progress:
    """What is known of one contest so far."""

    contest: PairedComparison
    index: int
    pairs: list[float] = field(default_factory=list)
    witness: list[float] = field(default_factory=list)
    first: list[float] | None = None
    bouts: list[PairedRun] = field(default_factory=list)
    spent: float = 0.0
    seconds: float = 0.0
    slices: int = 1
    warm_up: int = 1

    @property
    def confirming(self) -> bool:
        return self.first is not None


class PairedSession:
    """Plays contests with two executors.

    Args:
        executors: who measures, by role.
        plan: slices, warm-up, limits of one pair.
        budget: seconds of measuring per contest and look; the least number of pairs is measured
            anyway. Not counted: starting processes, which all contests share, and building and
            compiling.
        watcher: told of progress.
    """

    def __init__(
        self, executors: Mapping[str, Executor], plan: Plan, budget: float, watcher: PairWatcher
    ) -> None:
        self._executors = executors
        self._plan = plan
        self._budget = budget
        self._watcher = watcher
        self._token = secrets.token_hex(4)
        self._random = random.Random(f"{plan.seed}/match")

    def play(self, contests: Sequence[PairedComparison]) -> Iterator[PairedOutcome]:
        """Measure until every contest is decided; each outcome as soon as there is one.

        With more than 50 contests, those that look like regressions come last, because what is
        believed of one depends on all.
        """
        open_ones = [_Progress(contest, index) for index, contest in enumerate(contests)]
        kept: list[PairedOutcome] = []
        number = 0
        with tempfile.TemporaryDirectory(prefix="cnnbench-") as folder:
            while open_ones:
                self._watcher.pair(number, len(open_ones), len(contests))
                for standing, outcome in self._round(open_ones, Path(folder), number):
                    open_ones.remove(standing)
                    if len(contests) > MANY:
                        kept.append(outcome)
                        continue
                    self._watcher.judged(outcome)
                    yield outcome
                number += 1
        for outcome in together(kept):
            self._watcher.judged(outcome)
            yield outcome

    def _round(
        self, open_ones: Sequence[_Progress], scratch: Path, number: int
    ) -> Iterator[tuple[_Progress, PairedOutcome]]:
        """One pair of starters and, for every open contest, one pair of workers."""
        order = self._random.sample(open_ones, len(open_ones))
        with ExitStack() as stack:
            began = time.monotonic()
            pools = self._pools(stack, scratch)
            share = (time.monotonic() - began) / len(order)
            for standing in order:
                standing.seconds += share
                outcome = self._pair(standing, pools, scratch, number)
                if outcome is not None:
                    yield standing, outcome

    def _pools(self, stack: ExitStack, scratch: Path) -> dict[str, AnyPool]:
        """A fresh starter for both sides, or one for each in random order; their import over.

        One starter where only networks differ: it costs half, and its forks share the memory that
        libraries and interpreter lie in.
        """
        first, second = self._random.sample(ROLES, len(ROLES))
        pools = {first: self._opened(stack, first, scratch)}
        joined = self._executors[second].join(pools[first])
        pools[second] = joined or self._opened(stack, second, scratch)
        return pools

    def _opened(self, stack: ExitStack, role: str, scratch: Path) -> AnyPool:
        folder = scratch / role
        folder.mkdir(exist_ok=True)
        pool = stack.enter_context(self._executors[role].open(folder))
        # If there can be no worker at all, the contests find out.
        _open_its_doors(pool)
        return pool

    def _pair(
        self, standing: _Progress, pools: Mapping[str, AnyPool], scratch: Path, number: int
    ) -> PairedOutcome | None:
        """One pair of workers, measured again if one side was not warm; the outcome, if any."""
        contest = standing.contest
        self._watcher.working(contest, len(standing.pairs) + 1, confirming=standing.confirming)
        while True:
            began = time.monotonic()
            order = f"{number}/{standing.warm_up}/{standing.index}"
            requests = {role: self._request(standing, role, scratch, number) for role in ROLES}
            found = pair.play(pools, requests, self._lengthened(standing), order)
            taken = time.monotonic() - began
            standing.seconds += taken
            if isinstance(found, BrokenPair):
                return _failed(standing, found)
            standing.spent += taken - found.preparing
            if standing.warm_up > 1 or not _drifts(found, contest.rule):
                return self._look(standing, found)
            standing.warm_up = 2

    def _lengthened(self, standing: _Progress) -> Plan:
        plan, more = self._plan, standing.slices
        return replace(plan, slices=plan.slices * more, turn_budget=plan.turn_budget * more)

    def _request(self, standing: _Progress, role: str, scratch: Path, number: int) -> Message:
        spec = standing.contest.base if role == "base" else standing.contest.head
        warm_up = {name: value * standing.warm_up for name, value in self._plan.warm_up.items()}
        return {
            "task": "measure",
            "spec": spec.id,
            "seed": self._plan.seed,
            "memory_limit": self._plan.memory_limit,
            "round": len(standing.bouts),
            "ensemble": f"{self._token}-{number}-{standing.index}",
            "warm_up": warm_up,
            "reference": None,
            "no_reference": "a duet compares times; 'cnnbench run' checks outputs",
            "reference_path": str(scratch / "none.npz"),
            "compile_cache": _compile_cache(spec, scratch),
        }

    def _look(self, standing: _Progress, bout: PairedRun) -> PairedOutcome | None:
        """Add a pair and decide, if that is possible yet."""
        rule = standing.contest.rule
        standing.bouts.append(bout)
        standing.pairs.append(_ratio(standing.contest, bout))
        if _one_thread(standing.contest) and bout.witness is not None:
            standing.witness.append(bout.witness)
        decision = decide(standing.pairs, rule, spent=self._spent(standing))
        decision = witnessed(decision, _whole(standing), rule)
        if decision.verdict is None:
            self._take_longer(standing, decision)
            return None
        if decision.verdict == "regression" and not standing.confirming:
            standing.first, standing.pairs, standing.witness = standing.pairs, [], []
            standing.spent = 0.0
            return None
        return _outcome(standing, decision)

    def _spent(self, standing: _Progress) -> bool:
        """Whether another pair would be beyond the budget."""
        count = len(standing.pairs)
        enough = count >= standing.contest.rule.least
        return enough and standing.spent * (count + 1) / count > self._budget

    def _take_longer(self, standing: _Progress, decision: Decision) -> None:
        """More slices, once, if the first pairs say that their noise cannot be resolved."""
        rule = standing.contest.rule
        first_look = len(standing.pairs) == rule.least and standing.slices == 1
        if first_look and (decision.resolvable or 0.0) > rule.threshold:
            standing.slices = 2


def _open_its_doors(pool: AnyPool) -> None:
    """Have a pool start its starter now, so that the import is in nobody's time."""
    try:
        pool.start().close()
    except WorkerError:
        return


def _compile_cache(spec: Spec, scratch: Path) -> str | None:
    """One folder for both sides: the compiler itself tells their codes and versions apart."""
    if spec.mode.compiler == "eager":
        return None
    return os.environ.get("TORCHINDUCTOR_CACHE_DIR") or str(scratch / "compiled")


def _drifts(bout: PairedRun, rule: SequentialRule) -> bool:
    """Whether one side was still warming up: more than noise, and more than can be borne."""
    change, error = bout.drift
    return abs(change) > max(rule.margin, 2 * error)


def _ratio(contest: PairedComparison, bout: PairedRun) -> float:
    """Log-ratio of a pair; without the waiting for a core where there was much and it is known."""
    awake = bout.awake if _waited(contest, bout) else None
    return bout.ratio if awake is None else awake


def _waited(contest: PairedComparison, bout: PairedRun) -> bool:
    return _one_thread(contest) and (bout.off_cpu or 0.0) > _WAITED


def _one_thread(contest: PairedComparison) -> bool:
    """Whether CPU time is the time that somebody waited for: not of many threads, nor of a GPU."""
    both = (contest.base, contest.head)
    return all(spec.threads == 1 and spec.device.kind == "cpu" for spec in both)


def _whole(standing: _Progress) -> list[float]:
    """CPU time of every pair, or of none."""
    return standing.witness if len(standing.witness) == len(standing.pairs) else []


def _outcome(standing: _Progress, decision: Decision) -> PairedOutcome:
    verdict = decision.verdict or "inconclusive"
    if standing.confirming and verdict in {"unchanged", "improvement"}:
        # Two looks that contradict each other are no answer.
        seen = units.percent(math.expm1(statistics.fmean(standing.first or [0.0])), sign=True)
        verdict = "inconclusive"
        decision = replace(
            decision,
            verdict=verdict,
            reason=f"a first look said {seen}, a second did not confirm it",
        )
    off = [share for bout in standing.bouts if (share := bout.off_cpu) is not None]
    return PairedOutcome(
        contest=standing.contest,
        verdict=verdict,
        decision=decision,
        pairs=tuple(standing.first if standing.first is not None else standing.pairs),
        confirmation=tuple(standing.pairs if standing.confirming else ()),
        witness=tuple(_whole(standing)),
        seconds=standing.seconds,
        off_cpu=statistics.fmean(off) if off else None,
        waited=sum(_waited(standing.contest, bout) for bout in standing.bouts),
        runs={
            "base": tuple(bout.base for bout in standing.bouts),
            "head": tuple(bout.head for bout in standing.bouts),
        },
    )


def _failed(standing: _Progress, broken: BrokenPair) -> PairedOutcome:
    reason = f"{broken.role}: {broken.failure.phase}: {broken.failure.message}"
    decision = Decision("failed", pairs=len(standing.pairs), reason=reason)
    found = _outcome(standing, decision)
    return replace(found, failure=broken.failure, failed=broken.role)


def together(outcomes: Sequence[PairedOutcome]) -> list[PairedOutcome]:
    """Many outcomes, of which only those regressions stay that stand beside each other (Holm).

    Of a confirmed regression both looks count: the three pairs that end a look could not by
    themselves be clear enough for any long list.
    """
    both = {index: (*one.pairs, *one.confirmation) for index, one in enumerate(outcomes)}
    p_values = {
        str(index): p_value(pairs, outcomes[index].contest.rule)
        for index, pairs in both.items()
        if len(pairs) > 1
    }
    if not p_values:
        return list(outcomes)
    standing = holm(p_values, outcomes[0].contest.rule.alpha)
    reason = f"one of {len(outcomes)} benchmarks: among so many, not clear enough"
    return [
        replace(
            one,
            verdict="inconclusive",
            decision=replace(one.decision, verdict="inconclusive", reason=reason),
        )
        if one.verdict == "regression" and str(index) not in standing
        else one
        for index, one in enumerate(outcomes)
    ]
