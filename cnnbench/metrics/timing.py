"""What the samples of a record say: times over rounds, speed-ups, and how far to trust them."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING

from cnnbench import recipes, stats, units
from cnnbench.metrics import gpu
from cnnbench.stats import Estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cnnbench.record import Record, Run
    from cnnbench.slices import Slice


def slice_seconds(one: Slice) -> float:
    """Seconds per call in a slice: the median of its samples."""
    return one.seconds


def run_seconds(run: Run) -> float | None:
    """Seconds per call in a run: the median of its slices' medians."""
    return run.seconds


def latency(record: Record) -> Estimate | None:
    """Seconds per call: the median over rounds, with a 95 % t-interval over rounds."""
    return record.latency


@dataclass(frozen=True)
class Awake(Estimate):
    """A latency without the waiting for a core; where it stands for the latency, it is marked."""


def latency_awake(record: Record) -> Estimate | None:
    """Seconds per call without the time that the process was ready to run but had no core.

    Of one thread on a CPU only. What the kernel counts is the waiting of the main thread; of
    several threads, the others wait for the one that is kept from its core, and nobody counts that.
    """
    if not _of_one_thread(record):
        return None
    return _over_rounds(record, lambda run: run.awake_seconds)


def cpu_time(record: Record) -> Estimate | None:
    """CPU seconds per call, of all threads of the process together."""
    return _over_rounds(record, lambda run: run.cpu_seconds)


def shown(record: Record) -> Estimate | None:
    """The latency that people are shown: the clock's, unless waiting for a core has spoilt it.

    Where a row is disturbed by that and the waiting is known, it is taken out.
    """
    awake = _awake(record) if waited(record) else None
    return latency(record) if awake is None else awake


def all_awake(records: Sequence[Record]) -> list[Awake] | None:
    """All latencies without the waiting for a core, where that has spoilt one and all are known."""
    if not any(map(waited, records)):
        return None
    found = [_awake(record) for record in records]
    known = [one for one in found if one is not None]
    return known if len(known) == len(found) else None


def _awake(record: Record) -> Awake | None:
    found = latency_awake(record)
    return None if found is None else Awake(found.point, found.low, found.high, found.rounds)


def waited(record: Record) -> bool:
    """Whether the process was kept from its core for so long that its times are too long."""
    delay = run_delay(record)
    return delay is not None and delay.point > _DISTURBED


def cold(record: Record) -> bool:
    """Whether caches were flushed before every sample."""
    return any(run.flags.get("l2") == "cold" for run in record.runs)


def _of_one_thread(record: Record) -> bool:
    """Not where workers make batches: nobody counts their waiting."""
    spec = record.spec
    return spec.device.kind == "cpu" and spec.threads == 1 and not recipes.alone(spec.workload)


def threads_hide(record: Record) -> bool:
    """Whether it is the number of threads that hides how long a process waited for a core."""
    spec = record.spec
    return spec.device.kind == "cpu" and spec.threads > 1 and not recipes.alone(spec.workload)


def _over_rounds(record: Record, of: Callable[[Run], float | None]) -> Estimate | None:
    """The middle of rounds that each have a value; ``None`` if a run that was sampled has none."""
    runs = [run for run in record.runs if run.slices]
    values = [(run.round, of(run)) for run in runs]
    if record.failure is not None or not all(value for _, value in values):
        return None
    rounds = stats.of_rounds(values)
    return stats.geometric(rounds) if rounds else None


def per_round(runs: Sequence[Run], value_of: Callable[[Run], float | None]) -> list[float]:
    """One positive value per round, the middle one of its runs that have any."""
    return list(stats.of_rounds((run.round, value_of(run)) for run in runs))


def energy_per_sample(record: Record) -> Estimate | None:
    """Joules per sample, a mean over rounds; ``None`` where no counter was read."""
    found = [run.flags.get("energy") for run in record.runs] if record.failure is None else []
    drawn = [one for one in found if isinstance(one, dict) and one.get("calls")]
    if not drawn:
        return None
    per_call = [float(one["joules"]) / float(one["calls"]) for one in drawn]
    return stats.exact(sum(per_call) / len(per_call) / record.spec.workload.batch)


def throughput(record: Record) -> Estimate | None:
    """Samples per second: the batch over the latency."""
    time = latency(record)
    return None if time is None else over(record.spec.workload.batch, time)


