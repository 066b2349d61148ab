"""How a measurement is done.

Rounds, slices, warm-up, limits. A value that is stored with every run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cnnbench.errors import UsageError

if TYPE_CHECKING:
    from cnnbench.mode import Mode

# Fields that a measurement in the caller's own process uses; the others are about workers.
IN_PROCESS = (
    "rounds", "slices", "slice_seconds", "turn_budget", "warm_up_calls", "warm_up_seconds",
    "warm_up_limit", "warm_up_fewest", "least_turns", "seed",
)  # fmt: skip


@dataclass(frozen=True)
class WarmUp:
    """How long a worker warms up.

    Attributes:
        calls: at least this number, and
        seconds: at least this long, both after the first call, which may compile;
        limit: but no longer than this once
        fewest: calls are done, so that a network that takes seconds per call ends.
    """

    calls: int
    seconds: float
    limit: float
    fewest: int

    def times(self, factor: int) -> WarmUp:
        """The warm-up multiplied by a factor."""
        calls, fewest = factor * self.calls, factor * self.fewest
        return WarmUp(calls, factor * self.seconds, factor * self.limit, fewest)


@dataclass(frozen=True)
class Plan:
    """The sampling plan.

    Attributes:
        rounds: fresh starts of all workers; the unit of statistics.
        slices: turns of each worker in a round.
        slice_seconds: length of a turn; at least one call is made.
        turn_budget: seconds of slices per spec and round; slow networks get fewer turns, at least
            three.
        warm_up_calls, warm_up_seconds, warm_up_limit: see ``WarmUp``.
        seed: of weights, inputs and the order of turns.
        timeout: seconds that any one step of a worker may take.
        memory_limit: bytes that a worker may get beyond what it starts with; ``None`` for no limit.
        precision: stop adding rounds to a group once every interval is at most this wide, as a
            share of its figure either way; ``None``: always all rounds.
        budget: seconds that the whole run may take; ``None`` for as long as it needs.
        warm_up_fewest, least_turns, memory_warm_calls: what even the slowest network gets: calls
            after the first one, turns per round, and calls before memory is looked at.
        float64_macs: workloads of more multiply-accumulates are not computed in float64; ``None``
            for all.
        ceilings: probe the machine's ceilings beside every group.
        l2: caches before a sample, of a CUDA device its second level: ``warm``, or ``cold``
            (flushed).
        max_latency: seconds per call; what is clearly slower in its first round gets no other.
        cudnn_benchmark: let cuDNN time its algorithms first and keep the best.
        halve_batch: a batch that runs out of a device's memory is measured at half of it, and so
            on, until one fits; each of them has rows.
        nvtx: CUDA only: NVTX ranges for phases, slices and modules.
        most_rounds: with a budget, rounds while a mode may still be faster than the one to use.
        energy: measure the energy of calls, for three further seconds per spec and round.
        cold_start: measure processes from their start to their first answer, too.
    """

    rounds: int = 5
    slices: int = 12
    slice_seconds: float = 0.06
    turn_budget: float = 8.0
    warm_up_calls: int = 10
    warm_up_seconds: float = 0.25
    warm_up_limit: float = 6.0
    seed: int = 0
    timeout: float = 600.0
    memory_limit: int | None = None
    precision: float | None = None
    budget: float | None = None
    warm_up_fewest: int = 2
    least_turns: int = 3
    memory_warm_calls: int = 2
    float64_macs: int | None = None
    ceilings: bool = False
    l2: str = "warm"
    cudnn_benchmark: bool = False
    max_latency: float | None = None
    halve_batch: bool = False
    nvtx: bool = False
    energy: bool = False
    cold_start: bool = False
    most_rounds: int = 0

    def __post_init__(self) -> None:
        for name in (
            "rounds", "slices", "slice_seconds", "timeout", "precision", "budget", "max_latency",
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise UsageError(f"--{name.replace('_', '-')} must be positive")

    @property
    def warm_up(self) -> WarmUp:
        """What a worker needs to know about warming up."""
        return WarmUp(
            self.warm_up_calls, self.warm_up_seconds, self.warm_up_limit, self.warm_up_fewest
        )

    def turns(self, estimate: float) -> int:
        """Turns for an ensemble whose slowest member takes ``estimate`` seconds per call."""
        per_turn = max(self.slice_seconds, estimate)
        most = min(self.slices, int(self.turn_budget / per_turn))
        return max(min(self.least_turns, self.slices), most)

    def within_budget(self, specs: int, kind: str = "cpu") -> Plan:
        """The plan for a number of specs that share the budget equally for their first answers.

        They are of one ``kind`` of device, which computes their float64 references too.

        Only networks that are slow for the budget notice: they get fewer calls, never another batch
        or input.
        """
        if self.budget is None:
            return self
        share = _FIRST_SHARE * self.budget / max(specs, 1)
        return replace(
            self,
            turn_budget=min(self.turn_budget, max(share, self.slices * self.slice_seconds)),
            warm_up_limit=min(self.warm_up_limit, share),
            warm_up_fewest=0,
            least_turns=2,
            memory_warm_calls=min(self.memory_warm_calls, 1),
            float64_macs=round(share * _ROUGH[kind].float64),
        )


# The share of a budget that sampling for the first answers may take; building, checking and memory
# take as much again or more, and what is left narrows intervals.
_FIRST_SHARE = 0.25

_IMPORT = 5.0
# Processes of which a cold start is the median.
COLD_STARTS = 3
# Of idle power and of calls, see worker/energy.py.
_ENERGY_SECONDS = 3.0


@dataclass(frozen=True)
class _Rough:
    """Rough costs for --dry-run and the clock, never used for a result.

    Attributes:
        macs: multiply-accumulates per second of float32.
        float64: of float64, of which many GPUs compute a 32nd or a 64th as many.
        prepare: seconds until a worker has built its network; on CUDA with a context and the
            libraries' kernels.
        compile: seconds that a compiler takes; and with ``tuning``, which tries many kernels.
    """

    macs: float
    float64: float
    prepare: float
    compile: float
    tuning: float


# By kind of device: a small machine, and a GPU of a workstation.
_ROUGH = {
    "cpu": _Rough(3e10, 3e10, 0.6, 25.0, 25.0),
    "cuda": _Rough(3e12, 1e11, 3.0, 30.0, 300.0),
}


# Seconds to export a network to a runtime and convert it, and what int8 takes besides: medians of
# results/runtimes.
_EXPORT = {"onnxruntime": 9.0, "openvino": 5.0}
_QUANTISE = 6.0


def rough_making(mode: Mode, kind: str = "cpu") -> float:
    """Roughly how many seconds a compiler or an export takes, once."""
    cost = _ROUGH[kind]
    known = {"eager": 0.0, "graph": 0.0, "max-autotune": cost.tuning, **_EXPORT}
    return known.get(mode.compiler, cost.compile) + _QUANTISE * (mode.precision == "int8")


def rough_seconds(plan: Plan, macs: float, mode: Mode, kind: str = "cpu") -> float:
    """Roughly how long one spec will take, all passes and rounds, without imports.

    With a budget: for its first answer.

    Args:
        plan: how it is measured.
        macs: of a call.
        mode: how it runs.
        kind: of its device.
    """
    cost = _ROUGH[kind]
    call = macs / cost.macs
    warm = max(plan.warm_up_seconds, min(plan.warm_up_calls * call, plan.warm_up_limit))
    one_round = cost.prepare + warm + plan.turns(call) * max(plan.slice_seconds, call)
    memory = cost.prepare + 5 * call
    one_round += _ENERGY_SECONDS * plan.energy
    cold = plan.cold_start * COLD_STARTS * (_IMPORT + cost.prepare + call)
    return _rounds(plan) * one_round + memory + rough_making(mode, kind) + cold


def rough_starts(plan: Plan) -> float:
    """Roughly how long the starters of one batch take."""
    return _rounds(plan) * _IMPORT


def _rounds(plan: Plan) -> int:
    return plan.rounds if plan.budget is None else 1
