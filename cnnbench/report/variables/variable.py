"""A row of the table of variables: what a column is called, holds and means, and how it is filled.

Values are in base units (seconds, bytes, FLOP/s), never rounded; what was not measured is ``None``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from cnnbench.inert import encodable
from cnnbench.report.entry import Entry
from cnnbench.store import Manifest

if TYPE_CHECKING:
    from cnnbench.record import Record
    from cnnbench.report.table import Value
    from cnnbench.spec import Workload

Type = Literal["text", "integer", "number", "truth"]

# Where no rule of its own makes a value empty.
NEVER = "never"


@dataclass(frozen=True)
class StoredEntry:
    """A record with its context and the manifest of its run: what a row is made of."""

    entry: Entry
    manifest: Manifest

    @property
    def record(self) -> Record:
        """The record itself."""
        return self.entry.record

    @property
    def workload(self) -> Workload:
        """What it had to do."""
        return self.record.spec.workload

    @property
    def hard(self) -> Mapping[str, Any]:
        """What decides whether environments are comparable."""
        return self.entry.environment.hard

    @property
    def soft(self) -> Mapping[str, Any]:
        """What explains an environment."""
        return self.entry.environment.soft

    @property
    def torch(self) -> Mapping[str, Any]:
        """What the environment says of torch."""
        return self.hard.get("torch") or {}

    @cached_property
    def samples(self) -> list[float]:
        """Seconds per call of every sample, in ascending order."""
        return sorted(ns / 1e9 for run in self.record.runs for ns in run.slices.per_call_ns)


@dataclass(frozen=True)
class Variable:
    """A column.

    Attributes:
        name: of the column, stable.
        type: of its values.
        unit: of its values; ``1`` for counts, shares and ratios, empty for texts and truths.
        meaning: one line.
        source: where the value comes from.
        empty: when there is none.
        of: the value of a row.
    """

    name: str
    type: Type
    unit: str
    meaning: str
    source: str
    empty: str
    of: Callable[[Any], Any]

    def value(self, row: Any) -> Value:
        """The value of a row as a plain value of the type; ``None`` where there is none.

        Raises:
            TypeError: it is of another type, which is an internal error.
        """
        found = self.of(row)
        if found is None or found == "":
            return None
        return _CASTS[self.type](found, self.name)


def _text(found: Any, _name: str) -> str:
    if isinstance(found, str):
        return encodable(found)
    return as_json(found) if isinstance(found, Mapping | list | tuple) else str(found)


def _integer(found: Any, name: str) -> int | None:
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    if isinstance(found, bool) or not isinstance(found, int):
        raise _unlike(found, name)
    # What a file made up need not fit into eight bytes.
    return found if -(2**63) <= found < 2**63 else None


def _number(found: Any, name: str) -> float | None:
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise _unlike(found, name)
    return float(found) if _finite(found) else None


def _finite(found: float) -> bool:
    try:
        return math.isfinite(found)
    except OverflowError:
        # An integer that a file made up can be beyond every float.
        return False


def _truth(found: Any, name: str) -> bool | None:
    if not isinstance(found, bool):
        raise _unlike(found, name)
    return found


def _unlike(found: Any, name: str) -> TypeError:
    return TypeError(f"{name}: {type(found).__name__} is not of the dictionary's type")


_CASTS: Mapping[Type, Callable[[Any, str], Value]] = {
    "text": _text, "integer": _integer, "number": _number, "truth": _truth,
}  # fmt: skip


def as_json(found: Any) -> str:
    """What has an inside, as one text."""
    return json.dumps(found, sort_keys=True, separators=(",", ":"), default=list)


def plain(found: Any, *kinds: type) -> Any:
    """What a file says, where it is of such a type; ``None`` for anything else.

    A number that is not finite, or is beyond every float, is of no type.
    """
    if isinstance(found, bool) and bool not in kinds:
        return None
    if isinstance(found, int | float) and not _finite(found):
        return None
    return found if isinstance(found, kinds) else None
