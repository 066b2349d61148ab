"""``cnnbench conv``: the convolution lab."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnnbench import store
from cnnbench.cli import lab as shown
from cnnbench.cli import measuring, ways
from cnnbench.cli.output import write
from cnnbench.cli.parameters import Numbers, Percent, Seconds, Words
from cnnbench.cli.progress import Progress
from cnnbench.conv import dialects, layers, network
from cnnbench.conv.layers import ConvLayer
from cnnbench.errors import UsageError
from cnnbench.runner import campaign, lab

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.conv.problem import ConvProblem
    from cnnbench.runner.lab import Lab
    from cnnbench.store import StoredRun

_EPILOG = """\b
Examples:
  cnnbench conv
  cnnbench conv --list
  cnnbench conv --suite classic --dtype fp32,bf16
  cnnbench conv --layer n1c64h56w56-k64-3x3-p1 --impl im2col,winograd_f4 --substitutes all
  cnnbench conv --layer 'mb1ic64ih56oc64oh56kh3ph1'
  cnnbench conv --layer 'MIOpenDriver conv -n 1 -c 64 -H 56 -W 56 -k 64 -y 3 -x 3 -p 1 -q 1'
  cnnbench conv --from-model resnet18 --impl prepacked,im2col_nhwc --apply
  cnnbench run --resume results/RUN
  cnnbench report results/RUN --lab

