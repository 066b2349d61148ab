"""Records -> files of other tools: one function per format, and the table of them.

A failed spec has no number, so it is in none of them.
"""

from __future__ import annotations

import csv
import io
import json
import statistics
from typing import TYPE_CHECKING, Any

from cnnbench import axes, metrics, units
from cnnbench.errors import UnknownName, UsageError
from cnnbench.inert import in_json
from cnnbench.report.csv import cell
from cnnbench.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cnnbench.environment import Environment
    from cnnbench.record import Record
    from cnnbench.report.entry import Entry
    from cnnbench.stats import Estimate


def export(found: Sequence[Entry], name: str) -> str:
    """Records in the format of another tool.

    Raises:
        UnknownName: no such format.
        UsageError: two records have the same name, which other tools cannot distinguish.
    """
    if name not in EXPORTS:
        raise UnknownName("export format", name, EXPORTS)
    runs: dict[str, str] = {}
    for one in found:
        if one.record.id in runs:
            raise UsageError(
                f"{one.record.id} is in runs {runs[one.record.id]} and {one.run}; the format has no"
                " place for a run: export one at a time"
            )
        runs[one.record.id] = one.run
    return EXPORTS[name]([one for one in found if metrics.latency(one.record) is not None])


def samples(record: Record) -> list[float]:
    """Every sample of a record in seconds per call, round after round."""
    return [ns / 1e9 for run in record.runs for ns in run.slices.per_call_ns]


def pytest_benchmark(found: Sequence[Entry]) -> str:
    """JSON of pytest-benchmark 5: ``pytest-benchmark compare`` reads it.

    Samples of all rounds are in one list, as that format knows no processes; the rounds are kept
    apart in ``extra_info``.
    """
    environment = found[0].environment if found else None
    whole = {
        "machine_info": {} if environment is None else machine_info(environment),
        "commit_info": {"id": None, "time": None, "author_time": None, "dirty": False,
                        "project": "cnnbench", "branch": None},
        "benchmarks": [_benchmark(one.record) for one in found],
        "datetime": found[0].record.measured_at if found else None,
        "version": "5.0.0",
        "cnnbench": VERSION,
    }  # fmt: skip
    return in_json(json.dumps(whole, indent=1)) + "\n"


def machine_info(environment: Environment) -> dict[str, Any]:
    """An environment as pytest-benchmark describes machines, with our fingerprint."""
    hard, soft = environment.hard, environment.soft
    return {
        "node": soft.get("host"),
        "processor": hard.get("architecture"),
        "machine": hard.get("architecture"),
        "python_implementation": "CPython",
        "python_version": hard.get("python"),
        "release": soft.get("kernel"),
        "system": soft.get("system"),
        "cpu": {"brand_raw": hard.get("cpu"), "count": hard.get("cores_usable")},
        "cnnbench_fingerprint": environment.fingerprint,
        "torch": (hard.get("torch") or {}).get("version"),
    }


def _benchmark(record: Record) -> dict[str, Any]:
    spec = record.spec
    times = samples(record)
    rounds = [value for run in record.runs if (value := metrics.run_seconds(run)) is not None]
    counts = [len(run.slices.per_call_ns) for run in record.runs if run.slices]
    usual = [axis for axis in axes.shown() if axis.default is None]
    return {
        "group": spec.workload.id,
        "name": record.id,
        "fullname": record.id,
        "params": {axis.name: axis.of(spec) for axis in usual} | axes.unusual(spec),
        "param": spec.mode.text,
        "extra_info": {"spec": record.id, "round_medians": rounds, "round_samples": counts,
                       **_counts(record)},
        "options": {"disable_gc": True, "timer": "perf_counter", "warmup": True,
                    "min_rounds": len(times), "max_time": 0.0, "min_time": 0.0},
        "stats": _stats(times),
    }  # fmt: skip


def _counts(record: Record) -> dict[str, float]:
    names = ("params", "macs", "peak_memory", "throughput")
    known = {name: metrics.metric(name).of(record) for name in names}
    return {name: one.point for name, one in known.items() if one is not None}


