"""Paired comparisons to their verdicts: pair after pair over all that are still open.

The starter of a round, or the two, serve every open comparison, so that their import is paid once.
A comparison leaves when the rule has decided; a regression must first be confirmed by pairs of its
own. Knows nothing of where the sides come from or where results are kept.
"""

from __future__ import annotations

import os
import random
import secrets
import statistics
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cnnbench import stats, units
from cnnbench.facts import worst
from cnnbench.gate import agreement, family
from cnnbench.gate.outcomes import ROLES, OneThread, PairedComparison, PairedOutcome, together
from cnnbench.gate.rule import Decision, checked_by_cpu_time, decide, further
from cnnbench.requests import MeasureLatency
from cnnbench.runner.ab import expected, pair, waiting
from cnnbench.runner.ab.expected import Expected
from cnnbench.runner.ab.pair import BrokenPair, PairedRun
from cnnbench.runner.ab.rounds import Rounds
from cnnbench.scratch import scratch_directory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cnnbench.plan import Plan
    from cnnbench.runner.executor import AnyPool, Executor


# Pairs of a look that are measured again because their turns do not agree; where most pairs are
# like that, it is the code's nature, or that of this machine, and the rule sees it as noise.
_AGAIN = 2
# Of the margin: a pair whose own turns leave less than that open is as good as pairs get.
_ENOUGH = 0.33


class PairWatcher(Protocol):
    """A listener for the progress of a session."""

    def pair(self, number: int, undecided: int, total: int) -> None:
        """A round of pairs begins, with ``undecided`` comparisons still open."""

    def working(self, comparison: PairedComparison, number: int, *, confirming: bool) -> None:
        """A pair of workers of a comparison begins."""

    def crowded(self, comparison: PairedComparison, share: float) -> None:
        """Threads waited for cores for this share of their time; one thread is measured instead."""

    def looked(self, comparison: PairedComparison, decision: Decision) -> None:
        """A pair more is known of a comparison; its decision may have no verdict yet."""

    def judged(self, outcome: PairedOutcome) -> None:
        """A comparison is decided."""


@dataclass
class _Progress:
    """The state of one comparison."""

    asked: PairedComparison
    index: int
    one_thread: OneThread | None = None
    pairs: list[float] = field(default_factory=list)
    cpu_pairs: list[float] = field(default_factory=list)
    first: list[float] | None = None
    pair_runs: list[PairedRun] = field(default_factory=list)
    spent: float = 0.0
    seconds: float = 0.0
    warm_up: int = 1
    expected: Mapping[str, Expected] | None = None
    again: int = 0
    repeated: int = 0
    over: bool = False

    @property
    def comparison(self) -> PairedComparison:
        """What is measured."""
        return self.asked if self.one_thread is None else self.one_thread.comparison

    @property
    def confirming(self) -> bool:
        return self.first is not None

    @property
    def further(self) -> int:
        """Rounds that are still to come, as far as the pairs of this look tell."""
        return further(self.pairs, self.comparison.rule)

    @property
    def turned_wrong(self) -> bool:
        base = worst(one.base.check for one in self.pair_runs)
        head = worst(one.head.check for one in self.pair_runs)
        return head is not None and head.turned_wrong(base)


