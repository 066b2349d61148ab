"""A row of the table of metrics: what a metric is called, means, and follows from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from cnnbench.record import Record
from cnnbench.stats import Estimate


@dataclass(frozen=True)
class Metric:
    """One number about a record.

    Attributes:
        name: how users say it.
        column: its column in tidy tables, unit included.
        kind: how ``units`` writes it: seconds, bytes, count, number, rate, fraction, share, ratio
            or error.
        better: ``lower``, ``higher`` or ``none``.
        of: the estimate, or ``None`` where it was not measured.
        interval: columns of the interval, for metrics that have one.
        meaning: one line for documentation.
        nature: ``exact`` (counts, sizes, errors: the same twice), ``time`` (with an interval over
            rounds, and never the same twice), or ``described`` (what is said of the measurement
            itself, without an interval).
    """

    name: str
    column: str
    kind: str
    better: str
    of: Callable[[Record], Estimate | None]
    meaning: str
    interval: tuple[str, str] | None = None
    nature: Literal["exact", "time", "described"] = "exact"
