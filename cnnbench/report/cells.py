"""One cell as text for people: shared by the formats that people read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench import units
from cnnbench.metrics import Awake
from cnnbench.stats import Estimate

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnbench.report.table import Column, Table, Value

_WRITERS: dict[str, Callable[[float], str]] = {
    "seconds": units.seconds,
    "span": units.span,
    "bytes": units.size,
    "count": units.count,
    "rate": units.significant,
    "fraction": units.percent,
    # A share of a count: its interval is read even where it is wide.
    "share": units.percent,
    "ratio": units.ratio,
    "error": units.scientific,
    "change": lambda value: units.percent(value - 1, sign=True),
    "whole": lambda value: str(int(value)),
    "number": units.significant,
}

NOT_MEASURED = "-"
# Behind a latency from which the waiting for a core is taken out.
AWAKE = "*"


class Marked(float):
    """A number without an interval that is the point of an awake latency."""


def point(value: Estimate | None) -> float | None:
    """The number without its interval; that of an awake latency keeps its mark."""
    if value is None:
        return None
    return Marked(value.point) if isinstance(value, Awake) else value.point


def marked(table: Table) -> bool:
    """Whether a number of the table bears the mark of an awake latency."""
    return any(isinstance(value, Awake | Marked) for row in table.rows for value in row)


def text(column: Column, value: Value | Estimate) -> str:
    """A value as people read it; an interval stands behind its number."""
    if value is None:
        return NOT_MEASURED
    if isinstance(value, Estimate):
        return _estimate(column, value)
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    mark = AWAKE if isinstance(value, Marked) else ""
    return f"{_WRITERS.get(column.kind, str)(value)}{mark}"


def _estimate(column: Column, value: Estimate) -> str:
    write = _WRITERS[column.kind]
    mark = AWAKE if isinstance(value, Awake) else ""
    if value.low is None or value.high is None:
        return f"{write(value.point)}{mark} [one round]"
    if column.kind == "share":
        return f"{write(value.point)} [{write(value.low)}, {write(value.high)}]"
    return f"{write(value.point)}{mark}{interval(write, value)}"


def interval(write: Callable[[float], str], value: Estimate, of: str = "rounds") -> str:
    """What stands behind an estimate's number: its interval in brackets, if it has one."""
    if value.low is None or value.high is None or value.low == value.high:
        return ""
    ends = units.interval(write, value.point, value.low, value.high, value.rounds, of)
    return f" [{ends}]"


def numeric(column: Column) -> bool:
    """Whether a column is aligned to the right."""
    return column.kind != "text"


def texts(table: Table) -> list[list[str]]:
    """Every cell of a table as text, without the header."""
    pairs = (zip(table.columns, row, strict=True) for row in table.rows)
    return [[text(column, value) for column, value in row] for row in pairs]
