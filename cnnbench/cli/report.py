"""``cnnbench report``: stored runs as tables and pages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnnbench import gate, store
from cnnbench.cli import stored
from cnnbench.cli.output import COLOUR, coloured, write
from cnnbench.cli.parameters import Words
from cnnbench.errors import StoreError, UnknownName, UsageError
from cnnbench.gate import thresholds
from cnnbench.report import FOR_PEOPLE, FORMATS, PAGES, comparison, markdown, page, render, terminal
from cnnbench.report.remarks import remarks, with_remarks
from cnnbench.report.scaling import scaling
from cnnbench.report.selection import Selection, explained, keep, view
from cnnbench.report.table import entries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.report.page.context import PageChange
    from cnnbench.report.table import Entry, Table
    from cnnbench.store import StoredRun

_EPILOG = """\b
Examples:
  cnnbench report results/RUN
  cnnbench report results/RUN --format html -o report.html
  cnnbench report results/RUN --format html --baseline results/OLD -o report.html
  cnnbench report results/RUN --format markdown -o table.md --pictures
  cnnbench report results/A results/B --format csv
  cnnbench report results/RUN --pivot mode
  cnnbench report results/RUN --scaling
  cnnbench report results/RUN --lab
  cnnbench report results/RUN --filter 'mode~compile latency<5ms' --sort -speedup
  cnnbench report results/RUN --columns model,mode,latency,top1 --group-by family

\b
A filter is conditions with spaces between them; all must hold:
  device=cpu  mode=eager,compile  model~resnet  status!=ok  batch>=8
  latency<5ms  params>25M  peak_memory<1GiB  speedup>1.2x  top1=-
