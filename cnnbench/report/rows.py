"""What must be said of a single row: why it is not ok, its notes, and what slows it down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench import units

if TYPE_CHECKING:
    from cnnbench.facts import Reference
    from cnnbench.record import Record

# At a hundred times the duration, fewer activations than this cost a thousandth of the time.
_FEW_SUBNORMALS = 1e-5


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
