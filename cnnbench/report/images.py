"""What tables show of classes: where the user's own pictures were given, and of deployed modes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench import units
from cnnbench.asking import NO_IMAGES

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from cnnbench.report.entry import Entry

# Columns of a table with a row per network.
OWN, AGREEMENT = "own_top1", "top1_agreement"


def directory(entry: Entry) -> str | None:
    """Where the pictures are from."""
    found = entry.record.spec.workload.setting("images", NO_IMAGES)
    return None if found == NO_IMAGES else found


def agreement(entry: Entry) -> float | None:
    """Share of the pictures with fp32 eager's top-1 class.

    Of pictures that are made up, only where a runtime computed: what is deployed, often in int8,
    is chosen by that, too.
    """
    return _point(entry, "top1_agreement", always=bool(entry.record.spec.mode.runtime))


def accuracy(entry: Entry) -> float | None:
    """Share of the pictures whose class is the likeliest."""
    return _point(entry, "accuracy_top1")


def percent(entry: Entry, *, ends: bool) -> str:
    """That accuracy in percent, and the ends of its interval; empty without one."""
    found = None if directory(entry) is None else entry.estimates["accuracy_top1"]
    if found is None or found.low is None or found.high is None:
        return ""
    text = units.significant(100 * found.point)
    low, high = (units.significant(100 * end, 2) for end in (found.low, found.high))
    return f"{text} [{low}, {high}]" if ends else text


def legend(names: Collection[str], found: Sequence[Entry]) -> list[str]:
    """What columns of these names say of a network, a line each."""
    most = max((count(one) or 0 for one in found), default=0)
    meanings = {
        OWN: f"your top-1: eager's share of right answers to your {most:.0f} pictures, in %",
        AGREEMENT: "agreement: share with fp32 eager's class, of the mode beside eager",
    }
    return [text for name, text in meanings.items() if name in names]


def count(entry: Entry) -> float | None:
    """How many pictures were looked at."""
    return _point(entry, "top1_pictures", always=bool(entry.record.spec.mode.runtime))


def _point(entry: Entry, metric: str, *, always: bool = False) -> float | None:
    estimate = entry.estimates[metric]
    if estimate is None or not (always or directory(entry) is not None):
        return None
    return estimate.point
