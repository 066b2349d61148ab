"""``cnnbench list``: the architectures of the catalogue, and timm's. Imports no torch."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from cnnbench import catalogue
from cnnbench.cli import options
from cnnbench.cli.output import shown
from cnnbench.report.table import Column, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.catalogue import CatalogueEntry

_COLUMNS = (
    Column("name", "name"),
    Column("family", "family", detail=1),
    Column("task", "task", detail=2),
    Column("year", "year", "whole"),
    Column("input", "input", detail=0),
    Column("params", "params", "count"),
    Column("macs", "MACs", "count"),
    Column("depth", "depth", "whole"),
    Column("top1", "top-1 %", "number"),
    Column("top5", "top-5 %", "number", detail=2),
    Column("weights", "weights", detail=3),
    Column("paper", "paper", detail=4),
)

_EPILOG = """\b
Examples:
  cnnbench list
  cnnbench list 'resnet*' tag:mobile
  cnnbench list family:VGG --json
  cnnbench list 'timm:vit_tiny*'
"""


@click.command(epilog=_EPILOG)
@options.names("patterns", "[PATTERN…]", required=False)
@options.as_json
@click.option("--names", is_flag=True, help="Print only the names, one per line.")
@options.wide
@options.executor
@options.debug
def command(patterns: tuple[str, ...], as_json: bool, names: bool, who: str) -> None:
    """List architectures: family, task, year, input, parameters, MACs, depth, accuracy.

    PATTERN is a name, a glob, tag:WORD, family:WORD, timm:NAME or a glob of timm's names. Models of
    timm are built on the meta device to count their parameters; their MACs are a matter of
    'cnnbench cost'.
    """
    chosen = _entries(catalogue.select(patterns or ("all",)), who, built=not names)
    if as_json:
        click.echo(json.dumps([asdict(entry) for entry in chosen], indent=1))
    elif names:
        click.echo("\n".join(entry.name for entry in chosen))
    else:
        click.echo(shown(_table(chosen)), nl=False)


def _entries(names: tuple[str, ...], who: str, *, built: bool) -> list[CatalogueEntry]:
    """The rows of names; only timm's need a worker."""
    offered = [name for name in names if name.startswith(catalogue.TIMM)]
    listed = _of_timm(offered, who, built=built) if offered else {}
    rows = [row for name in names for row in listed.get(name) or (catalogue.entry(name),)]
    return [*{row.name: row for row in rows}.values()]


def _of_timm(
    patterns: Sequence[str], who: str, *, built: bool
) -> dict[str, tuple[CatalogueEntry, ...]]:
    from cnnbench.runner import timm
    from cnnbench.runner.executor import executor
    from cnnbench.runner.inquiry import asking

    with asking(executor(who)) as pool:
        return {one: timm.listed(pool, one, built=built) for one in patterns}


def _table(chosen: list[CatalogueEntry]) -> Table:
    rows = [
        (
            entry.name,
            entry.family,
            entry.task,
            entry.year,
            "x".join(map(str, entry.input)),
            entry.params,
            entry.macs,
            entry.depth,
            entry.top1,
            entry.top5,
            entry.weights,
            entry.paper,
        )
        for entry in chosen
    ]
    return Table(_COLUMNS, tuple(rows), notes=(f"{len(rows)} architectures",))
