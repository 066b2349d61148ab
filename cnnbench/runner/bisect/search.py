"""From two commits to the one between them that made it slower.

Structure first, exactly and without a clock: it shows which commits to suspect. Then pairs, each
commit against GOOD, as ``cnnbench ab`` measures them. What is found is kept after every step.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cnnbench import units
from cnnbench.codec import decode
from cnnbench.errors import SomeFailed, StoreError, WorkerError
from cnnbench.gate import bisection, facets
from cnnbench.gate.bisected import Bisection, StructureChange
from cnnbench.gate.bisection import BisectionStep, Search
from cnnbench.gate.outcomes import PairedComparison, PairedOutcome
from cnnbench.gate.rule import Decision, SequentialRule
from cnnbench.plan import Plan
from cnnbench.runner import again
from cnnbench.runner.ab import explaining, paired, sides
from cnnbench.runner.ab.paired import BrokenSide, Maker, PairedPlan
from cnnbench.runner.ab.session import PairWatcher
from cnnbench.runner.bisect import state as kept
from cnnbench.runner.bisect.state import Looked, State
from cnnbench.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cnnbench.gate.explanation import Explanation
    from cnnbench.record import Record
    from cnnbench.runner.bisect.question import Question


@dataclass(frozen=True)
class SearchListener:
    """The listeners for the progress of a bisection.

    Attributes:
        say: a line about what is done.
        pairs: the watcher of paired comparisons.
    """

    say: Callable[[str], None]
    pairs: PairWatcher


class Bisecting:
    """Looks at commits until the answer is known.

    Args:
        asked: the commits.
        state: what is known of them.
        folder: where everything is kept: the state, and the runs of every comparison.
        listener: told of progress.
        who: the executor's name, or what makes the executor of a side.
        explain: say which modules the named commit made slower.
    """

    def __init__(
        self,
        asked: Question,
        state: State,
        folder: Path,
        listener: SearchListener,
        who: Maker | str,
        *,
        explain: bool = True,
    ) -> None:
        self._explain = explain
        self._confirmed: dict[tuple[int, int], PairedOutcome] = {}
        self._explanation: Explanation | None = None
        self._asked = asked
        self._state = state
        self._folder = folder
        self._listener = listener
        self._who = who
        self._plan = decode(Plan, dict(state.plan), f"{folder / kept.NAME}: plan")
        self._specs = tuple(map(Spec.parse, state.specs))
        self._spec = ""

    def run(self) -> Bisection:
        """Find the commits at which the structure changed, and the one that made it slower.

        Raises:
            SomeFailed: GOOD or BAD cannot be measured.
            StoreError: the directory cannot be used.
        """
        self._keep()
        ends = [self._look(place) for place in (0, self._last)]
        for place, found in zip((0, self._last), ends, strict=True):
            if found is None:
                reason = self._state.looked[self._asked.commits[place].sha].reason
                raise SomeFailed(f"{self._asked.text(place)}: {reason}")
        if self._state.timed:
            self._preflight()
        self._find_changes()
        if self._spec:
            self._find_slower()
        return self._found()

    @property
    def _last(self) -> int:
        return len(self._asked.commits) - 1

    @property
    def _known(self) -> dict[int, tuple[Record, ...] | None]:
        """Place -> its records, ``None`` where there are none."""
        return {
            place: self._state.looked[one.sha].found
            for place, one in enumerate(self._asked.commits)
            if one.sha in self._state.looked
        }

    @property
    def _suspects(self) -> tuple[int, ...]:
        """Places whose structure, in the spec that is followed, is not that of the one before."""
        index = self._state.specs.index(self._spec)
        pairs = bisection.changes(
            self._known, lambda old, new: _differ(old[index:][:1], new[index:][:1])
        )
        return tuple(after for before, after in pairs if after - before == 1)

    @property
    def _search(self) -> Search:
        steps = [one for one in self._state.steps if one.spec == self._spec]
        return bisection.of_steps(self._last, steps, self._suspects)

    def _keep(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        kept.write(self._folder, self._state)

    def _find_changes(self) -> None:
        """Look at the structure of commits until it is known where it changed."""
        while (place := bisection.inspected_next(self._last, self._known, _differ)) is not None:
            self._look(place)

    def _look(self, place: int) -> tuple[Record, ...] | None:
        """What a commit's networks are made of; ``None`` if it cannot be had."""
        sha = self._asked.commits[place].sha
        if sha not in self._state.looked:
            self._listener.say(f"structure of {self._asked.text(place)}")
            self._state = self._state.with_look(sha, self._inspected(place))
            self._keep()
            reason = self._state.looked[sha].reason
            if reason:
                self._listener.say(f"{self._asked.text(place)} is skipped: {reason}")
        return self._state.looked[sha].found

    def _inspected(self, place: int) -> Looked:
        with sides.at(self._asked.named(place), self._asked.repo) as side:
            try:
                who = paired.executor_of(side, self._who)
                records = again.inspect(self._specs, self._plan, who).records
            except WorkerError as error:
                return Looked(reason=str(error))
        # What is not known would pass for the same.
        lost = _lost(self._known.get(0) or (), records)
        return Looked(reason=lost) if lost else Looked.of(records)

    def _preflight(self) -> None:
        """Compare BAD with GOOD in every spec; the one that is slower most clearly is followed."""
        ends = [
            one
            for one in self._state.steps
            if (one.place, one.against) == (self._last, 0) and not one.set_aside
        ]
        known = {one.spec for one in ends}
        left = [spec for spec in self._state.specs if spec not in known]
        if left:
            self._listener.say(
                f"{self._asked.text(self._last)} against {self._asked.text(0)}:"
                f" {units.number(self._last, 'commit')}"
            )
            ends += self._compare(self._last, 0, left)
        clearest = bisection.clearest(ends)
        self._spec = "" if clearest is None else clearest.spec

    def _find_slower(self) -> None:
        """Compare one commit after the other until the answer is known."""
        while (wanted := self._search.next) is not None:
            place, against = wanted
            sha = self._asked.commits[place].sha
            if sha in self._state.looked and self._state.looked[sha].found is None:
                self._add([self._skipped(place, against, self._state.looked[sha].reason)])
                continue
            self._listener.say(self._announced(place, against))
            self._compare(place, against, [self._spec])
        for place in (self._search.good, self._search.bad):
            self._look(place)
        self._explain_answer()

    def _explain_answer(self) -> None:
        """Which modules the named commit made slower than the commit before it."""
        search = self._search
        if not self._explain or search.named is None:
            return
        self._explanation = self._explained_before()
        if self._explanation is not None:
            return
        # Of a bisection that goes on, the confirmation itself may be in the files only.
        outcome = self._confirmed.get((search.bad, search.good)) or self._regression()
        self._listener.say(f"{self._asked.text(search.bad)}: which modules are slower")
        commits = self._asked.commits
        words = (f"rev:{commits[search.good].sha}", f"rev:{commits[search.bad].sha}")
        how = PairedPlan(outcome.comparison.rule, self._plan, self._state.budget)
        told = explaining.again(
            [outcome], words, self._asked.repo, how, self._listener.say, self._folder, self._who
        )
        self._explanation = told.get(outcome.comparison.name)

    def _explained_before(self) -> Explanation | None:
        """What an earlier attempt has kept; ``None`` if that is nothing, or cannot be read."""
        try:
            known = explaining.read(self._folder)
        except StoreError:
            return None
        return next((one for one in known if one.spec == self._spec), None)

    def _regression(self) -> PairedOutcome:
        state, spec = self._state, Spec.parse(self._spec)
        rule = SequentialRule(state.threshold, least=state.least, most=state.most)
        return PairedOutcome(PairedComparison(spec, spec, rule), Decision("regression"))

    def _announced(self, place: int, against: int) -> str:
        search = self._search
        left = units.number(search.left, "comparison")
        seconds = [one.seconds for one in self._state.steps if one.seconds]
        if seconds:
            left += f", about {units.duration(search.left * statistics.fmean(seconds))},"
        if against:
            confirmed = self._asked.text(place)
            return f"to confirm: {confirmed} against the commit before it; {left} left"
        inside = units.number(search.bad - search.good, "commit")
        return f"it is one of {inside}: {self._asked.text(place)} against GOOD; {left} left"

    def _compare(self, place: int, against: int, specs: Sequence[str]) -> list[BisectionStep]:
        try:
            outcomes = self._measured(place, against, specs)
        except BrokenSide as error:
            if error.role == "base":
                raise SomeFailed(f"{self._asked.text(against)}: {_plain(str(error))}") from error
            return self._add([self._skipped(place, against, _plain(str(error)))])
        for one in outcomes:
            if one.comparison.base.id == self._spec:
                self._confirmed[place, against] = one
        return self._add([self._step(place, against, one) for one in outcomes])

    def _measured(self, place: int, against: int, specs: Sequence[str]) -> list[PairedOutcome]:
        state = self._state
        error = bisection.error(self._last, len(state.specs), state.attempts)
        confirms = bisection.confirms(place, against, self._last)
        rule = SequentialRule(
            state.threshold, error, least=state.least, most=state.most, confirms=confirms
        )
        sha = {one: self._asked.commits[one] for one in (place, against)}
        number = sum(one.is_dir() for one in self._folder.iterdir()) + 1
        return paired.remeasure(
            specs,
            (f"rev:{sha[against].sha}", f"rev:{sha[place].sha}"),
            self._asked.repo,
            lambda _: rule,
            PairedPlan(rule, self._plan, state.budget),
            self._listener.pairs,
            self._folder / f"{number:02d}-{sha[place].short}",
            self._who,
        )

    def _step(self, place: int, against: int, outcome: PairedOutcome) -> BisectionStep:
        if outcome.failed == "base":
            raise SomeFailed(f"{self._asked.text(against)}: {_plain(outcome.decision.reason)}")
        found = outcome.decision
        return BisectionStep(
            place, against, outcome.comparison.base.id, outcome.verdict, found.estimate, found.low,
            found.high, len(outcome.measured), outcome.seconds, _plain(found.reason),
        )  # fmt: skip

    def _skipped(self, place: int, against: int, reason: str) -> BisectionStep:
        spec = self._spec or self._state.specs[0]
        return BisectionStep(place, against, spec, "failed", reason=reason)

    def _add(self, steps: Sequence[BisectionStep]) -> list[BisectionStep]:
        for one in steps:
            if one.verdict == "failed" and self._spec:
                self._listener.say(f"{self._asked.text(one.place)} is skipped: {one.reason}")
        self._state = replace(self._state, steps=(*self._state.steps, *steps))
        self._keep()
        return list(steps)

    def _found(self) -> Bisection:
        known = self._known
        skipped = {
            one.place: one.reason
            for one in self._state.steps
            if one.verdict == "failed" and not one.set_aside
        }
        for place, found in known.items():
            if found is None:
                skipped[place] = self._state.looked[self._asked.commits[place].sha].reason
        return Bisection(
            commits=self._asked.commits,
            names=self._asked.names,
            threshold=self._state.threshold,
            changes=tuple(self._changes(known)),
            steps=self._state.steps,
            skipped=skipped,
            spec=self._spec,
            search=self._search if self._spec else None,
            timed=self._state.timed,
            made_up=self._state.executor == "fake",
            explanation=self._explanation,
        )

    def _changes(self, known: Mapping[int, tuple[Record, ...] | None]) -> list[StructureChange]:
        found = []
        for after, upto in bisection.changes(known, _differ):
            both = zip(known[after] or (), known[upto] or (), strict=True)
            lines = {new.id: facets.differences(old, new) for old, new in both}
            lines = {spec: told for spec, told in lines.items() if told}
            found.append(StructureChange(after, upto, lines))
        return found


# The side of a pair at the beginning of a reason, with its revision or without.
_SIDE = re.compile(r"(?:base|head)(?:, [^:]+)?: ")


def _plain(reason: str) -> str:
    """A reason without the side of the pair: here commits are named, and HEAD is another one."""
    return reason[found.end() :] if (found := _SIDE.match(reason)) else reason


def _lost(good: Sequence[Record], records: Sequence[Record]) -> str:
    """Why the structure of a spec cannot be had although GOOD has one; empty if all can."""
    for before, one in zip(good, records, strict=False):
        if one.failure is None and before.structure is not None and one.structure is None:
            return "; ".join(one.notes) or "structure not measured"
    return ""


def _differ(old: Sequence[Record], new: Sequence[Record]) -> bool:
    """Whether anything in the structure of any spec is not the same."""
    return any(facets.differences(*both) for both in zip(old, new, strict=False))
