"""Table -> JSON: a list with one object per row, numbers unrounded.

``null`` for what was not measured.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cnnbench.stats import Estimate

if TYPE_CHECKING:
    from cnnbench.report.table import Table, Value


def render(table: Table) -> str:
    """A list of objects; an estimate is an object of point, low and high."""
    names = [column.name for column in table.columns]
    rows = [
        {name: _value(value) for name, value in zip(names, row, strict=True)} for row in table.rows
    ]
    return json.dumps(rows, indent=1, allow_nan=False) + "\n"


def _value(value: Value | Estimate) -> Any:
    if isinstance(value, Estimate):
        return {"point": value.point, "low": value.low, "high": value.high}
    return value
