"""The columns of the CSV report as variables: they are the first of every row, in the same order.

How they are filled stands in ``report.table`` and ``metrics``; here is what else the dictionary
says of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnnbench import axes
from cnnbench.metrics import METRICS
from cnnbench.report.table import tidy_columns
from cnnbench.report.variables.variable import NEVER, StoredEntry, Type, Variable

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnbench.axes import Axis
    from cnnbench.metrics import Metric

_SPEC, _CHECK, _CLOCK = "spec", "output check", "clock of the worker"
_DERIVED, _KERNEL = "computed from other columns", "counters of the kernel"
_UNTIMED = "the spec failed before it was timed"

# Column -> type, unit, meaning, source, when it is empty; of all that are no metric.
_OWN: dict[str, tuple[Type, str, str, str, str]] = {
    "spec": ("text", "",
             "the spec's id, the only key: model/phase-bBATCH-SHAPE/mode/device-tTHREADS",
             _SPEC, NEVER),
    "model": ("text", "", "architecture, with the builder's arguments if there are any", _SPEC,
              NEVER),
    "mode": ("text", "", "compiler, memory format and precision, joined by +", _SPEC, NEVER),
    "device": ("text", "",
               "cpu or cuda:INDEX; where GPUs shared the work cuda:0, the one that each worker"
               " saw", _SPEC, NEVER),
    "batch": ("integer", "1", "input samples per call", _SPEC, NEVER),
    "size": ("text", "pixels",
             "height and width of an input sample; one number if they are equal", _SPEC, NEVER),
    "input": ("text", "", "whole shape of an input sample", _SPEC, NEVER),
    "phase": ("text", "", "inference, training or finetune", _SPEC, NEVER),
    "optimizer": ("text", "", "optimizer of the phases that train: momentum by default", _SPEC,
                  "the phase is inference"),
    "threads": ("integer", "1", "CPU threads of the worker", _SPEC, NEVER),
    "status": ("text", "",
               "result of the output check: ok, loose, wrong, unchecked, or failed", _CHECK,
               NEVER),
    "error": ("text", "",
              "why the status is not ok: phase and message of a failure, or what the check found",
              _CHECK, "the status is ok"),
    "speedup": ("number", "1",
                "how many times faster than plain eager, from slices measured side by side",
                _CLOCK, "plain eager was not measured beside it, or one of them failed"),
    "break_even_calls": ("number", "1",
                         "calls after which a compiled mode has paid for its cold compilation;"
                         " only where it is clearly faster than eager, taken by itself",
                         _DERIVED, "the mode does not compile, or is not clearly faster"),
    "measurement": ("text", "", "clean, noisy or disturbed, with the reason", _DERIVED, _UNTIMED),
    "usability": ("text", "",
                  "what the whole run is good for: usable, usable for gains only or not usable"
                  " (method); empty if its numbers are made up", _DERIVED,
                  "the numbers are made up by the fake executor"),
    "roof": ("text", "",
             "the ceiling that binds: compute, memory or dispatch; or a note that it was probed"
             " too low", _DERIVED, "no ceilings were probed, or the bytes moved are not known"),
    "rounds": ("integer", "1", "fresh starts of the workers that were measured",
               "schedule of the run", NEVER),
    "subnormal_share": ("number", "1",
                        "share of subnormal numbers among the activations; they slow a CPU down",
                        "reference worker", "the reference could not be computed"),
    "weights": ("text", "",
                "what the network was given: calibrated, random as its builder initialises it,"
                " pretrained, or a file", "reference worker",
                "the reference could not be computed"),
    "loss": ("text", "", "what a training step minimises; empty for inference", "worker",
             "the phase is inference, or the step was never built"),
    "train": ("text", "",
              "what a training step was asked to train: auto, head, last=N, all, own or names"
              " (transfer learning); empty for inference", _SPEC, "the phase is inference"),
    "trained": ("text", "", "the part of the network that it trained, in words", "worker",
                "the phase is inference, or the step was never built"),
    "images": ("text", "",
               "directory of the pictures that the network was given (--images); empty for seeded"
               " pictures", _SPEC, "the pictures were seeded"),
    "notes": ("text", "",
              "other information that a reader needs, e.g. why a value is missing", "worker",
              "there is none"),
    "run": ("text", "", "the run's name, unique across machines", "manifest of the run", NEVER),
    "environment": ("text", "", "fingerprint of the hard part of the environment",
                    "environment of the run", NEVER),
    "torch": ("text", "", "version of torch", "environment of the run",
              "the numbers were imported from another tool"),
    "measured_at": ("text", "", "UTC time at which the record was closed", "clock of the host",
                    NEVER),
}  # fmt: skip

_MEMORY = "pass without a clock, in a process of its own"
_STATIC = "static analysis"
_NO_COST = "the network could not be counted"
_NO_MEMORY = "the spec failed before, or its memory was not measured"
_ON_CUDA = "the device is a CPU, or the pass was not made"
_PICTURES = "without --images of labelled pictures and trained weights"
# Names of metrics -> where they come from, and when they are empty.
_METRICS: tuple[tuple[str, str, str], ...] = (
    ("latency throughput spread", _CLOCK, _UNTIMED),
    ("latency_awake", _CLOCK, "several threads, a CUDA device, or a kernel that does not tell"),
    ("cpu_time run_delay steal others faults", _KERNEL,
     "the spec failed before it was timed, or the kernel does not tell"),
    ("forward loss backward optimizer", _CLOCK, "the phase is inference, or the spec failed"),
    ("peak_memory high_water memory_methods_apart", _MEMORY,
     "the device is CUDA, the mode runs elsewhere than in torch, or the pass was not made"),
    ("process_memory", _KERNEL, _UNTIMED),
    ("cuda_process cuda_workspace", "driver of the GPU", _ON_CUDA),
    ("cuda_memory cuda_requested cuda_reserved", _MEMORY, _ON_CUDA),
    ("gpu_busy", "profiler", _ON_CUDA),
    ("energy", "counters of NVML or RAPL", "without --energy, or where no counter can be read"),
    ("params trainable_params macs flops predicted_memory", _STATIC, _NO_COST),
    ("training_macs", _STATIC, "the phase is inference, or the network could not be counted"),
    ("effective_flops executed_flops", _DERIVED,
     "the latency or what the step computes is not known"),
    ("intensity", _DERIVED, "what the step moves is not known, as for whole networks"),
    ("roof_share", _DERIVED, "no ceilings were probed, or the bytes moved are not known"),
    ("compile_cold compile_warm", _CLOCK, "the mode does not compile, or the spec failed"),
    ("export_time load_time artefact", "worker of a deployment runtime",
     "the mode is none of a deployment runtime"),
    ("cold_start cold_import cold_load cold_first", "clock around fresh processes",
     "without --cold-start"),
    ("graphs graph_breaks recompiles", _MEMORY, "nothing was compiled"),
    ("reorders allocations", _MEMORY, _NO_MEMORY),
    ("reorder_share", "oneDNN's own clock", "a whole network, or oneDNN ran no primitive"),
    ("error error_float64", _CHECK, "the output was not compared, or is not finite"),
    ("top1_agreement top1_pictures", _CHECK, "the network is no classifier, or failed"),
    ("accuracy_top1 accuracy_top5", "labels of the pictures", _PICTURES),
    ("accuracy_fp32_top1 accuracy_fp32_top5", "labels of the pictures", _PICTURES),
    ("error_centred picture_share", _CHECK, "there was one picture only, or no comparison"),
)  # fmt: skip


def _whence(metric: Metric) -> tuple[str, str]:
    """Where a metric comes from, and when it is empty."""
    told = ((source, empty) for names, source, empty in _METRICS if metric.name in names.split())
    return next(told, ("record", "it was not measured"))


# What a column's name ends with -> the unit of its values.
_UNITS = (("flops_per_s", "FLOP/s"), ("throughput_per_s", "1/s"), ("flops_per_byte", "FLOP/byte"),
          ("_bytes", "byte"), ("_s", "s"), ("_j", "J"))  # fmt: skip


def unit(name: str) -> str:
    """The unit that a column's name ends with; ``1`` for counts, shares and ratios."""
    return next((said for ending, said in _UNITS if name.endswith(ending)), "1")


