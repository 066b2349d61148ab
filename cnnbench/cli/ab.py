"""``cnnbench ab``: two revisions, interpreters, models or modes against each other."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnnbench import gate, store
from cnnbench.cli import verdicts
from cnnbench.cli.parameters import Numbers, Pair, Parameter, Percent, Seconds, Shape, Sizes, Words
from cnnbench.cli.progress import PairProgress
from cnnbench.errors import Interrupted, UsageError
from cnnbench.gate import Threshold
from cnnbench.gate.rule import SequentialRule
from cnnbench.runner.ab import pair, paired, revisions, sides
from cnnbench.runner.ab.paired import PairedPlan
from cnnbench.runner.campaign import Order
from cnnbench.spec import PHASES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.cli.verdicts import Destinations
    from cnnbench.gate import Comparison
    from cnnbench.runner.ab.sides import Named

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
rev:NAME, model:NAME, mode:NAME. '.' is the working tree. Fails (exit 1) only where head is slower
by more than the threshold as far as the machine can tell; otherwise it says "inconclusive".

\b
Exit codes: 0 fine, 1 regression, 2 bad input, 3 specs failed, 4 inconclusive (with --strict).
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


@dataclass(frozen=True)
class _Wish:
    """What the options of the command say; the parameters of ``command``, by name."""

    models: tuple[str, ...] | None
    modes: tuple[str, ...] | None
    device: str | None
    batch: tuple[int, ...]
    size: tuple[tuple[int, int], ...] | None
    shape: tuple[int, ...] | None
    phase: tuple[str, ...]
    threads: tuple[int, ...] | None
    model_arg: tuple[tuple[str, Any], ...]
    threshold: float
    pairs: tuple[int, int]
    slices: int
    budget: float
    core: int | None
    python_a: str | None
    python_b: str | None
    repo: Path | None
    seed: int
    timeout: float
    executor: str
    fake_slowdown: float


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
              help="Largest acceptable slowdown; the verdict switches at half of it.",
)  # fmt: skip
@click.option("--pairs", type=Range(), default="3..10", show_default=True,
              help="Fresh pairs of processes before the first look and at the last.")  # fmt: skip
@click.option("--slices", type=click.IntRange(min=3), default=PairedPlan.slices,
              show_default=True, help="Turns of each side in a pair.")  # fmt: skip
@click.option("--budget", type=Seconds(), default=f"{PairedPlan.budget:g}", show_default=True,
              help="Time per benchmark; as much again to confirm a regression.")  # fmt: skip
@click.option("--core", type=click.IntRange(min=0), help="Run everything on this core.")
@click.option("--python-a", metavar="PATH", help="Interpreter of BASE.")
@click.option("--python-b", metavar="PATH", help="Interpreter of HEAD.")
@click.option("--repo", type=click.Path(path_type=Path, file_okay=False, exists=True),
              help="Where the revisions are.  [default: here]")  # fmt: skip
@click.option("--seed", type=int, default=PairedPlan.seed, show_default=True,
              help="Seed for weights, inputs and turn order.")  # fmt: skip
@click.option("--timeout", type=Seconds(), default=f"{PairedPlan.timeout:g}", show_default=True,
              help="Longest that one step of a worker may take, e.g. 90s or 10m.")  # fmt: skip
@click.option("--strict", is_flag=True, help="Inconclusive is exit code 4.")
@verdicts.destinations
@click.option("--out", type=click.Path(path_type=Path, file_okay=False),
              metavar="DIR",
              help="Gets base, head, verdicts.json.  [default: results/ab-TIME-ID]")  # fmt: skip
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@click.option("--executor", default="process", hidden=True, help="process or fake.")
@click.option("--fake-slowdown", type=float, default=0.0, hidden=True, help="Of the fake head.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
def command(
    words: tuple[str, ...],
    to: Destinations,
    out: Path | None,
    strict: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Say whether HEAD is slower than BASE: both are measured now, side by side in pairs.

    For every pair a fresh process of each side lives at the same time on the same cores; they take
    turns in slices of 60 ms in random order. After every pair the rule looks whether the interval
    is clear of half the threshold. A regression is measured a second time before it is reported.
    """
    wish, progress = _Wish(**options), PairProgress(quiet=quiet)
    out = out or Path("results") / f"ab-{store.new_run_name()}"
    judgement = gate.judge(
        _measured(words, wish, out, progress), [Threshold("latency", wish.threshold)]
    )
    verdicts.show(judgement, to, "ab")
    click.echo(f"kept in {out}: base, head, {paired.VERDICTS}", err=True)
    gate.conclude(judgement, strict=strict)


def _measured(words: Sequence[str], wish: _Wish, out: Path, progress: PairProgress) -> Comparison:
    repo = revisions.repository(wish.repo or Path.cwd())
    if wish.repo is not None and repo is None:
        raise UsageError(f"--repo {wish.repo}: no git repository")
    pythons = (wish.python_a, wish.python_b)
    both = sides.pair(words, repo, pythons=any(pythons))
    order = _order(wish, both)
    for line in paired.notices(order.models, both, repo):
        click.echo(f"cnnbench: {line}", err=True)
    with (
        pair.pinned(wish.core),
        pair.terminable(),
        sides.opened(both, repo, pythons) as opened,
    ):
        job = paired.prepare(opened, order, _how(wish))
        try:
            return job.comparison(paired.run(job, out, progress))
        except KeyboardInterrupt:
            done = progress.judged_so_far
            kept = f"; the verdicts are kept in {out}" if done else ""
            raise Interrupted(
                f"interrupted; {done} of {len(job.comparisons)} benchmarks were judged{kept}"
            ) from None


def _order(wish: _Wish, both: tuple[Named, Named]) -> Order:
    if wish.size and wish.shape:
        raise UsageError("--size and --input both say the shape; keep one")
    models, modes = paired.selection(wish.models, wish.modes, both)
    return Order(
        models=models,
        modes=modes,
        device=wish.device,
        batches=wish.batch,
        phases=wish.phase,
        sizes=wish.size or (),
        input=wish.shape,
        threads=wish.threads,
        arguments=dict(wish.model_arg),
        executor=wish.executor,
    )


def _how(wish: _Wish) -> PairedPlan:
    least, most = wish.pairs
    return PairedPlan(
        rule=SequentialRule(wish.threshold, least=least, most=most),
        slices=wish.slices,
        budget=wish.budget,
        seed=wish.seed,
        timeout=wish.timeout,
        executor=wish.executor,
        slowdown=wish.fake_slowdown,
    )
