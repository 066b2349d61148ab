"""``cnnbench gradients``: how large the gradients of a network's layers are at its first step."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from cnnbench import axes, suite, units
from cnnbench.asking import INPUT_FACTORY, INPUTS, REGIONS
from cnnbench.cli import options
from cnnbench.cli.output import say
from cnnbench.codec import encode
from cnnbench.errors import SomeFailed, UsageError, WorkerError
from cnnbench.report import FOR_PEOPLE, FORMATS, PICTURES
from cnnbench.report import gradients as tables
from cnnbench.requests import TakeGradients
from cnnbench.runner import timm
from cnnbench.runner.executor import executor
from cnnbench.runner.inquiry import ask_each, asking

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.cli.options import View
    from cnnbench.gradients import Gradients
    from cnnbench.plan import Plan
    from cnnbench.suite import Grid

_KEPT = {"loss", INPUTS, INPUT_FACTORY, REGIONS}
# What a single step in float64 on the CPU has no choice of.
_FIXED = ("device", "threads", "mode", "phase", "optimizer", *(axes.settings().keys() - _KEPT))

_EPILOG = """\b
Examples:
  cnnbench gradients lenet
  cnnbench gradients plain20_cifar resnet20_cifar
  cnnbench gradients plain56_cifar resnet56_cifar -o gradients.svg
  cnnbench gradients 'activation:*' --batch 32 --format csv -o gradients.csv
  cnnbench gradients mypkg.nets:tiny --input 3x64x64 --seed 1 --json
"""


@click.command(epilog=_EPILOG)
@options.grid(argument=options.MODELS, batches="8", several=False, without=_FIXED,
              fixed={"phase": ("training",)})  # fmt: skip
@options.plan("seed", "timeout")
@options.view([*FORMATS, *PICTURES])
@options.executor
@options.debug
def command(grid: Grid, plan: Plan, view: View, who: str) -> None:
    """Show the norms of the gradients of all layers, from the first to the last.

    One training step at initialisation, forward and backward in float64, on seeded pictures and
    targets. Several networks stand side by side. A file named .svg, .png or .pdf becomes a plot
    over depth.
    """
    if view.kind in PICTURES and view.output is None:
        raise UsageError(f"{view.kind} is a picture; give a file: -o gradients.{view.kind}")
    found, failed = _ask(grid, plan, who)
    whole = units.number(len(found) + len(failed), "model")
    if len(failed) == 1 and not found:
        raise UsageError(failed[0])
    if found:
        _show(found, view)
    for line in failed:
        say(f"cnnbench: {line}")
    if failed:
        raise SomeFailed(f"{len(failed)} of {whole} have no gradients")


def _show(found: Sequence[Gradients], view: View) -> None:
    if view.kind in PICTURES:
        view.draw(tables.plot(found), tables.TITLE)
    elif view.kind == "json":
        view.write(json.dumps(list(map(_facts, found)), indent=1) + "\n")
    else:
        view.show(tables.layers(found) if view.kind in FOR_PEOPLE else tables.tidy(found))


def _ask(grid: Grid, plan: Plan, who: str) -> tuple[list[Gradients], list[str]]:
    """What was found, and for every other model why not."""
    selected = suite.select(grid.models)
    with asking(executor(who)) as pool:
        names = timm.chosen(pool, selected)
        requests = _requests(grid, names, plan.seed)
        found: list[Gradients] = []
        failed: list[str] = []
        answers = ask_each(pool, requests, plan.timeout)
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer, WorkerError):
                failed.append(f"{name}: {answer}")
            else:
                found.append(answer)
    return found, failed


def _requests(grid: Grid, names: Sequence[str], seed: int) -> list[TakeGradients]:
    (batch,), (phase,) = grid.batches, grid.phases
    return [
        TakeGradients(
            name=name,
            arguments=grid.arguments,
            shape=grid.input,
            size=grid.sizes[0] if grid.sizes else None,
            settings=grid.kept(phase),
            batch=batch,
            seed=seed,
        )
        for name in names
    ]


def _facts(one: Gradients) -> dict[str, object]:
    layers = [
        {"number": number, **encode(layer), "relative": layer.relative}
        for number, layer in enumerate(one.layers, 1)
    ]
    return {**encode(one), "span": one.span, "layers": layers}
