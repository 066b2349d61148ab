"""The tables of variables, and the data dictionary that follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from cnnbench.report.variables import circumstances, identity, measured, sampled, tidy
from cnnbench.report.variables.variable import Variable

if TYPE_CHECKING:
    from collections.abc import Mapping


def _records() -> tuple[Variable, ...]:
    """A row per record: the columns of the CSV report, then all others."""
    parts = (tidy, identity, circumstances, measured)
    return tuple(one for part in parts for one in part.variables())


# Table -> its columns, in order.
TABLES: Mapping[str, tuple[Variable, ...]] = {
    "records": _records(),
    "slices": tuple(sampled.variables()),
}


@dataclass(frozen=True)
class Explained:
    """A row of the dictionary."""

    table: str
    variable: Variable


def explained() -> list[Explained]:
    """Every column of every table."""
    return [Explained(table, one) for table, some in TABLES.items() for one in some]


_TEXTS = {
    "name": "of the column",
    "type": "text, integer, number or truth",
    "unit": "of the values; 1 for counts, shares and ratios",
    "meaning": "what a value says",
    "source": "where it comes from",
    "empty": "when there is no value",
}

# The columns of the dictionary itself.
DICTIONARY: tuple[Variable, ...] = (
    Variable("table", "text", "", "records or slices", "cnnbench", "never", attrgetter("table")),
    *(
        Variable(name, "text", "", meaning, "cnnbench", "never", attrgetter(f"variable.{name}"))
        for name, meaning in _TEXTS.items()
    ),
)
