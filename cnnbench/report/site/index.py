"""The first page of a site: its environments, its networks, and which environments compare."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from cnnbench import units
from cnnbench.report.conclusions import Sentence
from cnnbench.report.page.document import Document
from cnnbench.report.page.heading import Heading, dates
from cnnbench.report.page.parts import Section
from cnnbench.report.selection import fact
from cnnbench.report.site import environment
from cnnbench.report.table import Column, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cnnbench.report.site.beside import MachineComparison
    from cnnbench.report.site.network import NetworkPart
    from cnnbench.report.site.places import Place

METHOD = (
    "An environment is a machine with its software, by the fingerprint of what decides how fast it"
    " is: processor, memory, GPU, driver, torch and its libraries. Numbers of different"
    " environments are numbers of different things, so no figure on these pages mixes them.",
    "Pages of environments hold the newest record of every spec, and what follows from it.",
)


def document(
    title: str,
    places: Sequence[Place],
    networks: Sequence[NetworkPart],
    comparisons: Sequence[MachineComparison],
    left: int,
    addresses: Mapping[str, Mapping[str, str]],
) -> Document:
    """The first page.

    Args:
        title: its heading.
        places: the environments.
        networks: by name.
        comparisons: that have a page.
        left: how many have none, because there are too many.
        addresses: column -> text of a cell -> the page that the cell leads to.
    """
    days = dates(run.manifest.created for where in places for run in where.runs)
    return Document(
        heading=Heading(title, days),
        sentences=list(_said(places, networks, left)),
        table=_networks(networks),
        sections=[_environments(places), *_comparisons(comparisons), environment.runs(places)],
        absent=(),
        method=METHOD,
        downloads={},
        listing="Networks",
        addresses=addresses,
        shared=True,
    )


def _said(
    places: Sequence[Place], networks: Sequence[NetworkPart], left: int
) -> Iterable[Sentence]:
    records = sum(len(run.records) for where in places for run in where.runs)
    runs = sum(len(where.runs) for where in places)
    yield Sentence(
        f"{units.number(records, 'record')} of {units.number(len(networks), 'network')} from"
        f" {units.number(runs, 'run')} in {units.number(len(places), 'environment')}."
    )
    for where in places:
        if where.environment.hard.get("fake"):
            yield Sentence(f"Numbers of {where.name} are made up by the fake executor.", "bad")
    if left:
        yield Sentence(
            f"{left} more pairs of environments have networks in common and no page of their own;"
            " the page of a network shows all of its environments."
        )


def _environments(places: Sequence[Place]) -> Section:
    columns = (
        Column("environment", "environment"), Column("runs", "runs", "whole"),
        Column("dates", "measured"), Column("records", "records", "whole"),
        Column("networks", "networks", "whole"), Column("usability", "usability of its runs"),
    )  # fmt: skip
    rows = tuple(
        (
            where.name, len(where.runs), where.days, sum(len(run.records) for run in where.runs),
            len({one.network for one in where.found}), _usability(where),
        )
        for where in places
    )  # fmt: skip
    return Section(
        "environments",
        "Environments",
        "A machine with its software. Its page has the accuracy of its networks against their"
        " latency, within a budget that you choose.",
        Table(columns, rows),
        whole=True,
    )


def _usability(where: Place) -> str:
    """``usable`` of a single run; ``3 usable, 1 not usable`` of several."""
    uses = Counter("made up" if one is None else one.use for one in where.verdicts.values())
    if len(where.verdicts) == 1:
        return next(iter(uses))
    return ", ".join(f"{count} {use}" for use, count in uses.most_common())


def _networks(networks: Sequence[NetworkPart]) -> Table:
    columns = (
        Column("model", "network"), Column("family", "family"), Column("top1", "top-1 %", "number"),
        Column("params", "params", "count"), Column("modes", "modes", "whole"),
        Column("places", "environments", "whole"), Column("series", "series over runs", "whole"),
        Column("steps", "steps", "whole"),
    )  # fmt: skip
    rows = tuple(
        (
            one.name, fact(one.every[0], "family"), one.top1, one.params,
            len({entry.mode for entry in one.every}), len(one.found), len(one.told),
            sum(len(series.steps) for _, series in one.told),
        )
        for one in networks
    )  # fmt: skip
    return Table(columns, rows)


def _comparisons(comparisons: Sequence[MachineComparison]) -> Iterable[Section]:
    """The pairs of environments with a page; nothing where none is."""
    if not comparisons:
        return
    columns = (Column("pair", "two environments"), Column("rows", "in common", "whole"))
    yield Section(
        "comparisons",
        "Two environments side by side",
        "Each page has a ratio for every network and mode that both have measured, and none for the"
        " machines as such.",
        Table(columns, tuple((one.name, len(one.pairs)) for one in comparisons)),
        whole=True,
    )
