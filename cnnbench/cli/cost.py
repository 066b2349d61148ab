"""``cnnbench cost``: the static cost of networks, counted without running them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from cnnbench import axes, suite, trained, units
from cnnbench.asking import INPUT_FACTORY, INPUTS, REGIONS
from cnnbench.cli import options
from cnnbench.cli.parameters import Words
from cnnbench.cost_json import cost_to_json
from cnnbench.costs import CostReport, NotCounted, refuse_uncountable
from cnnbench.errors import SomeFailed, UsageError, WorkerError
from cnnbench.report import FOR_PEOPLE, FORMATS, cost
from cnnbench.report.crosschecks import crosschecks
from cnnbench.report.train_eval import both_counted, to_json, train_eval
from cnnbench.requests import ReportCost
from cnnbench.runner import timm
from cnnbench.runner.executor import executor
from cnnbench.runner.inquiry import ask_each, asking
from cnnbench.spec import PHASES, Device

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cnnbench.cli.options import View
    from cnnbench.plan import Plan
    from cnnbench.report.table import Table
    from cnnbench.spec import Mode
    from cnnbench.suite import Grid

# What a static count does not depend on.
_COUNTED = {"loss", "train", INPUTS, INPUT_FACTORY, REGIONS}
_NOT_COUNTED = ("device", "threads", *(axes.settings().keys() - _COUNTED))

_TRAIN_EVAL = "train_eval"
# What the options that choose rows are called where they are typed.
_TYPED = {
    "layers": "layers", "ops": "ops", "crosschecks": "cross-check", _TRAIN_EVAL: "train-eval",
}  # fmt: skip

_EPILOG = """\b
Examples:
  cnnbench cost resnet50
  cnnbench cost 'resnet*' --batch 8 --phase training --optimizer adam
  cnnbench cost resnet50 --mode amp=bf16 --phase training
  cnnbench cost resnet18 --phase training --train head --train last=1 --train all
  cnnbench cost 'timm:vit_tiny*'
  cnnbench cost resnet18 resnet50 --columns model,depth,MACs,top1,top5,weights
  cnnbench cost vgg16 --layers --sort params --top 5
  cnnbench cost googlenet --layers --depth 1
  cnnbench cost alexnet --layers --columns name,output,params,macs
  cnnbench cost vgg16 --layers --footer
  cnnbench cost vit_b_16 --ops
  cnnbench cost resnet50 mobilenet_v2 --cross-check
  cnnbench cost mnist_cnn --train-eval --batch 32
  cnnbench cost rcnn_vgg16 fast_rcnn_vgg16 --regions 2000
  cnnbench cost tag:lecture --format json
