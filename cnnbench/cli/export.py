"""``cnnbench export``: stored runs in the formats of other tools."""

from __future__ import annotations

from pathlib import Path

import click

from cnnbench.cli import stored
from cnnbench.cli.output import write
from cnnbench.errors import UnknownName
from cnnbench.report.exporting import EXPORTS, export
from cnnbench.report.table import entries

_EPILOG = """\b
Examples:
  cnnbench export results/RUN --format pytest-benchmark -o bench.json
  cnnbench export results/RUN --format bmf -o bencher.json
  cnnbench export results/RUN --format github-action-benchmark -o output.json
  cnnbench export results/RUN --format timm -o timm.csv
"""


@click.command(epilog=_EPILOG)
@click.argument("runs", metavar="DIR…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--format", "kind", required=True, help=f"One of {', '.join(EXPORTS)}.")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="A file.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def command(runs: tuple[Path, ...], kind: str, output: Path | None, debug: bool) -> None:
    """Write stored runs as files that other tools read.

    pytest-benchmark: JSON for 'pytest-benchmark compare'. bmf: Bencher. github-action-benchmark:
    for 'tool: customSmallerIsBetter'. timm: CSV like that of its benchmark.py. Specs that failed
    have no number and are left out.
    """
    del debug
    if kind not in EXPORTS:
        raise UnknownName("export format", kind, EXPORTS)
    found = stored.read(runs)
    write(export(entries(found), kind), output)
    failed = sum(len(run.failed) for run in found)
    if failed:
        click.echo(f"cnnbench: {failed} specs that failed are left out", err=True)
