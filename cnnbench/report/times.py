"""What must be said of the times in a table, so that nobody takes them for more than they are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cnnbench import metrics, stats, units
from cnnbench.metrics import Awake, gpu
from cnnbench.report import cells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.report.entry import Entry
    from cnnbench.report.table import Table
    from cnnbench.stats import Estimate

# How far a speed-up may be from the ratio of the latencies beside it before a reader wonders: where
# they point in different directions, and where rounds give one of them no interval or the waiting
# for a core is taken out of one.
_DIRECTION, _WITHOUT_INTERVAL = math.log(1.02), math.log(1.25)
# Rows that are named; more of them are counted.
_NAMED = 3


def remarks(found: Sequence[Entry], *tables: Table) -> list[str]:
    """A line for each kind of row whose time needs one.

    Args:
        found: the rows.
        tables: what is shown of them; what none of these shows is not explained.
    """
    names = {column.name.partition(":")[0] for table in tables for column in table.columns}
    both = "speedup" in names and any(name.startswith("latency") for name in names)
    lines = [*_disturbed(found, marked=any(map(cells.marked, tables))), *launch_bound(found)]
    return [*lines, *(_contradictions(found) if both else [])]


def launch_bound(found: Sequence[Entry]) -> list[str]:
    """Rows whose time is the host's: what a mode does to the GPU's work hardly shows there."""
    bound = [one for one in found if gpu.launch_bound(one.record)]
    shares = [share.point for one in bound if (share := one.estimates["gpu_busy"]) is not None]
    if not shares:
        return []
    low, high = (units.percent(end) for end in (min(shares), max(shares)))
    span = low if low == high else f"{low} to {high}"
    return [
        f"{_rows(len(bound))} launch-bound: the GPU had work for {span} of a step and waited for"
        " the host otherwise; larger batches, graph or compile=reduce-overhead show what it can do"
    ]


def _disturbed(found: Sequence[Entry], *, marked: bool) -> list[str]:
    waited = [one for one in found if one.latency is not None and metrics.waited(one.record)]
    awake = sum(isinstance(one.latency, Awake) for one in waited)
    hidden = [one for one in waited if not isinstance(one.latency, Awake)]
    clocked = sum(one.by_clock for one in hidden)
    left = sum(metrics.threads_hide(one.record) for one in hidden if not one.by_clock)
    others = len(hidden) - left - clocked
    lines = []
    if clocked:
        lines.append(
            f"{_rows(clocked)} disturbed by other processes, and all figures here are by the clock,"
            " as gains side by side are: a quiet machine would help"
        )
    if awake:
        mark = f"{cells.AWAKE} " if marked else ""
        lines.append(
            f"{mark}{_rows(awake)} disturbed: the time that the process waited for a core is taken"
            " out of latency, samples/s and FLOP/s"
        )
    if left:
        lines.append(
            f"{_rows(left)} disturbed by other processes, and with several threads their waiting"
            " cannot be taken out: --threads 1 or a quiet machine would help"
        )
    if others:
        lines.append(
            f"{_rows(others)} disturbed by other processes, and with workers or a GPU the waiting"
            " cannot be taken out: a quiet machine would help"
        )
    return lines


def _rows(count: int) -> str:
    return "1 row is" if count == 1 else f"{count} rows are"


def _contradictions(found: Sequence[Entry]) -> list[str]:
    odd = [(one, ratio) for one in found if (ratio := _beside(one)) and _contradicts(one, ratio)]
    lines = [
        f"{one.record.id}: side by side {units.ratio(one.speedup.point)} as fast as eager, by the"
        f" latencies in this table {units.ratio(ratio.point)}: {_why(one)}"
        for one, ratio in odd[:_NAMED]
        if one.speedup is not None
    ]
    if len(odd) > _NAMED:
        lines.append(f"and {len(odd) - _NAMED} more rows whose two ratios differ so")
    return lines


def _why(entry: Entry) -> str:
    if _without_waiting(entry):
        return "waiting for a core is taken out of latencies, not out of slices side by side"
    return "the machine's speed changed between slices, which cancels side by side"


def _without_waiting(entry: Entry) -> bool:
    """Whether the waiting for a core is taken out of one of the two latencies."""
    return isinstance(entry.latency, Awake) or isinstance(entry.base_latency, Awake)


def _beside(entry: Entry) -> Estimate | None:
    """How many times faster, by the latencies that stand in the table."""
    base = entry.base_latency
    if base is None or entry.latency is None or entry.speedup is None:
        return None
    shift = stats.shift(entry.latency, base)
    half = shift.half(0.025)
    if half is None:
        return stats.Estimate(stats.ratio_of(shift.centre))
    low, high = (stats.ratio_of(shift.centre + sign * half) for sign in (-1, 1))
    return stats.Estimate(stats.ratio_of(shift.centre), low, high, shift.rounds)


def _contradicts(entry: Entry, ratio: Estimate) -> bool:
    speedup = entry.speedup
    if speedup is None:
        return False
    apart = abs(math.log(speedup.point / ratio.point))
    if (speedup.point - 1) * (ratio.point - 1) < 0 and apart > _DIRECTION:
        return True
    # A wide interval must not hide that two kinds of time stand side by side.
    if _without_waiting(entry) or None in (speedup.low, speedup.high, ratio.low, ratio.high):
        return apart > _WITHOUT_INTERVAL
    return not _overlap(speedup, ratio)


def _overlap(one: Estimate, other: Estimate) -> bool:
    ends = one.low, one.high, other.low, other.high
    if None in ends:
        return True
    low, high, left, right = (end or 0.0 for end in ends)
    return low <= right and left <= high
