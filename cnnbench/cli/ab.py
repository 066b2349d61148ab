"""``cnnbench ab``: two revisions, interpreters, models or modes against each other."""

from __future__ import annotations

import json
import re
import signal
import statistics
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnnbench import metrics, store, units
from cnnbench.cli.parameters import Numbers, Pair, Parameter, Percent, Seconds, Shape, Sizes, Words
from cnnbench.errors import Inconclusive, Interrupted, Regressed, SomeFailed, UsageError
from cnnbench.gate.rule import SequentialRule
from cnnbench.report import render
from cnnbench.report.table import Column, Table
from cnnbench.runner.ab import pair, paired, revisions, sides
from cnnbench.spec import PHASES, Device
from cnnbench.suite import Grid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cnnbench.record import Run
    from cnnbench.runner.ab.paired import PairedJob
    from cnnbench.runner.ab.session import PairedComparison, PairedOutcome
    from cnnbench.runner.ab.sides import CodeSide

_EPILOG = """\b
Examples:
  cnnbench ab main HEAD --models mypkg.nets:tiny --input 3x64x64
  cnnbench ab main . --models mypkg.nets:tiny          the working tree as it is
  cnnbench ab resnet18 resnet34
  cnnbench ab eager channels_last --models resnet18,mobilenet_v2 --threshold 3%
  cnnbench ab --python-a old/bin/python --python-b new/bin/python --models quick

\b
BASE and HEAD are tried as git revisions, models and modes, in this order; a prefix says which:
rev:NAME, model:NAME, mode:NAME. '.' is the working tree. Fails (exit 1) only where head is slower
by more than the threshold as far as the machine can tell; otherwise it says "inconclusive".
"""


