"""``cnnbench profile``: where the time of a step goes, and traces for the usual viewers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnnbench import store, units
from cnnbench.cli import measuring, options
from cnnbench.cli.output import keep, say, shown
from cnnbench.cli.parameters import NamedPath, Seconds
from cnnbench.errors import SomeFailed
from cnnbench.report import profile as tables
from cnnbench.report import render
from cnnbench.runner import profiling
from cnnbench.runner.device import refuse_idle

if TYPE_CHECKING:
    from cnnbench.plan import Plan
    from cnnbench.profile import Profile
    from cnnbench.suite import Grid

_EPILOG = """\b
Examples:
  cnnbench profile resnet50
  cnnbench profile mobilenet_v2 --mode channels_last --batch 8 --top 15
  cnnbench profile googlenet --depth 1
  cnnbench profile resnet18 --phase training --stacks --out profiles/stacks
  cnnbench profile resnet18 --mode compile --device cuda
  nsys profile cnnbench profile resnet50 --device cuda --nvtx --memory-snapshot memory.pickle
  cnnbench profile lenet --json

\b
The trace opens at https://ui.perfetto.dev, or with TensorBoard and its profiler plugin
(pip install tensorboard torch-tb-profiler): tensorboard --logdir DIR
"""


@click.command(epilog=_EPILOG)
@options.grid(argument=options.ONE_MODEL, several=False)
@options.plan("seed", "timeout", "nvtx")
@click.option("--steps", type=click.IntRange(min=1), default=5, show_default=True,
              help="Number of steps that the profiler records.")  # fmt: skip
@click.option("--seconds", type=Seconds(), default="8", show_default=True,
              help="How long to time the layers.")  # fmt: skip
@click.option("--depth", type=click.IntRange(min=1), help="Collapse layers below this depth.")
@click.option("--top", type=click.IntRange(min=1), default=20, show_default=True,
              help="Show the first N layers and operators; all other layers share a row.",
)  # fmt: skip
@click.option(
    "--stacks", is_flag=True, help="Also write folded call stacks for flame graphs; slower."
)
@click.option("--memory-snapshot", "snapshot", metavar="FILE",
              type=NamedPath(dir_okay=False),
              help="CUDA only: torch's snapshot of the device's memory over 3 steps, as a pickle"
              " for https://pytorch.org/memory_viz.")  # fmt: skip
@click.option("--no-roof", is_flag=True,
              help="Do not probe the machine's ceilings, which takes about a second.")  # fmt: skip
@options.out("profiles/SPEC-TIME-ID")
@options.wait
@options.as_json
@options.executor
@options.wide
@options.debug
def command(
    grid: Grid,
    plan: Plan,
    steps: int,
    seconds: float,
    depth: int | None,
    top: int,
    stacks: bool,
    snapshot: Path | None,
    no_roof: bool,
    out: Path | None,
    wait: float | None,
    as_json: bool,
    who: str,
) -> None:
    """Show where the time of one model in one mode goes, by layer and by operator.

    Layers are timed without the profiler, in alternation with the unmodified step; their times and
    a stated residual add up to it. Primitives, static cost and the profiler's trace come from
    separate passes. In compiled modes the layers cannot be separated, so there are only operators
    and kernels.
    """
    job = profiling.prepare(grid, plan, who)
    (spec,) = job.specs
    if snapshot is not None:
        refuse_idle(["--memory-snapshot"], spec.device)
    busy = measuring.before(job.specs, job.executor, wait, quiet=as_json)
    name = f"{profiling.folder_name(spec)}-{store.new_run_name()}"
    folder = out or Path("profiles") / name
    passes = profiling.ProfilePasses(folder, steps, stacks, seconds, not no_roof, snapshot)
    found = replace(profiling.profile(job, passes), busy=busy)
    files = _keep(found, folder)
    if as_json:
        click.echo(json.dumps(tables.to_json(found, depth, tables.roof_of(found)), indent=1))
    else:
        _show(found, depth, top)
    say(f"kept in {folder}: {', '.join(files)}")
    if snapshot is not None and snapshot.exists():
        say(f"memory snapshot in {snapshot}, for https://pytorch.org/memory_viz")
    if found.failed:
        raise SomeFailed(f"parts of the profile failed: {', '.join(found.failed)}; see its notes")


def _show(found: Profile, depth: int | None, top: int) -> None:
    layers = tables.layers(found, depth, top, tables.roof_of(found))
    # A compiled mode has none: the lines that say so stand without a table.
    layers = layers if layers.rows else replace(layers, columns=())
    click.echo(shown(layers))
    for table in (
        tables.runtime_layers(found, top), tables.operators(found, top), tables.kernels(found, top)
    ):  # fmt: skip
        if table.rows:
            click.echo(shown(table))
    if found.trace is not None and found.trace.memory_bytes:
        peak = units.size(found.trace.memory_peak_bytes)
        click.echo(f"memory: up to {peak} more during a step than before it")


def _runtime(found: Profile) -> dict[str, str]:
    """The file of a runtime's own profile, where there is one."""
    table = tables.runtime_layers(found)
    return {"runtime.csv": render(table, "csv")} if table.rows else {}


def _keep(found: Profile, folder: Path) -> list[str]:
    """Write every table as a file beside the trace."""
    roof = tables.roof_of(found)
    files = {
        "profile.json": json.dumps(tables.to_json(found, None, roof), indent=1) + "\n",
        "layers.csv": render(tables.layers(found, roof=roof, closing=False), "csv"),
        "operators.csv": render(tables.operators(found, whole=True), "csv"),
        **_runtime(found),
        "memory.csv": render(tables.memory(found), "csv"),
        "memory.json": render(tables.memory(found), "json"),
    }
    for name, text in files.items():
        keep(text, folder / name)
    written = [found.trace.file, found.trace.stacks] if found.trace is not None else []
    return [*filter(None, written), *files]
