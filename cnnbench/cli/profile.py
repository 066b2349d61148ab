"""``cnnbench profile``: where the time of a step goes, and traces for the usual viewers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnnbench import units
from cnnbench.cli.output import write
from cnnbench.cli.parameters import Pair, Seconds, Shape
from cnnbench.errors import UsageError
from cnnbench.report import profile as tables
from cnnbench.report import render
from cnnbench.runner import profiling
from cnnbench.runner.campaign import Order
from cnnbench.runner.plan import Plan
from cnnbench.spec import PHASES

if TYPE_CHECKING:
    from cnnbench.profile import Profile

_EPILOG = """\b
Examples:
  cnnbench profile resnet50
  cnnbench profile mobilenet_v2 --mode channels_last --batch 8 --top 15
  cnnbench profile googlenet --depth 1
  cnnbench profile resnet18 --phase training --stacks --out profiles
  cnnbench profile resnet18 --mode compile --device cuda
  cnnbench profile lenet --json

\b
The trace opens at https://ui.perfetto.dev, or with TensorBoard and its profiler plugin
(pip install tensorboard torch-tb-profiler): tensorboard --logdir DIR
"""


@click.command(epilog=_EPILOG)
@click.argument("model")
@click.option("--mode", default="eager", show_default=True, help="Words joined with +.")
@click.option("--device", help="cpu, cuda or cuda:INDEX.  [default: the best present]")
@click.option("--batch", type=click.IntRange(min=1), default=1, show_default=True, help="Samples.")
@click.option("--size", type=Shape("224 or 224x192", (1, 2)), help="Height and width.")
@click.option("--input", "shape", type=Shape("1x28x28", (1, 2, 3, 4)), help="Shape of one sample.")
@click.option("--phase", type=click.Choice(PHASES), default="inference", show_default=True,
              help="Training phases have a backward pass.")  # fmt: skip
@click.option("--threads", type=click.IntRange(min=1),
              help="CPU threads.  [default: the cores this process may use]")  # fmt: skip
@click.option("--model-arg", type=Pair(), multiple=True, help="Argument of the builder.")
@click.option("--steps", type=click.IntRange(min=1), default=5, show_default=True,
              help="Steps that the profiler records.")  # fmt: skip
@click.option("--seconds", type=Seconds(), default="8", show_default=True,
              help="How long to time the layers.")  # fmt: skip
@click.option("--depth", type=click.IntRange(min=1), help="Collapse layers below this depth.")
@click.option("--top", type=click.IntRange(min=1), default=20, show_default=True,
              help="So many layers and operators; all other layers share a row.")  # fmt: skip
@click.option("--stacks", is_flag=True, help="Also folded call stacks for flame graphs; slower.")
@click.option("--no-roof", is_flag=True,
              help="Do not probe the machine's ceilings, which takes about a second.")  # fmt: skip
@click.option("--seed", type=int, default=Plan.seed, show_default=True, help="Of the weights.")
@click.option("--timeout", type=Seconds(), default=f"{Plan.timeout:g}", show_default=True,
              help="Longest that one pass may take.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default="profiles",
              show_default=True, help="Where the profile gets a directory of its own.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every layer.")
@click.option("--executor", default="process", hidden=True, help="process or fake.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def command(**options: Any) -> None:
    """Show where the time of one model in one mode goes: by layer and by operator, adding up.

    Layers are timed without the profiler, in turns with the untouched step; the residual is stated.
    Their primitives, their static cost and the profiler's trace come from passes of their own. In
    compiled modes layers cannot be told apart: there are operators and kernels only.
    """
    job = profiling.prepare(_order(options))
    (spec,) = job.specs
    folder = options["out"] / profiling.folder_name(spec)
    passes = profiling.Passes(
        folder, options["steps"], options["stacks"], options["seconds"], not options["no_roof"]
    )
    found = profiling.profile(job, passes)
    files = _keep(found, folder)
    if options["as_json"]:
        click.echo(
            json.dumps(tables.to_json(found, options["depth"], tables.roof_of(found)), indent=1)
        )
    else:
        _show(found, options["depth"], options["top"])
    click.echo(f"kept in {folder}: {', '.join(files)}", err=True)


def _order(options: dict[str, Any]) -> Order:
    size = options["size"]
    if size and options["shape"]:
        raise UsageError("--size and --input both say the shape; keep one")
    return Order(
        models=(options["model"],),
        modes=(options["mode"],),
        device=options["device"],
        batches=(options["batch"],),
        phases=(options["phase"],),
        sizes=((size[0], size[-1]),) if size else (),
        input=options["shape"],
        threads=(options["threads"],) if options["threads"] else None,
        arguments=dict(options["model_arg"]),
        plan=Plan(seed=options["seed"], timeout=options["timeout"]),
        executor=options["executor"],
    )


def _show(found: Profile, depth: int | None, top: int) -> None:
    click.echo(render(tables.layers(found, depth, top, tables.roof_of(found)), "table"))
    for table in (tables.operators(found, top), tables.kernels(found, top)):
        if table.rows:
            click.echo(render(table, "table"))
    if found.trace is not None and found.trace.memory_bytes:
        peak = units.size(found.trace.memory_peak_bytes)
        click.echo(f"memory: a step holds up to {peak} more than before it")


def _keep(found: Profile, folder: Path) -> list[str]:
    """Everything as files beside the trace."""
    roof = tables.roof_of(found)
    files = {
        "profile.json": json.dumps(tables.to_json(found, None, roof), indent=1) + "\n",
        "layers.csv": render(tables.layers(found, roof=roof, closing=False), "csv"),
        "operators.csv": render(tables.operators(found), "csv"),
        "memory.csv": render(tables.memory(found), "csv"),
        "memory.json": render(tables.memory(found), "json"),
    }
    for name, text in files.items():
        write(text, folder / name)
    written = [found.trace.file, found.trace.stacks] if found.trace is not None else []
    return [*filter(None, written), *files]
