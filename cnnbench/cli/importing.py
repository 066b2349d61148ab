"""``cnnbench import``: results of other tools as a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cnnbench import imported, store, units
from cnnbench.cli import options
from cnnbench.cli.output import say
from cnnbench.cli.parameters import NamedPath
from cnnbench.imported import IMPORTS

if TYPE_CHECKING:
    from pathlib import Path

_EPILOG = """\b
Examples:
  cnnbench import .benchmarks/*/0001_base.json --out results/base
  cnnbench import mon.json tue.json wed.json --out results/head
  cnnbench compare results/base results/head
"""


@click.command(epilog=_EPILOG)
@click.argument("files", metavar="FILE…", nargs=-1, required=True,
                type=NamedPath())  # fmt: skip
@options.out(None)
@click.option("--format", "kind", default="pytest-benchmark", show_default=True,
              help=f"One of {', '.join(IMPORTS)}.")  # fmt: skip
@options.debug
def command(files: tuple[Path, ...], out: Path, kind: str) -> None:
    """Read results of pytest-benchmark as a run that can be compared, checked and reported.

    One file comes from one process and becomes one round, so an interval needs two files from the
    same machine. Specs are called imported:NAME; the rest of their id is a placeholder, because the
    files do not contain it. What cnnbench has exported keeps its specs and rounds.
    """
    environment, records = imported.read(files, kind)
    what = store.manifest(store.new_run_name(), [one.id for one in records], {}, f"import {kind}")
    with store.create(out, what, environment) as writer:
        writer.append(records)
    rounds = units.number(max(one.rounds for one in records), "round")
    say(f"{out}: {units.number(len(records), 'benchmark')}, {rounds}")
