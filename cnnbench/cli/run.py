"""``cnnbench run``: measure a grid and keep every result."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnnbench import store
from cnnbench.cli import measuring
from cnnbench.cli.output import write
from cnnbench.cli.parameters import Bytes, Numbers, Pair, Percent, Seconds, Shape, Sizes, Words
from cnnbench.cli.progress import Progress
from cnnbench.errors import UsageError
from cnnbench.plan import Plan
from cnnbench.report import render
from cnnbench.report.scaling import ending
from cnnbench.report.table import entries, tidy
from cnnbench.runner import campaign
from cnnbench.spec import OPTIMIZERS, PHASES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.report.table import Entry
    from cnnbench.store import StoredRun

# Options that --resume takes from the run itself.
_GRID = ("models", "modes", "device", "batch", "size", "shape", "phase", "optimizer", "threads",
         "model_arg", "l2", "cudnn_benchmark", "classes", "in_channels", "rounds", "slices",
         "precision", "seed", "timeout", "memory_limit", "out", "executor", "dry_run")  # fmt: skip

# Where something else says when it is enough, rounds are only a bound.
_MOST_ROUNDS = 20

_EPILOG = """\b
Examples:
  cnnbench run
  cnnbench run --models 'resnet*' --modes eager,channels_last,amp --batch 1,8 --device cpu
  cnnbench run --models all --device cuda --modes all --out results/all-cuda
  cnnbench run --models all --budget 75m --device cpu
  cnnbench run --models resnet18 --batch 1,2,4,8,16 --threads 1,2 --precision 2%
  cnnbench run --models mynets:tiny --model-arg width=32 --size 64
  cnnbench run --resume results/all-cuda

\b
Mode words (join with +): eager, compile, compile=reduce-overhead, compile=max-autotune,
channels_last, amp (cpu), amp=bf16, amp=fp16, bf16, fp16, tf32 (cuda); "all" is the sensible set.
"""


@click.command(epilog=_EPILOG)
@click.option(
    "--models",
    type=Words(),
    default="quick",
    show_default=True,
    help="Names, globs, tag:WORD, family:WORD, timm:NAME, package.module:factory, all.",
)
@click.option(
    "--modes",
    type=Words(),
    default="eager,channels_last",
    show_default=True,
    help="Modes to compare; see below.",
)
@click.option("--device", help="cpu, cuda or cuda:INDEX.  [default: the best present]")
@click.option("--batch", type=Numbers(), default="1", show_default=True, help="Batch sizes.")
@click.option(
    "--size",
    type=Sizes(),
    help="Heights and widths in place of each network's own, e.g. 160,224x192.",
)
@click.option(
    "--input",
    "shape",
    type=Shape("1x28x28", (1, 2, 3, 4)),
    help="Whole shape of one sample, for your own networks.",
)
@click.option(
    "--phase",
    type=Words(),
    default="inference",
    show_default=True,
    help=f"Any of {', '.join(PHASES)}.",
)
@click.option(
    "--optimizer",
    type=click.Choice(OPTIMIZERS),
    default=OPTIMIZERS[0],
    show_default=True,
    help="Of the phases that train; learning rate zero, so that every step is the same work.",
)
@click.option(
    "--threads",
    type=Numbers(),
    help="Numbers of CPU threads.  [default: the cores this process may use]",
)
@click.option(
    "--model-arg",
    type=Pair(),
    multiple=True,
    help="Keyword argument of the networks' builders; may be repeated.",
)
@click.option(
    "--classes",
    type=click.IntRange(min=1),
    help="Number of classes: the last layer is replaced where the builder lacks the argument.",
)
@click.option(
    "--in-channels",
    type=click.IntRange(min=1),
    help="Channels of the input: the first layer is replaced where the builder lacks it.",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    show_default=str(Plan.rounds),
    help="Fresh starts of all workers; intervals need at least 2. With --precision or --budget, the"
    f" most there may be (default {_MOST_ROUNDS}).",
)
@click.option(
    "--precision",
    type=Percent(),
    help="Add rounds only until every latency and speed-up is known to so much either way.",
)
@click.option(
    "--budget",
    type=Seconds(),
    help="Time for the whole run: one round of everything, then more of what is least certain.",
)
@click.option(
    "--slices",
    type=click.IntRange(min=1),
    default=Plan.slices,
    show_default=True,
    help="Turns of each worker in a round.",
)
@click.option(
    "--seed",
    type=int,
    default=Plan.seed,
    show_default=True,
    help="Of weights, inputs and the order of turns.",
)
@click.option(
    "--timeout",
    type=Seconds(),
    default=f"{Plan.timeout:g}",
    show_default=True,
    help="Longest that one step of a worker may take, e.g. 90s or 10m.",
)
@click.option(
    "--l2",
    type=click.Choice(["warm", "cold"]),
    default=Plan.l2,
    show_default=True,
    help="CUDA: second-level cache as the last call left it, or flushed before every sample.",
)
@click.option(
    "--cudnn-benchmark", is_flag=True, help="CUDA: let cuDNN time its algorithms and keep the best."
)
@click.option(
    "--memory-limit",
    type=Bytes(),
    help="What a CPU worker may allocate.  [default: 90 % of the free memory]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Run directory.  [default: results/TIME-ID]",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Measure what a run still misses, with that run's own options.",
)
@click.option("--retry-failed", is_flag=True, help="With --resume: also measure again what failed.")
@click.option("--dry-run", is_flag=True, help="Show the grid and a rough time; measure nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print tidy JSON instead of a table.")
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@click.option("--executor", default="process", hidden=True, help="process or fake.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Measure models in modes: static cost, latency, memory, and whether the output is right.

    Every spec is measured in worker processes of its own; whatever happens to it, it has a row. The
    modes of one network take turns in slices of 60 ms, so that speed-ups come from neighbouring
    moments.
    """
    if options["resume"] is not None:
        _refuse_grid(ctx)
        stored = _resume(options)
    else:
        if options["retry_failed"]:
            raise UsageError("--retry-failed goes with --resume DIR")
        job = campaign.prepare(_order(options))
        if options["dry_run"]:
            measuring.show_grid(job, as_json=options["as_json"])
            return
        name = store.new_run_name()
        out = options["out"] or Path("results") / name
        stored = _start(job, out, name, quiet=options["quiet"])
    _show(stored, as_json=options["as_json"])


