"""Every metric there is: one table, one row per metric, record -> estimate.

Adding a derived metric is adding a row. Reports, comparisons and gates read names, units and
directions from here.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from cnnbench import roofline, stats
from cnnbench.errors import UnknownName
from cnnbench.record import Record
from cnnbench.stats import Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.facts import Structure
    from cnnbench.record import Run, Slice


@dataclass(frozen=True)
class Metric:
    """One number about a record.

    Attributes:
        name: how users say it.
        column: its column in tidy tables, unit included.
        kind: how ``units`` writes it: seconds, bytes, count, number, rate, fraction, ratio or
            error.
        better: ``lower``, ``higher`` or ``none``.
        of: the estimate, or ``None`` where it was not measured.
        interval: columns of the interval, for metrics that have one.
        meaning: one line for documentation.
        nature: ``exact`` (counts, sizes, errors: the same twice), ``time`` (with an interval over
            rounds, and never the same twice), or ``described`` (what is said of the measurement
            itself, without an interval).
    """

    name: str
    column: str
    kind: str
    better: str
    of: Callable[[Record], Estimate | None]
    meaning: str
    interval: tuple[str, str] | None = None
    nature: Literal["exact", "time", "described"] = "exact"


def slice_seconds(one: Slice) -> float:
    """Seconds per call in a slice: the median of its samples."""
    return one.median_ns / one.iterations / 1e9


def run_seconds(run: Run) -> float | None:
    """Seconds per call in a run: the median of its slices' medians."""
    return statistics.median(map(slice_seconds, run.slices)) if run.slices else None


def latency(record: Record) -> Estimate | None:
    """Seconds per call: the median over rounds, with a 95 % t-interval over rounds."""
    if record.failure is not None:
        return None
    values = _per_round(record.runs, run_seconds)
    return stats.geometric(values) if values else None


def _per_round(runs: Sequence[Run], value_of: Callable[[Run], float | None]) -> list[float]:
    """One positive value per round.

    A baseline that was measured in several ensembles of one round has several runs in it, which
    share a starter and so its luck.
    """
    rounds: dict[int, list[float]] = {}
    for run in runs:
        value = value_of(run)
        if value is not None:
            rounds.setdefault(run.round, []).append(value)
    return [statistics.median(values) for values in rounds.values()]


def throughput(record: Record) -> Estimate | None:
    """Samples per second: the batch over the latency."""
    time = latency(record)
    if time is None:
        return None
    return _over(record.spec.workload.batch, time)


def spread(record: Record) -> Estimate | None:
    """Interquartile range over the median of single samples, the widest of the rounds."""
    if record.failure is not None:
        return None
    values = [
        value
        for run in record.runs
        if (value := stats.quartile_spread([n / s.iterations for s in run.slices for n in s.ns]))
        is not None
    ]
    return stats.exact(max(values, default=None))


def run_delay(record: Record) -> Estimate | None:
    """Share of the sampled time that the process was ready to run but had no core."""
    if record.failure is not None:
        return None
    slices = [one for run in record.runs for one in run.slices]
    delays = [one.run_delay_ns for one in slices if one.run_delay_ns is not None]
    if not slices or len(delays) < len(slices):
        return None
    return stats.exact(sum(delays) / sum(sum(one.ns) for one in slices))


def steal(record: Record) -> Estimate | None:
    """Share of the machine's time, over all its cores, that a hypervisor took while sampling."""
    return _share_of_slices(record, "steal_ns")


def others(record: Record) -> Estimate | None:
    """Cores that other processes kept busy while sampling, on average."""
    return _share_of_slices(record, "others_ns")


def _share_of_slices(record: Record, field: str) -> Estimate | None:
    if record.failure is not None:
        return None
    slices = [one for run in record.runs for one in run.slices]
    values = [value for one in slices if (value := getattr(one, field)) is not None]
    if not slices or len(values) < len(slices):
        return None
    return stats.exact(sum(values) / sum(sum(one.ns) for one in slices))