= compares whole values, ~ finds a text in them, ! negates, a comma means or,
- is what was not measured, quotation marks hold spaces together.
"""

# Above so many rows a reader of Markdown needs parts.
_MANY = 50


@click.command(epilog=_EPILOG)
@click.argument(
    "directories", metavar="DIR…", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option(
    "--format",
    "kind",
    default="table",
    show_default=True,
    help=f"One of {', '.join([*FORMATS, *PAGES])}.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write to a file instead of the terminal.",
)
@click.option("--columns", type=Words(), default=(), help="Which columns, in this order.")
@click.option(
    "--sort", type=Words(), default=(), metavar="[-]COLUMN,…",
    help="By a column; - from large to small; not measured last.",
)  # fmt: skip
@click.option("--group-by", metavar="COLUMN", help="A part of the table per value of a column.")
@click.option(
    "--filter", "condition", default="", metavar="CONDITIONS", help="Only rows that fit; see below."
)
@click.option(
    "--pivot",
    metavar="FIELD",
    help="One column per value of mode, batch, device, threads, phase or size.",
)
@click.option(
    "--scaling",
    is_flag=True,
    help="Throughput by batch, and the batch where it saturates; needs several batches.",
)
@click.option(
    "--lab", "lab", is_flag=True, help="Runs of cnnbench conv: ways, roofs, substitutes, advice."
)
@click.option("--baseline", type=click.Path(path_type=Path), metavar="DIR",
              help="With --format html: also what changed against an older run.")  # fmt: skip
@click.option(
    "--pictures", is_flag=True,
    help="With --format markdown -o FILE: the page's plots as SVG files beside it.",
)  # fmt: skip
@click.option("--metric", help="What --pivot shows.  [default: latency]")
@click.option("--color", "colour", type=click.Choice(COLOUR), default="auto", show_default=True,
              help="Colour of statuses and speed-ups in the terminal; auto honours NO_COLOR.",
)  # fmt: skip
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@store.uncollected()
def command(directories: tuple[Path, ...], kind: str, output: Path | None, **options: Any) -> None:
    """Show stored runs; several directories join.

    "table", "markdown" and "latex" are for people; "csv" and "json" have one tidy row per spec and
    every metric with its unit; "html" is one page with tables and plots that needs no network.
    """
    if kind not in FORMATS and kind not in PAGES:
        raise UnknownName("format", kind, [*FORMATS, *PAGES])
    if options["metric"] is not None and options["pivot"] is None:
        raise UsageError("--metric goes with --pivot FIELD")
    if options["baseline"] is not None and kind not in PAGES:
        raise UsageError("--baseline goes with --format html; for a table: cnnbench compare")
    if options["pictures"] and (kind != "markdown" or output is None):
        raise UsageError("--pictures goes with --format markdown -o FILE")
    runs = stored.read(directories)
    if options["lab"]:
        write(_lab(runs, kind, options), output)
        return
    found, said = entries(runs), remarks(runs)
    table = _table(found, kind, options)
    if kind in PAGES:
        kept, changes = keep(found, options["condition"]), _changes(runs, options["baseline"])
        write(PAGES[kind](kept, table, said, changes), output)
        return
    if kind in FOR_PEOPLE:
        table = with_remarks(table, said)
    if kind == "table" and coloured(options["colour"], output):
        write(terminal.render(table, colour=True), output, colour=True)
    else:
        text = render(table, kind)
        write(text, output)
        if options["pictures"] and output is not None:
            write(text + _pictures(keep(found, options["condition"]), output), output)


def _pictures(found: Sequence[Entry], output: Path) -> str:
    """Files in a folder beside the output, and the Markdown that shows them."""
    folder = output.with_name(f"{output.stem}-pictures")
    try:
        return markdown.gallery(page.illustrations(found, folder))
    except OSError as error:
        raise StoreError(f"{error.filename or folder}: {error.strerror}") from error


def _lab(runs: Sequence[StoredRun], kind: str, options: dict[str, Any]) -> str:
    """The tables of the convolution lab, which choose their own rows and columns."""
    if kind in PAGES:
        raise UsageError(f"--lab does not go with --format {kind}, which has its own")
    for name in ("columns", "sort", "group_by", "condition", "pivot", "scaling", "pictures"):
        if options[name]:
            word = "filter" if name == "condition" else name.replace("_", "-")
            raise UsageError(f"--{word} does not go with --lab; leave one out")
    if not any(
        one.spec.workload.architecture.startswith("conv:") for r in runs for one in r.records
    ):
        raise UsageError("--lab: no layer was measured in these runs; measure some: cnnbench conv")
    from cnnbench.cli import lab

    return lab.text(runs, kind)


def _changes(runs: Sequence[StoredRun], baseline: Path | None) -> list[PageChange]:
    if baseline is None:
        return []
    (kept,) = stored.read([baseline])
    old, limits = gate.side_of(kept), thresholds.in_force(None, (), Path())
    return comparison.changes(
        [gate.judge(gate.compare(old, gate.side_of(run)), limits) for run in runs]
    )


def _selection(options: dict[str, Any], group_by: str | None) -> Selection:
    return Selection(options["columns"], options["sort"], group_by, options["condition"])


def _table(found: Sequence[Entry], kind: str, options: dict[str, Any]) -> Table:
    if options["scaling"] and options["pivot"] is not None:
        raise UsageError("--scaling and --pivot are two tables; ask for one")
    if options["scaling"] or options["pivot"] is not None:
        _refuse_beside(options, "scaling" if options["scaling"] else "pivot", kind)
        kept = keep(found, options["condition"])
        table = scaling(kept) if options["scaling"] else _pivot(kept, options)
        return explained(table, found, kept, options["condition"])
    people = kind in FOR_PEOPLE or kind in PAGES
    group_by = options["group_by"]
    if group_by is None and kind == "markdown" and len(found) > _MANY:
        group_by = "family"
    return view(found, _selection(options, group_by), people=people)


def _refuse_beside(options: dict[str, Any], table: str, kind: str) -> None:
    """Refuse what says nothing of a table that has its own rows and columns."""
    if kind in PAGES:
        raise UsageError(f"--{table} does not go with --format {kind}, which has its own")
    for name in ("columns", "sort", "group_by"):
        if options[name]:
            word = name.replace("_", "-")
            raise UsageError(f"--{word} does not go with --{table}; leave one out")


def _pivot(found: Sequence[Entry], options: dict[str, Any]) -> Table:
    # pandas takes a third of a second to import; only a pivot needs it.
    from cnnbench.report.pivot import pivot

    return pivot(found, options["pivot"], options["metric"] or "latency")
