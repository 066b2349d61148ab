"""``cnnbench cost``: what networks cost, counted without running them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnnbench import suite
from cnnbench.cli.output import write
from cnnbench.cli.parameters import Pair, Shape, Words
from cnnbench.costs import NotCounted
from cnnbench.errors import SomeFailed, UnknownName, UsageError, WorkerError
from cnnbench.report import FORMATS, cost, render
from cnnbench.requests import ReportCost
from cnnbench.runner.executor import executor
from cnnbench.runner.inquiry import ask_each, asking
from cnnbench.spec import OPTIMIZERS, PHASES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnbench.costs import CostReport
    from cnnbench.report.table import Table

_SECONDS = 600.0

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
@click.argument("models", metavar="MODEL…", nargs=-1, required=True)
@click.option("--batch", type=click.IntRange(min=1), default=1, show_default=True, help="Samples.")
@click.option("--size", type=Shape("224 or 224x192", (1, 2)), help="Height and width.")
@click.option("--input", "shape", type=Shape("1x28x28", (1, 2, 3, 4)), help="Shape of one sample.")
@click.option("--phase", type=click.Choice(PHASES), default="inference", show_default=True,
              help="Training phases also count the backward pass.")  # fmt: skip
@click.option(
    "--optimizer",
    type=click.Choice(sorted(OPTIMIZERS)),
    default=OPTIMIZERS[0],
    show_default=True,
    help="Whose state the predicted training memory includes.",
)
@click.option("--classes", type=click.IntRange(min=1), help="Number of classes.")
@click.option("--in-channels", type=click.IntRange(min=1), help="Channels of the input.")
@click.option("--model-arg", type=Pair(), multiple=True, help="Argument of the builder.")
@click.option("--layers", "view", flag_value="layers", help="A row per layer.")
@click.option("--ops", "view", flag_value="ops", help="A row per operator type.")
@click.option("--cross-check", "view", flag_value="crosschecks",
              help="Beside torch's FlopCounterMode and fvcore, differences explained.")  # fmt: skip
@click.option("--depth", type=click.IntRange(min=0), help="Collapse layers below this depth.")
@click.option("--sort", metavar="COLUMN", help="Order layers or operators by a column.")
@click.option("--top", type=click.IntRange(min=1), help="Only the first so many.")
@click.option("--columns", type=Words(), default=(), help="Which columns, in this order.")
@click.option("--real", is_flag=True, help="Run on real tensors, for networks that need values.")
@click.option("--format", "kind", default="table", show_default=True, help=", ".join(FORMATS))
@click.option("--json", "as_json", is_flag=True, help="Short for --format json.")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="A file.")
@click.option("--executor", "who", default="process", hidden=True, help="process or fake.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def command(**options: Any) -> None:
    """Count parameters, MACs, FLOPs, bytes and memory on the meta device, in total or per layer.

    Nothing is allocated or run. What has no rule is listed by name: a total that may be short says
    so. JSON is a list with one object per model.
    """
    kind = "json" if options["as_json"] else options["kind"]
    if kind not in FORMATS:
        raise UnknownName("format", kind, FORMATS)
    _refuse_idle_options(options)
    found = _ask(options)
    failed = [one for one in found if isinstance(one, NotCounted)]
    if failed and len(found) == 1:
        raise UsageError(f"{failed[0].name}: {failed[0].error}")
    text = _json(found, options) if kind == "json" else render(_table(found, options), kind)
    write(text, options["output"])
    if failed:
        raise SomeFailed(f"{len(failed)} of {len(found)} models could not be counted")


def _refuse_idle_options(options: Mapping[str, Any]) -> None:
    for name, views in (
        ("depth", {"layers"}),
        ("sort", {"layers", "ops"}),
        ("top", {"layers", "ops"}),
    ):
        if options[name] is not None and options["view"] not in views:
            raise UsageError(f"--{name} goes with {' or '.join(f'--{v}' for v in sorted(views))}")
    if options["columns"] and (options["as_json"] or options["kind"] == "json"):
        raise UsageError("--columns does not go with JSON, which has everything")


def _ask(options: Mapping[str, Any]) -> list[CostReport | NotCounted]:
    names = suite.select(options["models"])
    short = {"num_classes": options["classes"], "in_channels": options["in_channels"]}
    arguments = dict(options["model_arg"]) | {k: v for k, v in short.items() if v is not None}
    requests = [
        ReportCost(
            name=name,
            arguments=arguments,
            shape=options["shape"],
            size=options["size"],
            batch=options["batch"],
            phase=options["phase"],
            optimizer=options["optimizer"],
            real=options["real"],
            rows=options["view"] in {"layers", "ops"},
            crosscheck=options["view"] == "crosschecks",
        )
        for name in names
    ]
    with asking(executor(options["who"])) as pool:
        answers = ask_each(pool, requests, _SECONDS)
        return [
            NotCounted(name, str(answer)) if isinstance(answer, WorkerError) else answer
            for name, answer in zip(names, answers, strict=True)
        ]


def _table(found: cost.Found, options: Mapping[str, Any]) -> Table:
    return cost.only(_rows(found, options), options["columns"])


def _rows(found: cost.Found, options: Mapping[str, Any]) -> Table:
    if options["view"] == "layers":
        return cost.layers(found, options["depth"], options["sort"], options["top"])
    if options["view"] == "ops":
        return cost.ops(found, options["sort"], options["top"])
    if options["view"] == "crosschecks":
        return cost.crosschecks(found)
    return cost.totals(found)


def _json(found: cost.Found, options: Mapping[str, Any]) -> str:
    hidden = {"layers", "ops"} - {options["view"]}
    shown = [{k: v for k, v in one.to_json().items() if k not in hidden} for one in found]
    return json.dumps(shown, indent=1) + "\n"
