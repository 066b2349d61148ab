"""``cnnbench report``: stored runs as tables."""

from __future__ import annotations

from pathlib import Path

import click

from cnnbench import store
from cnnbench.cli.output import write
from cnnbench.errors import UnknownName, UsageError
from cnnbench.report import FORMATS, render
from cnnbench.report.scaling import scaling as by_batch
from cnnbench.report.table import entries, summary, tidy

_EPILOG = """\b
Examples:
  cnnbench report results/RUN
  cnnbench report results/RUN --format markdown -o table.md
  cnnbench report results/A results/B --format csv
  cnnbench report results/RUN --pivot mode
  cnnbench report results/RUN --scaling
"""


@click.command(epilog=_EPILOG)
@click.argument(
    "directories", metavar="DIR…", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option(
    "--format", "kind", default="table", show_default=True, help=f"One of {', '.join(FORMATS)}."
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write to a file instead of the terminal.",
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
@click.option("--metric", help="What --pivot shows.  [default: latency]")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def command(
    directories: tuple[Path, ...],
    kind: str,
    output: Path | None,
    pivot: str | None,
    metric: str | None,
    scaling: bool,
    debug: bool,
) -> None:
    """Show stored runs; several directories join.

    "table" and "markdown" are for people; "csv" and "json" have one tidy row per spec and every
    metric with its unit.
    """
    del debug
    if kind not in FORMATS:
        raise UnknownName("format", kind, FORMATS)
    runs = [store.read(path) for path in directories]
    for problem in (problem for run in runs for problem in run.problems):
        click.echo(f"cnnbench: {problem}", err=True)
    found = entries(runs)
    if metric is not None and pivot is None:
        raise UsageError("--metric goes with --pivot FIELD")
    if scaling and pivot is not None:
        raise UsageError("--scaling and --pivot are two tables; ask for one")
    if pivot is not None:
        # pandas takes a third of a second to import; only a pivot needs it.
        from cnnbench.report.pivot import pivot as widen

        table = widen(found, pivot, metric or "latency")
    elif scaling:
        table = by_batch(found)
    else:
        table = (summary if kind in {"table", "markdown"} else tidy)(found)
    write(render(table, kind), output)
