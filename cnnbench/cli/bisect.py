"""``cnnbench bisect``: the commit between two revisions that made it slower."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnnbench import store, trust
from cnnbench.cli import completion, measuring, options, pairing
from cnnbench.cli import who as measures
from cnnbench.cli.output import also, say, shown
from cnnbench.cli.parameters import NamedPath
from cnnbench.cli.progress import PairProgress
from cnnbench.errors import Interrupted, UsageError
from cnnbench.gate import bisected
from cnnbench.inert import in_json
from cnnbench.report import bisection
from cnnbench.runner.ab import pair, paired, sides, subjects
from cnnbench.runner.bisect import question, state
from cnnbench.runner.bisect.search import Bisecting, SearchListener
from cnnbench.runner.executor import executor
from cnnbench.runner.fake import Fake
from cnnbench.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.cli.options import View
    from cnnbench.gate.bisected import Bisection
    from cnnbench.runner.ab.paired import Maker, PairedPlan
    from cnnbench.runner.ab.sides import CodeSide
    from cnnbench.runner.bisect.question import Question
    from cnnbench.runner.bisect.state import State
    from cnnbench.suite import Grid

_EPILOG = """\b
Examples:
  cnnbench bisect v1.0 main --models mypkg.nets:tiny --input 3x64x64
  cnnbench bisect v1.0 main --models mypkg.nets:tiny --threads 1 --json
  cnnbench bisect v1.0 main --models mypkg.nets:tiny --structure-only
  cnnbench bisect v1.0 main --resume results/bisect-TIME-ID

\b
Exit codes: 0 the commit is named, 2 bad input or nothing to bisect, 3 GOOD or BAD cannot be
measured, 4 the answer is a range, or it cannot be decided whether BAD is slower.
"""

# What goes with --resume; everything else is in what is resumed.
_BESIDE_RESUME = (
    "good", "bad", "resume", "explain", "repo", "allowed", "core", "wait", "kind", "as_json",
    "output", "quiet", "who", "allocator", "fake_culprit", "fake_slowdown", "debug",
)  # fmt: skip


@click.command(epilog=_EPILOG)
@click.argument("good")
@click.argument("bad")
@options.grid(modes="eager")
# Its looks are stricter than those of ab, and a commit that stays open costs more than pairs.
@pairing.how("3..20")
@click.option("--structure-only", is_flag=True,
              help="Find where the structure changed; nothing is timed.")  # fmt: skip
@click.option("--explain/--no-explain", default=True, show_default=True,
              help="Say which modules the commit made slower.")  # fmt: skip
@pairing.core
@pairing.repo
@options.view(("table", "markdown", "json"))
@options.out("results/bisect-TIME-ID")
@click.option("--resume", type=NamedPath(), metavar="DIR",
              shell_complete=completion.runs, help="Go on with a bisection.")  # fmt: skip
@options.allow
@options.wait
@options.quiet
@options.executor
@click.option("--fake-culprit", hidden=True, help="From where on the fake executor is slower.")
@click.option("--fake-slowdown", type=float, default=0.1, hidden=True, help="By how much.")
@options.debug
@click.pass_context
def command(
    ctx: click.Context,
    /,
    good: str,
    bad: str,
    grid: Grid,
    how: PairedPlan,
    structure_only: bool,
    explain: bool,
    core: int | None,
    repo: Path | None,
    view: View,
    out: Path | None,
    resume: Path | None,
    allowed: tuple[str, ...],
    wait: float | None,
    quiet: bool,
    who: str,
    fake_culprit: str | None,
    fake_slowdown: float,
) -> None:
    """Find the commit between GOOD and BAD that made a network slower.

    The line of commits follows first parents, so that a merge counts as one commit. First the
    structure is compared, exactly and without a clock: it shows which commits to suspect. Then
    commits are measured side by side with GOOD, in pairs as 'cnnbench ab' does it, and the answer
    once more with the commit before it. Commits that do not build are skipped. Nothing is changed
    in your checkout.
    """
    progress = PairProgress(quiet=quiet)
    asked = question.question(good, bad, pairing.repository(repo))
    maker = _maker(asked, who, fake_culprit, fake_slowdown)
    folder = resume or out or Path("results") / f"bisect-{store.new_run_name()}"
    with pair.pinned(core):
        if resume is not None:
            options.refuse_others(ctx, _BESIDE_RESUME, "--resume takes everything from DIR")
            begun = question.resumed(resume, asked, maker, allowed)
        elif allowed:
            raise UsageError(f"{trust.OPTION} goes with --resume DIR")
        else:
            begun = _begun(asked, grid, how, maker, progress, timed=not structure_only)
            store.refuse_full(folder)
        if begun.timed:
            specs = list(map(Spec.parse, begun.specs))
            measuring.before(specs, executor(begun.executor), wait, quiet=quiet)
        listener = SearchListener(progress.say, progress)
        try:
            found = Bisecting(asked, begun, folder, listener, maker, explain=explain).run()
        except KeyboardInterrupt:
            same = _same(repo, core, explain=explain)
            raise Interrupted(
                f"interrupted{_continue(asked, begun, folder, allowed, same)}"
            ) from None
    also(_text(found, view.kind), view.output)
    say(f"kept in {folder}: {state.NAME} and the runs of every comparison")
    bisected.conclude(found)


def _begun(
    asked: Question,
    grid: Grid,
    how: PairedPlan,
    maker: Maker,
    progress: PairProgress,
    *,
    timed: bool,
) -> State:
    both = (asked.named(0), asked.named(len(asked.commits) - 1))
    models, modes = subjects.selection(grid.models, grid.modes, both)
    same = subjects.ours(models, both, asked.repo)
    if same:
        progress.say(same)
    grid = replace(grid, models=models, modes=modes)
    return question.prepare(asked, grid, how, maker, timed=timed)


def _maker(asked: Question, who: str, culprit: str | None, slowdown: float) -> Maker:
    """What makes the executor of a side; a pretended one is slower from a commit on."""
    if who != "fake":
        return lambda side: paired.executor_of(side, who)
    place = {one.sha: number for number, one in enumerate(asked.commits)}
    first = len(place)
    if culprit is not None:
        first = place[sides.named(f"rev:{culprit}", asked.repo).commit]

    def pretended(side: CodeSide) -> Fake:
        commit = side.named.commit
        return Fake(commit, slowdown if place[commit] >= first else 0.0)

    return pretended


def _same(repo: Path | None, core: int | None, *, explain: bool) -> list[str]:
    """What is not kept with a bisection, as words of the command that goes on with it."""
    where = [] if repo is None else ["--repo", str(repo)]
    pinned = [] if core is None else ["--core", str(core)]
    return [*where, *pinned, *["--no-explain"] * (not explain), *measures.again()]


def _continue(
    asked: Question, begun: State, folder: Path, allowed: Sequence[str], same: Sequence[str]
) -> str:
    """How to go on with a bisection; what its file names may need permission."""
    given = [*same, *(word for one in allowed for word in (trust.OPTION, one))]
    words = shlex.join([*asked.names, "--resume", str(folder), *given])
    more = trust.options(begun.specs, folder / state.NAME, allowed)
    return f"; continue with: cnnbench bisect {words}{more}"


def _text(found: Bisection, kind: str) -> str:
    if kind == "json":
        return in_json(json.dumps(bisection.data(found), indent=1)) + "\n"
    return shown(bisection.table(found), kind)
