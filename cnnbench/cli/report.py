"""``cnnbench report``: stored runs as tables and pages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnnbench import axes, gate
from cnnbench.cli import completion, limits, options, stored
from cnnbench.cli.output import COLOUR, coloured, say, shown, wide, width, write
from cnnbench.cli.parameters import NamedPath, Words
from cnnbench.collector import uncollected
from cnnbench.errors import StoreError, UsageError
from cnnbench.gate import thresholds
from cnnbench.report import (
    FOR_PEOPLE,
    FORMATS,
    PAGES,
    answering,
    comparison,
    markdown,
    page,
    terminal,
)
from cnnbench.report.budget import fits
from cnnbench.report.conclusions import rows_left_out
from cnnbench.report.entry import entries
from cnnbench.report.overview import limited, opening
from cnnbench.report.page.measurements import measurements
from cnnbench.report.remarks import remarks, with_remarks
from cnnbench.report.scaling import scaling as curves
from cnnbench.report.selection import Selection, explained, keep
from cnnbench.report.selection import view as rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.cli.options import View
    from cnnbench.report.budget import Budget
    from cnnbench.report.entry import Entry
    from cnnbench.report.page.context import PageChange
    from cnnbench.report.table import Table
    from cnnbench.store import StoredRun

_EPILOG = """\b
Examples:
  cnnbench report results/RUN
  cnnbench report results/RUN --under 20ms --memory 200MB --top1 70
  cnnbench report results/RUN --wide
  cnnbench report results/RUN --format html -o report.html
  cnnbench report results/RUN --format html --baseline results/OLD -o report.html
  cnnbench report results/RUN --format markdown -o table.md --pictures
  cnnbench report results/A results/B --format csv
  cnnbench report results/RUN --format answers --under 20ms
  cnnbench report results/RUN --pivot mode
  cnnbench report results/RUN --scaling
  cnnbench report results/RUN --lab
  cnnbench report results/RUN --dataset cifar10
  cnnbench report results/RUN --filter 'mode~compile latency<5ms' --sort -speedup
  cnnbench report results/RUN --columns model,mode,latency,top1 --group-by family

\b
A filter is a list of conditions, separated by spaces, which must all hold:
  device=cpu  mode=eager,compile  model~resnet  status!=ok  batch>=8
  latency<5ms  params>25M  peak_memory<1GiB  speedup>1.2x  top1=-
