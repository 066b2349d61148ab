"""``cnnbench run``: measure a grid and keep every result."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from cnnbench import store, trust
from cnnbench.cli import cluster as clusters
from cnnbench.cli import completion, limits, measuring, options
from cnnbench.cli.output import also, keep, say, shown, wide, width
from cnnbench.cli.parameters import NamedPath, OneOfShards
from cnnbench.cli.progress import Progress
from cnnbench.errors import UsageError
from cnnbench.prediction.kept import PREDICTIONS
from cnnbench.report import render
from cnnbench.report.entry import entries
from cnnbench.report.overview import opening
from cnnbench.report.scaling import ending
from cnnbench.report.table import summary, tidy
from cnnbench.runner import campaign
from cnnbench.runner.cluster import directory
from cnnbench.runner.cluster import start as over_hosts
from cnnbench.runner.executor import executor
from cnnbench.usual import TOLD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.plan import Plan
    from cnnbench.report.budget import Budget
    from cnnbench.report.entry import Entry
    from cnnbench.report.table import Table
    from cnnbench.shards import Shard
    from cnnbench.store import StoredRun
    from cnnbench.suite import Grid

# Where something else says when it is enough, rounds are only a bound.
_MOST_ROUNDS = 20

# What goes with --resume; everything else is in the run itself.
_BESIDE_RESUME = ("resume", "retry_failed", "allowed", "budget", "timeout", "wait", "cluster",
                  "as_json", "quiet", "allocator", "seconds", "memory", "top1", "wide",
                  "debug")  # fmt: skip

_EPILOG = """\b
Examples:
  cnnbench run
  cnnbench run 'resnet*' --modes eager,channels_last,amp --batch 1,8 --device cpu
  cnnbench run all --device cuda --modes all --out results/all-cuda
  cnnbench run all --budget 75m --device cpu
  cnnbench run all --device cpu --shard 2/8 --out results/shard-2
  cnnbench run all --device cpu --cluster 10.0.0.1:6379 --on each
  cnnbench run tag:mobile --max-latency 50ms --under 20ms --top1 70
  cnnbench run resnet18 --batch 1,2,4,8,16 --threads 1,2 --precision 2%
  cnnbench run mynets:tiny --model-arg width=32 --size 64
  cnnbench run --resume results/all-cuda

