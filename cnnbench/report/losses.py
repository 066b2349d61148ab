"""What training steps minimise: a caption where all do the same, else a line per row."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.report.entry import Entry


def captions(found: Sequence[Entry]) -> list[str]:
    """The one loss of all rows that train."""
    known = _known(found)
    return [f"loss of training steps: {loss}" for loss in known] if len(known) == 1 else []


def lines(found: Sequence[Entry]) -> list[str]:
    """The loss of every row that trains, where they differ."""
    if len(_known(found)) < 2:
        return []
    return [f"{e.record.id}: loss: {e.record.loss}" for e in found if e.record.loss]


def _known(found: Sequence[Entry]) -> set[str]:
    return {e.record.loss for e in found if e.record.loss}