def over(amount: float, time: Estimate) -> Estimate:
    """So much in that time."""
    low, high = (None if end is None else amount / end for end in (time.high, time.low))
    return Estimate(amount / time.point, low, high, time.rounds)


def spread(record: Record) -> Estimate | None:
    """Interquartile range over the median of single samples, the widest of the rounds."""
    if record.failure is not None:
        return None
    values = [
        value
        for run in record.runs
        if (value := stats.quartile_spread(run.slices.per_call_ns)) is not None
    ]
    return stats.exact(max(values, default=None))


def run_delay(record: Record) -> Estimate | None:
    """Share of the sampled time that the process was ready to run but had no core."""
    share = _share_of_slices(record, "run_delay_ns")
    # The kernel counts from just before the first sample of a slice to just after its last.
    return share and stats.exact(min(share.point, 1.0))


def steal(record: Record) -> Estimate | None:
    """Share of the machine's time, over all its cores, that a hypervisor took while sampling."""
    return _share_of_slices(record, "steal_ns")


def others(record: Record) -> Estimate | None:
    """Cores that other processes kept busy while sampling, on average."""
    return _share_of_slices(record, "others_ns")


def _share_of_slices(record: Record, witness: str) -> Estimate | None:
    if record.failure is not None:
        return None
    totals = [run.slices.total(witness) for run in record.runs]
    known = [total for total in totals if total is not None]
    whole = len(known) == len(totals) and record.sampled_ns
    return stats.exact(sum(known) / record.sampled_ns) if whole else None


def faults(record: Record) -> Estimate | None:
    """Minor page faults per call while sampling: memory that malloc gave back and took again."""
    if record.failure is not None:
        return None
    total = calls = 0
    for run in record.runs:
        column = run.slices.minor_faults or ()
        known = [count is not None for count in column]
        total += sum(filter(None, column))
        calls += sum(compress(run.slices.calls, known))
    return stats.exact(total / calls) if calls else None


def machine_drift(record: Record) -> float | None:
    """How much the machine's own speed changed between rounds, by the probes of its slices.

    The largest over the smallest of the rounds' medians, less one; of the probe that changed most.
    """
    medians: dict[str, list[float]] = {}
    for run in record.runs:
        for name, column in run.slices.canaries_ns.items():
            known = [value for value in column if value is not None]
            if known:
                medians.setdefault(name, []).append(stats.median(known))
    drifts = [
        max(some) / min(some) - 1 for some in medians.values() if len(some) > 1 and min(some) > 0
    ]
    return max(drifts, default=None)


# Beyond these a reader must not take an absolute time at its word.
_DISTURBED = 0.05
_STOLEN = 0.02
_NOISY = 0.10
_DRIFT = 0.20


def quality(record: Record) -> str | None:
    """How far the measurement itself can be trusted, in a word and its reason.

    ``disturbed``: the process waited for a core more than 5 % of the time, or a hypervisor took
    more than 2 % of the machine, or a GPU was slowed down by heat or used by others for more than
    5 %, so times are too long. ``noisy``: rounds differ so that the interval is wider than 10 %
    either way, or a GPU's clock changed by more than 5 %, or the machine's own speed, by small
    fixed pieces of work beside the samples, by more than 20 % between rounds. ``clean`` otherwise;
    ``None`` if there is no latency.
    """
    time = latency(record)
    if time is None:
        return None
    delay, drift = run_delay(record), machine_drift(record)
    if delay is not None and waited(record):
        return f"disturbed (no core {100 * delay.point:.0f} % of the time)"
    if trouble := robbed(record) or gpu.trouble(record):
        return trouble
    if time.margin is not None and time.margin > _NOISY:
        return f"noisy ({_width(time)})"
    if drift is not None and drift > _DRIFT:
        return f"noisy (the machine's speed changed by {100 * drift:.0f} % between rounds)"
    return "clean" if time.margin is not None else "clean (one round)"


def robbed(record: Record) -> str:
    """The word of a record that a hypervisor took too much of the machine from; empty otherwise."""
    stolen = steal(record)
    if stolen is None or stolen.point <= _STOLEN:
        return ""
    return f"disturbed (the hypervisor took {100 * stolen.point:.0f} % of the machine)"


