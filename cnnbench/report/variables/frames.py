"""Rows -> a data frame of pandas, with the types of the dictionary; no record is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from cnnbench import axes
from cnnbench.report.variables.rows import values

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cnnbench.report.table import Value
    from cnnbench.report.variables.variable import Type, Variable

# Types of the dictionary -> pandas' own, which can be missing; texts are as pandas takes them.
_DTYPES: dict[Type, Any] = {"integer": "Int64", "number": "float64", "truth": "boolean"}


def frame(variables: Sequence[Variable], rows: Iterable[object]) -> pd.DataFrame:
    """A row per row and a column per variable."""
    columns: list[list[Value]] = [[] for _ in variables]
    known: dict[Value, Value] = {}
    for row in values(variables, rows):
        for column, value in zip(columns, row, strict=True):
            # Most texts are of few kinds; each is held once.
            column.append(known.setdefault(value, value) if isinstance(value, str) else value)
    keys = {axis.name for axis in axes.AXES if axis.kind == "text"}
    series = {
        one.name: _series(one, column, key=one.name in keys)
        for one, column in zip(variables, columns, strict=True)
    }
    return pd.DataFrame(series)


def _series(variable: Variable, column: list[Value], *, key: bool) -> pd.Series[Any]:
    if variable.type != "text":
        return pd.Series(column, dtype=_DTYPES[variable.type])
    # A key must be equal to itself, which what is missing is not.
    return pd.Series(["" if one is None else one for one in column] if key else column)
