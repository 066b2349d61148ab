"""``cnnbench ab``: two revisions, interpreters, models or modes against each other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnnbench import gate, store
from cnnbench.cli import measuring, options, pairing, verdicts
from cnnbench.cli.output import say
from cnnbench.cli.progress import PairProgress
from cnnbench.errors import Interrupted
from cnnbench.gate import Threshold, side_by_side
from cnnbench.report import FORMATS
from cnnbench.runner.ab import explaining, pair, paired, sides, subjects

if TYPE_CHECKING:
    from cnnbench.cli.options import View
    from cnnbench.cli.verdicts import Destinations
    from cnnbench.gate import Comparison
    from cnnbench.runner.ab.paired import PairedJob, PairedPlan
    from cnnbench.suite import Grid

_EPILOG = """\b
Examples:
  cnnbench ab main HEAD --models mypkg.nets:tiny --input 3x64x64
  cnnbench ab main . --models mypkg.nets:tiny          the working tree as it is
  cnnbench ab resnet18 resnet34
  cnnbench ab eager channels_last --models resnet18,mobilenet_v2 --threshold 3%
  cnnbench ab --python-a old/bin/python --python-b new/bin/python --models quick
  cnnbench ab main HEAD --models mypkg.nets:tiny --explain
  cnnbench ab main HEAD --models mypkg.nets:tiny --ci github --junit ab.xml --markdown ab.md

\b
BASE and HEAD are tried as git revisions, models and modes, in this order; a prefix says which:
rev:NAME, model:NAME, mode:NAME. '.' is the working tree. The exit code is 1 only if HEAD is clearly
slower; where the machine is too noisy to decide, the verdict is "inconclusive".

\b
Exit codes: 0 fine, 1 regression, 2 bad input, 3 specs failed, 4 inconclusive (with --strict).
"""


@click.command(epilog=_EPILOG)
@click.argument("words", metavar="[BASE HEAD]", nargs=-1)
@options.grid(modes=())
@pairing.how()
@pairing.explain
@pairing.core
@click.option("--python-a", metavar="PATH", help="Python interpreter for BASE.")
@click.option("--python-b", metavar="PATH", help="Python interpreter for HEAD.")
@pairing.repo
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
    how: PairedPlan,
    explain: bool | None,
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
    # Who asks for a number of threads gets it, or no answer.
    how = replace(how, may_narrow=grid.threads is None)
    where = pairing.repository(repo)
    pythons = (python_a, python_b)
    both = sides.pair(words, where, pythons=any(pythons))
    models, modes = subjects.selection(grid.models, grid.modes, both)
    grid = replace(grid, models=models, modes=modes)
    for line in subjects.notices(models, both, where):
        say(f"cnnbench: {line}")
    out = out or Path("results") / f"ab-{store.new_run_name()}"
    with (
        pair.pinned(core),
        sides.opened(both, where, pythons) as opened,
        paired.prepared(opened, grid, how, who, fake_slowdown) as job,
    ):
        specs = [one.base for one in job.comparisons]
        measuring.before(specs, job.executors["base"], wait, quiet=quiet)
        found = _measured(job, out, PairProgress(quiet=quiet), explain=explain)
    limits = [Threshold("latency", how.rule.threshold), Threshold("output", 0, asked=False)]
    judgement = gate.judge(found, limits)
    verdicts.show(judgement, view, to, "ab")
    say(f"kept in {out}: base, head, {paired.VERDICTS}")
    gate.conclude(judgement, strict=strict)


def _measured(
    job: PairedJob, out: Path, progress: PairProgress, *, explain: bool | None
) -> Comparison:
    try:
        outcomes = paired.run(job, out, progress)
        told = explaining.of_outcomes(
            [one for one in outcomes if explaining.wanted(one, explain)],
            job.executors, job.plan, job.budget, progress.say, out,
        )  # fmt: skip
        return side_by_side.explained(job.comparison(outcomes), told)
    except KeyboardInterrupt:
        progress.interrupted()
        done = progress.judged_so_far
        kept = f"; the verdicts are kept in {out}" if done else ""
        raise Interrupted(
            f"interrupted; {done} of {len(job.comparisons)} benchmarks have a verdict{kept}"
        ) from None
