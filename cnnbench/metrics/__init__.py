"""Every metric there is: one table, one row per metric, record -> estimate.

Adding a derived metric is adding a row. Reports, comparisons and gates read names, units and
directions from here.
"""

from __future__ import annotations

import functools
import statistics
from typing import TYPE_CHECKING

from cnnbench import stats
from cnnbench.asking import NO_IMAGES
from cnnbench.errors import UnknownName
from cnnbench.metrics import deployed, gpu, rates
from cnnbench.metrics.rates import RATES, binding, roof, work
from cnnbench.metrics.row import Metric
from cnnbench.metrics.timing import (
    ERROR,
    Awake,
    all_awake,
    break_even,
    cold,
    cpu_time,
    energy_per_sample,
    faults,
    first_call,
    latency,
    latency_awake,
    log_speedups,
    machine_drift,
    others,
    over,
    per_round,
    quality,
    robbed,
    run_delay,
    run_seconds,
    savings,
    shown,
    slice_seconds,
    speedup,
    spread,
    steal,
    threads_hide,
    throughput,
    waited,
)
from cnnbench.stats import Estimate

__all__ = [
    "ERROR", "METRICS", "RATES", "Awake", "Metric", "alike", "binding", "break_even", "cold",
    "faults", "first_call", "latency", "latency_awake", "log_speedups", "machine_drift", "metric",
    "over", "quality", "robbed", "roof", "run_seconds", "savings", "seen", "shown", "slice_seconds",
    "speedup", "spread", "steal", "threads_hide", "throughput", "waited", "work",
]  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cnnbench.facts import Check, Structure
    from cnnbench.record import Record, Run


def _exactly(of: str, field: str) -> Callable[[Record], Estimate | None]:
    """A figure of a part of a record, which may lack the part."""

    def value(record: Record) -> Estimate | None:
        part = getattr(record, of)
        return stats.exact(None if part is None else getattr(part, field))

    return value


_memory, _cost, _reference, _check = (
    functools.partial(_exactly, of) for of in ("memory", "cost", "reference", "check")
)


def _judged(record: Record) -> Check | None:
    """The check of a record; where there are pictures of the user's, the one that saw them all.

    Only processes of the first round do.
    """
    if record.spec.workload.setting("images", NO_IMAGES) == NO_IMAGES or not record.runs:
        return record.check
    return min(record.runs, key=lambda run: run.round).check


def _pictures(field: str) -> Callable[[Record], Estimate | None]:
    def of(record: Record) -> Estimate | None:
        check = _judged(record)
        return stats.exact(None if check is None else getattr(check, field))

    return of


def _accuracy(record: Record) -> Estimate | None:
    """With Wilson's interval: the pictures are a sample of all that there could be."""
    check = _judged(record)
    if check is None or check.accuracy_top1 is None or not check.top1_pictures:
        return None
    hits = round(check.accuracy_top1 * check.top1_pictures)
    return Estimate(check.accuracy_top1, *stats.wilson(hits, check.top1_pictures))


def _part(name: str) -> Callable[[Record], Estimate | None]:
    def of(record: Record) -> Estimate | None:
        def seconds(run: Run) -> float | None:
            found = [part.ns for part in run.parts if part.name == name and part.ns]
            return max(statistics.median(found[0]), 1) / 1e9 if found else None

        if record.failure is not None or not any(run.parts for run in record.runs):
            return None
        values = per_round(record.runs, seconds)
        return stats.geometric(values) if values else None

    return of


def _structure(value_of: Callable[[Structure], int | None]) -> Callable[[Record], Estimate | None]:
    def of(record: Record) -> Estimate | None:
        return stats.exact(None if record.structure is None else value_of(record.structure))

    return of


def _graph_breaks(structure: Structure) -> int | None:
    return None if structure.graphs is None else sum(structure.graph_breaks.values())


def _reorder_share(record: Record) -> Estimate | None:
    """The middle of some calls' shares of primitives and copies; clocks tick in microseconds."""
    done = record.algorithm
    if done is None:
        return None
    shares = [
        reorders / whole
        for reorders, whole in zip(done.reorder_ns, done.primitive_ns, strict=True)
        if whole
    ]
    return Estimate(statistics.median(shares)) if shares else None


def _methods_apart(record: Record) -> Estimate | None:
    """The high-water mark over the allocator's peak, less one."""
    memory = record.memory
    if memory is None or not memory.cpu_peak_bytes or memory.cpu_high_water_bytes is None:
        return None
    return stats.exact(memory.cpu_high_water_bytes / memory.cpu_peak_bytes - 1)


def _process_peak(record: Record) -> Estimate | None:
    peaks = [run.process_peak_bytes for run in record.runs if run.process_peak_bytes is not None]
    return stats.exact(max(peaks, default=None))


