"""What records say of networks in deployment runtimes: the time to get there, and the size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench import stats

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
