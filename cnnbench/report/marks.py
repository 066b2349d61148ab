"""Figures of the overview with a mark behind them, and what the marks mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench import units
from cnnbench.choice import eligible
from cnnbench.metrics import Awake, gpu
from cnnbench.report import cells

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnbench.choice import ModeChoice
    from cnnbench.report.table import Entry, Table

_VAGUE = "wide"
# What stands behind a latency or a gain -> what it says.
_MEANINGS: Mapping[str, str] = {
    "x": "output wrong",
    "?": "output loose or not checked",
    "!": "disturbed",
    cells.AWAKE: "waiting for a core taken out",
    "o": "one round",
    "~": "interval over 10 %",
    "L": "launch-bound",
    "+": "clearly faster",
    "-": "clearly slower",
    _VAGUE: "interval beyond a factor of two",
}


def time(entry: Entry) -> str:
    """A latency with its mark; where there is none, why."""
    if entry.latency is None:
        return "not applicable" if entry.record.refused else entry.record.status
    return f"{units.seconds(entry.latency.point)} {_of_time(entry)}"


def _of_time(entry: Entry) -> str:
    """What limits how far a latency can be relied on: the worst alone."""
    record, estimate, quality = entry.record, entry.latency, entry.quality or ""
    if record.status != "ok":
        return "?" if record.status in {"loose", "unchecked"} else "x"
    if isinstance(estimate, Awake):
        return cells.AWAKE
    if quality.startswith("disturbed"):
        return "!"
    if estimate is None or estimate.low is None:
        return "o"
    if quality.startswith("noisy"):
        return "~"
    return "L" if gpu.launch_bound(record) else " "


def gain(entry: Entry, chosen: ModeChoice | None) -> str:
    """A speed-up, half of its interval, and whether it is clear."""
    change = entry.speedup
    if change is None:
        return cells.NOT_MEASURED
    text = units.ratio(change.point)
    if change.low is None or change.high is None:
        return f"{text} o"
    if chosen is not None and entry.record is chosen.baseline:
        return text + " " * len(" ±1 % +")
    if units.vague(change.point, change.low, change.high, change.rounds):
        return f"{text} {_VAGUE}"
    # What answers wrongly is not said to gain anything.
    fit = chosen if eligible(entry.record) else None
    how = None if fit is None else fit.standing(entry.record)
    mark = {"faster": "+", "slower": "-"}.get(how or "", " ")
    return f"{text} {units.margin(change.margin or 0.0)} {mark}"


def legend(table: Table) -> list[str]:
    """What the marks mean that a table uses, in at most one line."""
    last = {
        str(value).rpartition(" ")[-1]
        for row in table.rows
        for one, value in zip(table.columns, row, strict=True)
        if one.kind in {"ratio", "seconds"} and " " in str(value)
    }
    used = [f"{mark} {text}" for mark, text in _MEANINGS.items() if mark in last]
    return [", ".join(used)] if used else []