def _refuse_grid(ctx: click.Context) -> None:
    given = [
        name
        for name in _GRID
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    ]
    if given:
        word = given[0].replace("_", "-").replace("shape", "input")
        raise UsageError(f"--resume takes everything from the run itself; drop --{word}")


def _order(options: dict[str, Any]) -> campaign.Order:
    if options["size"] and options["shape"]:
        raise UsageError("--size and --input both say the shape; keep one")
    return campaign.Order(
        models=options["models"],
        modes=options["modes"],
        device=options["device"],
        batches=options["batch"],
        phases=options["phase"],
        sizes=options["size"] or (),
        optimizer=options["optimizer"],
        input=options["shape"],
        threads=options["threads"],
        arguments=_arguments(options),
        plan=Plan(
            rounds=_rounds(options),
            slices=options["slices"],
            seed=options["seed"],
            timeout=options["timeout"],
            memory_limit=options["memory_limit"],
            precision=options["precision"],
            budget=options["budget"],
            l2=options["l2"],
            cudnn_benchmark=options["cudnn_benchmark"],
        ),
        executor=options["executor"],
    )


def _rounds(options: dict[str, Any]) -> int:
    rounds: int | None = options["rounds"]
    if rounds is not None:
        return rounds
    return _MOST_ROUNDS if options["precision"] or options["budget"] else Plan.rounds


def _arguments(options: dict[str, Any]) -> dict[str, Any]:
    names = [name for name, _ in options["model_arg"]]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UsageError(f"--model-arg {twice[0]} is given twice; keep one")
    short = {"num_classes": options["classes"], "in_channels": options["in_channels"]}
    return dict(options["model_arg"]) | {k: v for k, v in short.items() if v is not None}


def _start(job: campaign.Job, out: Path, name: str, *, quiet: bool) -> StoredRun:
    if job.plan.budget is not None and job.total_seconds > job.plan.budget and not quiet:
        click.echo(f"cnnbench: the budget may not do: {measuring.extent(job)}", err=True)
    progress = Progress(total=len(job.specs), quiet=quiet)
    return measuring.interruptible(lambda: campaign.start(job, out, progress, name), progress, out)


def _resume(options: dict[str, Any]) -> StoredRun:
    path, again = options["resume"], options["retry_failed"]
    stored = store.read(path)
    total = len(stored.missing) + (len(stored.failed) if again else 0)
    progress = Progress(total=total, quiet=options["quiet"])
    return measuring.interruptible(
        lambda: campaign.resume(path, progress, retry_failed=again, budget=options["budget"]),
        progress,
        path,
    )


def _show(stored: StoredRun, *, as_json: bool) -> None:
    found = entries([stored])
    click.echo(render(tidy(found), "json") if as_json else _ending(found, "table"), nl=False)
    for problem in stored.problems:
        click.echo(f"cnnbench: {problem}", err=True)
    paths = _write_reports(stored)
    click.echo(f"kept in {stored.path}: {', '.join(paths)}", err=True)
    measuring.refuse_failed(stored)
    sys.stdout.flush()


def _write_reports(stored: StoredRun) -> list[str]:
    """Leave the tables beside the records, so that a run can be read without this program."""
    found = entries([stored])
    write(render(tidy(found), "csv"), stored.path / "report.csv")
    write(_ending(found, "markdown"), stored.path / "report.md")
    return [store.RECORDS, "report.csv", "report.md"]


def _ending(found: Sequence[Entry], kind: str) -> str:
    return "\n".join(render(table, kind) for table in ending(found))