def _stats(times: list[float]) -> dict[str, Any]:
    ordered = sorted(times)
    mean = statistics.fmean(ordered)
    spread = statistics.stdev(ordered) if len(ordered) > 1 else 0.0
    quarters = (
        statistics.quantiles(ordered, n=4, method="inclusive") if len(ordered) > 1 else ordered * 3
    )
    first, third = quarters[0], quarters[2]
    reach = 1.5 * (third - first)
    inner = [one for one in ordered if first - reach <= one <= third + reach]
    beyond = sum(abs(one - mean) > spread for one in ordered)
    outliers = len(ordered) - len(inner)
    return {
        "min": ordered[0],
        "max": ordered[-1],
        "mean": mean,
        "stddev": spread,
        "rounds": len(ordered),
        "median": statistics.median(ordered),
        "iqr": third - first,
        "q1": first,
        "q3": third,
        "iqr_outliers": outliers,
        "stddev_outliers": beyond,
        "outliers": f"{beyond};{outliers}",
        "ld15iqr": inner[0],
        "hd15iqr": inner[-1],
        "ops": 1 / mean,
        "total": sum(ordered),
        "data": times,
        "iterations": 1,
    }


# What Bencher calls it, and by which factor it wants it: its latency is in nanoseconds.
_BMF = (
    ("latency", "latency", 1e9),
    ("throughput", "throughput", 1.0),
    ("peak_memory", "peak-memory", 1.0),
    ("cuda_memory", "cuda-memory", 1.0),
    ("params", "parameters", 1.0),
    ("macs", "macs", 1.0),
)


def bmf(found: Sequence[Entry]) -> str:
    """Bencher Metric Format: benchmark -> measure -> value with its interval."""
    whole = {}
    for one in found:
        measures = {}
        for name, measure, factor in _BMF:
            estimate = metrics.metric(name).of(one.record)
            if estimate is not None:
                measures[measure] = _bounded(estimate, factor)
        whole[one.record.id] = measures
    return in_json(json.dumps(whole, indent=1)) + "\n"


def _bounded(estimate: Estimate, factor: float) -> dict[str, float]:
    parts = {"value": estimate.point, "lower_value": estimate.low, "upper_value": estimate.high}
    return {name: value * factor for name, value in parts.items() if value is not None}


def action_benchmark(found: Sequence[Entry]) -> str:
    """For github-action-benchmark with ``tool: customSmallerIsBetter``: the latencies."""
    rows = []
    for one in found:
        time = metrics.latency(one.record)
        if time is None:
            continue
        row = {"name": one.record.id, "unit": "ms", "value": 1e3 * time.point}
        if time.margin is not None:
            row["range"] = f"± {100 * time.margin:.1f}%"
        where = f"environment {one.environment.fingerprint}, {units.number(time.rounds, 'round')}"
        trust = f", {metrics.quality(one.record)}" if metrics.waited(one.record) else ""
        rows.append({**row, "extra": f"{where}{trust}"})
    return in_json(json.dumps(rows, indent=1)) + "\n"


_TIMM = ("samples_per_sec", "step_time", "batch_size", "img_size")


def timm(found: Sequence[Entry]) -> str:
    """CSV with the columns of timm's benchmark.py, and further ones.

    That is mode, device, phase, and every axis on which a row is not the usual.
    """
    out = io.StringIO(newline="")
    names = [f"{phase}_{name}" for phase in ("infer", "train") for name in _TIMM]
    more = dict.fromkeys(name for one in found for name in axes.unusual(one.record.spec))
    header = ["model", *names[:4], "infer_gmacs", *names[4:], "param_count", "mode", "device",
              "phase", *more]  # fmt: skip
    writer = csv.DictWriter(out, header, restval="", lineterminator="\r\n")
    writer.writeheader()
    rows = (_timm_row(one.record) for one in found)
    writer.writerows({name: cell(value) for name, value in row.items()} for row in rows)
    return out.getvalue()


def _timm_row(record: Record) -> dict[str, Any]:
    workload = record.spec.workload
    time = metrics.latency(record)
    assert time is not None  # noqa: S101 - only such records are exported
    phase = "infer" if workload.phase == "inference" else "train"
    values = (workload.batch / time.point, 1e3 * time.point, workload.batch, workload.input[-1])
    row: dict[str, Any] = dict(zip((f"{phase}_{name}" for name in _TIMM), values, strict=True))
    row |= {"model": units.readable(workload.model), "mode": record.spec.mode.text}
    row |= {"device": record.spec.device.text, "phase": workload.phase}
    row |= axes.unusual(record.spec)
    if record.cost is not None:
        row["param_count"] = record.cost.params / 1e6
        if phase == "infer":
            row["infer_gmacs"] = record.cost.macs / workload.batch / 1e9
    return row


# One line per format: name -> records to text.
EXPORTS: dict[str, Callable[[Sequence[Entry]], str]] = {
    "pytest-benchmark": pytest_benchmark,
    "bmf": bmf,
    "github-action-benchmark": action_benchmark,
    "timm": timm,
}
