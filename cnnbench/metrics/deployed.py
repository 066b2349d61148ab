"""What records say of networks as they are deployed: the time to get there, and the size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench import stats
from cnnbench.metrics.row import Metric

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnbench.record import Record
    from cnnbench.stats import Estimate


def seconds(*parts: str) -> Callable[[Record], Estimate | None]:
    """Seconds that parts of a deployment took together, over the processes that did them all."""

    def of(record: Record) -> Estimate | None:
        taken = [run.deployment.ns for run in record.runs if run.deployment is not None]
        values = [sum(ns[part] for part in parts) / 1e9 for ns in taken if ns.keys() >= {*parts}]
        return stats.geometric(values) if values and record.failure is None else None

    return of


def artefact(record: Record) -> Estimate | None:
    """Bytes of what a deployment runtime loads."""
    found = [run.deployment for run in record.runs if run.deployment is not None]
    return stats.exact(found[0].artefact_bytes) if found else None


def deployed_precision(record: Record) -> str | None:
    """In which precision a deployment runtime computes, as it says itself when asked."""
    said = dict.fromkeys(run.deployment.precision for run in record.runs if run.deployment)
    return " or ".join(said) or None


def cold(*parts: str) -> Callable[[Record], Estimate | None]:
    """Seconds of parts of a cold start; of the whole without any. Over its processes."""

    def of(record: Record) -> Estimate | None:
        known = record.cold_start
        if known is None or record.failure is not None:
            return None
        chosen = [getattr(known, part) for part in parts] or known.parts
        return stats.geometric([sum(one) / 1e9 for one in zip(*chosen, strict=True)])

    return of


METRICS = (
    Metric("export_time", "export_s", "seconds", "lower", seconds("export", "convert"),
           "exporting and converting for a deployment runtime, in the first round", nature="time"),
    Metric("load_time", "load_s", "seconds", "lower", seconds("import", "load", "first"),
           "importing that runtime, loading what was exported, and its first call", nature="time"),
    Metric("artefact", "artefact_bytes", "bytes", "lower", artefact,
           "size of what it loads"),
    Metric("cold_start", "cold_start_s", "seconds", "lower", cold(),
           "with --cold-start: a fresh process from its start to its first answer; the other "
           "three are parts of it, the rest is Python's own start", nature="time"),
    Metric("cold_import", "cold_import_s", "seconds", "lower", cold("import_ns"),
           "importing torch and the network's package, or the deployment runtime", nature="time"),
    Metric("cold_load", "cold_load_s", "seconds", "lower", cold("load_ns"),
           "building the network and reading its weights from a file, or loading the artefact",
           nature="time"),
    Metric("cold_first", "cold_first_s", "seconds", "lower", cold("first_ns"),
           "the first call; in compiled modes with what an earlier process has compiled",
           nature="time"),
)  # fmt: skip
