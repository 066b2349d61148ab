"""``cnnbench cost``: what networks cost, counted without running them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from cnnbench import axes, suite
from cnnbench.cli import options
from cnnbench.cli.parameters import Words
from cnnbench.errors import SomeFailed, UsageError, WorkerError
from cnnbench.report import FORMATS, cost, render
from cnnbench.runner.executor import executor
from cnnbench.runner.inquiry import ask_each, asking

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cnnbench.cli.options import View
    from cnnbench.report.table import Table
    from cnnbench.suite import Grid

_SECONDS = 600.0

# What a static count does not depend on.
_NOT_COUNTED = ("mode", "device", "threads", *axes.settings())

_EPILOG = """\b
Examples:
  cnnbench cost resnet50
  cnnbench cost 'resnet*' --batch 8 --phase training --optimizer adam
  cnnbench cost vgg16 --layers --sort params --top 5
  cnnbench cost googlenet --layers --depth 1
  cnnbench cost alexnet --layers --columns name,output,params,macs
  cnnbench cost vit_b_16 --ops
  cnnbench cost resnet50 mobilenet_v2 --cross-check
  cnnbench cost tag:lecture --format json
"""


@click.command(epilog=_EPILOG)
@options.grid(models=options.MODELS, several=False, without=_NOT_COUNTED)
@click.option("--layers", "rows", flag_value="layers", help="A row per layer.")
@click.option("--ops", "rows", flag_value="ops", help="A row per operator type.")
@click.option("--cross-check", "rows", flag_value="crosschecks",
              help="Beside torch's FlopCounterMode and fvcore, differences explained.")  # fmt: skip
@click.option("--depth", type=click.IntRange(min=0), help="Collapse layers below this depth.")
@click.option("--sort", metavar="COLUMN", help="Order layers or operators by a column.")
@click.option("--top", type=click.IntRange(min=1), help="Show only the first N rows.")
@click.option("--columns", type=Words(), default=(), help="Show these columns, in this order.")
@click.option("--real", is_flag=True, help="Run on real tensors, for networks that need values.")
@options.view(FORMATS)
@options.executor
@options.debug
def command(
    grid: Grid,
    rows: str | None,
    depth: int | None,
    sort: str | None,
    top: int | None,
    columns: tuple[str, ...],
    real: bool,
    view: View,
    who: str,
) -> None:
    """Count parameters, MACs, FLOPs, bytes and memory on the meta device, in total or per layer.

    Nothing is allocated or run. What has no rule is listed by name: a total that may be short says
    so. JSON is a list with one object per model.
    """
    _refuse_idle({"depth": depth}, rows, ("layers",))
    _refuse_idle({"sort": sort, "top": top}, rows, ("layers", "ops"))
    as_json = view.kind == "json"
    if columns and as_json:
        raise UsageError("--columns does not go with JSON, which has everything")
    request = {
        "real": real,
        "rows": rows in {"layers", "ops"} or as_json,
        "crosscheck": rows == "crosschecks",
    }
    facts = _ask(grid, request, who)
    failed = [one for one in facts if "error" in one]
    if failed and len(facts) == 1:
        raise UsageError(f"{failed[0]['name']}: {failed[0]['error']}")
    table = None if as_json else _table(facts, rows, depth, sort, top)
    view.write(
        _json(facts, rows) if table is None else render(cost.only(table, columns), view.kind)
    )
    if failed:
        raise SomeFailed(f"{len(failed)} of {len(facts)} models could not be counted")


def _refuse_idle(given: Mapping[str, object], rows: str | None, needed: Sequence[str]) -> None:
    for name, value in given.items():
        if value is not None and rows not in needed:
            raise UsageError(f"--{name} goes with {' or '.join(f'--{one}' for one in needed)}")


def _ask(grid: Grid, how: Mapping[str, bool], who: str) -> list[dict[str, Any]]:
    names = suite.select(grid.models)
    (batch,), (phase,), (optimizer,) = grid.batches, grid.phases, grid.optimizers
    request = {
        "task": "cost",
        "batch": batch,
        "size": grid.sizes[0] if grid.sizes else None,
        "shape": grid.input,
        "phase": phase,
        "optimizer": optimizer,
        "arguments": grid.arguments,
        **how,
    }
    messages = [request | {"name": name} for name in names]
    with asking(executor(who)) as pool:
        answers = list(ask_each(pool, messages, _SECONDS))
    return [
        {"name": name, "error": str(answer)} if isinstance(answer, WorkerError) else answer
        for name, answer in zip(names, answers, strict=True)
    ]


def _table(
    facts: list[dict[str, Any]],
    rows: str | None,
    depth: int | None,
    sort: str | None,
    top: int | None,
) -> Table:
    if rows == "layers":
        return cost.layers(facts, depth, sort, top)
    if rows == "ops":
        return cost.ops(facts, sort, top)
    return cost.crosschecks(facts) if rows == "crosschecks" else cost.totals(facts)


def _json(facts: list[dict[str, Any]], rows: str | None) -> str:
    hidden = {"layers", "ops"} - {rows}
    shown = [{k: v for k, v in one.items() if k not in hidden} for one in facts]
    return json.dumps(shown, indent=1) + "\n"