def _width(time: Estimate) -> str:
    """How wide an interval is, or why that is not worth saying."""
    assert time.low is not None and time.high is not None and time.margin is not None  # noqa: S101, PT018 - asked by the caller
    vague = units.vague(time.point, time.low, time.high, time.rounds)
    return vague or f"interval of {100 * time.margin:.0f} %"


def first_call(record: Record, cache: str) -> Estimate | None:
    """Seconds of the first call of compiled modes, by the state of the compiler's cache."""
    runs = [run for run in record.runs if run.compile_cache == cache and run.warmup_ns]
    values = [run.warmup_ns[0] / 1e9 for run in runs]
    return stats.geometric(values) if values and record.failure is None else None


def break_even(record: Record, baseline: Record | None, tried: int = 1) -> Estimate | None:
    """Calls after which a compiled mode has paid for its cold compilation.

    What the first call took beyond eager's own first call, over what every later call saves.
    The interval comes from that of the speed-up. ``None`` if nothing compiled, or if that interval
    reaches down to one, so that it may never pay.

    Args:
        record: of the compiled mode.
        baseline: what it is compared with.
        tried: modes that it is picked from; they share the error of the interval. One for a column,
            which says of each mode by itself how it compares.
    """
    cold = first_call(record, "cold")
    if cold is None:
        return None
    faster, usual = speedup(record, baseline, tried), latency(record)
    others = () if baseline is None else baseline.runs
    firsts = [run.warmup_ns[0] / 1e9 for run in others if run.warmup_ns]
    if not firsts or faster is None or usual is None:
        return None
    if faster.low is None or faster.low <= 1:
        return None
    extra = cold.point - statistics.median(firsts)

    def calls(ratio: float) -> float:
        return max(0.0, extra / (usual.point * (ratio - 1)))

    high = calls(faster.high) if faster.high is not None else None
    return Estimate(calls(faster.point), high, calls(faster.low), faster.rounds)


# The error of an interval, or of all intervals of modes that one is picked from.
ERROR = 0.05


def speedup(record: Record, baseline: Record | None, tried: int = 1) -> Estimate | None:
    """How many times faster than the reference mode, from slices that were measured side by side.

    Per round the median over turns of the log-ratio of slice medians; over rounds the mean and its
    t-interval. ``None`` unless both were measured in the same ensembles.

    Args:
        record: of the mode.
        baseline: what it is compared with.
        tried: modes whose intervals share the error of 5 % (Bonferroni).
    """
    rounds = [] if baseline is None else log_speedups(record, baseline)
    return stats.log_ratio(rounds, 1 - ERROR / max(tried, 1)) if rounds else None


def log_speedups(record: Record, baseline: Record) -> list[float]:
    """log(reference mode / record) of each ensemble with both; empty without one."""
    return [value for _, value in _side_by_side(record, baseline)]


def savings(record: Record, baseline: Record) -> list[float]:
    """Seconds that a call saves over the reference mode, for each ensemble with both.

    The reference mode's time there, and the ratio that was measured beside it: two times of
    different moments say less.
    """
    return [
        base * (1 - stats.ratio_of(-value))
        for run, value in _side_by_side(record, baseline)
        if (base := run.seconds) is not None
    ]


def _side_by_side(record: Record, baseline: Record) -> Sequence[tuple[Run, float]]:
    """The reference mode's run and the log-ratio, for each ensemble with both; computed once."""
    known = record.beside
    if id(baseline) not in known:
        known[id(baseline)] = baseline, _compared(record, baseline)
    return known[id(baseline)][1]


def _compared(record: Record, baseline: Record) -> list[tuple[Run, float]]:
    if record.failure is not None or baseline.failure is not None:
        return []
    others = {run.ensemble: run for run in baseline.runs}
    return [
        (others[run.ensemble], value)
        for run in record.runs
        if run.ensemble in others and (value := _log_ratio(others[run.ensemble], run)) is not None
    ]


def _log_ratio(base: Run, run: Run) -> float | None:
    mine, theirs = run.slices, base.slices
    if mine.turn == theirs.turn:  # as nearly always
        pairs: Iterable[tuple[float, float]] = zip(theirs.seconds, mine.seconds, strict=True)
    else:
        known = dict(zip(theirs.turn, theirs.seconds, strict=True))
        timed = zip(mine.turn, mine.seconds, strict=True)
        pairs = ((known[turn], value) for turn, value in timed if turn in known)
    ratios = [math.log(usual / value) for usual, value in pairs]
    return stats.median(ratios) if ratios else None