"""


@click.command(epilog=_EPILOG)
@options.grid(argument=options.MODELS, several=False, swept=("train",), without=_NOT_COUNTED)
@click.option("--layers", is_flag=True, help="A row per layer.")
@click.option("--ops", is_flag=True, help="A row per operator type.")
@click.option("--cross-check", "crosschecks", is_flag=True,
              help="Compare with FlopCounterMode and fvcore; explain differences.")  # fmt: skip
@click.option("--train-eval", "by_mode", is_flag=True,
              help="A row per type of layer: its forward pass in evaluation and in training.",
)  # fmt: skip
@click.option("--depth", type=click.IntRange(min=0), help="Collapse layers below this depth.")
@click.option("--sort", metavar="[-]COLUMN",
              help="Sort layers or operators; numbers, and with - text, descending.")  # fmt: skip
@click.option("--top", type=click.IntRange(min=1), help="Show only the first N rows.")
@click.option("--columns", type=Words(), default=(), help="Show these columns, in this order.")
@click.option("--footer", is_flag=True, help="Close with the sizes that torchinfo prints.")
@click.option(
    "--real", is_flag=True, help="Run on real tensors, for networks whose shapes depend on values."
)
@options.plan("timeout")
@options.view(FORMATS)
@options.executor
@options.debug
def command(
    grid: Grid,
    depth: int | None,
    sort: str | None,
    top: int | None,
    columns: tuple[str, ...],
    footer: bool,
    real: bool,
    plan: Plan,
    view: View,
    who: str,
    layers: bool,
    ops: bool,
    crosschecks: bool,
    by_mode: bool,
) -> None:
    """Count parameters, MACs, FLOPs, bytes and memory on the meta device, in total or per layer.

    Nothing is allocated or run. Operators without a counting rule are listed by name, and a total
    that may be too low is marked. JSON is a list with one object per model.
    """
    asked = dict(zip(_TYPED, (layers, ops, crosschecks, by_mode), strict=True))
    rows = _only([name for name, wanted in asked.items() if wanted])
    _refuse_idle({"depth": depth}, rows, ("layers",))
    _refuse_idle({"sort": sort, "top": top}, rows, ("layers", "ops"))
    as_json = view.kind == "json"
    if columns and as_json:
        raise UsageError("JSON has every column, so --columns would do nothing; drop --columns")
    if footer and view.kind not in FOR_PEOPLE:
        raise UsageError(f"--footer goes with tables for people, not {view.kind}; JSON has memory")
    evaluated: list[CostReport | NotCounted] = []
    if rows == _TRAIN_EVAL:
        if grid.phases != PHASES[:1]:
            raise UsageError("--train-eval counts both modes; drop --phase")
        evaluated = _ask(grid, rows, plan, who, real=real, footer=footer)
        grid = replace(grid, phases=("training",))
    found = _ask(grid, rows, plan, who, real=real, footer=footer)
    if evaluated:
        found = both_counted(evaluated, found)
    failed = [one for one in found if isinstance(one, NotCounted)]
    if len(failed) == len(found) and len(set(failed)) == 1:
        raise UsageError(f"{failed[0].name}: {failed[0].error}")
    pairs = [*zip(evaluated, found, strict=True)] if evaluated else []
    if as_json and pairs:
        view.write(_dumped([to_json(*pair) for pair in pairs]))
    elif as_json:
        view.write(_json(found, rows, arguments=bool(grid.arguments)))
    else:
        table = (
            train_eval(pairs)
            if pairs
            else _table(found, rows, depth, sort, top, arguments=bool(grid.arguments))
        )
        table = cost.only(table, columns, for_people=view.kind in FOR_PEOPLE)
        view.show(cost.with_footer(table, found) if footer else table)
    if failed:
        raise SomeFailed(
            f"{len(failed)} of {units.number(len(found), 'model')} could not be counted"
        )


def _only(views: Sequence[str]) -> str | None:
    """The one view that was asked for; ``None`` for the totals."""
    if len(views) > 1:
        first, second, *_ = (_TYPED[name] for name in views)
        raise UsageError(f"--{first} and --{second} are different tables; drop one of them")
    return views[0] if views else None


def _refuse_idle(given: Mapping[str, object], rows: str | None, needed: Sequence[str]) -> None:
    for name, value in given.items():
        if value is not None and rows not in needed:
            raise UsageError(f"--{name} goes with {' or '.join(f'--{one}' for one in needed)}")


def _ask(
    grid: Grid, rows: str | None, plan: Plan, who: str, *, real: bool, footer: bool
) -> list[CostReport | NotCounted]:
    selected = suite.select(grid.models)
    with asking(executor(who)) as pool:
        names = timm.chosen(pool, selected)
        requests = _requests(grid, names, rows, real=real, footer=footer)
        answers = ask_each(pool, requests, plan.timeout)
        return [
            NotCounted(of.name, str(answer)) if isinstance(answer, WorkerError) else answer
            for of, answer in zip(requests, answers, strict=True)
        ]


def _requests(
    grid: Grid, names: Sequence[str], rows: str | None, *, real: bool, footer: bool
) -> list[ReportCost]:
    mode = _mode(grid)
    (batch,), (phase,), (optimizer,) = grid.batches, grid.phases, grid.optimizers
    return [
        ReportCost(
            name=name,
            arguments=grid.arguments,
            shape=grid.input,
            size=grid.sizes[0] if grid.sizes else None,
            batch=batch,
            phase=phase,
            optimizer=optimizer,
            mode=mode.text,
            settings=dict(axes.chosen(settings, phase)),
            real=real,
            rows=footer or rows in {"layers", "ops", _TRAIN_EVAL},
            crosscheck=rows == "crosschecks",
        )
        for name in names
        for settings in _settings(grid)
    ]


def _settings(grid: Grid) -> list[dict[str, Any]]:
    """One value of every setting, for each part that is to be trained."""
    first = {name: values[0] for name, values in grid.settings.items()}
    return [first | {"train": one} for one in grid.settings.get("train", (trained.AUTO,))]


def _mode(grid: Grid) -> Mode:
    """The one mode that was asked for; autocast and types as on a CPU."""
    modes = suite.modes(grid.modes, Device())
    if len(modes) > 1:
        raise UsageError(f"--mode takes one mode, not {', '.join(one.text for one in modes)}")
    refuse_uncountable(modes[0])
    return modes[0]


def _table(
    found: cost.Found,
    rows: str | None,
    depth: int | None,
    sort: str | None,
    top: int | None,
    *,
    arguments: bool,
) -> Table:
    if rows == "layers":
        return cost.layers(found, depth, sort, top)
    if rows == "ops":
        return cost.ops(found, sort, top)
    if rows == "crosschecks":
        return crosschecks(found)
    return cost.totals(found, arguments=arguments)


def _json(found: cost.Found, rows: str | None, *, arguments: bool) -> str:
    hidden = {"layers", "ops"} - {rows}
    facts = [
        cost_to_json(one)
        | (cost.published(one.totals, arguments=arguments) if isinstance(one, CostReport) else {})
        for one in found
    ]
    shown = [{name: of[name] for name in of if name not in hidden} for of in facts]
    return _dumped(shown)


def _dumped(facts: list[dict[str, Any]]) -> str:
    return json.dumps(facts, indent=1) + "\n"