def faults(record: Record) -> Estimate | None:
    """Minor page faults per call while sampling: memory that malloc gave back and took again."""
    if record.failure is not None:
        return None
    slices = [one for run in record.runs for one in run.slices if one.minor_faults is not None]
    calls = sum(one.iterations * len(one.ns) for one in slices)
    total = sum(one.minor_faults or 0 for one in slices)
    return stats.exact(total / calls) if calls else None


def machine_drift(record: Record) -> float | None:
    """How much the machine's own speed changed between rounds, by the canaries of its slices.

    The largest over the smallest of the rounds' medians, less one; of the canary that changed most.
    """
    names = {name for run in record.runs for one in run.slices for name in one.canaries_ns}
    drifts = []
    for name in names:
        medians = [
            statistics.median(values)
            for run in record.runs
            if (values := [one.canaries_ns[name] for one in run.slices if name in one.canaries_ns])
        ]
        if len(medians) > 1:
            drifts.append(max(medians) / min(medians) - 1)
    return max(drifts, default=None)


# Beyond these a reader must not take an absolute time at its word.
_DISTURBED = 0.05
_STOLEN = 0.02
_NOISY = 0.10
_DRIFT = 0.20


def quality(record: Record) -> str | None:
    """How far the measurement itself can be trusted, in a word and its reason.

    ``disturbed``: the process waited for a core more than 5 % of the time, or a hypervisor took
    more than 2 % of the machine, so times are too long. ``noisy``: rounds differ so that the
    interval is wider than 10 % either way, or the machine's own speed, by small fixed pieces of
    work beside the samples, changed by more than 20 % between rounds. ``clean`` otherwise; ``None``
    if there is no latency.
    """
    time = latency(record)
    if time is None:
        return None
    delay, stolen, drift = run_delay(record), steal(record), machine_drift(record)
    if delay is not None and delay.point > _DISTURBED:
        return f"disturbed (no core {100 * delay.point:.0f} % of the time)"
    if stolen is not None and stolen.point > _STOLEN:
        return f"disturbed (the hypervisor took {100 * stolen.point:.0f} % of the machine)"
    if time.margin is not None and time.margin > _NOISY:
        return f"noisy (interval of {100 * time.margin:.0f} %)"
    if drift is not None and drift > _DRIFT:
        return f"noisy (the machine's speed changed by {100 * drift:.0f} % between rounds)"
    return "clean" if time.margin is not None else "clean (one round)"


def first_call(record: Record, cache: str) -> Estimate | None:
    """Seconds of the first call of compiled modes, by the state of the compiler's cache."""
    values = [run.warmup_ns[0] / 1e9 for run in record.runs if run.compile_cache == cache]
    return stats.geometric(values) if values and record.failure is None else None


def refused(record: Record) -> bool:
    """Whether it is a way to compute a layer that does not apply to it: no number, no failure."""
    failure = record.failure
    layer = record.spec.workload.architecture.startswith("conv:")
    return layer and failure is not None and failure.kind == "unsupported"


def break_even(record: Record, baseline: Record | None) -> Estimate | None:
    """Calls after which a compiled mode has paid for its cold compilation.

    What the first call took beyond the baseline's own first call, over what every later call saves.
    The interval comes from that of the saving; ``None`` if nothing compiled, or if a saving cannot
    be told from none, so that it may never pay.
    """
    faster = speedup(record, baseline)
    cold, usual = first_call(record, "cold"), latency(record)
    if baseline is None or faster is None or cold is None or usual is None:
        return None
    if faster.point <= 1 or faster.low is None or faster.low <= 1:
        return None
    firsts = [run.warmup_ns[0] / 1e9 for run in baseline.runs if run.warmup_ns]
    extra = cold.point - statistics.median(firsts)

    def calls(ratio: float) -> float:
        return max(0.0, extra / (usual.point * (ratio - 1)))

    high = calls(faster.high) if faster.high is not None else None
    return Estimate(calls(faster.point), high, calls(faster.low), faster.rounds)


