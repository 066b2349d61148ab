"""Sections about which network: accuracy, size and work against time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cnnbench import units
from cnnbench.report import answers, cells
from cnnbench.report.page.offers import TIME, offers
from cnnbench.report.page.parts import PlotAxis, PlotPoint, Points, Section
from cnnbench.report.table import Column, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.report.entry import Entry
    from cnnbench.stats import Estimate

# A page with more plots of one kind than this is read by nobody.
MOST = 4
# More names than this would lie on top of each other.
_NAMED = 25


def time_of(estimate: Estimate) -> str:
    """A latency with its interval as text."""
    return cells.text(TIME, estimate)


def accuracy(found: Sequence[Entry]) -> Section | None:
    """Published top-1 against measured latency, with the front of what nothing beats."""
    made = offers(found)
    if not made:
        return None
    shown = {offer.setting for offer in made}
    ahead = {(one.run, one.record.id) for offer in made for one in offer.fit.front}
    columns = (Column("setting", "measured as"), Column("model", "model"), Column("mode", "mode"),
               Column("top1", "top-1 %", "number"), TIME,
               Column("front", "on the front"))  # fmt: skip
    rows = tuple(
        (
            where,
            *_names(one.entry),
            one.top1,
            one.seconds,
            "yes" if (one.entry.run, one.entry.record.id) in ahead else "no",
        )
        for where, some in answers.candidates(found).items()
        if where in shown
        for one in sorted(some, key=lambda one: one.seconds.point)
    )
    return Section(
        "accuracy",
        "Accuracy against latency",
        "Every network in the mode to use; up and to the left is better. The line joins the"
        " networks that no other beats in both. Neither a ring, which was measured in one round"
        " only, nor a disturbed measurement is on the line. Accuracy is the published ImageNet"
        " top-1 of the weights, not measured here; networks without one, other input sizes, and"
        " wrong or loose outputs are left out.",
        Table(columns, rows),
        tuple((one.setting, dict(one.plots)[""]) for one in made),
    )


def _names(entry: Entry) -> tuple[str, str]:
    spec = entry.record.spec
    return units.readable(spec.workload.model), spec.mode.text


def size(found: Sequence[Entry]) -> Section | None:
    """Work against time in plain eager mode, parameters as area."""
    plain = [one for one in found if _plain(one)]
    groups = {
        where: some
        for where, some in answers.by(plain, lambda one: one.setting).items()
        if len({one.network for one in some}) > 1
    }
    if not groups:
        return None
    columns = (Column("setting", "measured as"), Column("model", "model"),
               Column("params", "params", "count"), Column("macs", "MACs", "count"), TIME,
               Column("rate", "GMAC/s", "number"))  # fmt: skip
    rows = tuple(
        (where, one.network, _count(one, "params"),
         _count(one, "macs"), one.latency, _rate(one) / 1e9)
        for where, some in groups.items() for one in some
    )  # fmt: skip
    largest = sorted(groups.items(), key=lambda pair: -len(pair[1]))[:MOST]
    return Section(
        "size",
        "Size and work",
        "Every network in plain eager mode: its multiply-accumulates against its latency, the"
        " area of a mark is its parameters. Networks on one rising diagonal use the machine"
        " equally well; those above and to the left of it waste time on something else than MACs.",
        Table(columns, rows),
        tuple((where, _bubbles(some)) for where, some in largest),
    )


def _plain(entry: Entry) -> bool:
    eager = entry.mode == "eager"
    return eager and answers.trusted(entry) and _count(entry, "macs") > 0


def _count(entry: Entry, name: str) -> float:
    found = entry.estimates[name]
    return found.point if found is not None else 0.0


def _rate(entry: Entry) -> float:
    time = entry.latency
    return _count(entry, "macs") / time.point if time is not None else math.nan


def _bubbles(some: Sequence[Entry]) -> Points:
    most = max(_count(one, "params") for one in some) or 1.0
    points = tuple(_bubble(one, most, named=len(some) <= _NAMED) for one in some)
    return Points(
        PlotAxis("multiply-accumulates of a call, millions", log=True, scale=1e-6),
        PlotAxis("latency of a call, ms", log=True, scale=1e3),
        points,
        interval="y",
    )


def _bubble(entry: Entry, most: float, *, named: bool) -> PlotPoint:
    time = entry.latency
    assert time is not None  # noqa: S101 - entries without one were left out
    params = _count(entry, "params")
    name = entry.network
    tip = (name, f"{units.count(params)} parameters", f"{units.count(_count(entry, 'macs'))} MACs",
           time_of(time))  # fmt: skip
    # Area, not diameter, is what people compare.
    size = 6 + 34 * math.sqrt(params / most)
    return PlotPoint(_count(entry, "macs"), time.point, "network", tip, time.low, time.high, size,
                 name if named else "")  # fmt: skip
