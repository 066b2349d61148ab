"""Work over time: FLOP/s of what a step computes, and its share of what the machine can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench import roofline, stats
from cnnbench.metrics.timing import latency, over

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cnnbench.record import Record
    from cnnbench.stats import Estimate


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
    time = latency(record)
    return None if time is None else _roof_at(record, time)


def _roof_at(record: Record, time: Estimate) -> roofline.Roof | None:
    done, spec = work(record), record.spec
    if done is None:
        return None
    return roofline.roof(done, time.point, record.ceilings, spec.mode.precision, spec.threads)


def binding(record: Record) -> str | None:
    """Which ceiling binds: ``compute``, ``memory`` or ``dispatch``.

    A step that was faster than its ceilings allow says so instead: they were probed too low.
    """
    found = roof(record)
    if found is None:
        return None
    return found.binds if found.credible else f"faster than the {found.binds} ceiling as probed"


def _roof_share(record: Record, time: Estimate) -> Estimate | None:
    """With the interval of the latency; that of the ceilings is not known."""
    found = _roof_at(record, time)
    return None if found is None else over(found.seconds, time)


def _flops_rate(field: str) -> Callable[[Record, Estimate], Estimate | None]:
    def of(record: Record, time: Estimate) -> Estimate | None:
        done = work(record)
        amount = None if done is None else getattr(done, field)
        return None if amount is None else over(amount, time)

    return of


def intensity(record: Record) -> Estimate | None:
    """FLOPs per byte, at best."""
    done = work(record)
    return None if done is None else stats.exact(done.intensity)


# Metrics that are something over the latency, and how.
RATES: Mapping[str, Callable[[Record, Estimate], Estimate | None]] = {
    "effective_flops": _flops_rate("flops"),
    "executed_flops": _flops_rate("executed_flops"),
    "roof_share": _roof_share,
}