class PairedSession:
    """Measures paired comparisons with two executors.

    Args:
        executors: who measures, by role.
        plan: slices, warm-up, limits of one pair.
        budget: seconds of measuring per comparison and look; the least number of pairs is measured
            anyway. Not counted: starting processes, which all comparisons share, building and
            compiling, and waiting for a core where that is taken out of the answer.
        watcher: told of progress.
        rounds: where the starters come from, if some are begun already.
        may_narrow: go on with one thread where several wait for cores; see ``waiting``.
    """

    def __init__(
        self,
        executors: Mapping[str, Executor],
        plan: Plan,
        budget: float,
        watcher: PairWatcher,
        rounds: Rounds | None = None,
        *,
        may_narrow: bool = False,
    ) -> None:
        self._executors = executors
        self._rounds = rounds
        self._plan = plan
        self._budget = budget
        self._watcher = watcher
        self._may_narrow = may_narrow
        self._token = secrets.token_hex(4)
        self._random = random.Random(f"{plan.seed}/session")
        self._one_code = False

    def measure(self, comparisons: Sequence[PairedComparison]) -> Iterator[PairedOutcome]:
        """Measure until every comparison is decided; each outcome as soon as there is one.

        With more than 50 comparisons, those that look like regressions come last, because the
        verdict on one depends on all.
        """
        open_ones = [_Progress(comparison, index) for index, comparison in enumerate(comparisons)]
        held = {"regression"} if len(comparisons) > family.MANY else set()
        found: list[PairedOutcome] = []
        number = 0
        with ExitStack() as stack:
            folder = stack.enter_context(scratch_directory())
            rounds = self._rounds or stack.enter_context(Rounds(self._executors, self._plan.seed))
            while open_ones:
                self._watcher.pair(number, len(open_ones), len(comparisons))
                for progress, outcome in self._round(open_ones, rounds, folder, number):
                    open_ones.remove(progress)
                    found.append(outcome)
                    if outcome.verdict not in held:
                        self._watcher.judged(outcome)
                        yield outcome
                number += 1
        for before, outcome in zip(found, together(found), strict=True):
            if before.verdict in held:
                self._watcher.judged(outcome)
                yield outcome

    def _round(
        self, open_ones: Sequence[_Progress], rounds: Rounds, scratch: Path, number: int
    ) -> Iterator[tuple[_Progress, PairedOutcome]]:
        """One pair of starters and, for every open comparison, one pair of workers."""
        order = self._random.sample(open_ones, len(open_ones))
        rounds.begin(
            max(one.further for one in order),
            compiling=any(
                one.comparison.spec(role).imports_compiler for one in order for role in ROLES
            ),
        )
        with rounds.next() as opened:
            share = rounds.take_waited() / len(order)
            self._one_code = opened.one_code
            for progress in order:
                progress.seconds += share
                outcome = self._pair(progress, opened.pools, scratch, number)
                if outcome is not None:
                    yield progress, replace(outcome, budget=self._budget)

    def _pair(
        self, progress: _Progress, pools: Mapping[str, AnyPool], scratch: Path, number: int
    ) -> PairedOutcome | None:
        """One pair of workers, measured again if one side was not warm; the outcome, if any."""
        number_of = len(progress.pairs) + 1
        self._watcher.working(progress.asked, number_of, confirming=progress.confirming)
        known = self._expect(progress, pools, scratch)
        while True:
            began = time.monotonic()
            order = f"{number}/{progress.warm_up}/{progress.index}/{progress.repeated}"
            requests = {
                role: self._request(progress, role, known[role], scratch, number) for role in ROLES
            }
            enough = _ENOUGH * progress.comparison.rule.margin
            core = self._core(progress)
            found = pair.measure(pools, requests, self._plan, order, core, enough)
            taken = time.monotonic() - began
            progress.seconds += taken
            if isinstance(found, BrokenPair):
                return _failed(progress, found)
            counted = waiting.had_core(progress.comparison, found)
            progress.spent += (taken - found.preparing) * counted
            if not self._narrowed(progress, found) and not _measured_again(progress, found):
                return self._look(progress, found)

    def _narrowed(self, progress: _Progress, found: PairedRun) -> bool:
        """Whether its threads waited, so that it begins anew with one of them."""
        share = waiting.crowded(progress.comparison, found) if self._may_narrow else None
        if share is None:
            return False
        narrow = waiting.on_one_thread(progress.asked)
        # What was measured so far is about other specs; no verdict mixes the two.
        aside = OneThread(narrow, share, len(progress.pair_runs) + 1)
        self._watcher.crowded(progress.asked, share)
        progress.one_thread, progress.first = aside, None
        progress.pairs, progress.cpu_pairs, progress.pair_runs = [], [], []
        progress.spent, progress.again, progress.warm_up = 0.0, 0, 1
        return True

    def _core(self, progress: _Progress) -> int | None:
        """The core of the next pair where one thread is measured instead of several.

        Another for every pair: none is quiet for long, and what is peculiar to one is not in all.
        """
        return None if progress.one_thread is None else self._executors["base"].freest_core()

    def _expect(
        self, progress: _Progress, pools: Mapping[str, AnyPool], scratch: Path
    ) -> Mapping[str, Expected]:
        """What the sides should answer: found out before their first pair, then known."""
        if progress.expected is None:
            folder = scratch / f"expected-{progress.index}"
            folder.mkdir()
            began = time.monotonic()
            progress.expected = expected.of_sides(
                progress.comparison, pools, self._plan, folder, one_code=self._one_code
            )
            progress.seconds += time.monotonic() - began
        return progress.expected

    def _request(
        self, progress: _Progress, role: str, known: Expected, scratch: Path, number: int
    ) -> MeasureLatency:
        spec = progress.comparison.spec(role)
        return MeasureLatency.planned(
            spec,
            self._plan,
            round=len(progress.pair_runs),
            ensemble=f"{self._token}-{number}-{progress.index}",
            warm_up=self._plan.warm_up.times(progress.warm_up),
            reference=known.reference,
            no_reference=known.reason,
            reference_path=known.path,
            weights=known.weights,
            compile_cache=_kept(progress, role, scratch),
        )

    def _look(self, progress: _Progress, pair_run: PairedRun) -> PairedOutcome | None:
        """Add a pair and decide, if that is possible yet."""
        rule = progress.comparison.rule
        progress.pair_runs.append(pair_run)
        progress.pairs.append(statistics.median(waiting.turns(progress.comparison, pair_run)))
        if waiting.of_one_thread(progress.comparison) and pair_run.cpu_ratio is not None:
            progress.cpu_pairs.append(pair_run.cpu_ratio)
        decision = decide(progress.pairs, rule, spent=self._spent(progress))
        decision = checked_by_cpu_time(decision, _whole(progress), rule)
        self._watcher.looked(progress.asked, decision)
        if decision.verdict is None:
            return None
        if decision.verdict == "regression" and rule.confirms and not progress.confirming:
            progress.first, progress.pairs, progress.cpu_pairs = progress.pairs, [], []
            progress.spent, progress.again = 0.0, 0
            return None
        return _outcome(progress, decision)

    def _spent(self, progress: _Progress) -> bool:
        """Whether another pair would be beyond the budget, or of no interest."""
        count = len(progress.pairs)
        if count < progress.comparison.rule.least:
            return False
        # How fast a wrong answer is need not be known any better.
        progress.over = progress.spent * (count + 1) / count > self._budget
        return progress.turned_wrong or progress.over


