"""``cnnbench max-batch``: the largest batch that fits in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnnbench.cli.output import write
from cnnbench.cli.parameters import Bytes, Pair, Seconds, Shape, Words
from cnnbench.codec import encode
from cnnbench.errors import SomeFailed, UnknownName, UsageError
from cnnbench.plan import Plan
from cnnbench.report import FORMATS, render
from cnnbench.report.table import Column, Table
from cnnbench.runner import campaign, capacity
from cnnbench.spec import PHASES, Spec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.runner.capacity import Capacity

_COLUMNS = (
    Column("model", "model"),
    Column("phase", "phase"),
    Column("input", "input"),
    Column("mode", "mode"),
    Column("device", "device"),
    Column("limit_bytes", "limit", "bytes"),
    Column("batch_fits", "largest that fits", "whole"),
    Column("batch_fails", "smallest that does not", "whole"),
    Column("ended", "because"),
    Column("peak_bytes", "peak memory", "bytes"),
    Column("bytes_per_sample", "per further sample", "bytes"),
)

_ENDED = {"out_of_memory": "out of memory", "up_to": "up-to reached", "unsupported": "not possible"}

_EPILOG = """\b
Examples:
  cnnbench max-batch --models resnet50
  cnnbench max-batch --models resnet18,vgg16 --modes eager,amp --device cpu --limit 2G
  cnnbench max-batch --models mobilenet_v2 --phase training --device cuda --up-to 1024
"""


@click.command(epilog=_EPILOG)
@click.option("--models", type=Words(), required=True, help="As for 'cnnbench run'.")
@click.option("--modes", type=Words(), default="eager", show_default=True,
              help="As for 'cnnbench run'.")  # fmt: skip
@click.option("--device", help="cpu, cuda or cuda:INDEX.  [default: the best present]")
@click.option("--phase", type=Words(), default="inference", show_default=True,
              help=f"Any of {', '.join(PHASES)}.")  # fmt: skip
@click.option("--size", type=Shape("224 or 224x192", (1, 2)), help="Height and width.")
@click.option("--input", "shape", type=Shape("1x28x28", (1, 2, 3, 4)), help="Shape of one sample.")
@click.option("--threads", type=click.IntRange(min=1),
              help="CPU threads.  [default: the cores this process may use]")  # fmt: skip
@click.option("--model-arg", type=Pair(), multiple=True, help="Argument of the builders.")
@click.option(
    "--limit",
    type=Bytes(),
    help="Memory that a worker may get.  [default: 90 % of the free memory; all of a CUDA device]",
)
@click.option("--up-to", type=click.IntRange(min=1), default=1024, show_default=True,
              help="The largest batch to try.")  # fmt: skip
@click.option(
    "--within",
    type=click.FloatRange(0, 100),
    default=3.0,
    show_default=True,
    metavar="PERCENT",
    help="Stop when the gap between what fits and what does not is as small as this; 0 is exact.",
)
@click.option("--timeout", type=Seconds(), default=f"{Plan.timeout:g}", show_default=True,
              help="Longest that one try may take.")  # fmt: skip
@click.option("--seed", type=int, default=Plan.seed, show_default=True, help="Of weights, inputs.")
@click.option("--format", "kind", default="table", show_default=True, help=", ".join(FORMATS))
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON, every try included.")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="A file.")
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@click.option("--executor", default="process", hidden=True, help="process or fake.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def command(**options: Any) -> None:
    """Find the largest batch that fits in memory, by doubling and bisection.

    Every try is a worker process of its own, held to a limit, that takes two steps. What is not a
    lack of memory ends the search and is said; exit code 3 then. On the CPU the limit is on all
    memory that a worker gets beyond what it starts with, on CUDA on what torch's allocator gets.
    """
    if options["kind"] not in FORMATS:
        raise UnknownName("format", options["kind"], FORMATS)
    job = campaign.prepare(_order(options))
    found = list(
        capacity.find(
            job,
            options["limit"],
            options["up_to"],
            options["within"] / 100,
            lambda text: None if options["quiet"] else click.echo(text, err=True),
        )
    )
    write(_json(found) if options["as_json"] else _text(found, options["kind"]), options["output"])
    failed = [one for one in found if one.failed]
    if failed:
        raise SomeFailed(
            f"{len(failed)} of {len(found)} searches ended by something else than memory"
        )


def _order(options: dict[str, Any]) -> campaign.Order:
    size = options["size"]
    if size and options["shape"]:
        raise UsageError("--size and --input both say the shape; keep one")
    names = [name for name, _ in options["model_arg"]]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UsageError(f"--model-arg {twice[0]} is given twice; keep one")
    return campaign.Order(
        models=options["models"],
        modes=options["modes"],
        device=options["device"],
        phases=options["phase"],
        sizes=((size[0], size[-1]),) if size else (),
        input=options["shape"],
        threads=(options["threads"],) if options["threads"] else None,
        arguments=dict(options["model_arg"]),
        plan=Plan(seed=options["seed"], timeout=options["timeout"]),
        executor=options["executor"],
    )


def _text(found: Sequence[Capacity], kind: str) -> str:
    return render(Table(_COLUMNS, tuple(map(_row, found)), notes=_notes(found)), kind)


def _row(one: Capacity) -> tuple[str | int | float | None, ...]:
    spec = Spec.parse(one.id)
    work = spec.workload
    return (
        work.model, work.phase, work.shape_text, spec.mode.text, spec.device.text, one.limit,
        one.fits, one.fails, _ENDED.get(one.ended, one.ended), one.peak_bytes, one.bytes_per_sample,
    )  # fmt: skip


def _notes(found: Sequence[Capacity]) -> tuple[str, ...]:
    """What ended a search, and which figure is missing."""
    whys = [f"{one.id}: {one.why}" for one in found if one.failed]
    return (*whys, *(f"{one.id}: {one.missing}" for one in found if one.missing))


def _json(found: Sequence[Capacity]) -> str:
    rows = [encode(one) | {"fits": one.fits, "fails": one.fails} for one in found]
    return json.dumps(rows, indent=1) + "\n"
