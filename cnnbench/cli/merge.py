"""``cnnbench merge``: several runs as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cnnbench import merging, store, units
from cnnbench.cli import options
from cnnbench.cli.output import say

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cnnbench.store import StoredRun

_EPILOG = """\b
Examples:
  cnnbench merge results/shard-1 results/shard-2 --out results/all
  cnnbench merge results/shard-* --whole --out results/all && cnnbench report results/all
"""


@click.command(epilog=_EPILOG)
@options.runs()
@options.out(None)
@click.option("--whole", is_flag=True,
              help="Fail, and merge nothing, unless all shards are here with all of their specs.",
)  # fmt: skip
@options.debug
def command(runs: tuple[Path, ...], out: Path, whole: bool) -> None:
    """Make one run of several: of the shards of a grid, or of networks measured one after another.

    Their records are copied; the runs stay as they are. Runs of different environments or sampling
    plans are refused, and so is a spec that two of them hold. Shards that are missing are named;
    'cnnbench run --resume' on the merged run measures what its own runs had left.
    """
    found = merging.read(runs)
    if whole:
        _refuse_parts(found)
    made, records = merging.merged(found, store.new_run_name())
    with store.create(out, made, found[0].environment) as writer:
        writer.append(records)
    for problem in (problem for run in found for problem in run.problems):
        say(f"cnnbench: {problem}")
    for line in merging.said(found, made):
        say(f"cnnbench: {line}")
    say(f"{out}: {units.number(len(records), 'record')} of {units.number(len(found), 'run')}")


def _refuse_parts(found: Sequence[StoredRun]) -> None:
    """Say what is missing, with what measures it, before any other refusal."""
    for line in merging.left(found):
        say(f"cnnbench: {line}")
    merging.whole(found)
