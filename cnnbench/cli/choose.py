"""``cnnbench choose``: the most accurate network within a limit of time, predicted and proven."""

from __future__ import annotations

import json
import shlex
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnnbench import accuracies, axes, store, trust
from cnnbench.asking import INPUT_FACTORY, INPUTS
from cnnbench.cli import completion, measuring, options, output
from cnnbench.cli.parameters import NamedPath, Quantity, Seconds, Words
from cnnbench.cli.progress import Progress
from cnnbench.errors import Interrupted, SomeFailed, UsageError
from cnnbench.plan import Plan
from cnnbench.prediction import table as tables_of
from cnnbench.prediction.contenders import ChoiceLimits
from cnnbench.report import FORMATS
from cnnbench.report import choosing as report
from cnnbench.runner import choosing, field
from cnnbench.runner.executor import executor
from cnnbench.spec import Device

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cnnbench.cli.options import View
    from cnnbench.prediction.chosen import Chosen
    from cnnbench.suite import Grid

_FIXED = (
    "model",
    "device",
    "phase",
    "optimizer",
    *(axes.settings().keys() - {INPUTS, INPUT_FACTORY}),
)
_BESIDE_RESUME = ("resume", "allowed", "budget", "folder", "kind", "output", "as_json", "quiet",
                  "allocator", "wide", "debug")  # fmt: skip
# timm's networks are four fifths of all, and need a package that not everybody has.
_FROM, _FROM_TOO = ("torchvision:*",), ("timm:*",)
_ROUNDS = 3

_EPILOG = """\b
Examples:
  cnnbench choose --under 20ms
  cnnbench choose --under 20ms --memory 500MiB --from 'torchvision:*,timm:*'
  cnnbench choose --under 50ms --modes eager,channels_last --threads 1
  cnnbench choose --resume results/20260101-120000-abcdef
  cnnbench choose --under 100ms --threads 1 --table from-the-board.jsonl
"""


@click.command(epilog=_EPILOG)
@click.option("--under", "seconds", type=Quantity("seconds", "TIME", "20ms"),
              help="Time of a call, at most, e.g. 20ms; required without --resume.")  # fmt: skip
@click.option("--memory", type=Quantity("bytes", "SIZE", "200MB"),
              help="Peak memory, at most, e.g. 500MiB.")  # fmt: skip
@click.option("--from", "patterns", type=Words(), default=(), metavar="MODEL,…",
              shell_complete=completion.models,
              help="Networks to choose from: names and patterns, as 'torchvision:*,timm:*'."
                   "  [default: torchvision:*; with --accuracy timm:* too]")  # fmt: skip
@click.option("--accuracy", type=NamedPath(dir_okay=False), metavar="FILE",
              help="Accuracies of other networks, or newer ones of timm's, in place of those built "
                   "in: a CSV as timm's results-imagenet.csv.")  # fmt: skip
@options.grid(modes="eager", several=False, swept=("mode",), without=_FIXED,
              fixed={"device": Device()})  # fmt: skip
@click.option("--budget", type=Seconds(), default="5m", show_default=True, metavar="TIME",
              help="Time for all of it, e.g. 90s or 10m.")  # fmt: skip
@options.out()
@click.option("--resume", type=NamedPath(), metavar="DIR",
              shell_complete=completion.runs,
              help="Go on with a choice where it stopped, with that one's own limits.")  # fmt: skip
@click.option("--tables", "folder", type=NamedPath(file_okay=False),
              default="results/operators", show_default=True, metavar="DIR",
              help="Directory of operators that were timed, a file per environment.")  # fmt: skip
@click.option("--table", "given", type=NamedPath(dir_okay=False), metavar="FILE",
              help="Predict by this table alone, of another machine; nothing is proven."
              )  # fmt: skip
@options.plan("rounds", "seed", "timeout", "memory_limit", base=Plan(rounds=_ROUNDS))
@options.allow
@options.view(FORMATS)
@options.quiet
@options.executor
@options.debug
@click.pass_context
def command(
    ctx: click.Context,
    /,
    seconds: float | None,
    memory: float | None,
    patterns: tuple[str, ...],
    accuracy: Path | None,
    grid: Grid,
    budget: float,
    out: Path | None,
    resume: Path | None,
    folder: Path,
    given: Path | None,
    plan: Plan,
    allowed: tuple[str, ...],
    view: View,
    quiet: bool,
    who: str,
) -> None:
    """Find the most accurate network that takes at most so long on this machine's CPU.

    Networks with a published top-1 are predicted from operators timed alone; those that may be the
    answer are measured, as cnnbench run does, until the answer is certain or the time is over. What
    is named besides: the fastest and the smallest within a point of top-1. Exit code 3 if nothing
    fits, or nothing is proven yet; with --table, if nothing is predicted to fit.
    """
    progress = ChoiceProgress(total=0, quiet=quiet)
    if resume is not None:
        options.refuse_others(ctx, _BESIDE_RESUME, "--resume takes everything from the run itself")
        with _interruptible(resume, progress):
            found = choosing.resume(resume, folder, budget, progress, progress.say, allowed)
        _show(found, view)
        return
    if seconds is None:
        raise UsageError("no limit of time; give one, such as --under 20ms")
    if allowed:
        raise UsageError(f"{trust.OPTION} goes with --resume DIR")
    if given is not None and out is not None:
        raise UsageError("--table measures nothing that could be kept; drop --out")
    grid = replace(grid, models=patterns or (*_FROM, *(_FROM_TOO if accuracy else ())))
    limits = ChoiceLimits(seconds, memory)
    rated = accuracies.read(accuracy) if accuracy else accuracies.of_timm()
    known = None if given is None else tables_of.read(given)
    all_of = field.gather(grid, rated, plan, executor(who), memory)
    if known is not None and given is not None:
        _show(choosing.by_table(all_of, limits, known, given, progress.say), view)
        return
    out = out or Path("results") / store.new_run_name()
    measuring.before(all_of.job.specs, all_of.job.executor, None, quiet=quiet)
    with _interruptible(out, progress):
        found = choosing.start(all_of, limits, out, folder, budget, progress, progress.say)
    _show(found, view)


def _show(found: Chosen, view: View) -> None:
    for line in found.problems:
        output.say(f"cnnbench: {line}")
    if view.kind == "json":
        view.write(json.dumps(report.facts(found), indent=1) + "\n")
    else:
        view.show(report.table(found))
    if found.state.best is None:
        raise SomeFailed(report.answer(found)[0])


class ChoiceProgress(Progress):
    """Lines about predictions between those about measurements, whose number nobody knows."""

    def __init__(self, *, total: int, quiet: bool = False) -> None:
        super().__init__(total=total, quiet=quiet)
        self._is_quiet = quiet

    def working(self, what: str, done: int, total: int) -> None:
        """Show nothing: a measurement takes seconds, and has a line when it is done."""

    def say(self, text: str) -> None:
        """Write a line."""
        if not self._is_quiet:
            output.say(f"cnnbench: {text}")


@contextmanager
def _interruptible(path: Path, progress: Progress) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        begun = (path / store.MANIFEST).exists()
        again = f"; continue with: cnnbench choose --resume {shlex.quote(str(path))}"
        raise Interrupted(f"interrupted{again if begun else ''}") from None
    finally:
        progress.close()
