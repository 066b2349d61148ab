"""How a GPU was measured: whether it had work, was slowed down, shared, or at another clock.

The driver was asked right after every slice; what it did not say is not judged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnnbench import stats
from cnnbench.stats import Estimate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cnnbench.record import Record, Run

# Reasons for a lower clock that are not the work's own. At its power limit a GPU may be with any
# heavy network, wherever it runs; then only a clock that changes is a reason for doubt.
_SLOWED = {
    "thermal_software": "heat",
    "thermal_hardware": "heat",
    "hardware_slowdown": "its hardware's protection",
    "power_brake": "its power supply",
}
# Shares of slices, of the device's time, and of its clock beyond which a reader must know.
_OFTEN, _SHARED, _CLOCK = 0.05, 0.05, 0.05


def trouble(record: Record) -> str:
    """Why the times of a record are too long or uneven, in a word and its reason; or nothing."""
    return _slowed(record) or _shared(record) or _uneven(record)


def busy(record: Record) -> Estimate | None:
    """Share of a step in which the GPU had anything to do: its kernels' time over the latency.

    With the interval of the latency; the kernels are those of one call, in another process.
    """
    time, step = record.latency, record.structure
    if time is None or step is None or step.device_ns is None:
        return None
    share = step.device_ns / 1e9
    low, high = (None if end is None else min(1.0, share / end) for end in (time.high, time.low))
    return Estimate(min(1.0, share / time.point), low, high, time.rounds)


# With less than this to do, the GPU waits for the host, which launches kernel after kernel.
_LAUNCH_BOUND = 0.5


def launch_bound(record: Record) -> bool:
    """Whether the time is that of the host's launching rather than of the GPU's work."""
    found = busy(record)
    return found is not None and found.point < _LAUNCH_BOUND


def _states(record: Record) -> Iterator[dict[str, Any]]:
    for run in record.runs:
        yield from map(dict, run.slices.device or ())


def _slowed(record: Record) -> str:
    """Whether protection lowered its clock in too many slices."""
    known = [one["throttle"] for one in _states(record) if isinstance(one.get("throttle"), list)]
    slowed = [[_SLOWED[why] for why in some if why in _SLOWED] for some in known]
    hit = [some for some in slowed if some]
    if not known or len(hit) <= _OFTEN * len(known):
        return ""
    reasons = " and ".join(dict.fromkeys(why for some in hit for why in some))
    share = 100 * len(hit) / len(known)
    return f"disturbed (the GPU was slowed down by {reasons} in {share:.0f} % of the slices)"


def _shared(record: Record) -> str:
    """Whether processes that are none of the measurement's kept it busy."""
    known = [
        float(one["others_busy"])
        for one in _states(record)
        if isinstance(one.get("others_busy"), (int, float))
    ]
    share = sum(known) / len(known) if known else 0.0
    if share <= _SHARED:
        return ""
    return f"disturbed (other processes kept the GPU busy {100 * share:.0f} % of the time)"


def _uneven(record: Record) -> str:
    """Whether its clock changed between rounds, or within a single one."""
    clocks = [found for run in record.runs if (found := _clocks(run))]
    middles = [stats.median(some) for some in clocks]
    values = middles if len(middles) > 1 else [one for some in clocks for one in some]
    if not values or min(values) <= 0 or max(values) / min(values) - 1 <= _CLOCK:
        return ""
    return f"noisy (the GPU's clock went from {min(values):.0f} to {max(values):.0f} MHz)"


def _clocks(run: Run) -> list[float]:
    states = run.slices.device or ()
    found = (one.get("sm_mhz") for one in states)
    return [float(one) for one in found if isinstance(one, (int, float))]