= compares whole values, ~ searches in them, ! negates, a comma means "or",
- stands for "not measured", quotation marks protect spaces; times and sizes need a
unit.
Columns go by their names and by their headings.
"""


# The format that holds no rows, but what follows from them; and those that hold rows alone.
_ANSWERS = "answers"
_TIDY = FORMATS.keys() - FOR_PEOPLE


@click.command(epilog=_EPILOG)
@options.runs()
@options.view([*FORMATS, *PAGES, _ANSWERS])
@limits.within()
@click.option("--columns", type=Words(), default=(), help="Show these columns, in this order.",
              shell_complete=completion.columns)  # fmt: skip
@click.option("--sort", type=Words(), default=(), metavar="[-]COLUMN,…",
              shell_complete=completion.sorting,
              help="Sort by columns; - means descending; missing values come last.")  # fmt: skip
@click.option(
    "--group-by",
    metavar="COLUMN",
    shell_complete=completion.columns,
    help="One section of the table per value of a column.",
)
@click.option("--filter", "condition", default="", metavar="CONDITIONS",
              help="Show only matching rows; see below.")  # fmt: skip
@click.option("--pivot", "field", metavar="FIELD",
              shell_complete=completion.among(axes.pivots),
              help=f"One column per value of {', '.join(axes.pivots())}.")  # fmt: skip
@click.option("--scaling", is_flag=True,
              help="Show throughput by batch and where it saturates; needs several batches.",
)  # fmt: skip
@click.option("--lab", is_flag=True,
              help="Show runs of cnnbench conv: implementations, substitutes, advice.")  # fmt: skip
@click.option("--pipelines", is_flag=True,
              help="Show runs of cnnbench input: rates, steps, what networks need.")  # fmt: skip
@options.dataset
@click.option("--baseline", type=NamedPath(), metavar="DIR",
              shell_complete=completion.runs,
              help="With --format html: also show changes against this older run.")  # fmt: skip
@click.option("--pictures", is_flag=True,
              help="With --format markdown -o FILE: also write the plots of the page as SVG files.",
)  # fmt: skip
@click.option(
    "--metric",
    shell_complete=completion.metrics,
    help="Metric that --pivot shows.  [default: latency]",
)
@click.option("--color", "colour", type=click.Choice(COLOUR), default="auto", show_default=True,
              help="Colour statuses and speed-ups in the terminal; auto honours NO_COLOR.",
)  # fmt: skip
@options.debug
@uncollected()
def command(
    runs: tuple[Path, ...],
    view: View,
    within: Budget,
    columns: tuple[str, ...],
    sort: tuple[str, ...],
    group_by: str | None,
    condition: str,
    field: str | None,
    scaling: bool,
    lab: bool,
    pipelines: bool,
    dataset: int | None,
    baseline: Path | None,
    pictures: bool,
    metric: str | None,
    colour: str,
) -> None:
    """Show stored runs, one or several together.

    "table" and "markdown" begin with a row per network and what follows from the figures; --wide,
    or the second part of Markdown, has every row. "latex" is for people too; "csv" and "json" have
    one tidy row per spec and every metric with its unit; "answers" is JSON of what follows from the
    figures; "html" is an offline page with tables and plots. --under, --memory and --top1 show what
    fits, the best first, and what is left out.
    """
    selection = Selection(columns, sort, group_by, condition)
    _refuse_alone(view, metric if field is None else None, baseline, pictures=pictures)
    shapes = {"lab": lab, "pipelines": pipelines, "dataset": dataset and not pipelines,
              "scaling": scaling, "pivot": field is not None, "pictures": pictures}  # fmt: skip
    _refuse_beside(selection, [name for name, asked in shapes.items() if asked], view.kind)
    own = any(asked for name, asked in shapes.items() if name != "pictures")
    _refuse_shapes(view, selection, within, own=own)
    read = stored.read(stored.each(runs))
    if lab or pipelines or dataset:
        view.write(_lab(read, view.kind) if lab else _fed(read, view, dataset, pipelines))
        return
    found = entries(read)
    kept = keep(found, condition)
    fitting = _fitting(kept, within, view.kind) if within else kept
    drawn = fitting if pictures else ()
    if view.kind == _ANSWERS:
        view.write(answering.render(kept, within))
    elif not columns and not own and _opens(view, within):
        tables = opening(found, selection, within, kind=view.kind, width=width(view.output))
        _show(tables, read, view, colour, drawn)
    elif view.kind in PAGES:
        table = measurements(found, selection)
        changes = _changes(read, baseline)
        view.write(PAGES[view.kind](kept, table, remarks(read), changes, within))
    else:
        if scaling or field is not None:
            table = curves(kept) if field is None else _pivot(kept, field, metric or "latency")
            table = explained(table, found, kept, condition)
        else:
            rows = fitting if within else found
            table = rows_of(rows, selection, people=view.kind in FOR_PEOPLE)
        if within and view.kind in FOR_PEOPLE:
            table = limited(table, kept, within)
        _show([table], read, view, colour, drawn)


def _refuse_alone(view: View, metric: str | None, baseline: Path | None, *, pictures: bool) -> None:
    """Refuse what goes with something else that is missing."""
    if pictures and (view.kind != "markdown" or view.output is None):
        raise UsageError("--pictures needs --format markdown -o FILE")
    if metric is not None:
        raise UsageError("--metric needs --pivot FIELD")
    if baseline is not None and view.kind not in PAGES:
        raise UsageError("--baseline needs --format html; for a table use cnnbench compare")


def _fitting(kept: Sequence[Entry], within: Budget, kind: str) -> list[Entry]:
    """What fits the limits; rows alone do not tell that there were more, so that this is said."""
    answers = fits(kept, within)
    if kind in _TIDY:
        say(rows_left_out(answers, kept))
    return [one for fit in answers for one in fit.fitting]


def _opens(view: View, within: Budget) -> bool:
    """Whether the answers come first: not where every row is asked for."""
    return view.kind == "markdown" or (view.kind == "table" and (not wide() or bool(within)))


def _refuse_shapes(view: View, selection: Selection, within: Budget, *, own: bool) -> None:
    """Refuse options of rows where there are none; ``own``: a table with rows of its own."""
    if view.kind == _ANSWERS and (own or selection != Selection(filter=selection.filter)):
        raise UsageError("--format answers has no rows; only --filter and limits go with it")
    if within and own:
        raise UsageError(
            "--under, --memory and --top1 go with rows; drop --lab, --pipelines, --dataset,"
            " --scaling, --pivot"
        )


def _show(
    tables: Sequence[Table],
    runs: Sequence[StoredRun],
    view: View,
    colour: str,
    drawn: Sequence[Entry] = (),
) -> None:
    """Write tables, with what must be known of whole runs beside the first; then pictures."""
    first, *others = tables
    if view.kind in FOR_PEOPLE:
        first = with_remarks(first, remarks(runs))
    if view.kind == "table" and coloured(colour, view.output):
        lines = width(view.output)
        texts = [terminal.render(one, colour=True, width=lines) for one in (first, *others)]
        write("\n".join(texts), view.output, colour=True)
        return
    text = "\n".join(shown(one, view.kind, view.output) for one in (first, *others))
    if drawn and view.output is not None:
        text += _pictures(drawn, view.output)
    view.write(text)


def _refuse_beside(selection: Selection, wide: Sequence[str], kind: str) -> None:
    """Refuse options that have no effect on a table with its own rows and columns."""
    tables = [name for name in wide if name != "pictures"]
    if not tables:
        return
    first = tables[0]
    if kind in PAGES:
        raise UsageError(
            f"--{first} cannot be combined with --format {kind}, which has its own; drop one"
        )
    if tables == ["scaling", "pivot"]:
        raise UsageError("--scaling and --pivot are mutually exclusive; keep one")
    given = {
        "columns": selection.columns,
        "sort": selection.sort,
        "group-by": selection.group_by,
        "filter": first in _OWN_ROWS and selection.filter,
    }
    others = [name for name, value in given.items() if value]
    for name in (*others, *(wide[1:] if first in _OWN_ROWS else ())):
        raise UsageError(f"--{name} cannot be combined with --{first}; drop one")


# These choose their own rows.
_OWN_ROWS = {"lab", "pipelines", "dataset"}


def _pictures(found: Sequence[Entry], output: Path) -> str:
    """Files in a folder beside the output, and the Markdown that shows them."""
    folder = output.with_name(f"{output.stem}-pictures")
    try:
        return markdown.gallery(page.illustrations(found, folder))
    except OSError as error:
        raise StoreError(f"{error.filename or folder}: {error.strerror}") from error


def _lab(runs: Sequence[StoredRun], kind: str) -> str:
    """The tables of the convolution lab, which choose their own rows and columns."""
    if not any(one.spec.workload.is_layer for run in runs for one in run.records):
        raise UsageError(
            "--lab: these runs contain no single layers; measure some with cnnbench conv"
        )
    from cnnbench.cli import lab

    return lab.text(runs, kind)


def _fed(runs: Sequence[StoredRun], view: View, dataset: int | None, pipelines: bool) -> str:
    """The tables of input pipelines, or of epochs, which choose their own rows and columns."""
    from cnnbench.report import epochs
    from cnnbench.report import pipelines as whole

    if pipelines or dataset is None:
        return whole.to_text(runs, view.kind, dataset, width(view.output))
    table = epochs.to_table(runs, dataset, people=view.kind in FOR_PEOPLE)
    return shown(table, view.kind, view.output)


def _changes(runs: Sequence[StoredRun], baseline: Path | None) -> list[PageChange]:
    if baseline is None:
        return []
    (kept,) = stored.read([baseline])
    old, limits = gate.side_of(kept), thresholds.in_force(None, (), Path())
    return comparison.changes(
        [gate.judge(gate.compare(old, gate.side_of(run)), limits) for run in runs]
    )


def _pivot(found: Sequence[Entry], field: str, metric: str) -> Table:
    # pandas takes a third of a second to import; only a pivot needs it.
    from cnnbench.report.pivot import pivot

    return pivot(found, field, metric)
