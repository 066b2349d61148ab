"""``cnnbench conv``: the convolution lab."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from cnnbench import axes, store, usual
from cnnbench.cli import cluster as clusters
from cnnbench.cli import completion, measuring, options, ways
from cnnbench.cli import lab as shown
from cnnbench.cli.output import also, keep, say
from cnnbench.cli.parameters import Words
from cnnbench.cli.progress import Progress
from cnnbench.conv import dialects, layers, network, torch_text
from cnnbench.conv.layers import ConvLayer
from cnnbench.conv.problem import DIRECTIONS, UNITS
from cnnbench.errors import UsageError
from cnnbench.runner import campaign, lab
from cnnbench.runner.cluster import directory
from cnnbench.runner.cluster import start as over_hosts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from cnnbench.conv.problem import ConvProblem
    from cnnbench.plan import Plan
    from cnnbench.runner.cluster.start import Over
    from cnnbench.runner.lab import Lab, LabOrder
    from cnnbench.store import StoredRun
    from cnnbench.suite import Grid

# Rounds that a budget of the user's may take while it is open which implementation to use.
_MOST_ROUNDS = 20

# A layer has a shape of its own, and no optimizer is asked for.
_NOT_OF_LAYERS = ("model", "input", "size", "optimizer", *axes.settings())

_EPILOG = """\b
Examples:
  cnnbench conv
  cnnbench conv --list
  cnnbench conv --suite classic --dtype fp32,bf16
  cnnbench conv --layer n1c64h56w56-k64-3x3-p1 --impl im2col,winograd_f4 --substitutes all
  cnnbench conv --layer 'Conv2d(64, 64, 3, padding=1) on 56x56'
  cnnbench conv --layer 'mb1ic64ih56oc64oh56kh3ph1'
  cnnbench conv --layer 'ConvTranspose2d(64, 32, 4, 2, 1) on 28x28' --substitutes resize_conv
  cnnbench conv --layer 'MIOpenDriver conv -n 1 -c 64 -H 56 -W 56 -k 64 -y 3 -x 3 -p 1 -q 1'
  cnnbench conv --layer c64h56w56-k64-3x3-p1 --substitutes depthwise_separable --phase training
  cnnbench conv --layer c64h56w56-k64-3x3-p1 --unit conv+bn+relu --impl folded,prepacked
  cnnbench conv --layer c64h56w56-k64-3x3-p1 --direction backward_weights --impl im2col
  cnnbench conv --layer c64h56w56-k64-3x3-p1 --impl prepacked,im2col --l2 cold
  cnnbench conv resnet18 --impl prepacked,im2col_nhwc --apply
  cnnbench conv --suite classic --cluster 10.0.0.1:6379 --on each
  cnnbench run --resume results/RUN
  cnnbench report results/RUN --lab

