"""``cnnbench ab``: two revisions, interpreters, models or modes against each other."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnnbench import gate, store
from cnnbench.cli import measuring, options, verdicts
from cnnbench.cli.output import say
from cnnbench.cli.parameters import Parameter, Percent
from cnnbench.cli.progress import PairProgress
from cnnbench.errors import Interrupted, UsageError
from cnnbench.gate import Threshold
from cnnbench.gate.rule import SequentialRule
from cnnbench.report import FORMATS
from cnnbench.runner.ab import pair, paired, revisions, sides
from cnnbench.runner.ab.paired import PairedPlan

if TYPE_CHECKING:
    from cnnbench.cli.options import View
    from cnnbench.cli.verdicts import Destinations
    from cnnbench.gate import Comparison
    from cnnbench.plan import Plan
    from cnnbench.runner.ab.paired import PairedJob
    from cnnbench.suite import Grid

_EPILOG = """\b
Examples:
  cnnbench ab main HEAD --models mypkg.nets:tiny --input 3x64x64
  cnnbench ab main . --models mypkg.nets:tiny          the working tree as it is
  cnnbench ab resnet18 resnet34
  cnnbench ab eager channels_last --models resnet18,mobilenet_v2 --threshold 3%
  cnnbench ab --python-a old/bin/python --python-b new/bin/python --models quick
  cnnbench ab main HEAD --models mypkg.nets:tiny --ci github --junit ab.xml --markdown ab.md

\b
BASE and HEAD are tried as git revisions, models and modes, in this order; a prefix says which:
rev:NAME, model:NAME, mode:NAME. '.' is the working tree. The exit code is 1 only if HEAD is clearly
slower; where the machine is too noisy to decide, the verdict is "inconclusive".

\b
Exit codes: 0 fine, 1 regression, 2 bad input, 3 specs failed, 4 inconclusive (with --strict).
"""


class Range(Parameter):
    """A range of whole numbers, such as ``3..10``."""

    name = "N..N"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        """Read ``3..10`` or ``5``."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d+)(?:\.\.(\d+))?", str(value).strip())
        least, most = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 2 <= least <= most:
            self.fail(f"'{value}' is not a range such as 3..10; the least allowed is 2", param, ctx)
        return least, most


@click.command(epilog=_EPILOG)
@click.argument("words", metavar="[BASE HEAD]", nargs=-1)
@options.grid(modes=())
@click.option("--threshold", type=Percent(most=10.0), default="5%", show_default=True,
              help="Largest acceptable slowdown; the verdict switches at half of it.",
)  # fmt: skip
@click.option("--pairs", type=Range(), default="3..10", show_default=True,
              help="Number of pairs at the first look, and the most before the last.")  # fmt: skip
@options.plan_option("slices", default=PairedPlan.plan.slices, type=click.IntRange(min=3))
@options.plan_option("budget", default=f"{PairedPlan.budget:g}",
                     help="Time per benchmark; the same again to confirm a regression.",
)  # fmt: skip
@click.option("--core", type=click.IntRange(min=0), help="Pin everything to this core.")
@click.option("--python-a", metavar="PATH", help="Python interpreter for BASE.")
@click.option("--python-b", metavar="PATH", help="Python interpreter for HEAD.")
@click.option("--repo", type=click.Path(path_type=Path, file_okay=False, exists=True),
              help="Git repository of the revisions.  [default: the current one]")  # fmt: skip
@options.plan("seed", "timeout", "l2", "cudnn_benchmark")
@verdicts.strict
@verdicts.destinations
@options.view(FORMATS)
@options.out("results/ab-TIME-ID")
@options.wait
@options.quiet
@options.executor
@click.option(
    "--fake-slowdown", type=float, default=0.0, hidden=True, help="Slow-down of the fake head."
)
@options.debug
def command(
    words: tuple[str, ...],
    grid: Grid,
    plan: Plan,
    threshold: float,
    pairs: tuple[int, int],
    slices: int,
    budget: float,
    core: int | None,
    python_a: str | None,
    python_b: str | None,
    repo: Path | None,
    strict: bool,
    to: Destinations,
    view: View,
    out: Path | None,
    wait: float | None,
    quiet: bool,
    who: str,
    fake_slowdown: float,
) -> None:
    """Tell whether HEAD is slower than BASE: both are measured now, side by side in pairs.

    A pair is one fresh process of each side, alive at the same time on the same cores; the two take
    turns in slices of 60 ms in random order. After every pair the decision rule checks whether the
    interval lies on one side of half the threshold. A regression is measured a second time before
    it is reported. If BASE and HEAD are models or modes, they replace --models or --modes; the
    defaults are quick and eager.
    """
    where = revisions.repository(repo or Path.cwd())
    if repo is not None and where is None:
        raise UsageError(f"--repo {repo}: not a git repository")
    pythons = (python_a, python_b)
    both = sides.pair(words, where, pythons=any(pythons))
    models, modes = paired.selection(grid.models, grid.modes, both)
    grid = replace(grid, models=models, modes=modes)
    for line in paired.notices(models, both, where):
        say(f"cnnbench: {line}")
    rule = SequentialRule(threshold, least=pairs[0], most=pairs[1])
    how = PairedPlan(rule, replace(plan, slices=slices), budget)
    out = out or Path("results") / f"ab-{store.new_run_name()}"
    with pair.pinned(core), sides.opened(both, where, pythons) as opened:
        job = paired.prepare(opened, grid, how, who, fake_slowdown)
        specs = [one.base for one in job.comparisons]
        measuring.before(specs, job.executors["base"], wait, quiet=quiet)
        found = _measured(job, out, PairProgress(quiet=quiet))
    limits = [Threshold("latency", threshold), Threshold("output", 0, asked=False)]
    judgement = gate.judge(found, limits)
    verdicts.show(judgement, view, to, "ab")
    say(f"kept in {out}: base, head, {paired.VERDICTS}")
    gate.conclude(judgement, strict=strict)


def _measured(job: PairedJob, out: Path, progress: PairProgress) -> Comparison:
    try:
        return job.comparison(paired.run(job, out, progress))
    except KeyboardInterrupt:
        progress.interrupted()
        done = progress.judged_so_far
        kept = f"; the verdicts are kept in {out}" if done else ""
        raise Interrupted(
            f"interrupted; {done} of {len(job.comparisons)} benchmarks have a verdict{kept}"
        ) from None
