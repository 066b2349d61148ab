"""``cnnbench list``: the architectures of the catalogue. Imports no torch."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from cnnbench import catalogue
from cnnbench.cli import options
from cnnbench.cli.output import shown
from cnnbench.report.table import Column, Table

_COLUMNS = (
    Column("name", "name"),
    Column("family", "family", detail=1),
    Column("task", "task", detail=2),
    Column("year", "year", "whole"),
    Column("input", "input", detail=0),
    Column("params", "params", "count"),
    Column("macs", "MACs", "count"),
    Column("top1", "top-1 %", "number"),
    Column("paper", "paper", detail=3),
)

_EPILOG = """\b
Examples:
  cnnbench list
  cnnbench list 'resnet*' tag:mobile
  cnnbench list family:VGG --json
"""


@click.command(epilog=_EPILOG)
@options.names("patterns", "[PATTERN…]", required=False)
@options.as_json
@click.option("--names", is_flag=True, help="Print only the names, one per line.")
@options.wide
@options.debug
def command(patterns: tuple[str, ...], as_json: bool, names: bool) -> None:
    """List architectures: names, family, task, year, input, parameters, MACs, accuracy.

    PATTERN is a name, a glob, tag:WORD or family:WORD.
    """
    chosen = [catalogue.entry(name) for name in catalogue.select(patterns or ("all",))]
    if as_json:
        click.echo(json.dumps([asdict(entry) for entry in chosen], indent=1))
    elif names:
        click.echo("\n".join(entry.name for entry in chosen))
    else:
        click.echo(shown(_table(chosen)), nl=False)


def _table(chosen: list[catalogue.CatalogueEntry]) -> Table:
    rows = [
        (
            entry.name,
            entry.family,
            entry.task,
            entry.year,
            "x".join(map(str, entry.input)),
            entry.params,
            entry.macs,
            entry.top1,
            entry.paper,
        )
        for entry in chosen
    ]
    return Table(_COLUMNS, tuple(rows), notes=(f"{len(rows)} architectures",))