\b
"all" implementations are those that exist on the device and would not take too long; one that is
named is measured however long it takes.
"""


@click.command(epilog=_EPILOG)
@click.option("--suite", metavar="NAME",
              help=f"Layers: one of {', '.join(layers.names())}.  [default: smoke]")  # fmt: skip
@click.option(
    "--layer", "texts", multiple=True, metavar="LAYER",
    help="One layer, as cnnbench, benchdnn or MIOpenDriver write it; may be repeated.",
)  # fmt: skip
@click.option("--from-model", "model", metavar="MODEL", help="The layers of a network, counted.")
@click.option("--impl", type=Words(), default=lab.ALL, show_default=True,
              help="Implementations of the same function: all, none, or names.")  # fmt: skip
@click.option("--substitutes", type=Words(), default=lab.NONE, show_default=True,
              help="Other functions of the same shapes: none, all, or names.")  # fmt: skip
@click.option("--modes", type=Words(), default="eager,channels_last,amp=bf16", show_default=True,
              help="The library's own ways, as for cnnbench run.")  # fmt: skip
@click.option("--dtype", type=Words(), help="fp32, bf16, fp16, tf32.  [default: fp32]")
@click.option("--batch", type=Numbers(), help="Batch sizes.  [default: the layer's, or 1]")
@click.option("--device", help="cpu, cuda or cuda:INDEX.  [default: the best present]")
@click.option("--threads", type=Numbers(), help="Numbers of CPU threads.  [default: all cores]")
@click.option("--rounds", type=click.IntRange(min=1), default=lab.PLAN.rounds, show_default=True,
              help="Fresh starts of all workers; intervals need at least 2.")  # fmt: skip
@click.option("--slices", type=click.IntRange(min=1), default=lab.PLAN.slices, show_default=True,
              help="Turns of each worker in a round.")  # fmt: skip
@click.option("--precision", type=Percent(),
              help="Stop adding rounds where every figure is known to so much.")  # fmt: skip
@click.option("--budget", type=Seconds(), default=f"{lab.BUDGET:g}s", show_default=True,
              help="Time for the whole run: a first answer to everything, then up to --rounds.",
)  # fmt: skip
@click.option("--apply", "apply", is_flag=True,
              help="With --from-model: change the model as advised and measure it again.",
)  # fmt: skip
@click.option("--list", "listed", is_flag=True,
              help="Only list implementations and substitutes; --json: every field.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False),
              help="Run directory.  [default: results/TIME-ID]")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Show what would be measured and what not, and why.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@click.option("--executor", default="process", hidden=True, help="process or fake.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def command(**options: Any) -> None:
    """Compare implementations of a convolution, and what could stand in its place.

    Two questions, kept apart: which way to compute this layer is fastest here, and what another
    layer of the same shapes, to be trained anew, would save. Every output is checked against
    float64, the library's own too.
    """
    if options["listed"]:
        ways.show(as_json=options["as_json"])
        return
    if options["apply"] and options["model"] is None:
        raise UsageError("--apply changes a model; say which with --from-model MODEL")
    found = lab.prepare(_order(options))
    if options["dry_run"]:
        measuring.show_grid(found.job, as_json=options["as_json"])
        return
    name = store.new_run_name()
    out = options["out"] or Path("results") / name
    stored = _measure(found, out, name, options)
    if options["apply"]:
        _apply(found, stored, options["quiet"])
    _show(stored, as_json=options["as_json"])
    measuring.refuse_failed(stored)


def _measure(found: Lab, out: Path, name: str, options: dict[str, Any]) -> StoredRun:
    progress = Progress(total=len(found.job.specs), quiet=options["quiet"])
    try:
        return measuring.interruptible(
            lambda: campaign.start(found.job, out, progress, name), progress, out
        )
    finally:
        # An interrupted run is resumed, and needs them then.
        if found.extraction is not None and (out / store.MANIFEST).exists():
            shown.keep_layers(out, options["model"], found.extraction)


def _apply(found: Lab, stored: StoredRun, quiet: bool) -> None:
    """Measure the model once more, as it is and changed, in a run within the run."""
    specs = [
        spec
        for one in shown.found_networks(stored)
        for spec in network.specs(one, network.changes(one))
    ]
    if not specs:
        raise UsageError("--apply: the model could not be measured, so nothing can be compared")
    progress = Progress(total=len(specs), quiet=quiet)
    out = stored.path / shown.APPLIED
    job = lab.changed(found.job, specs)
    measuring.interruptible(lambda: campaign.start(job, out, progress), progress, out)


def _order(options: dict[str, Any]) -> lab.LabOrder:
    chosen, problems = _layers(options)
    named = tuple(dict.fromkeys(one.dtype for one in problems))
    return lab.LabOrder(
        layers=chosen,
        model=options["model"],
        implementations=options["impl"],
        substitutes=options["substitutes"],
        modes=options["modes"],
        dtypes=options["dtype"] or named or ("fp32",),
        batches=options["batch"],
        threads=options["threads"],
        device=options["device"],
        plan=replace(
            lab.PLAN,
            rounds=options["rounds"],
            slices=options["slices"],
            precision=options["precision"],
            budget=options["budget"],
        ),
        executor=options["executor"],
    )


def _layers(options: dict[str, Any]) -> tuple[tuple[ConvLayer, ...], Sequence[ConvProblem]]:
    """The layers asked for beside those of a model, and those given one by one as they were."""
    sources = [name for name in ("suite", "texts", "model") if options[name]]
    if len(sources) > 1:
        raise UsageError("--suite, --layer and --from-model are three sources; keep one")
    if options["model"]:
        return (), ()
    if options["texts"]:
        problems = [dialects.read(text) for text in options["texts"]]
        return tuple(
            ConvLayer(one.architecture, one.input_shape[1:], batches=(one.n,)) for one in problems
        ), problems
    suite = layers.suite(options["suite"] or "smoke")
    return tuple(replace(layer, batches=()) for layer in suite.layers), ()


def _show(stored: StoredRun, *, as_json: bool) -> None:
    click.echo(shown.text([stored], "json" if as_json else "table"), nl=False)
    for problem in stored.problems:
        click.echo(f"cnnbench: {problem}", err=True)
    write(shown.text([stored], "markdown"), stored.path / "report.md")
    write(shown.text([stored], "csv"), stored.path / "report.csv")
    click.echo(f"kept in {stored.path}: {store.RECORDS}, report.csv, report.md", err=True)
