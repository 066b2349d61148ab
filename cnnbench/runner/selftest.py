"""Tests cnnbench itself: known quantities go in, and the results are compared with them.

Networks of known time, memory and answer (``worker.oracles``) take the very path that networks
take: pools, ensembles, slices, the memory pass, the output check. Knows nothing of how findings
are shown.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cnnbench import metrics, stats
from cnnbench.errors import WorkerRaised
from cnnbench.record import Run
from cnnbench.requests import (
    ComputeReference,
    MeasureClock,
    MeasureLatency,
    MeasureMemory,
)
from cnnbench.runner.ensemble import Ensemble
from cnnbench.runner.inquiry import ask
from cnnbench.scratch import scratch_directory
from cnnbench.spec import Device, Mode, Spec, Workload, arguments_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cnnbench.plan import Plan
    from cnnbench.record import Memory
    from cnnbench.runner.executor import AnyPool, Executor

_ORACLES = "cnnbench.worker.oracles"
_SHAPE = (16, 28, 28)

# A check that fails for one sound instrument in five hundred cries wolf no more than it must.
_CONFIDENCE = 0.998
# A call has a cost of its own beside the repeated body, and every process its own luck with the
# places of its memory (0.3 to 0.5 %, however often it is measured).
_SLACK = 0.01

_CALLS, _MORE_CALLS = 20, 22
_SLEEP_MS = 20.0
_HELD_MIB = 64
_MIB = 1 << 20


@dataclass(frozen=True)
class SelfTest:
    """One known quantity, measured.

    Attributes:
        name: stable, for machines.
        what: for people.
        kind: how ``units`` writes the value (``seconds``, ``bytes``, ``ratio``, ``fraction``), or
            ``text``.
        value: the figure.
        low, high: its interval, if it has one.
        least, most: where the figure, or some of its interval, has to lie.
        expected: what a figure of kind ``text`` has to be.
    """

    name: str
    what: str
    kind: str
    value: float | str
    low: float | None = None
    high: float | None = None
    least: float | None = None
    most: float | None = None
    expected: str = ""

    @property
    def ok(self) -> bool:
        """Whether the measurement agrees with what was known."""
        if isinstance(self.value, str):
            return self.value == self.expected
        low = self.value if self.low is None else self.low
        high = self.value if self.high is None else self.high
        reached = self.least is None or high >= self.least
        return reached and (self.most is None or low <= self.most)


@dataclass(frozen=True)
class Report:
    """The quality of measurements here today.

    Attributes:
        findings: in the order in which they were made.
        rounds: over which the resolution was found.
        resolution: the smallest relative change that this number of rounds can detect.
        threads: CPU threads of every worker.
        fake: nothing was measured; the executor pretended.
    """

    findings: tuple[SelfTest, ...]
    rounds: int
    resolution: float
    threads: int
    fake: bool = False

    @property
    def bad(self) -> tuple[SelfTest, ...]:
        """The findings that are out of bounds."""
        return tuple(finding for finding in self.findings if not finding.ok)


def check(
    executor: Executor, plan: Plan, threads: int, say: Callable[[str], None] = lambda _: None
) -> Report:
    """Run the self-test.

    Args:
        executor: opens pools.
        plan: rounds (at least two), slices and warm-up, as for a real run.
        threads: CPU threads of every worker.
        say: told what begins.

    Raises:
        WorkerError: a worker failed.
    """
    rounds: list[tuple[float, float]] = []
    findings: list[SelfTest] = []
    bench = _Bench(plan, threads)
    for number in range(plan.rounds):
        say(f"same network twice and once 10 % slower (round {number + 1} of {plan.rounds})")
        with scratch_directory() as folder, executor.open(folder) as pool:
            rounds.append(bench.compare(pool, number))
            if number == 0:
                say("clock, sleep, memory, output check")
                findings = bench.singles(pool, folder)
    same, slower = zip(*rounds, strict=True)
    return Report(
        findings=(*findings, *_comparisons(same, slower)),
        rounds=plan.rounds,
        resolution=resolution(same),
        threads=threads,
        fake=executor.pretends,
    )


def resolution(logs: Sequence[float]) -> float:
    """The smallest relative change that the same number of rounds can detect, both errors at 1 %.

    Args:
        logs: log-ratios of the same thing with itself, one per round, at least two.
    """
    return stats.change_of(2 * stats.t_quantile(0.99, len(logs) - 1) * _error(logs))


def _error(logs: Sequence[float]) -> float:
    return statistics.stdev(logs) / math.sqrt(len(logs))


def _comparisons(same: Sequence[float], slower: Sequence[float]) -> list[SelfTest]:
    expected = _MORE_CALLS / _CALLS
    one, more = (stats.log_ratio(logs, _CONFIDENCE) for logs in (same, slower))
    return [
        SelfTest("same_sd", "same network in two processes: sd of a round's ratio", "fraction",
                stats.change_of(statistics.stdev(same)), most=0.05),
        SelfTest("same_ratio", "same network in two processes: ratio", "ratio",
                one.point, one.low, one.high, 1 - _SLACK, 1 + _SLACK),
        SelfTest("slower_ratio", "network with 10 % more work: ratio", "ratio",
                more.point, more.low, more.high, expected - _SLACK, expected + _SLACK),
        SelfTest("slower_seen", "the same: low end of its interval", "ratio",
                math.nan if more.low is None else more.low, least=1.0),
    ]  # fmt: skip


class _Bench:
    """Asks workers to measure known quantities."""

    def __init__(self, plan: Plan, threads: int) -> None:
        self._plan = plan
        self._threads = threads

    def compare(self, pool: AnyPool, number: int) -> tuple[float, float]:
        """Log-ratios of a round: the network to its twin, and to one with more work."""
        specs = [
            self._spec("repeated", times=_CALLS),
            self._spec("repeated", times=_CALLS, twin="b"),
            self._spec("repeated", times=_MORE_CALLS),
        ]
        one, twin, more = self._measure(pool, specs, number)
        return _log_ratio(one, twin), _log_ratio(one, more)

    def singles(self, pool: AnyPool, scratch: Path) -> list[SelfTest]:
        """The findings that need no rounds."""
        return [*self._clock(pool), self._sleep(pool), *self._memory(pool),
                *self._answers(pool, scratch)]  # fmt: skip

    def _clock(self, pool: AnyPool) -> list[SelfTest]:
        request = MeasureClock.planned(self._spec("repeated"), self._plan)
        found = ask(pool, request, self._plan.timeout)
        reading = found.reading_ns / 1e9
        beyond = found.sample_ns / 1e9 - 2 * reading
        return [
            SelfTest("clock_resolution", "clock: smallest step", "seconds",
                    found.resolution_ns / 1e9, most=1e-6),
            SelfTest("clock_reading", "clock: one reading", "seconds", reading, most=1e-6),
            SelfTest("empty_call", "an empty call: its sample minus one reading",
                    "seconds", max(0.0, found.empty_ns / 1e9 - reading), most=1e-6),
            SelfTest("overhead", "a timed iteration: its cost minus two readings", "seconds",
                    max(0.0, beyond), most=1e-6),
        ]  # fmt: skip

    def _sleep(self, pool: AnyPool) -> SelfTest:
        (run,) = self._measure(pool, [self._spec("sleeps", milliseconds=_SLEEP_MS)], 0)
        known = _SLEEP_MS / 1e3
        # A sleep never ends early; a busy machine wakes the sleeper late.
        value = metrics.run_seconds(run) or math.nan
        what = f"a sleep of {_SLEEP_MS:g} ms"
        return SelfTest("sleep", what, "seconds", value, least=known, most=1.1 * known)

    def _memory(self, pool: AnyPool) -> list[SelfTest]:
        found: list[SelfTest] = []
        for milliseconds in (1, 5, 50):
            spec = self._spec("holds", mebibytes=_HELD_MIB, milliseconds=milliseconds)
            request = MeasureMemory.planned(spec, self._plan)
            found += _held(ask(pool, request, self._plan.timeout), milliseconds)
        return found

    def _answers(self, pool: AnyPool, scratch: Path) -> list[SelfTest]:
        plain = self._spec("wrong")
        path = str(scratch / "reference.npz")
        request = ComputeReference.planned(plain, self._plan, reference_path=path, float64=True)
        reference = ask(pool, request, self._plan.timeout)
        specs = [plain, replace(plain, mode=Mode(memory_format="channels_last"))]
        right, wrong = self._measure(pool, specs, 0, reference=reference, reference_path=path)
        return [
            SelfTest("right_answer", "output check of a correct output", "text",
                    right.check.status, expected="ok"),
            SelfTest("wrong_answer", "output check of an output that is 10 % off", "text",
                    wrong.check.status, expected="wrong"),
        ]  # fmt: skip

    def _measure(self, pool: AnyPool, specs: Sequence[Spec], number: int, **more: Any) -> list[Run]:
        name = f"selftest-{number}"

        def request(spec: Spec) -> MeasureLatency:
            return MeasureLatency.planned(spec, self._plan, round=number, ensemble=name, **more)

        outcomes = Ensemble(pool, self._plan, name).measure(specs, request)
        return [_run(outcomes[spec.id]) for spec in specs]

    def _spec(self, oracle: str, **arguments: Any) -> Spec:
        pairs = arguments_of(arguments.items())
        workload = Workload(f"{_ORACLES}:{oracle}", 1, _SHAPE, arguments=pairs)
        return Spec(workload, Mode(), Device(), self._threads)


def _held(memory: Memory, milliseconds: int) -> list[SelfTest]:
    known = _HELD_MIB * _MIB
    what = f"{_HELD_MIB} MiB held for {milliseconds} ms"
    resident = memory.resident_bytes or 0
    peak = math.nan if memory.cpu_peak_bytes is None else memory.cpu_peak_bytes - resident
    found = [SelfTest(f"held_{milliseconds}ms_allocator", f"{what}: allocator's peak", "bytes",
                     peak, least=0.99 * known, most=1.01 * known)]  # fmt: skip
    if memory.cpu_high_water_bytes is not None:
        high = memory.cpu_high_water_bytes - resident
        found.append(SelfTest(f"held_{milliseconds}ms_high_water", f"{what}: high-water mark",
                             "bytes", high, least=0.98 * known, most=1.1 * known))  # fmt: skip
    return found


def _run(outcome: Any) -> Run:
    if isinstance(outcome, Run):
        return outcome
    raise WorkerRaised(f"the self-test failed: {outcome.message}")


def _log_ratio(base: Run, other: Run) -> float:
    """The logarithm of the ratio of times: the median over turns."""
    turns = {one.turn: metrics.slice_seconds(one) for one in base.slices}
    return statistics.median(
        math.log(metrics.slice_seconds(one) / turns[one.turn])
        for one in other.slices
        if one.turn in turns
    )