def speedup(record: Record, baseline: Record | None) -> Estimate | None:
    """How many times faster than the baseline, from slices that were measured side by side.

    Per round the median over turns of the log-ratio of slice medians; over rounds the mean and its
    t-interval. ``None`` unless both were measured in the same ensembles.
    """
    rounds = [] if baseline is None else log_speedups(record, baseline)
    return stats.log_ratio(rounds) if rounds else None


def log_speedups(record: Record, baseline: Record) -> list[float]:
    """log(baseline / record) of each ensemble that both lived in; empty if there is none."""
    if record.failure is not None or baseline.failure is not None:
        return []
    others = {run.ensemble: run for run in baseline.runs}
    return [
        value
        for run in record.runs
        if run.ensemble in others and (value := _log_ratio(others[run.ensemble], run)) is not None
    ]


def _log_ratio(base: Run, run: Run) -> float | None:
    turns = {one.turn: slice_seconds(one) for one in base.slices}
    ratios = [
        math.log(turns[one.turn] / slice_seconds(one)) for one in run.slices if one.turn in turns
    ]
    return statistics.median(ratios) if ratios else None


def _memory(field: str) -> Callable[[Record], Estimate | None]:
    def of(record: Record) -> Estimate | None:
        value = getattr(record.memory, field) if record.memory is not None else None
        return stats.exact(value)

    return of


def _cost(field: str) -> Callable[[Record], Estimate | None]:
    def of(record: Record) -> Estimate | None:
        return stats.exact(getattr(record.cost, field) if record.cost is not None else None)

    return of


def _check(field: str) -> Callable[[Record], Estimate | None]:
    def of(record: Record) -> Estimate | None:
        return stats.exact(getattr(record.check, field) if record.check is not None else None)

    return of


def _part(name: str) -> Callable[[Record], Estimate | None]:
    def of(record: Record) -> Estimate | None:
        def seconds(run: Run) -> float | None:
            found = [part.ns for part in run.parts if part.name == name and part.ns]
            return max(statistics.median(found[0]), 1) / 1e9 if found else None

        values = [] if record.failure is not None else _per_round(record.runs, seconds)
        return stats.geometric(values) if values else None

    return of


def _structure(value_of: Callable[[Structure], int | None]) -> Callable[[Record], Estimate | None]:
    def of(record: Record) -> Estimate | None:
        return stats.exact(None if record.structure is None else value_of(record.structure))

    return of


def _graph_breaks(structure: Structure) -> int | None:
    return None if structure.graphs is None else sum(structure.graph_breaks.values())


def _methods_apart(record: Record) -> Estimate | None:
    """The high-water mark over the allocator's peak, less one."""
    memory = record.memory
    if memory is None or not memory.cpu_peak_bytes or memory.cpu_high_water_bytes is None:
        return None
    return stats.exact(memory.cpu_high_water_bytes / memory.cpu_peak_bytes - 1)


def _process_peak(record: Record) -> Estimate | None:
    peaks = [run.process_peak_bytes for run in record.runs if run.process_peak_bytes is not None]
    return stats.exact(max(peaks, default=None))


def work(record: Record) -> roofline.Work | None:
    """What one step of a record does; of training its forward and backward contractions."""
    if record.cost is None:
        return None
    if record.spec.workload.phase != "inference":
        macs = record.cost.training_macs
        return None if macs is None else roofline.Work(2 * macs)
    done = record.algorithm
    if done is None:
        return roofline.Work(record.cost.flops)
    executed = None if done.executed_macs is None else 2 * done.executed_macs
    return roofline.Work(record.cost.flops, executed, done.moved_bytes)


