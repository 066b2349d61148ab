"""What to use of all that fits a budget: the most accurate, and what is nearly as accurate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench.report.answers import WITHIN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cnnbench.report.budget import Fit
    from cnnbench.report.entry import Entry


def parameters(entry: Entry) -> float | None:
    """How many parameters the network has."""
    found = entry.estimates["params"]
    return None if found is None else found.point


def _seconds(entry: Entry) -> float:
    return float("inf") if entry.latency is None else entry.latency.point


def _size(entry: Entry) -> tuple[float, float]:
    size = parameters(entry)
    return float("inf") if size is None else size, _seconds(entry)


# Heading -> the order in which those nearly as accurate as the best are picked.
_NEAR: Mapping[str, Callable[[Entry], tuple[float, ...]]] = {
    f"Fastest within {WITHIN:g} point": lambda one: (_seconds(one),),
    f"Smallest within {WITHIN:g} point": _size,
}


def picks(fit: Fit) -> dict[str, Entry | None]:
    """An entry under each heading; ``None`` where nothing fits."""
    top = 0.0 if fit.best is None else fit.best.top1 or 0.0
    near = [one for one in fit.fitting if (one.top1 or 0.0) >= top - WITHIN]
    found = {heading: min(near, key=key, default=None) for heading, key in _NEAR.items()}
    return {"Most accurate": fit.best} | found