class Range(Parameter):
    """Two numbers."""

    name = "N..N"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        """Read ``3..10`` or ``5``."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d+)(?:\.\.(\d+))?", str(value).strip())
        least, most = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 2 <= least <= most:
            self.fail(f"'{value}' is not a range such as 3..10, from 2 on", param, ctx)
        return least, most


@click.command(epilog=_EPILOG)
@click.argument("words", metavar="[BASE HEAD]", nargs=-1)
@click.option("--models", type=Words(), help="As of run.  [default: quick; BASE and HEAD]")
@click.option("--modes", type=Words(), help="As of run.  [default: eager; BASE and HEAD]")
@click.option("--device", help="cpu, cuda or cuda:INDEX.  [default: the best present]")
@click.option("--batch", type=Numbers(), default="1", show_default=True, help="Batch sizes.")
@click.option("--size", type=Sizes(), help="Heights and widths, e.g. 160,224x192.")
@click.option("--input", "shape", type=Shape("1x28x28", (1, 2, 3, 4)), help="Shape of a sample.")
@click.option("--phase", type=Words(), default="inference", show_default=True,
              help=f"Any of {', '.join(PHASES)}.")  # fmt: skip
@click.option("--threads", type=Numbers(), help="CPU threads.  [default: all cores]")
@click.option("--model-arg", type=Pair(), multiple=True, help="Argument of the builders.")
@click.option("--threshold", type=Percent(most=10.0), default="5%", show_default=True,
              help="What must not pass: half of it is where the verdict turns.")  # fmt: skip
@click.option("--pairs", type=Range(), default="3..10", show_default=True,
              help="Fresh pairs of processes before the first look and at the last.")  # fmt: skip
@click.option("--slices", type=click.IntRange(min=3), default=paired.PairedPlan.slices,
              show_default=True,
              help="Turns of each side in a pair.")  # fmt: skip
@click.option("--budget", type=Seconds(), default=f"{paired.PairedPlan.budget:g}",
              show_default=True,
              help="Time per benchmark; as much again to confirm a regression.")  # fmt: skip
@click.option("--core", type=click.IntRange(min=0), help="Run everything on this core.")
@click.option("--python-a", metavar="PATH", help="Interpreter of BASE.")
@click.option("--python-b", metavar="PATH", help="Interpreter of HEAD.")
@click.option("--repo", type=click.Path(path_type=Path, file_okay=False, exists=True),
              help="Where the revisions are.  [default: here]")  # fmt: skip
@click.option("--seed", type=int, default=paired.PairedPlan.seed, show_default=True,
              help="Of weights, inputs and the order of turns.")  # fmt: skip
@click.option("--timeout", type=Seconds(), default=f"{paired.PairedPlan.timeout:g}",
              show_default=True,
              help="Longest that one step of a worker may take.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False),
              help="Gets base, head, verdicts.json.  [default: results/ab-TIME-ID]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the verdicts as JSON.")
@click.option("--strict", is_flag=True, help="Exit 4 if a verdict is inconclusive.")
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@click.option("--executor", default="process", hidden=True, help="process or fake.")
@click.option("--fake-slowdown", type=float, default=0.0, hidden=True, help="Of the fake head.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def command(words: tuple[str, ...], **options: Any) -> None:
    """Say whether HEAD is slower than BASE: both are measured now, in duet.

    For every pair a fresh process of each side lives at the same time on the same cores; they take
    turns in slices of 60 ms in random order. After every pair the rule looks whether the interval
    is clear of half the threshold. A regression is measured a second time before it is reported.
    """
    root = options["repo"] or Path.cwd()
    repo = revisions.repository(root)
    if options["repo"] is not None and repo is None:
        raise UsageError(f"--repo {root}: no git repository")
    pythons = (options["python_a"], options["python_b"])
    both = sides.pair(words, repo, pythons=any(pythons))
    grid = _grid(options, both)
    for line in _notices(grid, both, repo):
        _say(line, quiet=False)
    out = options["out"] or Path("results") / f"ab-{store.new_run_name()}"
    with pair.pinned(options["core"]), _terminable(), sides.opened(both, repo, pythons) as opened:
        prepared, outcomes = _play(opened, grid, options, out)
    _show(prepared, outcomes, out, as_json=options["as_json"])
    conclude(outcomes, strict=options["strict"])


def _grid(options: dict[str, Any], both: tuple[sides.Named, sides.Named]) -> Grid:
    if both[0].kind == "mode" and options["modes"]:
        raise UsageError("BASE and HEAD are modes already; drop --modes")
    return Grid(
        models=paired.models_or_default(options["models"], both),
        modes=options["modes"] or ("eager",),
        device=None if options["device"] is None else Device.parse(options["device"]),
        batches=options["batch"],
        phases=options["phase"],
        sizes=options["size"] or (),
        input=options["shape"],
        threads=options["threads"],
        arguments=dict(options["model_arg"]),
    )


def _notices(grid: Grid, both: tuple[sides.Named, sides.Named], repo: Path | None) -> list[str]:
    found = sides.notices(*both, repo)
    same = paired.ours(grid.models, both, repo)
    if same:
        found.append(f"{', '.join(same)}: part of cnnbench, the same in both revisions")
    return found


def _how(options: dict[str, Any]) -> paired.PairedPlan:
    least, most = options["pairs"]
    return paired.PairedPlan(
        rule=SequentialRule(options["threshold"], least=least, most=most),
        slices=options["slices"],
        budget=options["budget"],
        seed=options["seed"],
        timeout=options["timeout"],
        executor=options["executor"],
        slowdown=options["fake_slowdown"],
    )


@contextmanager
def _terminable() -> Iterator[None]:
    """A polite end, as a CI job sends it, is like Ctrl-C: checkouts and workers must go."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _play(
    opened: tuple[CodeSide, CodeSide], grid: Grid, options: dict[str, Any], out: Path
) -> tuple[PairedJob, list[PairedOutcome]]:
    prepared = paired.prepare(opened, grid, _how(options))
    watcher = Announcer(quiet=options["quiet"])
    try:
        return prepared, paired.run(prepared, out, watcher)
    except KeyboardInterrupt:
        total = len(prepared.contests)
        kept = f"; the verdicts are kept in {out}" if watcher.judged_so_far else ""
        raise Interrupted(
            f"interrupted; {watcher.judged_so_far} of {total} benchmarks were judged{kept}"
        ) from None


def _say(text: str, *, quiet: bool) -> None:
    if not quiet:
        click.echo(f"cnnbench: {text}", err=True)


