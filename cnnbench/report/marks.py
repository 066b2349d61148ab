"""Figures of the overview with a mark behind them, and what the marks mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench import flaws, units
from cnnbench.choice import STANDINGS
from cnnbench.metrics import Awake
from cnnbench.report import cells

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnbench.choice import ModeChoice
    from cnnbench.report.entry import Entry
    from cnnbench.report.table import Table

# Where an interval is too wide to be a number.
VAGUE = "wide"
# What stands behind a latency or a gain -> what it says.
_MEANINGS: Mapping[str, str] = {
    **{one.mark: one.name for one in flaws.FLAWS if one.mark},
    cells.AWAKE: "waiting for a core taken out",
    **{words.mark: f"clearly {words.text}" for words in (STANDINGS["faster"], STANDINGS["slower"])},
    VAGUE: "interval beyond a factor of two",
}


def time(entry: Entry) -> str:
    """A latency with its mark; where there is none, why."""
    if entry.latency is None:
        return "not applicable" if entry.record.refused else entry.record.status
    awake = cells.AWAKE if isinstance(entry.latency, Awake) else " "
    return f"{units.seconds(entry.latency.point)}{awake}{_sign(entry)}"


def _sign(entry: Entry) -> str:
    return " " if entry.flaw is None else entry.flaw.mark


def gain(entry: Entry, chosen: ModeChoice | None) -> str:
    """A speed-up, half of its interval, and whether it is clear."""
    change = entry.speedup
    if change is None:
        return cells.NOT_MEASURED
    text = units.ratio(change.point)
    if change.low is None or change.high is None:
        return f"{text} {STANDINGS['once'].mark}"
    if chosen is not None and entry.record is chosen.baseline:
        return text + " " * len(" ±1 % +")
    if units.vague(change.point, change.low, change.high, change.rounds):
        return f"{text} {VAGUE}"
    # What answers wrongly is not said to gain anything.
    mark = " " if chosen is None else STANDINGS[chosen.standing(entry.record)].mark
    return f"{text} {units.margin(change.margin or 0.0)} {mark}"


def legend(table: Table) -> list[str]:
    """What the marks mean that a table uses, in at most one line."""
    shown = [
        (one.kind, str(value))
        for row in table.rows
        for one, value in zip(table.columns, row, strict=True)
        if " " in str(value)
    ]
    last = {text.rpartition(" ")[-1] for kind, text in shown if kind == "ratio"}
    # A latency ends with two signs: what it is, and how far to trust it.
    last |= {sign for kind, text in shown if kind == "seconds" for sign in text[-2:]}
    used = [f"{mark} {text}" for mark, text in _MEANINGS.items() if mark in last]
    return [", ".join(used)] if used else []