def roof(record: Record) -> roofline.Roof | None:
    """The ceiling that binds a step, if its bytes are known and ceilings were probed beside it."""
    time, done = latency(record), work(record)
    if time is None or done is None:
        return None
    spec = record.spec
    return roofline.roof(done, time.point, record.ceilings, spec.mode.precision, spec.threads)


def binding(record: Record) -> str | None:
    """Which ceiling binds: ``compute``, ``memory`` or ``dispatch``.

    A step that was faster than its ceilings allow says so instead: they were probed too low.
    """
    found = roof(record)
    if found is None:
        return None
    return found.binds if found.credible else f"faster than the {found.binds} ceiling as probed"


def _roof_share(record: Record) -> Estimate | None:
    """With the interval of the latency; that of the ceilings is not known."""
    found, time = roof(record), latency(record)
    return None if found is None or time is None else _over(found.seconds, time)


def _over(amount: float, time: Estimate) -> Estimate:
    """So much in that time."""
    low, high = (None if end is None else amount / end for end in (time.high, time.low))
    return Estimate(amount / time.point, low, high, time.rounds)


def _flops_rate(field: str) -> Callable[[Record], Estimate | None]:
    def of(record: Record) -> Estimate | None:
        time, done = latency(record), work(record)
        amount = None if done is None else getattr(done, field)
        if time is None or amount is None:
            return None
        return _over(amount, time)

    return of


def _intensity(record: Record) -> Estimate | None:
    done = work(record)
    return None if done is None else stats.exact(done.intensity)