\b
"all" implementations are those that exist on the device and would not take too long; one that is
named is measured however long it takes.
"""


@click.command(epilog=_EPILOG)
@click.argument("named", metavar="[MODEL]", required=False, shell_complete=completion.models)
@click.option("--suite", "suites", type=Words(), default=(),
              help=f"Layers of suites: any of {', '.join(layers.names())}.",
)  # fmt: skip
@click.option(
    "--layer", "texts", multiple=True, metavar="LAYER",
    help="One layer, as cnnbench, torch, benchdnn or MIOpenDriver write it; may be repeated."
         f"  [default, if nothing else is named: {usual.LAYER}]",
)  # fmt: skip
@click.option(
    "--from-model",
    "model",
    metavar="MODEL",
    shell_complete=completion.models,
    help="Measure the convolutions of this network, each once; the same as MODEL.",
)
@click.option("--unit", type=click.Choice(tuple(UNITS)), default=None,
              help="Measure every layer with what networks have after it: batch norm, activation."
                   "  [default: what the layer says]")  # fmt: skip
@click.option("--direction", type=click.Choice(tuple(DIRECTIONS)), default=None,
              help="Measure this pass of every layer by itself: the forward pass, the gradient of"
                   " the input, or that of the weights.  [default: what the layer says]",
)  # fmt: skip
@click.option("--impl", type=Words(), default=(),
              help="Implementations of the same function: all, none, names.  [default: all; if no"
                   " layer is named, a few that answer within a minute]")  # fmt: skip
@click.option("--substitutes", type=Words(), default=(),
              help="Other functions of the same shapes: none, all, or names.  [default: none; if no"
                   f" layer is named, {','.join(usual.SUBSTITUTES)}]")  # fmt: skip
@click.option("--dtype", type=Words(), default=(),
              help=f"Any of {', '.join(lab.PRECISIONS)}.  [default: fp32]")  # fmt: skip
@options.grid(modes=",".join(lab.MODES), batches=(), arguments=False,
              without=_NOT_OF_LAYERS, shared=True)  # fmt: skip
@options.plan("rounds", "precision", "budget", "slices", "seed", "timeout", "l2", "memory_limit",
              base=replace(lab.PLAN, budget=lab.BUDGET))  # fmt: skip
@click.option("--apply", "apply", is_flag=True,
              help="With --from-model: change the model as advised and measure it again.",
)  # fmt: skip
@click.option("--list", "listed", is_flag=True,
              help="Only list implementations and substitutes; --json: every field.")  # fmt: skip
@options.out()
@clusters.options
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
    suites: tuple[str, ...],
    texts: tuple[str, ...],
    model: str | None,
    named: str | None,
    unit: str | None,
    direction: str | None,
    impl: tuple[str, ...],
    substitutes: tuple[str, ...],
    dtype: tuple[str, ...],
    grid: Grid,
    plan: Plan,
    apply: bool,
    listed: bool,
    out: Path | None,
    cluster: str | None,
    on: str | None,
    wait: float | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    who: str,
) -> None:
    """Compare implementations of convolutions, and substitutes for them.

    It answers two separate questions: which implementation of a layer is fastest here, and how much
    time a substitute of the same shapes, which needs retraining, would save. Every output is
    checked against float64, including that of the library. Without arguments it compares the ways
    to compute one 3x3 layer of a ResNet, and 1x1, depthwise and other layers in its place.
    """
    if listed:
        ways.show(as_json=as_json)
        return
    model = _one_model(named, model)
    over = clusters.asked(cluster, on, {"wait": wait, "apply": apply or None})
    _refuse_to_apply(model, grid, apply=apply)
    if not (suites or texts or model):
        texts, impl = (usual.LAYER,), impl or lab.usual_ones(grid.device, unit, direction)
        substitutes = substitutes or (() if direction in usual.BACKWARD else usual.SUBSTITUTES)
        plan = _within_a_minute(ctx, plan)
        grid = grid if over is not None else _with_usual_modes(ctx, grid)
    chosen, dtypes = _layers(suites, texts, model, unit, direction)
    grid = replace(grid, models=() if model is None else (model,))
    order = lab.LabOrder(grid, chosen, impl or (lab.ALL,), substitutes or (lab.NONE,),
                         dtype or dtypes or ("fp32",))  # fmt: skip
    plan = _without_usual_budget(ctx, plan, over)
    if dry_run:
        _show_grid(order, plan, who, over, as_json=as_json)
        return
    name = store.new_run_name()
    out = out or Path("results") / name
    if over is not None:
        runs = _measure_over(over_hosts.prepare_lab(order, plan, who), over, out, model, quiet)
    else:
        begun = lab.begun(order, _till_decided(ctx, plan), who)
        runs = [_measure_here(begun, out, name, model, wait, apply=apply, quiet=quiet)]
    _show(runs, as_json=as_json)
    measuring.refuse_failed(*runs)


def _one_model(named: str | None, model: str | None) -> str | None:
    """The model of the argument or of the option."""
    if named is not None and model is not None:
        raise UsageError(f"{named} is the model already; drop --from-model")
    return model or named


def _refuse_to_apply(model: str | None, grid: Grid, *, apply: bool) -> None:
    """Refuse --apply where there is nothing that it could change."""
    if not apply:
        return
    if model is None:
        raise UsageError("--apply changes a model; name it with --from-model MODEL")
    if set(grid.phases) != {"inference"}:
        raise UsageError("--apply changes a model for inference; leave --phase out")


def _till_decided(ctx: click.Context, plan: Plan) -> Plan:
    """The plan that spends a budget of the user's on what is open, unless rounds are given, too."""
    given = [ctx.get_parameter_source(name) for name in ("budget", "rounds")]
    if given == [ParameterSource.COMMANDLINE, ParameterSource.DEFAULT]:
        return replace(plan, most_rounds=_MOST_ROUNDS)
    return plan


def _within_a_minute(ctx: click.Context, plan: Plan) -> Plan:
    """The plan of the question that is answered where nothing is asked."""
    if ctx.get_parameter_source("slices") is ParameterSource.DEFAULT:
        plan = replace(plan, slices=usual.LAYER_SLICES)
    if ctx.get_parameter_source("budget") is ParameterSource.DEFAULT:
        plan = replace(plan, budget=usual.LAYER_BUDGET)
    return replace(
        plan,
        slice_seconds=usual.LAYER_SLICE_SECONDS,
        warm_up_seconds=usual.LAYER_WARM_UP_SECONDS,
    )


def _with_usual_modes(ctx: click.Context, grid: Grid) -> Grid:
    """The grid of that question, in modes that this machine has instructions for."""
    if ctx.get_parameter_source("modes") is not ParameterSource.DEFAULT:
        return grid
    return replace(grid, modes=lab.usual_modes(grid.device))


def _without_usual_budget(ctx: click.Context, plan: Plan, over: Over | None) -> Plan:
    """The plan for hosts, which have no budget in common: what is usual does not hold for them."""
    if over is not None and ctx.get_parameter_source("budget") is ParameterSource.DEFAULT:
        return replace(plan, budget=None)
    return plan


def _show_grid(order: LabOrder, plan: Plan, who: str, over: Over | None, *, as_json: bool) -> None:
    """What would be measured."""
    if over is None:
        measuring.show_grid(lab.prepare(order, plan, who).job, as_json=as_json)
    else:
        clusters.show_grid(over_hosts.prepare_lab(order, plan, who).job, as_json=as_json)


