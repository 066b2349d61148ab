"""``cnnbench input``: input pipelines, and whether they keep up with a network."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnnbench import axes, recipes, store
from cnnbench.cli import completion, measuring, options, stored
from cnnbench.cli.output import also, keep, say, shown, width
from cnnbench.cli.parameters import NamedPath, Words
from cnnbench.cli.progress import Progress
from cnnbench.errors import UsageError
from cnnbench.recipes import BACKENDS, RECIPES
from cnnbench.report import pipelines as reported
from cnnbench.report.table import Column, Table
from cnnbench.runner import campaign
from cnnbench.runner import pipelines as prepared
from cnnbench.spec import PHASES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.plan import Plan
    from cnnbench.store import StoredRun
    from cnnbench.suite import Grid

# What a network is measured with here: its own inputs, in one way.
_NOT_ASKED = ("input", "size", *axes.settings())
_USUAL = "imagenet-train,imagenet-eval,cifar-train,mnist"

_EPILOG = """\b
Examples:
  cnnbench input
  cnnbench input --list
  cnnbench input --recipe imagenet-train --backend pil,tensor --workers 0,1,2
  cnnbench input --recipe imagenet-train --models resnet18 --batch 32
  cnnbench input --recipe imagenet-train --against results/RUN
  cnnbench input --recipe cifar-train --models cifar_cnn --batch 128 --dataset cifar10
  cnnbench input --recipe color_jitter,auto_augment,rand_augment
  cnnbench report results/RUN --pipelines --dataset imagenet

\b
A rate is that of one core, without workers, or of a loader with workers. Networks train
unless --phase says otherwise.
"""


@click.command(epilog=_EPILOG)
@click.option("--recipe", "names", type=Words(), default=_USUAL, show_default=True,
              shell_complete=completion.recipes,
              help="What is done to pictures; names that --list shows, or all.")  # fmt: skip
@click.option("--backend", "backends", type=Words(), default=",".join(BACKENDS),
              show_default=True, shell_complete=completion.among(lambda: BACKENDS),
              help="What pictures are held in.")  # fmt: skip
@click.option("--workers", type=Words(), default="0", show_default=True, metavar="N,…",
              help="Processes of a DataLoader that make batches; 0 for none.")  # fmt: skip
@click.option("--against", type=NamedPath(), metavar="DIR",
              shell_complete=completion.runs,
              help="A run whose networks are to be fed.")  # fmt: skip
@options.grid(models=None, batches="32", several=True, arguments=False, without=_NOT_ASKED)
@options.dataset
@options.plan("rounds", "precision", "budget", "slices", "seed", "timeout", "memory_limit",
              base=prepared.PLAN)  # fmt: skip
@click.option("--list", "listed", is_flag=True, help="Only list the recipes.")
@options.out()
@options.wait
@options.dry_run
@options.wide
@options.as_json
@options.quiet
@options.executor
@options.debug
@click.pass_context
def command(
    ctx: click.Context,
    /,
    names: tuple[str, ...],
    backends: tuple[str, ...],
    workers: tuple[str, ...],
    against: Path | None,
    grid: Grid,
    dataset: int | None,
    plan: Plan,
    listed: bool,
    out: Path | None,
    wait: float | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    who: str,
) -> None:
    """Measure input pipelines: decoding and transforms, in pictures per second.

    Pictures are made, with the spectrum and file size of photographs, and held in memory: storage
    is not measured. With --models or --against, it says how many workers feed a network; with
    --dataset, how long an epoch takes.
    """
    if listed:
        _list(as_json=as_json)
        return
    beside = [] if against is None else stored.read([against])
    order = prepared.InputOrder(
        _recipes(names), _backends(backends), tuple(map(recipes.workers_of, workers)),
        _training(ctx, grid),
    )  # fmt: skip
    if dataset is not None and not grid.models and not beside:
        raise UsageError("--dataset: an epoch is a network's; add --models NAME or --against DIR")
    job = prepared.prepare(order, plan, who)
    if dry_run:
        measuring.show_grid(job, as_json=as_json)
        return
    measuring.before(job.specs, job.executor, wait, quiet=quiet)
    name = store.new_run_name()
    path = out or Path("results") / name
    with measuring.interruptible(Progress(total=len(job.specs), quiet=quiet), path) as progress:
        new = campaign.start(job, path, progress, name)
    _show(new, beside, dataset, as_json=as_json)
    measuring.refuse_failed(new)


def _training(ctx: click.Context, grid: Grid) -> Grid:
    """Networks train, unless something else is asked for: that is what has to be fed."""
    usual = ctx.get_parameter_source("phase") is not click.core.ParameterSource.COMMANDLINE
    return replace(grid, phases=(PHASES[1],)) if usual else grid


def _recipes(names: Sequence[str]) -> tuple[recipes.Recipe, ...]:
    spread = [one for name in names for one in (RECIPES if name == "all" else (name,))]
    return tuple(one if isinstance(one, recipes.Recipe) else recipes.recipe(one) for one in spread)


def _backends(names: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        if name not in BACKENDS:
            raise UsageError(f"--backend {name} is not one of {', '.join(BACKENDS)}")
    return tuple(names)


def _show(
    new: StoredRun, beside: Sequence[StoredRun], pictures: int | None, *, as_json: bool
) -> None:
    for problem in new.problems:
        say(f"cnnbench: {problem}")
    runs = [new, *beside]
    keep(reported.to_text(runs, "markdown", pictures), new.path / "report.md")
    keep(reported.to_text(runs, "csv"), new.path / "report.csv")
    kind = "json" if as_json else "table"
    also(reported.to_text(runs, kind, pictures, width()))
    say(f"kept in {new.path}: {store.RECORDS}, report.csv, report.md")


_LISTED = (
    Column("name", "recipe"),
    Column("source", "pictures"),
    Column("shape", "makes"),
    Column("meaning", "what it does"),
)


def _list(*, as_json: bool) -> None:
    if as_json:
        rows = [
            {"name": one.name, "pictures": one.source.name, "given": one.source.shape,
             "shape": one.shape, "steps": one.steps, "before": one.before, "meaning": one.meaning}
            for one in RECIPES
        ]  # fmt: skip
        click.echo(json.dumps({"recipes": rows}, indent=1))
        return
    listed = tuple(
        (one.name, one.source.name, "x".join(map(str, one.shape)), one.meaning) for one in RECIPES
    )
    click.echo(shown(Table(_LISTED, listed)), nl=False)
