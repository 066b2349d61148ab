"""What ``conv --list`` shows: implementations and substitutes. Imports no torch."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from cnnbench import units
from cnnbench.cli.output import shown
from cnnbench.conv import catalogue
from cnnbench.report.table import Column, Table

_IMPLEMENTATIONS = (
    Column("name", "implementation"),
    Column("meaning", "what it does"),
    Column("layout", "works in"),
    Column("kinds", "on", detail=1),
    Column("dtypes", "dtypes", detail=2),
    Column("source", "source", detail=3),
)
_SUBSTITUTES = (
    Column("name", "substitute"),
    Column("meaning", "what it is"),
    Column("same", "same function", detail=1),
    Column("source", "source", detail=3),
)


def show(*, as_json: bool) -> None:
    """Print both tables, or every field of both as one object."""
    ways, others = catalogue.entries(), catalogue.substitutes()
    if as_json:
        whole = {
            "implementations": [asdict(one) for one in ways],
            "substitutes": [asdict(one) for one in others],
        }
        click.echo(json.dumps(whole, indent=1))
        return
    click.echo(shown(_implementations(ways)))
    click.echo(shown(_substitutes(others)), nl=False)


def _implementations(ways: tuple[catalogue.ImplementationEntry, ...]) -> Table:
    rows = tuple(
        (one.name, one.meaning, one.layout or "either", ", ".join(one.kinds),
         ", ".join(one.dtypes), one.source)
        for one in ways
    )  # fmt: skip
    return Table(_IMPLEMENTATIONS, rows, notes=(units.number(len(rows), "implementation"),))


def _substitutes(others: tuple[catalogue.SubstituteEntry, ...]) -> Table:
    rows = tuple(
        (
            one.name,
            one.meaning,
            "yes, with the weights of the layer" if one.same_function else "no",
            one.source,
        )
        for one in others
    )
    return Table(_SUBSTITUTES, rows, notes=(units.number(len(rows), "substitute"),))