def _kept(progress: _Progress, role: str, scratch: Path) -> str | None:
    """Where a side's processes keep what the first of them compiles or exports.

    One folder for both where torch's compiler works, which distinguishes code and versions itself;
    another for one thread instead of several: the number is in the generated code, and not every
    version of the compiler looks for it when it finds code again. An artefact is a side's own.
    """
    mode = progress.comparison.spec(role).mode
    narrow = [] if progress.one_thread is None else ["one-thread"]
    if mode.runtime:
        return str(Path(scratch, "deployed", f"{progress.index}-{role}", *narrow))
    if not mode.compiles:
        return None
    return str(Path(os.environ.get("TORCHINDUCTOR_CACHE_DIR") or scratch / "compiled", *narrow))


def _measured_again(progress: _Progress, found: PairedRun) -> bool:
    """Whether a pair counts for nothing: one side was not warm, or its turns do not agree."""
    turns, margin = waiting.turns(progress.comparison, found), progress.comparison.rule.margin
    change, error = agreement.drift(turns)
    if progress.warm_up == 1 and abs(change) > max(margin, 2 * error):
        # More than noise, and more than is acceptable: as of a side that still warms up.
        progress.warm_up = 2
    elif progress.again < _AGAIN and agreement.disagreement(turns, margin):
        progress.again += 1
    else:
        return False
    progress.repeated += 1
    return True


def _whole(progress: _Progress) -> list[float]:
    """CPU times if every pair has them, otherwise none."""
    return progress.cpu_pairs if len(progress.cpu_pairs) == len(progress.pairs) else []


def _outcome(progress: _Progress, decision: Decision) -> PairedOutcome:
    if progress.confirming and decision.verdict in {"unchanged", "improvement"}:
        # Two looks that contradict each other are no answer.
        seen = units.percent(stats.change_of(statistics.fmean(progress.first or [0.0])), sign=True)
        reason = f"{seen} in a first look, not confirmed by a second"
        decision = replace(decision, verdict="inconclusive", reason=reason)
    runs = progress.pair_runs
    off = [share for one in runs if (share := one.off_cpu) is not None]
    waits = [share for one in runs if (share := waiting.share(one)) is not None]
    margin = progress.comparison.rule.margin
    return PairedOutcome(
        comparison=progress.asked,
        decision=decision,
        pairs=tuple(progress.first if progress.first is not None else progress.pairs),
        confirmation=tuple(progress.pairs if progress.confirming else ()),
        cpu_pairs=tuple(_whole(progress)),
        seconds=progress.seconds,
        off_cpu=statistics.fmean(off) if off else None,
        waiting=statistics.median(waits) if waits else None,
        waited=sum(waiting.waited(progress.comparison, one) for one in runs),
        one_thread=progress.one_thread,
        repeated=progress.repeated,
        disagreeing=sum(
            bool(agreement.disagreement(waiting.turns(progress.comparison, one), margin))
            for one in runs
        ),
        spent=progress.over,
        runs={
            "base": tuple(one.base for one in runs),
            "head": tuple(one.head for one in runs),
        },
    )


def _failed(progress: _Progress, broken: BrokenPair) -> PairedOutcome:
    reason = f"{broken.role}: {broken.failure.phase}: {broken.failure.message}"
    decision = Decision("failed", pairs=len(progress.pairs), reason=reason)
    found = _outcome(progress, decision)
    return replace(found, failure=broken.failure, failed=broken.role)
