"""Predicted latencies -> a table: what is predicted, from what, and how far it may be off."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Any

from cnnbench import units
from cnnbench.codec import encode
from cnnbench.prediction.model import CONFIDENCE
from cnnbench.report.table import Column, Table, where
from cnnbench.spec import Spec

if TYPE_CHECKING:
    from cnnbench.prediction.model import Model
    from cnnbench.prediction.result import PredictedRow, Predictions

_COLUMNS = (
    Column("model", "model"),
    Column("input", "input"),
    Column("seconds", "predicted", "seconds"),
    Column("low", "from", "seconds"),
    Column("high", "to", "seconds"),
    Column("alone", "operators alone", "seconds", detail=1),
    Column("untimed_share", "not timed", "fraction", detail=1),
    Column("why", "not predicted"),
)
# Operators of a network that are named where they were not timed.
_NAMED = 3


def table(found: Predictions, notes: tuple[str, ...] = ()) -> Table:
    """A row per network; all are of one mode, batch and number of threads."""
    return Table(
        _COLUMNS,
        tuple(map(_cells, found.rows)),
        captions=_captions(found),
        notes=(*_unfitted(found), *_untimed(found), *notes),
    )


def _cells(row: PredictedRow) -> tuple[str | float | None, ...]:
    workload, one = Spec.parse(row.spec).workload, row.prediction
    name = workload.model
    if one is None:
        return name, workload.shape_text, None, None, None, None, None, row.why
    untimed = math.fsum(one.untimed.values())
    figures = (one.seconds, one.low, one.high, one.alone, untimed)
    return (name, workload.shape_text, *figures, None)


def _captions(found: Predictions) -> tuple[str, ...]:
    spec = Spec.parse(found.rows[0].spec)
    threads = units.number(spec.threads, "thread")
    elsewhere = "" if found.here else ", which is not this environment"
    lines = [
        f"{where(found.environment)}{elsewhere}",
        f"{spec.mode.text}, batch {spec.workload.batch}, {threads}: predicted, not measured",
    ]
    if found.fitted is not None:
        lines.append(_quality(found.fitted))
    if found.operators or found.networks:
        lines.append(
            f"timed for this: {units.number(found.operators, 'operator')}, and"
            f" {units.number(found.networks, 'network')} to fit on, in"
            f" {units.duration(found.seconds)}; kept in {found.table}"
        )
    else:
        lines.append(f"by the table {found.table}")
    return tuple(lines)


def _quality(fitted: Model) -> str:
    """What the model was fitted on, and how far off it is."""
    networks = units.number(len(fitted.errors), "measured network")
    off = statistics.median(abs(math.expm1(error)) for error in fitted.errors.values())
    return (
        f"fitted on {networks} of {fitted.families} families; half of them are off by at most"
        f" {units.percent(off)} when their family is left out; the interval is to hold"
        f" {round(100 * CONFIDENCE)} % of predictions"
    )


def _unfitted(found: Predictions) -> tuple[str, ...]:
    """What to do where time was up before there was a model."""
    if found.fitted is not None or not found.here or not (found.operators or found.networks):
        return ()
    return (
        "time was up before enough networks were measured to fit a model on; the same command again"
        " goes on from there, and a longer --probe (3m is usual) does it at once",
    )


def _untimed(found: Predictions) -> tuple[str, ...]:
    """Operators whose time is a guess, the largest first."""
    lines = []
    for row in found.rows:
        shares = row.prediction.untimed if row.prediction is not None else {}
        names = sorted(shares, key=lambda name: -shares[name])
        if names:
            rest = len(names) - _NAMED
            more = f" and {rest} more" if rest > 0 else ""
            total = units.share(math.fsum(shares.values()))
            lines.append(
                f"{Spec.parse(row.spec).workload.model}: operators that were not timed widen the"
                f" interval ({total} of the time): {'; '.join(names[:_NAMED])}{more}"
            )
    return tuple(lines)


def facts(found: Predictions) -> dict[str, Any]:
    """Everything, as JSON."""
    data: dict[str, Any] = encode(found)
    return data