def _by_clock(name: str) -> Callable[[Record], Estimate | None]:
    def of(record: Record) -> Estimate | None:
        time = latency(record)
        return None if time is None else RATES[name](record, time)

    return of


# The one table of metrics.
METRICS: tuple[Metric, ...] = (
    Metric("latency", "latency_median_s", "seconds", "lower", latency,
           "seconds per call, median over rounds", ("latency_low_s", "latency_high_s"),
           nature="time"),
    Metric("latency_awake", "latency_awake_median_s", "seconds", "lower", latency_awake,
           "seconds per call without the time that the process was ready to run but had no core; "
           "of one thread on a CPU only",
           ("latency_awake_low_s", "latency_awake_high_s"), nature="time"),
    Metric("cpu_time", "cpu_time_s", "seconds", "lower", cpu_time,
           "CPU seconds per call, of all threads of the process together", nature="time"),
    Metric("throughput", "throughput_per_s", "rate", "higher", throughput,
           "input samples per second, at latency_median_s", nature="time"),
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
           "forward pass of a training step, timed separately", nature="time"),
    Metric("loss", "loss_s", "seconds", "lower", _part("loss"),
           "loss of a training step, timed separately", nature="time"),
    Metric("backward", "backward_s", "seconds", "lower", _part("backward"),
           "backward pass of a training step, timed separately",
           nature="time"),
    Metric("optimizer", "optimizer_s", "seconds", "lower", _part("optimizer"),
           "optimizer step and clearing of the gradients, timed separately", nature="time"),
    Metric("peak_memory", "cpu_peak_bytes", "bytes", "lower", _memory("cpu_peak_bytes"),
           "peak of torch's CPU allocator in one step, with parameters, buffers and input"),
    Metric("high_water", "cpu_high_water_bytes", "bytes", "lower", _memory("cpu_high_water_bytes"),
           "the same peak, by the process's high-water mark with malloc caching off"),
    Metric("memory_methods_apart", "memory_methods_apart", "fraction", "none", _methods_apart,
           "high-water mark divided by allocator peak, minus one: how far the two methods differ",
           nature="described"),
    Metric("process_memory", "process_peak_bytes", "bytes", "lower", _process_peak,
           "high-water mark of the timed process, with Python and torch"),
    Metric("cuda_process", "cuda_process_bytes", "bytes", "lower", _memory("cuda_process_bytes"),
           "memory of the process on the CUDA device, as the driver counts it"),
    Metric("cuda_workspace", "cuda_workspace_bytes", "bytes", "lower",
           _memory("cuda_workspace_bytes"),
           "memory that libraries hold on the CUDA device beyond tensors, at the peak"),
    Metric("cuda_memory", "cuda_peak_bytes", "bytes", "lower", _memory("cuda_allocated_bytes"),
           "peak of tensors on the CUDA device, with what CUDA graphs keep to compute in"),
    Metric("cuda_requested", "cuda_requested_bytes", "bytes", "lower",
           _memory("cuda_requested_bytes"),
           "the same peak before rounding by the allocator"),
    Metric("cuda_reserved", "cuda_reserved_bytes", "bytes", "lower",
           _memory("cuda_reserved_bytes"),
           "peak of memory held by the CUDA caching allocator"),
    Metric("gpu_busy", "gpu_busy_share", "fraction", "higher", gpu.busy,
           "share of a step in which the CUDA device had any kernel or copy to do: their time in "
           "one profiled call over the latency; below a half the row is launch-bound",
           nature="described"),
    Metric("energy", "energy_per_sample_j", "number", "lower", energy_per_sample,
           "with --energy: joules per sample that the whole GPU (NVML) or the host's processor "
           "packages (RAPL) drew over at least 2 s of calls, idle power included",
           nature="described"),
    Metric("params", "params", "count", "none", _cost("params"),
           "parameters, auxiliary heads included"),
    Metric("trainable_params", "trainable_params", "count", "none", _cost("trainable_params"),
           "parameters that training changes"),
    Metric("macs", "macs", "count", "lower", _cost("macs"),
           "multiply-accumulates of one inference pass of the whole batch, in every phase"),
    Metric("flops", "flops", "count", "lower", _cost("flops"),
           "floating-point operations: two per multiply-accumulate"),
    Metric("training_macs", "training_macs", "count", "lower", _cost("training_macs"),
           "multiply-accumulates of a training step, forward and backward; auxiliary heads run in"
           " it"),
    Metric("effective_flops", "effective_flops_per_s", "count", "higher",
           _by_clock("effective_flops"),
           "FLOPs per second by the definition of the step, whatever the algorithm", nature="time"),
    Metric("executed_flops", "executed_flops_per_s", "count", "none",
           _by_clock("executed_flops"),
           "FLOPs per second that the algorithm actually executes",
           nature="time"),
    Metric("intensity", "flops_per_byte", "number", "none", rates.intensity,
           "arithmetic intensity: executed FLOPs over bytes that must be moved"),
    Metric("roof_share", "roof_share", "fraction", "higher", _by_clock("roof_share"),
           "roofline bound (the least time that the binding ceiling allows) divided by the "
           "latency", nature="time"),
    Metric("predicted_memory", "predicted_peak_bytes", "bytes", "lower",
           _cost("memory_peak_bytes"),
           "peak memory that the static analysis predicts"),
    Metric("compile_cold", "compile_cold_s", "seconds", "lower",
           lambda record: first_call(record, "cold"),
           "first call with an empty compiler cache",
           nature="time"),
    Metric("compile_warm", "compile_warm_s", "seconds", "lower",
           lambda record: first_call(record, "warm"),
           "first call with a filled compiler cache",
           nature="time"),
    *deployed.METRICS,
    Metric("graphs", "graphs", "count", "lower", _structure(lambda one: one.graphs),
           "graphs that the compiler made of the step"),
    Metric("graph_breaks", "graph_breaks", "count", "lower", _structure(_graph_breaks),
           "times that the compiler gave up within the step"),
    Metric("recompiles", "recompiles", "count", "lower", _structure(lambda one: one.recompiles),
           "further compilations of something compiled before"),
    Metric("reorders", "reorders", "count", "lower", _structure(lambda one: one.reorders),
           "conversions of layout that a library added to the step"),
    Metric("reorder_share", "reorder_share", "fraction", "lower", _reorder_share,
           "for a single layer: share of the time in oneDNN's primitives and torch's copies that "
           "layout conversions take: oneDNN's reorders and the copies",
           nature="described"),
    Metric("allocations", "allocations", "count", "lower",
           _structure(lambda one: one.allocations),
           "blocks that the allocator gave out in a step"),
    Metric("error", "relative_error", "error", "lower", _check("error"),
           "relative Frobenius error of the output against fp32 eager"),
    Metric("error_float64", "relative_error_float64", "error", "lower", _check("error_float64"),
           "the same error against float64"),
    Metric("top1_agreement", "top1_agreement", "fraction", "higher", _pictures("top1_agreement"),
           "share of input samples with fp32 eager's top-1 class; with --images, of all pictures"),
    Metric("top1_pictures", "top1_pictures", "count", "none", _pictures("top1_pictures"),
           "how many input samples top1_agreement is a share of; with --images, accuracy too",
           nature="described"),
    Metric("accuracy_top1", "accuracy_top1", "share", "higher", _accuracy,
           "with --images DIR of one folder per class and trained weights: share of pictures "
           "whose class is the likeliest",
           ("accuracy_top1_low", "accuracy_top1_high")),
    Metric("accuracy_top5", "accuracy_top5", "share", "higher", _pictures("accuracy_top5"),
           "share of pictures whose class is among the five likeliest; empty for networks of up "
           "to five classes"),
    Metric("accuracy_fp32_top1", "accuracy_fp32_top1", "share", "higher",
           _reference("accuracy_top1"),
           "accuracy_top1 of fp32 eager"),
    Metric("accuracy_fp32_top5", "accuracy_fp32_top5", "share", "higher",
           _reference("accuracy_top5"),
           "accuracy_top5 of fp32 eager"),
    Metric("error_centred", "relative_error_centred", "error", "lower", _check("error_centred"),
           "the error of what depends on the picture: every value less its mean over pictures, "
           "relative to fp32 eager's"),
    Metric("picture_share", "picture_share", "fraction", "none", _reference("picture_share"),
           "share of fp32 eager's output that depends on the picture, by norm",
           nature="described"),
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


def seen(name: str, record: Record) -> Estimate | None:
    """A metric as people are shown it: times and rates without waiting that spoilt them."""
    of = {**_BY_LATENCY, **RATES}.get(name)
    time = None if of is None else shown(record)
    return metric(name).of(record) if of is None or time is None else of(record, time)


def alike(name: str, records: Sequence[Record]) -> tuple[Estimate, ...] | None:
    """A metric of several records without waiting, where that has spoilt one and is known of all.

    One by the clock beside one without waiting would compare two kinds of time. ``None`` where all
    are by the clock, and for metrics that do not follow from the latency alone.
    """
    times = all_awake(records) if name in _BY_LATENCY else None
    if times is None:
        return None
    return tuple(_BY_LATENCY[name](*pair) for pair in zip(records, times, strict=True))


# Metrics that follow from the latency alone, and how.
_BY_LATENCY: Mapping[str, Callable[[Record, Estimate], Estimate]] = {
    "latency": lambda _, time: time,
    "throughput": lambda record, time: over(record.spec.workload.batch, time),
}
