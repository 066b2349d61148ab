"""``cnnbench export``: stored runs in the formats of other tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cnnbench import units
from cnnbench.cli import options, stored
from cnnbench.cli.output import say
from cnnbench.report.entry import entries
from cnnbench.report.exporting import EXPORTS, export

if TYPE_CHECKING:
    from pathlib import Path

    from cnnbench.cli.options import View

_EPILOG = """\b
Examples:
  cnnbench export results/RUN --format pytest-benchmark -o bench.json
  cnnbench export results/RUN --format bmf -o bencher.json
  cnnbench export results/RUN --format github-action-benchmark -o output.json
  cnnbench export results/RUN --format timm -o timm.csv
"""


@click.command(epilog=_EPILOG)
@options.runs()
@options.view(EXPORTS, usual=None, what="export format")
@options.debug
def command(runs: tuple[Path, ...], view: View) -> None:
    """Write stored runs in the file formats of other tools.

    pytest-benchmark: JSON for 'pytest-benchmark compare'. bmf: Bencher. github-action-benchmark:
    for 'tool: customSmallerIsBetter'. timm: CSV like that of its benchmark.py. Specs that failed
    have no number and are left out.
    """
    found = stored.read(stored.each(runs))
    view.write(export(entries(found), view.kind))
    failed = sum(len(run.failed) for run in found)
    if failed:
        say(f"cnnbench: left out: {units.number(failed, 'failed spec')}")
