"""``cnnbench import``: results of other tools as a run."""

from __future__ import annotations

from pathlib import Path

import click

from cnnbench import imported, store, units
from cnnbench.cli import options
from cnnbench.imported import IMPORTS

_EPILOG = """\b
Examples:
  cnnbench import .benchmarks/*/0001_base.json --out results/base
  cnnbench import mon.json tue.json wed.json --out results/head
  cnnbench compare results/base results/head
"""


@click.command(epilog=_EPILOG)
@click.argument("files", metavar="FILE…", nargs=-1, required=True,
                type=click.Path(path_type=Path))  # fmt: skip
@options.out(None)
@click.option("--format", "kind", default="pytest-benchmark", show_default=True,
              help=f"One of {', '.join(IMPORTS)}.")  # fmt: skip
@options.debug
def command(files: tuple[Path, ...], out: Path, kind: str) -> None:
    """Read results of pytest-benchmark as a run that can be compared, checked and reported.

    One file is one process, and so one round: an interval needs two files of one machine. What a
    file does not say stays unsaid: specs are called imported:NAME, and the rest of their id is a
    place-holder.
    """
    environment, records = imported.read(files, kind)
    what = store.manifest(store.new_run_name(), [one.id for one in records], {}, f"import {kind}")
    with store.create(out, what, environment) as writer:
        writer.append(records)
    benchmarks = units.counted(len(records), "benchmark")
    click.echo(f"{out}: {benchmarks}, {units.counted(len(files), 'round')}", err=True)
