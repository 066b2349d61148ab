"""An environment -> its page: that of ``cnnbench report``, with its runs and links to others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cnnbench.report import page
from cnnbench.report.page.measurements import measurements
from cnnbench.report.page.parts import Section
from cnnbench.report.remarks import remarks
from cnnbench.report.selection import Selection
from cnnbench.report.table import Column, Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cnnbench.report.page.document import Document, PageLink
    from cnnbench.report.site.places import Place


def document(
    place: Place, trail: Sequence[PageLink], addresses: Mapping[str, Mapping[str, str]]
) -> Document:
    """The page of an environment.

    Args:
        place: it.
        trail: links to pages around it.
        addresses: column -> text of a cell -> the page that the cell leads to.
    """
    table = measurements(place.found, Selection())
    made = page.content(place.found, table, remarks(place.runs))
    return replace(
        made,
        heading=replace(made.heading, title=f"{made.heading.title} ({place.fingerprint})"),
        sections=[*made.sections, runs([place])],
        trail=trail,
        addresses=addresses,
        shared=True,
    )


def runs(places: Sequence[Place]) -> Section:
    """Every run of some environments, the newest first."""
    columns = (
        Column("run", "run"), Column("environment", "environment"),
        Column("created", "begun"), Column("records", "records", "whole"),
        Column("failed", "failed", "whole"), Column("missing", "not measured yet", "whole"),
        Column("newest", "newest of their spec", "whole"), Column("usability", "usability"),
        Column("revision", "commit"),
    )  # fmt: skip
    rows = tuple(
        (
            run.manifest.run, place.name, run.manifest.created, len(run.records), len(run.failed),
            len(run.missing), place.given[run.manifest.run], _verdict(place, run.manifest.run),
            _commit(run.manifest.revision, dirty=bool(run.manifest.dirty)),
        )
        for place in places for run in reversed(place.runs)
    )  # fmt: skip
    return Section(
        "runs",
        "Runs",
        "What each run is good for, judged by all of its rows. Pages of environments show the"
        " newest record of every spec; those of networks show the older ones too.",
        Table(columns, rows),
        whole=True,
    )


def _verdict(place: Place, run: str) -> str:
    verdict = place.verdicts[run]
    return "made up" if verdict is None else verdict.text


# Of a hash that people read.
_SHORT = 12


def _commit(revision: str | None, *, dirty: bool) -> str | None:
    return f"{revision[:_SHORT]}{' with changes' if dirty else ''}" if revision else None
