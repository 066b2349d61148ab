"""Who of the modes of a network goes on: the fastest, what may yet be faster, what waits for time.

Values in, choices out: knows nothing of workers, and no clock but what it is told.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from cnnbench import metrics
from cnnbench.choice import choose
from cnnbench.runner.reference import narrow
from cnnbench.runner.schedule import START_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cnnbench.record import Record
    from cnnbench.spec import Spec

# The fewest rounds that give an interval: of a mode that comes in later, for as many it stays.
_FEWEST = 2
# How much longer a mode may take to be made than the slowest before.
_SLOWER = 1.2
# Roughly what the passes of a mode without a clock take, in seconds.
_UNTIMED = 3.0


class Race:
    """Asked by a session after all rounds of a group; see ``session.Again``."""

    def __init__(
        self,
        rounds: int,
        waiting: Sequence[Spec] = (),
        until: float | None = None,
        guess: Callable[[Spec], float] = lambda _: 0.0,
    ) -> None:
        """A race.

        Args:
            rounds: how many further ones there are at most without a limit of time.
            waiting: specs that had no time, in the order in which they come in.
            until: seconds after the session's start at which everything has to end.
            guess: seconds that making one of ``waiting`` takes, where none of its kind was seen.
        """
        self._rounds = rounds
        self._waiting = list(waiting)
        self._until = until
        self._guess = guess
        self._young: dict[Spec, int] = {}
        self._asked: tuple[float, int] | None = None
        # The longest round so far: its seconds, and of how many.
        self._round = 0.0, 1
        self._seen: dict[tuple[str, bool], float] = {}
        self.again: Counter[str] = Counter()
        """By id, the rounds of those that were measured again to verify the choice."""

    @property
    def precisions(self) -> tuple[str, ...]:
        """Precisions of those that wait; how they round has to be known when they come in."""
        return narrow(self._waiting)

    @property
    def waiting(self) -> tuple[Spec, ...]:
        """What had no time to the end."""
        return tuple(self._waiting)

    def seconds(self, spec: Spec) -> float:
        """What one that waits is expected to take until it can be compared."""
        making = self._seen.get(_kind(spec), self._guess(spec))
        # Its memory and structure are looked at in a process of its own, besides.
        return making + _FEWEST * self._expected(3) + _UNTIMED

    def __call__(self, records: Sequence[Record], passed: float) -> Sequence[Spec]:
        """Who takes part in the next round; nobody if the choice is certain or the time is up."""
        self._learn(records, passed)
        choice = choose(records)
        if choice is None:
            return ()
        always = [choice.baseline.spec, choice.best.spec]
        if young := self._coming_in(records, passed):
            return tuple(dict.fromkeys([*always, *young]))
        rivals = [one.spec for one in choice.rivals]
        if not rivals or not self._fits(passed, len({*always, *rivals})):
            return ()
        chosen = tuple(dict.fromkeys([*always, *rivals]))
        self.again.update({spec.id for spec in chosen})
        self._asked = passed, len(chosen)
        return chosen

    def _learn(self, records: Sequence[Record], passed: float) -> None:
        """Seconds of a round for each that takes part, and to make a mode, as they were seen."""
        if self._asked is not None:
            began, count = self._asked
            self._round = max(self._round, (passed - began, count))
        elif not self.again:
            self._round = max(self._round, _mean_round(records, passed))
        self._asked = None
        for one in records:
            if (first := metrics.first_call(one, "cold")) is not None:
                kind = _kind(one.spec)
                self._seen[kind] = max(self._seen.get(kind, 0.0), _SLOWER * first.point)

    def _coming_in(self, records: Sequence[Record], passed: float) -> list[Spec]:
        """Those that have too few rounds yet, or the first that waits and still fits."""
        alive = {one.spec for one in records if metrics.latency(one) is not None}
        young = [spec for spec, had in self._young.items() if had < _FEWEST and spec in alive]
        if not young:
            limit = math.inf if self._until is None else self._until - passed
            young = [spec for spec in self._waiting if self.seconds(spec) <= limit][:1]
            self._waiting = [spec for spec in self._waiting if spec not in young]
        for spec in young:
            self._young[spec] = self._young.get(spec, 0) + 1
        return young

    def _fits(self, passed: float, count: int) -> bool:
        if self._until is None:
            return max(self.again.values(), default=0) < self._rounds
        return passed + self._expected(count) <= self._until

    def _expected(self, count: int) -> float:
        """Seconds of a round of some; a guess before any was seen."""
        seconds, of = self._round
        if not seconds:
            return START_SECONDS * (1 + count / 2)
        # Of fewer, a part is shorter: not the imports at its beginning.
        return seconds * (count / of if count > of else (1 + count / of) / 2)


def _mean_round(records: Sequence[Record], passed: float) -> tuple[float, int]:
    """Seconds of a round before the race, on average, without compiling; and of how many."""
    rounds = max((one.rounds for one in records), default=0)
    cold = [metrics.first_call(one, "cold") for one in records]
    compiling = math.fsum(one.point for one in cold if one is not None)
    return max(0.0, passed - compiling) / max(rounds, 1), max(len(records), 1)


def _kind(spec: Spec) -> tuple[str, bool]:
    """Modes that take about as long to be made."""
    return spec.mode.compiler, spec.mode.precision == "int8"
