"""A network -> its page: its modes in every environment, and its latency over the runs of each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from cnnbench import catalogue, units
from cnnbench.gate import history
from cnnbench.gate.history import Series
from cnnbench.report import answers, cells, selection, step_notes
from cnnbench.report import history as shown
from cnnbench.report.conclusions import Sentence
from cnnbench.report.entry import Entry, place
from cnnbench.report.page import series
from cnnbench.report.page.document import Document
from cnnbench.report.page.heading import Heading
from cnnbench.report.page.measurements import carried
from cnnbench.report.page.models import MOST
from cnnbench.report.page.offers import TIME
from cnnbench.report.page.parts import PlotAxis, PlotPoint, Points, Section
from cnnbench.report.selection import Selection
from cnnbench.report.site import names
from cnnbench.report.site.places import Place
from cnnbench.report.table import apart, axes_told

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cnnbench.report.page.document import PageLink
    from cnnbench.report.table import Table

# Series with a plot; those with steps come first.
_MOST_SERIES = 12
# What is shown of every row; the axes in which rows differ stand before.
_FIGURES = ("latency", "speedup", "memory", "status", "measurement", "measured_at")

METHOD = (
    "Each part of the table is one environment: a machine with its software. Their times stand side"
    " by side, and no figure is made of several of them.",
    "The newest record of every spec is shown. A speed-up is over plain eager in the same run, from"
    " slices that were measured side by side.",
    *series.METHOD,
)


@dataclass(frozen=True)
class NetworkPart:
    """A network with everything that was measured of it.

    Attributes:
        model: as ids of specs have it.
        found: the newest records in each environment that has some.
        told: series of latencies of the specs that several runs of an environment have.
    """

    model: str
    found: tuple[tuple[Place, tuple[Entry, ...]], ...]
    told: tuple[tuple[Place, Series], ...]

    @property
    def name(self) -> str:
        """Its name, as people know it."""
        return units.readable(self.model)

    @property
    def page(self) -> str:
        """The file that is about it."""
        return names.network(self.model)

    @cached_property
    def every(self) -> list[Entry]:
        """The newest records, environment by environment."""
        return [one for _, some in self.found for one in some]

    @property
    def params(self) -> float | None:
        """Its parameters, if they were counted."""
        known = (one.estimates["params"] for one in self.every)
        return next((one.point for one in known if one is not None), None)

    @property
    def top1(self) -> float | None:
        """The published accuracy of what was measured, in percent, if there is one."""
        return next((one.top1 for one in self.every if one.top1 is not None), None)


def networks(places: Sequence[Place]) -> list[NetworkPart]:
    """Every network of some environments, by name."""
    found: dict[str, list[tuple[Place, tuple[Entry, ...]]]] = {}
    told: dict[str, list[tuple[Place, Series]]] = {}
    for where in places:
        groups = answers.by(where.found, lambda one: one.record.spec.workload.model)
        for model, some in groups.items():
            found.setdefault(model, []).append((where, tuple(some)))
        models = {one.record.id: one.record.spec.workload.model for one in where.found}
        for one in _over_runs(where):
            told.setdefault(models[one.spec], []).append((where, one))
    return [
        NetworkPart(model, tuple(found[model]), tuple(told.get(model, ())))
        for model in sorted(found, key=lambda one: (one.casefold(), one))
    ]


def _over_runs(where: Place) -> list[Series]:
    """The series of an environment that have more than one run."""
    if len(where.runs) < 2:
        return []
    found = history.series(where.runs, "latency", lambda _: True)
    return [one for one in found if len(one.points) > 1]


def document(
    network: NetworkPart, trail: Sequence[PageLink], addresses: Mapping[str, Mapping[str, str]]
) -> Document:
    """The page of a network.

    Args:
        network: it.
        trail: links to pages around it.
        addresses: column -> text of a cell -> the page that the cell leads to.
    """
    table = _table(network)
    steps = step_notes.lines([one for _, one in network.told])
    return Document(
        heading=Heading(network.name, _facts(network)),
        sentences=[*_extent(network), *(Sentence(one, _mark(one)) for one in steps)],
        table=table,
        sections=[one for one in (_modes(network), _history(network)) if one is not None],
        absent=[] if network.told else ["History: needs two runs of one environment."],
        method=METHOD,
        downloads={},
        listing="Modes in every environment",
        trail=trail,
        addresses=addresses,
        shared=True,
    )


def _facts(network: NetworkPart) -> str:
    """What does not depend on where it is measured."""
    known = catalogue.known(network.every[0].record.spec.workload.architecture)
    params, top1 = network.params, network.top1
    facts = (
        None if known is None else f"family {known.family}",
        None if params is None else f"{units.count(params)} parameters",
        None if top1 is None else f"ImageNet top-1 {top1:g} % as published",
    )
    return ", ".join(filter(None, facts))


def _extent(network: NetworkPart) -> Iterable[Sentence]:
    modes = {one.mode for one in network.every}
    yield Sentence(
        f"{network.name} was measured in {units.number(len(modes), 'mode')} in"
        f" {units.number(len(network.found), 'environment')}."
    )
    for where, some in network.found:
        for best in answers.best_modes(some):
            if best.choice.gain is None:
                continue
            time = cells.text(TIME, best.entry.latency)
            gain = f"{units.ratio(best.choice.gain.point)} plain eager"
            work = best.entry.record.spec.workload.id.partition("/")[2]
            yield Sentence(f"{where.name}, {work}: {best.entry.mode}, {time}, {gain}.", "good")


def _mark(line: str) -> str:
    return "warn" if "step of" in line else ""


def _table(network: NetworkPart) -> Table:
    """A row per spec, a part per environment."""
    every = network.every
    told = apart(axes_told(), [[place(axis, one) for axis in axes_told()] for one in every])[0]
    # When a row was measured says more than the name of its run.
    differing = [axis.name for axis in told if axis.name not in {"model", "mode", "run"}]
    wanted = Selection(columns=("mode", *differing, *_FIGURES))
    table = selection.view(every, wanted, people=True)
    parts = [where.fingerprint for where, _ in network.found]
    return replace(
        table,
        # The parts are headed by their environments.
        captions=tuple(one for one in table.captions if not any(part in one for part in parts)),
        data=tuple(map(carried, every)),
        groups=tuple((where.name, len(some)) for where, some in network.found),
    )


def _modes(network: NetworkPart) -> Section | None:
    """Latency by mode, the environments beside each other."""
    timed = [
        (where, one)
        for where, some in network.found
        for one in some
        if one.latency is not None and answers.trusted(one)
    ]
    groups: dict[str, list[tuple[Place, Entry]]] = {}
    for where, one in timed:
        groups.setdefault(one.record.spec.workload.id.partition("/")[2], []).append((where, one))
    drawn = sorted(groups.items(), key=lambda pair: -len(pair[1]))[:MOST]
    if not drawn:
        return None
    return Section(
        "modes",
        "Latency by mode and environment",
        "A colour is an environment. The whole interval is drawn; a ring rests on one round. Marks"
        " of one colour were measured on one machine and compare with each other; those of"
        " different colours show what the machines differ by, in this network and mode.",
        plots=tuple((work, _plot(some)) for work, some in drawn),
    )


def _plot(some: Sequence[tuple[Place, Entry]]) -> Points:
    modes = list(dict.fromkeys(one.mode for _, one in some))
    return Points(
        PlotAxis("latency of a call, ms", log=True, scale=1e3),
        PlotAxis("", rows=tuple(modes)),
        tuple(_point(where, one, -modes.index(one.mode)) for where, one in some),
        groups=tuple(dict.fromkeys(where.name for where, _ in some)),
    )


def _point(where: Place, entry: Entry, row: int) -> PlotPoint:
    time = entry.latency
    assert time is not None  # noqa: S101 - the others were left out
    spec = entry.record.spec
    tip = (entry.mode, where.name, f"{spec.device.text}, threads {spec.threads}",
           cells.text(TIME, time), entry.trust)  # fmt: skip
    return PlotPoint(time.point, row, where.name, tip, time.low, time.high, hollow=time.low is None)


def _history(network: NetworkPart) -> Section | None:
    """The latency of every spec over the runs of each environment."""
    if not network.told:
        return None
    order = sorted(network.told, key=lambda pair: not pair[1].steps)
    drawn = order[:_MOST_SERIES]
    left = len(order) - len(drawn)
    return Section(
        "history",
        "History",
        "Latency over the runs of one environment: a mark is a run with its interval, oldest to the"
        " left; the line is the median of a level, and a jump of it is a step. A step takes ten"
        " runs in all." + (f" {left} more series stand in the table alone." if left else ""),
        shown.points([one for _, one in order], exact=False),
        tuple((f"{one.spec}, {where.name}", series.plot(one)) for where, one in drawn),
        whole=True,
    )
