"""``cnnbench list``: the architectures of the catalogue, and timm's. Imports no torch."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from cnnbench import catalogue, units
from cnnbench.cli import completion, options
from cnnbench.cli.parameters import Words
from cnnbench.errors import UnknownName, UsageError
from cnnbench.report import FORMATS
from cnnbench.report.filter import parse
from cnnbench.report.fitting import STAYS
from cnnbench.report.ordering import ordered
from cnnbench.report.table import Column, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cnnbench.catalogue import CatalogueEntry
    from cnnbench.cli.options import View
    from cnnbench.report.table import Value

# What is shown, and may be filtered and sorted by: a column, and its value in a row.
_CELLS: tuple[tuple[Column, Callable[[CatalogueEntry], Any]], ...] = (
    (Column("name", "name"), lambda row: row.name),
    (Column("family", "family", detail=1), lambda row: row.family),
    (Column("task", "task", detail=2), lambda row: row.task),
    (Column("year", "year", "whole"), lambda row: row.year),
    (Column("input", "input", detail=0), lambda row: units.shape(row.input)),
    (Column("params", "params", "count"), lambda row: row.params),
    (Column("macs", "MACs", "count"), lambda row: row.macs),
    (Column("depth", "depth", "whole"), lambda row: row.depth),
    (Column("top1", "top-1 %", "number"), lambda row: row.top1),
    (Column("top5", "top-5 %", "number", detail=2), lambda row: row.top5),
    (Column("weights", "weights", detail=3), lambda row: row.weights),
    (Column("paper", "paper", detail=4), lambda row: row.paper),
)
# What is not shown unless it is asked for.
_FURTHER: tuple[tuple[Column, Callable[[CatalogueEntry], Any]], ...] = (
    (Column("tag", "tags"), lambda row: row.tags),
    (Column("source", "source"), lambda row: row.source),
)
_KNOWN = {column.name: (column, of) for column, of in (*_CELLS, *_FURTHER)}

_EPILOG = """\b
Examples:
  cnnbench list
  cnnbench list 'resnet*' tag:mobile
  cnnbench list family:VGG --json
  cnnbench list --filter 'task=classification top1>75 macs<1G' --sort -top1
  cnnbench list --filter tag=mobile --sort macs --columns name,macs,top1
  cnnbench list 'timm:vit_tiny*'

\b
A filter is a list of conditions, separated by spaces, which must all hold:
  task=classification,segmentation  family~net  tag=mobile  top1>75  macs<1G  weights=-
= compares whole values, ~ searches in them, ! negates, a comma means "or",
- stands for "not known", quotation marks protect spaces.
"""


@click.command(epilog=_EPILOG)
@options.models("[PATTERN…]")
@click.option("--filter", "condition", default="", metavar="CONDITIONS",
              help="List only matching rows; see below.")  # fmt: skip
@click.option("--sort", type=Words(), default=(), metavar="[-]COLUMN,…",
              shell_complete=completion.among(lambda: _KNOWN, signs="-"),
              help="Sort by columns; - means descending; missing values come last.")  # fmt: skip
@click.option("--columns", type=Words(), default=(),
              shell_complete=completion.among(lambda: _KNOWN),
              help=f"Show these columns, in this order: any of {', '.join(_KNOWN)}.")  # fmt: skip
@options.view(FORMATS)
@click.option("--names", is_flag=True, help="Print only the names, one per line.")
@options.executor
@options.debug
def command(
    patterns: tuple[str, ...],
    condition: str,
    sort: tuple[str, ...],
    columns: tuple[str, ...],
    view: View,
    names: bool,
    who: str,
) -> None:
    """List architectures: family, task, year, input, parameters, MACs, depth, accuracy.

    PATTERN is a name, a glob, tag:WORD, family:WORD, timm:NAME or a glob of timm's names. Models of
    timm are built on the meta device to count their parameters; their MACs are a matter of
    'cnnbench cost'.
    """
    if columns and (names or view.kind == "json"):
        raise UsageError(
            "JSON has every column, names are one, so --columns would do nothing; drop --columns"
        )
    built = not names or bool(condition or sort)
    found = _entries(catalogue.select(patterns or ("all",)), who, built=built)
    chosen = ordered(_kept(found, condition), sort, lambda name: _cell(name)[1])
    if names:
        view.write("".join(f"{entry.name}\n" for entry in chosen))
    elif view.kind == "json":
        view.write(json.dumps([asdict(entry) for entry in chosen], indent=1) + "\n")
    else:
        view.show(_table(chosen, columns, len(found), condition))


def _kept(found: list[CatalogueEntry], condition: str) -> list[CatalogueEntry]:
    tests = parse(condition, {name: column for name, (column, _) in _KNOWN.items()})
    return [row for row in found if all(one.holds(_cell(one.column)[1](row)) for one in tests)]


def _cell(name: str) -> tuple[Column, Callable[[CatalogueEntry], Any]]:
    if name not in _KNOWN:
        raise UnknownName("column", name, _KNOWN)
    return _KNOWN[name]


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


def _table(
    chosen: list[CatalogueEntry], columns: tuple[str, ...], found: int, condition: str
) -> Table:
    cells = [*map(_cell, dict.fromkeys(columns))] or _CELLS
    rows = tuple(tuple(_shown(of(row)) for _, of in cells) for row in chosen)
    note = units.number(len(rows), "architecture")
    if found and not rows:
        note = f"none of {units.number(found, 'architecture')} matches the filter {condition}"
    shown = (column if not columns else replace(column, detail=STAYS) for column, _ in cells)
    return Table(tuple(shown), rows, notes=(note,))


def _shown(value: Any) -> Value:
    return ", ".join(value) if isinstance(value, tuple) else value