class Announcer:
    """Writes to stderr how far a duet is."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self.judged_so_far = 0

    def pair(self, number: int, undecided: int, total: int) -> None:
        """A pair of starters begins."""
        _say(f"pair {number + 1}: {undecided} of {total} benchmarks undecided", quiet=self._quiet)

    def working(self, contest: PairedComparison, number: int, *, confirming: bool) -> None:
        """A line only where something unusual happens."""
        if confirming and number == 1:
            _say(f"{contest.name}: looks slower; measuring again to confirm", quiet=self._quiet)

    def judged(self, outcome: PairedOutcome) -> None:
        """A line per verdict."""
        self.judged_so_far += 1
        _say(f"{outcome.contest.name}: {outcome.verdict} {_change(outcome)}", quiet=self._quiet)


_COLUMNS = (
    Column("spec", "spec"),
    Column("base", "base", "seconds"),
    Column("change", "head"),
    Column("verdict", "verdict"),
    Column("pairs", "pairs", "whole"),
    Column("seconds", "took", "seconds"),
    Column("off_cpu", "no core", "fraction"),
)


def _change(outcome: PairedOutcome) -> str:
    """Head over base as a change, with its interval."""
    found = outcome.decision
    if found.estimate is None:
        return ""
    point = units.percent(found.estimate, sign=True)
    if found.low is None or found.high is None:
        return point
    low, high = (units.percent(end, sign=True) for end in (found.low, found.high))
    return f"{point} [{low}, {high}]"


def _row(outcome: PairedOutcome) -> tuple[Any, ...]:
    return (
        outcome.contest.name,
        _seconds(outcome.runs.get("base", ())),
        _change(outcome) or None,
        outcome.verdict,
        len(outcome.pairs) + len(outcome.confirmation),
        outcome.seconds,
        outcome.off_cpu,
    )


def _seconds(runs: Sequence[Run]) -> float | None:
    values = [value for run in runs if (value := metrics.run_seconds(run)) is not None]
    return statistics.median(values) if values else None


def table(prepared: PairedJob, outcomes: Sequence[PairedOutcome]) -> Table:
    """Sides, verdicts, reasons, and what the machine can resolve today."""
    captions = [_caption(prepared, side) for side in prepared.sides]
    rule = prepared.contests[0].rule
    captions.append(
        f"threshold {units.percent(rule.threshold)}, {rule.least} to {rule.most} pairs,"
        f" intervals at {units.percent(1 - 2 * rule.alpha)}"
    )
    if any(environment.hard.get("fake") for environment in prepared.environments.values()):
        captions.insert(0, "FAKE EXECUTOR: these numbers are made up")
    reasons = [
        f"{outcome.contest.name}: {outcome.decision.reason}"
        for outcome in outcomes
        if outcome.decision.reason
    ]
    reasons += [
        f"{outcome.contest.name}: somebody else was on its core; the time spent waiting for it is"
        f" taken out ({_pairs(outcome)})"
        for outcome in outcomes
        if outcome.waited
    ]
    return Table(
        _COLUMNS, tuple(map(_row, outcomes)), tuple(captions), (*reasons, *_resolution(outcomes))
    )


def _pairs(outcome: PairedOutcome) -> str:
    count = len(outcome.runs.get("base", ()))
    return f"{outcome.waited} of {count} pairs"


def _caption(prepared: PairedJob, side: CodeSide) -> str:
    version = paired.torch_of(prepared.environments[side.role])
    return f"{side.role}: {side.text}" + (f", torch {version}" if version else "")


def _resolution(outcomes: Sequence[PairedOutcome]) -> list[str]:
    """What the machine can resolve today."""
    known = {
        outcome.contest.name: outcome.decision.resolvable
        for outcome in outcomes
        if outcome.decision.resolvable is not None
    }
    if not known:
        return []
    worst = max(known, key=lambda name: known[name])
    middle = units.percent(statistics.median(known.values()))
    if len(known) == 1:
        return [f"this machine can resolve about {middle} here today"]
    return [
        f"this machine can resolve about {middle} today (the worst: {units.percent(known[worst])}"
        f" for {worst})"
    ]


def _show(
    prepared: PairedJob, outcomes: Sequence[PairedOutcome], out: Path, *, as_json: bool
) -> None:
    if as_json:
        click.echo(json.dumps(paired.as_json(prepared, outcomes), indent=1))
    else:
        click.echo(render(table(prepared, outcomes), "table"), nl=False)
    click.echo(f"kept in {out}: base, head, {paired.VERDICTS}", err=True)


def conclude(outcomes: Sequence[PairedOutcome], *, strict: bool) -> None:
    """What the verdicts mean for a job.

    Raises:
        Regressed, SomeFailed: there is such a verdict.
        Inconclusive: there is one, and ``strict``.
    """
    counts = dict.fromkeys(("regression", "failed", "inconclusive"), 0)
    for outcome in outcomes:
        counts[outcome.verdict] = counts.get(outcome.verdict, 0) + 1
    total = len(outcomes)
    if counts["regression"]:
        raise Regressed(f"{counts['regression']} of {total} benchmarks regressed")
    if counts["failed"]:
        raise SomeFailed(f"{counts['failed']} of {total} benchmarks failed; see the reasons")
    if strict and counts["inconclusive"]:
        raise Inconclusive(f"{counts['inconclusive']} of {total} benchmarks are inconclusive")
