"""How values of static cost stand in a cell: shapes, receptive fields, counts of operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cnnbench.costs import Field


def cell(value: Any) -> Any:
    """What a table shows of a value: shapes, fields and counts as text, the rest as it is."""
    if isinstance(value, Field):
        return _field(value)
    if isinstance(value, Mapping):
        return counts(value)
    if isinstance(value, tuple):
        nested = value and isinstance(value[0], tuple)
        return ", ".join(map(_shape, value)) if nested else _shape(value)
    return value


def _field(value: Field) -> str:
    if not value.known:
        return "not known"
    if value.size is None:
        return "everything"
    return _shape(["all" if size is None else f"{size:g}" for size in value.size])


def _shape(value: Sequence[Any]) -> str:
    return "x".join(map(str, value))


def counts(value: Mapping[str, int]) -> str:
    """Operators and how often each."""
    return ", ".join(f"{name} x{count}" for name, count in value.items())