def _of_axis(axis: Axis) -> tuple[Type, str, str, str, str]:
    kind: Type = "text" if axis.kind == "text" else "integer" if axis.kind == "whole" else "number"
    return kind, "" if kind == "text" else "1", f"axis '{axis.name}' of the grid", _SPEC, NEVER


def _interval(name: str, end: str, how: str = "") -> str:
    return f"{end} end of the 95 % interval of {name}{how}"


def _of_metric(metric: Metric) -> dict[str, tuple[Type, str, str, str, str]]:
    counted = metric.kind in {"count", "bytes"} and metric.nature != "time"
    kind: Type = "integer" if counted else "number"
    source, empty = _whence(metric)
    told: dict[str, tuple[Type, str, str, str, str]] = {
        metric.column: (kind, unit(metric.column), metric.meaning, source, empty)
    }
    for name, end in zip(metric.interval or (), ("lower", "upper"), strict=False):
        more = f"{empty}, or there was one round only"
        how = ", by Wilson" * (metric.kind == "share")
        told[name] = ("number", unit(name), _interval(metric.column, end, how), source, more)
    return told


def _told() -> dict[str, tuple[Type, str, str, str, str]]:
    found = {axis.name: _of_axis(axis) for axis in axes.tidy()} | _OWN
    for metric in METRICS:
        found |= _of_metric(metric)
    for name in ("speedup", "break_even_calls"):
        kind, one, _, source, empty = found[name]
        for suffix, end in (("_low", "lower"), ("_high", "upper")):
            how = ", from that of the speed-up" * (name != "speedup")
            found[name + suffix] = (kind, one, _interval(name, end, how), source, empty)
    return found


def _filled(of: Callable[[Any], Any]) -> Callable[[StoredEntry], Any]:
    return lambda row: of(row.entry)


def variables() -> list[Variable]:
    """A variable for every column of the CSV report, in its order."""
    told = _told()
    return [Variable(column.name, *told[column.name], _filled(of)) for column, of in tidy_columns()]
