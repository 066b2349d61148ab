"""How a measurement is done.

Rounds, slices, warm-up, limits. A value that is stored with every run.
"""

from __future__ import annotations

from dataclasses import dataclass

from cnnbench.errors import UsageError


@dataclass(frozen=True)
class Plan:
    """The sampling plan.

    Attributes:
        rounds: fresh starts of all workers; the unit of statistics.
        slices: turns of each worker in a round.
        slice_seconds: length of a turn; at least one call is made.
        turn_budget: seconds of slices per spec and round; slow networks get fewer turns, at least
            three.
        warm_up_calls, warm_up_seconds, warm_up_limit: see ``worker.sampling.WarmUp``.
        seed: of weights, inputs and the order of turns.
        timeout: seconds that any one step of a worker may take.
        memory_limit: bytes that a worker may get beyond what it starts with; ``None`` for no limit.
    """

    rounds: int = 5
    slices: int = 6
    slice_seconds: float = 0.06
    turn_budget: float = 8.0
    warm_up_calls: int = 10
    warm_up_seconds: float = 0.25
    warm_up_limit: float = 6.0
    seed: int = 0
    timeout: float = 600.0
    memory_limit: int | None = None

    def __post_init__(self) -> None:
        for name in ("rounds", "slices", "slice_seconds", "timeout"):
            if getattr(self, name) <= 0:
                raise UsageError(f"--{name.replace('_', '-')} must be positive")

    @property
    def warm_up(self) -> dict[str, float]:
        """What a worker needs to know about warming up."""
        return {
            "calls": self.warm_up_calls,
            "seconds": self.warm_up_seconds,
            "limit": self.warm_up_limit,
        }

    def turns(self, estimate: float) -> int:
        """Turns for an ensemble whose slowest member takes ``estimate`` seconds per call."""
        per_turn = max(self.slice_seconds, estimate)
        return max(min(3, self.slices), min(self.slices, int(self.turn_budget / per_turn)))


# Rough costs for --dry-run and the clock, in seconds on a small machine; never used for a result.
_IMPORT, _PREPARE, _COMPILE = 5.0, 0.6, 25.0
_MACS_PER_SECOND = 3e10


def rough_seconds(plan: Plan, macs: float, *, compiles: bool) -> float:
    """Roughly how long one spec will take, all passes and rounds, without imports."""
    call = macs / _MACS_PER_SECOND
    warm = max(plan.warm_up_seconds, min(plan.warm_up_calls * call, plan.warm_up_limit))
    one_round = _PREPARE + warm + plan.turns(call) * max(plan.slice_seconds, call)
    memory = _PREPARE + 5 * call
    return plan.rounds * one_round + memory + (_COMPILE if compiles else 0)


def rough_starts(plan: Plan) -> float:
    """Roughly how long the starters of one batch take."""
    return plan.rounds * _IMPORT