\b
Mode words (join with +): eager, compile, compile=reduce-overhead, compile=max-autotune,
channels_last, amp (cpu), amp=bf16, amp=fp16, bf16, fp16; on cuda graph, tf32, tf32=cudnn;
on cpu also aoti, onnxruntime, openvino, freezing (with compile or aoti), int8 (with a runtime).
"all" is the sensible set; compile=max-autotune, which takes minutes, is not in it.
"""


@click.command(epilog=_EPILOG)
@options.grid(models="quick", argument=options.ANY_MODELS, modes=(), batches=(), told=TOLD,
              shared=True)  # fmt: skip
@options.plan("rounds", "precision", "budget", "max_latency", "slices", "seed", "timeout", "l2",
              "cudnn_benchmark", "energy", "cold_start", "nvtx", "memory_limit", bound=_MOST_ROUNDS,
              told=TOLD)  # fmt: skip
@options.out()
@click.option("--resume", type=NamedPath(), metavar="DIR",
              shell_complete=completion.runs,
              help="Measure what a run still misses, with that run's own options.")  # fmt: skip
@click.option("--retry-failed", is_flag=True, help="With --resume: also measure again what failed.")
@click.option("--shard", type=OneOfShards(),
              help="Measure one part of the grid, e.g. 2/8.")  # fmt: skip
@clusters.options
@options.allow
@options.wait
@options.dry_run
@limits.within()
@options.wide
@options.as_json
@options.quiet
@options.executor
@options.debug
@click.pass_context
def command(
    ctx: click.Context,
    /,
    grid: Grid,
    plan: Plan,
    out: Path | None,
    resume: Path | None,
    retry_failed: bool,
    shard: Shard | None,
    cluster: str | None,
    on: str | None,
    allowed: tuple[str, ...],
    wait: float | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    who: str,
    within: Budget,
) -> None:
    """Measure models in modes: static cost, latency, memory, and whether the output is right.

    Every spec is measured in worker processes of its own; whatever happens to it, it has a row. The
    modes of one network take turns in slices of 60 ms, so that speed-ups come from neighbouring
    moments. With --precision or --budget, --rounds is the most there may be, 20 by default. On CUDA
    without --batch, a batch that runs out of memory has a row that says so, and is halved until it
    fits.
    """
    if resume is not None:
        options.refuse_others(ctx, _BESIDE_RESUME, "--resume takes everything from the run itself")
        if (resume / PREDICTIONS).exists():
            raise UsageError(
                f"{resume} is a run of cnnbench choose; go on with it by cnnbench choose --resume"
            )
        limited = ctx.get_parameter_source("timeout") is ParameterSource.COMMANDLINE
        timeout = plan.timeout if limited else None
        how = Resuming(retry_failed, plan.budget, timeout, allowed, cluster)
        left = _left(resume, how, wait, quiet=quiet)
        found = _resume(resume, left, how, quiet=quiet)
        new = left > 0
    else:
        new = True
        for name, given in (("--retry-failed", retry_failed), (trust.OPTION, allowed)):
            if given:
                raise UsageError(f"{name} goes with --resume DIR")
        over = clusters.asked(cluster, on, {"shard": shard, "wait": wait})
        rounds = ctx.get_parameter_source("rounds") is ParameterSource.COMMANDLINE
        free = not (rounds or plan.precision or plan.budget)
        if over is not None:
            job = over_hosts.prepare(grid, plan, who, free=free)
        else:
            job = campaign.prepare(grid, plan, who, dry=dry_run, free=free, shard=shard)
        if dry_run:
            show = measuring.show_grid if over is None else clusters.show_grid
            show(job, as_json=as_json)
            return
        found = _start(job, over, out, wait, quiet=quiet)
    _show(found, within, as_json=as_json, new=new)


def _start(
    job: campaign.Job, over: over_hosts.Over | None, out: Path | None, wait: float | None, *,
    quiet: bool,
) -> list[StoredRun]:  # fmt: skip
    name = store.new_run_name()
    out = out or Path("results") / name
    if over is not None:
        return clusters.begin(job, over, out, quiet=quiet)
    measuring.before(job.specs, job.executor, wait, quiet=quiet, share=job.share)
    if job.plan.budget is not None and job.total_seconds > job.plan.budget and not quiet:
        say(f"cnnbench: the budget may not do: {measuring.extent(job)}")
    with measuring.interruptible(Progress(total=len(job.specs), quiet=quiet), out) as progress:
        return [campaign.start(job, out, progress, name)]


@dataclass(frozen=True)
class Resuming:
    """What is asked for beside the run that is resumed; see ``campaign.resume``.

    ``cluster`` is where a run over many hosts goes on, if not where it was begun.
    """

    retry_failed: bool
    budget: float | None
    timeout: float | None
    allowed: tuple[str, ...]
    cluster: str | None = None

    @property
    def options(self) -> str:
        """The same as words of the command line, a blank before each."""
        budget = [] if self.budget is None else ["--budget", f"{self.budget:g}"]
        timeout = [] if self.timeout is None else ["--timeout", f"{self.timeout:g}"]
        allowed = [word for one in self.allowed for word in (trust.OPTION, one)]
        cluster = [] if self.cluster is None else ["--cluster", self.cluster]
        words = [*["--retry-failed"] * self.retry_failed, *budget, *timeout, *allowed, *cluster]
        return "".join(f" {shlex.quote(word)}" for word in words)


def _left(path: Path, how: Resuming, wait: float | None, *, quiet: bool) -> int:
    """How many specs a run still misses, before which the machine is looked at."""
    if directory.holds(path):
        for name, given in (("budget", how.budget), ("wait", wait)):
            if given is not None:
                raise UsageError(f"{path} is a run over many hosts; drop --{name}")
        left = over_hosts.wanted(path, retry_failed=how.retry_failed, allowed=how.allowed)
        return len(left)
    if how.cluster is not None:
        raise UsageError(f"{path} was begun on one host, and goes on there; drop --cluster")
    stored = store.read(path)
    specs = campaign.wanted(stored, retry_failed=how.retry_failed, allowed=how.allowed)
    if specs:
        measuring.before(specs, executor(stored.manifest.executor), wait, quiet=quiet)
    return len(specs)


def _resume(path: Path, left: int, how: Resuming, *, quiet: bool) -> list[StoredRun]:
    if directory.holds(path):
        hosts = clusters.HostProgress(total=left, quiet=quiet)
        with measuring.interruptible(hosts, path, how.options):
            return over_hosts.resume(
                path, hosts, address=how.cluster, retry_failed=how.retry_failed,
                timeout=how.timeout, allowed=how.allowed,
            )  # fmt: skip
    progress = Progress(total=left, quiet=quiet)
    with measuring.interruptible(progress, path, how.options):
        stored = campaign.resume(
            path, progress, retry_failed=how.retry_failed, budget=how.budget, timeout=how.timeout,
            allowed=how.allowed,
        )  # fmt: skip
        return [stored]


def _show(stored: Sequence[StoredRun], within: Budget, *, as_json: bool, new: bool) -> None:
    """Print the table of the runs, of which there are several over many hosts.

    Leave it in files too, unless nothing is new.
    """
    runs = [one for one in stored if one.records]
    found = entries(runs)
    for problem in (problem for one in runs for problem in one.problems):
        say(f"cnnbench: {problem}")
    paths = [(one, _write_reports(one)) for one in runs] if new else []
    also(render(tidy(found), "json") if as_json else _ending(found, "table", within))
    for one, names in paths:
        say(f"kept in {one.path}: {', '.join(names)}")
    if not new:
        place = runs[0].path if len(runs) == 1 else runs[0].path.parent
        say(f"cnnbench: {place} is complete; nothing was measured")
    measuring.refuse_failed(*runs)


def _write_reports(stored: StoredRun) -> list[str]:
    """Leave the tables beside the records, so that a run can be read without this program."""
    found = entries([stored])
    keep(render(tidy(found), "csv"), stored.path / "report.csv")
    keep(_ending(found, "markdown"), stored.path / "report.md")
    return [store.RECORDS, "report.csv", "report.md"]


def _ending(found: Sequence[Entry], kind: str, within: Budget | None = None) -> str:
    """The answers first; with --wide every row instead."""
    if kind == "table" and wide() and not within:
        tables: tuple[Table, ...] = (summary(found),)
    else:
        tables = opening(found, within=within, kind=kind, width=width())
    return "\n".join(shown(table, kind) for table in (*tables, *ending(found)))
