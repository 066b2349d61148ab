"""What must be said of rows: why one is not ok, its notes, and what slows it down."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cnnbench import units
from cnnbench.report import training

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.facts import Reference
    from cnnbench.record import Record
    from cnnbench.report.entry import Entry

# At a hundred times the duration, fewer activations than this cost a thousandth of the time.
_FEW_SUBNORMALS = 1e-5
# What is said of rows begins with these, the most urgent first.
_URGENT = {"failed": 0, "wrong": 1, "loose": 2, "unchecked": 3}
# Figures, which may differ between what is said of several rows alike.
_FIGURE = re.compile(r"\d[\d.e+-]*")
# Lines about single rows that are shown; more of them are counted.
_MOST_LINES = 8


def remarks(record: Record) -> list[str]:
    """Why a row is not ok, and its notes."""
    why = record.reason
    bad = [f"{record.status}: {why or 'not measured'}"] if why or record.status != "ok" else []
    return [*bad, *_gaps(record), *record.notes, *_subnormal(record.reference)]


def _gaps(record: Record) -> list[str]:
    empty = 0 if record.failure is not None else sum(not run.slices for run in record.runs)
    text = f"{empty} of {len(record.runs)} processes gave no samples and are left out"
    return [text] if empty else []


def _subnormal(known: Reference | None) -> list[str]:
    if known is None or (known.subnormal_share or 0.0) < _FEW_SUBNORMALS:
        return []
    where = "" if known.subnormal_layer is None else f", first in {known.subnormal_layer}"
    share = units.share(known.subnormal_share or 0.0)
    return [
        f"{share} of the activations are subnormal numbers{where}, which are many times slower on"
        " a CPU"
    ]


def together(found: Sequence[Entry]) -> list[str]:
    """What is said of single rows; of many the same once, with their number."""
    rows: dict[str, list[tuple[Entry, str]]] = {}
    for entry in found:
        for text in dict.fromkeys(remarks(entry.record)):
            rows.setdefault(_FIGURE.sub("#", text), []).append((entry, text))
    lines = [*training.lines(found), *map(_together, sorted(rows.values(), key=_urgency))]
    more = len(lines) - _MOST_LINES
    return [*lines[:_MOST_LINES], *([f"and {more} more lines (--wide)"] if more > 0 else [])]


def _urgency(some: Sequence[tuple[Entry, str]]) -> int:
    return _URGENT.get(some[0][1].partition(":")[0], len(_URGENT))


def _together(some: Sequence[tuple[Entry, str]]) -> str:
    (entry, text), count = some[0], len(some)
    if count == 1:
        return f"{entry.record.id}: {text}"
    alike = len({one for _, one in some}) == 1
    return f"{count} rows{'' if alike else f', such as {entry.record.id}'}: {text}"