def _measure_over(
    found: Lab,
    over: Over,
    out: Path,
    model: str | None,
    quiet: bool,
) -> list[StoredRun]:
    """Measure on many hosts: the layers of a network are kept once, beside all runs."""
    try:
        runs = clusters.begin(found.job, over, out, quiet=quiet)
    finally:
        if found.extraction is not None and model and directory.holds(out):
            shown.keep_layers(out, model, found.extraction)
    return [one for one in runs if one.records]


def _measure_here(
    begun: AbstractContextManager[Lab], out: Path, name: str, model: str | None,
    wait: float | None, *, apply: bool, quiet: bool,
) -> StoredRun:  # fmt: skip
    """Measure on this machine, and the changed model after that."""
    with begun as found:
        share = found.job.share
        measuring.before(found.job.specs, found.job.executor, wait, quiet=quiet, share=share)
        stored = _measure(found, out, name, model, quiet=quiet)
    if apply:
        _apply(found, stored, quiet=quiet)
    return stored


def _measure(found: Lab, out: Path, name: str, model: str | None, *, quiet: bool) -> StoredRun:
    progress = Progress(total=len(found.job.specs), quiet=quiet)
    try:
        with measuring.interruptible(progress, out):
            return campaign.start(found.job, out, progress, name)
    finally:
        # An interrupted run is resumed, and needs them then.
        if found.extraction is not None and model and (out / store.MANIFEST).exists():
            shown.keep_layers(out, model, found.extraction)


def _apply(found: Lab, stored: StoredRun, *, quiet: bool) -> None:
    """Measure the model again, unchanged and changed, in a run inside the run directory."""
    specs = [
        spec
        for one in shown.found_networks(stored)
        for spec in network.specs(one, network.changes(one))
    ]
    if not specs:
        raise UsageError("--apply: the model could not be measured, so nothing can be compared")
    out = stored.path / shown.APPLIED
    with measuring.interruptible(Progress(total=len(specs), quiet=quiet), out) as progress:
        campaign.start(lab.changed(found.job, specs), out, progress)


def _layers(
    suites: tuple[str, ...],
    texts: tuple[str, ...],
    model: str | None,
    unit: str | None,
    direction: str | None,
) -> tuple[tuple[ConvLayer, ...], tuple[str, ...]]:
    """The layers of a suite or of single options, and dtypes that these have.

    Those of a model are found later.
    """
    if sum(map(bool, (suites, texts, model))) > 1:
        raise UsageError("--suite, --layer and --from-model are mutually exclusive; keep one")
    if model:
        if unit is not None:
            raise UsageError(
                "--unit is for --layer and --suite: the layers of a model are the convolutions that"
                " it has; leave --unit out"
            )
        if direction is not None:
            raise UsageError(
                "--direction is for --layer and --suite: the layers of a model are measured"
                " forward; leave --direction out"
            )
        return (), ()
    if texts:
        problems = [_as_asked(_read(text), unit, direction) for text in texts]
        return tuple(
            ConvLayer(one.architecture, one.input_shape[1:], batches=(one.n,)) for one in problems
        ), tuple(dict.fromkeys(one.dtype for one in problems))
    found = [layer for name in suites for layer in layers.suite(name).layers]
    some = [replace(layer, batches=()) for layer in found]
    if unit is not None or direction is not None:
        asked = [_as_asked(one.problem(), unit, direction).architecture for one in some]
        some = [replace(one, architecture=name) for one, name in zip(some, asked, strict=True)]
    return tuple(dict.fromkeys(some)), ()


def _as_asked(problem: ConvProblem, unit: str | None, direction: str | None) -> ConvProblem:
    """A layer with what ``--unit`` and ``--direction`` say; as it is without."""
    after = problem.post_ops if unit is None else UNITS[unit]
    way = problem.direction if direction is None else DIRECTIONS[direction]
    if unit is not None and after and way:
        raise UsageError(
            f"--unit {unit} has no backward pass by itself, which is of a convolution alone; leave"
            " --unit out"
        )
    return replace(problem, post_ops=after, direction=way)


def _read(text: str) -> ConvProblem:
    """A layer; a size that torch's own words leave open is said."""
    if not text.strip():
        raise UsageError(f"--layer '{text}' names no layer; one looks like {usual.LAYER}")
    problem = dialects.read(text)
    if torch_text.assumes(text):
        other = shlex.quote(f"{text} on 28x28")
        say(f"an input of {problem.h}x{problem.w} is assumed; for another: --layer {other}")
    return problem


def _show(runs: Sequence[StoredRun], *, as_json: bool) -> None:
    """Print the report of the runs, of which many hosts leave several; keep one in each."""
    for stored in runs:
        for problem in stored.problems:
            say(f"cnnbench: {problem}")
        keep(shown.text([stored], "markdown"), stored.path / "report.md")
        keep(shown.text([stored], "csv"), stored.path / "report.csv")
    also(shown.text(runs, "json" if as_json else "table"))
    for stored in runs:
        say(f"kept in {stored.path}: {store.RECORDS}, report.csv, report.md")
