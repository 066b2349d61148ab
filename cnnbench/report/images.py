"""What tables show where networks were given the user's own pictures; nothing elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench.asking import NO_IMAGES

if TYPE_CHECKING:
    from cnnbench.report.entry import Entry


def directory(entry: Entry) -> str | None:
    """Where the pictures are from."""
    found = entry.record.spec.workload.setting("images", NO_IMAGES)
    return None if found == NO_IMAGES else found


def agreement(entry: Entry) -> float | None:
    """Share of the pictures with fp32 eager's top-1 class."""
    return _point(entry, "top1_agreement")


def accuracy(entry: Entry) -> float | None:
    """Share of the pictures whose class is the likeliest."""
    return _point(entry, "accuracy_top1")


def count(entry: Entry) -> float | None:
    """How many pictures were looked at."""
    return _point(entry, "top1_pictures")


def _point(entry: Entry, metric: str) -> float | None:
    estimate = entry.estimates[metric]
    return None if estimate is None or directory(entry) is None else estimate.point