# The one table of metrics.
METRICS: tuple[Metric, ...] = (
    Metric("latency", "latency_median_s", "seconds", "lower", latency,
           "seconds per call, median over rounds", ("latency_low_s", "latency_high_s"),
           nature="time"),
    Metric("throughput", "throughput_per_s", "rate", "higher", throughput,
           "samples per second", nature="time"),
    Metric("spread", "latency_spread", "fraction", "lower", spread,
           "interquartile range over median of single samples, widest round", nature="described"),
    Metric("run_delay", "run_delay_share", "fraction", "lower", run_delay,
           "share of the time that the process was ready to run but had no core",
           nature="described"),
    Metric("steal", "steal_share", "fraction", "lower", steal,
           "time that a hypervisor took from all cores, per time sampled", nature="described"),
    Metric("others", "others_cores", "fraction", "lower", others,
           "CPU time of other processes per time sampled: cores that they kept busy",
           nature="described"),
    Metric("faults", "minor_faults_per_call", "number", "lower", faults,
           "minor page faults per call while sampling", nature="described"),
    Metric("forward", "forward_s", "seconds", "lower", _part("forward"),
           "forward pass of a training step, timed by itself", nature="time"),
    Metric("loss", "loss_s", "seconds", "lower", _part("loss"), "its loss", nature="time"),
    Metric("backward", "backward_s", "seconds", "lower", _part("backward"), "its backward pass",
           nature="time"),
    Metric("optimizer", "optimizer_s", "seconds", "lower", _part("optimizer"),
           "its optimiser, gradients cleared", nature="time"),
    Metric("peak_memory", "cpu_peak_bytes", "bytes", "lower", _memory("cpu_peak_bytes"),
           "peak of torch's CPU allocator in one step, with parameters, buffers and input"),
    Metric("high_water", "cpu_high_water_bytes", "bytes", "lower", _memory("cpu_high_water_bytes"),
           "the same by the process's high-water mark with malloc caching off"),
    Metric("memory_methods_apart", "memory_methods_apart", "fraction", "none", _methods_apart,
           "high-water mark over allocator peak, less one: how far the two methods differ",
           nature="described"),
    Metric("process_memory", "process_peak_bytes", "bytes", "lower", _process_peak,
           "high-water mark of the timed process, with Python and torch"),
    Metric("cuda_process", "cuda_process_bytes", "bytes", "lower", _memory("cuda_process_bytes"),
           "memory of the process on the CUDA device, as the driver counts it"),
    Metric("cuda_workspace", "cuda_workspace_bytes", "bytes", "lower",
           _memory("cuda_workspace_bytes"), "what libraries hold there beyond tensors at the peak"),
    Metric("cuda_memory", "cuda_peak_bytes", "bytes", "lower", _memory("cuda_allocated_bytes"),
           "peak of tensors on the CUDA device"),
    Metric("cuda_requested", "cuda_requested_bytes", "bytes", "lower",
           _memory("cuda_requested_bytes"), "the same before rounding by the allocator"),
    Metric("cuda_reserved", "cuda_reserved_bytes", "bytes", "lower",
           _memory("cuda_reserved_bytes"), "peak of memory held by the CUDA caching allocator"),
    Metric("params", "params", "count", "none", _cost("params"),
           "parameters, auxiliary heads included"),
    Metric("trainable_params", "trainable_params", "count", "none", _cost("trainable_params"),
           "parameters that training changes"),
    Metric("macs", "macs", "count", "lower", _cost("macs"),
           "multiply-accumulates of one forward pass of the whole batch"),
    Metric("flops", "flops", "count", "lower", _cost("flops"), "two per multiply-accumulate"),
    Metric("training_macs", "training_macs", "count", "lower", _cost("training_macs"),
           "multiply-accumulates of forward and backward"),
    Metric("effective_flops", "effective_flops_per_s", "count", "higher", _flops_rate("flops"),
           "FLOPs of the step's definition per second, however it is computed", nature="time"),
    Metric("executed_flops", "executed_flops_per_s", "count", "none",
           _flops_rate("executed_flops"), "FLOPs per second that the algorithm really executes",
           nature="time"),
    Metric("intensity", "flops_per_byte", "number", "none", _intensity,
           "arithmetic intensity: executed FLOPs over bytes that must be moved"),
    Metric("roof_share", "roof_share", "fraction", "higher", _roof_share,
           "least time that the binding ceiling allows, over the latency", nature="time"),
    Metric("predicted_memory", "predicted_peak_bytes", "bytes", "lower",
           _cost("memory_peak_bytes"), "peak memory that the static analysis predicts"),
    Metric("compile_cold", "compile_cold_s", "seconds", "lower",
           lambda record: first_call(record, "cold"), "first call with an empty compiler cache",
           nature="time"),
    Metric("compile_warm", "compile_warm_s", "seconds", "lower",
           lambda record: first_call(record, "warm"), "first call with a filled compiler cache",
           nature="time"),
    Metric("graphs", "graphs", "count", "lower", _structure(lambda one: one.graphs),
           "graphs that the compiler made of the step"),
    Metric("graph_breaks", "graph_breaks", "count", "lower", _structure(_graph_breaks),
           "times that the compiler gave up within the step"),
    Metric("recompiles", "recompiles", "count", "lower", _structure(lambda one: one.recompiles),
           "further compilations of something compiled before"),
    Metric("reorders", "reorders", "count", "lower", _structure(lambda one: one.reorders),
           "conversions of layout that a library added to the step"),
    Metric("allocations", "allocations", "count", "lower",
           _structure(lambda one: one.allocations), "blocks that the allocator gave out in a step"),
    Metric("error", "relative_error", "error", "lower", _check("error"),
           "relative Frobenius error of the output against fp32 eager"),
    Metric("error_float64", "relative_error_float64", "error", "lower", _check("error_float64"),
           "the same against float64"),
    Metric("top1_agreement", "top1_agreement", "fraction", "higher", _check("top1_agreement"),
           "share of samples with fp32 eager's top-1 class"),
)  # fmt: skip


def metric(name: str) -> Metric:
    """The metric of that name.

    Raises:
        UnknownName: there is none.
    """
    table = {one.name: one for one in METRICS}
    if name not in table:
        raise UnknownName("metric", name, table)
    return table[name]
