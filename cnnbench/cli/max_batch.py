"""``cnnbench max-batch``: the largest batch that fits in memory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from cnnbench import axes, units
from cnnbench.cli import options, output
from cnnbench.cli.parameters import Bytes
from cnnbench.codec import encode
from cnnbench.errors import SomeFailed
from cnnbench.report import FORMATS
from cnnbench.report.table import Column, Table, column
from cnnbench.runner import campaign, capacity
from cnnbench.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.axes import Axis
    from cnnbench.cli.options import View
    from cnnbench.plan import Plan
    from cnnbench.runner.campaign import Job
    from cnnbench.runner.capacity import Capacity
    from cnnbench.suite import Grid

_COLUMNS = (
    Column("limit_bytes", "limit", "bytes"),
    Column("batch_fits", "largest that fits", "whole"),
    Column("batch_fails", "smallest that does not", "whole"),
    Column("ended", "because"),
    Column("peak_bytes", "peak memory", "bytes"),
    Column("bytes_per_sample", "per further sample", "bytes"),
)

_ENDED = {
    "out_of_memory": "out of memory",
    "up_to": "--up-to reached",
    "unsupported": "not possible",
}

_EPILOG = """\b
Examples:
  cnnbench max-batch resnet50
  cnnbench max-batch resnet18 vgg16 --modes eager,amp --device cpu --limit 2G
  cnnbench max-batch mobilenet_v2 --phase training --device cuda --up-to 1024
"""


@click.command(epilog=_EPILOG)
@options.grid(argument=options.MODELS, modes="eager", without=("batch",))
@click.option(
    "--limit",
    type=Bytes(),
    help="Memory limit of a worker.  [default: 90 % of the free memory; all of a CUDA device]",
)
@click.option("--up-to", type=click.IntRange(min=1), default=1024, show_default=True,
              help="Largest batch to try.")  # fmt: skip
@click.option(
    "--within",
    type=click.FloatRange(0, 100),
    default=3.0,
    show_default=True,
    metavar="PERCENT",
    help="Stop once the largest batch that fits is known to within PERCENT; 0 is exact.",
)
@options.plan("seed", "timeout")
@options.view(FORMATS)
@options.quiet
@options.executor
@options.debug
def command(
    grid: Grid,
    plan: Plan,
    limit: int | None,
    up_to: int,
    within: float,
    view: View,
    quiet: bool,
    who: str,
) -> None:
    """Find the largest batch that fits in memory, by doubling and bisection.

    Every batch is tried in a fresh worker process with a memory limit, which runs two steps. Any
    failure other than a lack of memory ends the search and is reported, with exit code 3. On a CPU
    the limit covers all memory that the worker allocates after its start; on CUDA, what torch's
    allocator gets.
    """
    job = campaign.prepare(grid, plan, who)

    def say(text: str) -> None:
        if not quiet:
            output.say(text)

    found = list(capacity.find(job, limit, up_to, within / 100, say))
    if view.kind == "json":
        view.write(_json(found))
    else:
        view.show(_table(found, job))
    failed = [one for one in found if one.failed]
    if failed:
        raise SomeFailed(
            f"{len(failed)} of {units.number(len(found), 'search', 'searches')} ended for another"
            " reason than a lack of memory"
        )


def _table(found: Sequence[Capacity], job: Job) -> Table:
    specs = [Spec.parse(one.id) for one in found]
    told = [axis for axis in axes.shown() if axis.name != "batch" and _needed(axis, specs)]
    rows = [
        (*(axis.of(spec) for axis in told), *_figures(one))
        for spec, one in zip(specs, found, strict=True)
    ]
    assumed = dict.fromkeys(note for spec in specs for note in job.notes(spec))
    return Table((*map(column, told), *_COLUMNS), tuple(rows), notes=(*_notes(found), *assumed))


def _needed(axis: Axis, specs: Sequence[Spec]) -> bool:
    """Whether a column is worth showing: not if every row has the default, or nothing."""
    if axis.default is None:
        return any(axis.of(spec) not in {None, ""} for spec in specs)
    return any(axis.said(spec) for spec in specs)


def _figures(one: Capacity) -> tuple[str | int | float | None, ...]:
    return (
        one.limit, one.fits, one.fails, _ENDED.get(one.ended, one.ended), one.peak_bytes,
        one.bytes_per_sample,
    )  # fmt: skip


def _notes(found: Sequence[Capacity]) -> tuple[str, ...]:
    """Why a search failed, and which figure is missing."""
    whys = [f"{one.id}: {one.why}" for one in found if one.failed]
    return (*whys, *(f"{one.id}: {one.missing}" for one in found if one.missing))


def _json(found: Sequence[Capacity]) -> str:
    rows = [encode(one) | {"fits": one.fits, "fails": one.fails} for one in found]
    return json.dumps(rows, indent=1) + "\n"
