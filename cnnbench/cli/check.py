"""``cnnbench check``: a run, or the current code, against a baseline file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnnbench import gate
from cnnbench.cli import completion, measuring, options, pairing, stored, verdicts
from cnnbench.cli.output import say, write
from cnnbench.cli.parameters import NamedPath
from cnnbench.cli.progress import PairProgress, Progress
from cnnbench.errors import Interrupted, UsageError
from cnnbench.gate import thresholds
from cnnbench.report import FORMATS, reasons
from cnnbench.runner import checking
from cnnbench.runner.ab.paired import PairedPlan
from cnnbench.runner.checking import Listener
from cnnbench.runner.executor import executor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.cli.options import View
    from cnnbench.cli.verdicts import Destinations
    from cnnbench.gate import Comparison, Judgement, Threshold

_EPILOG = """\b
Examples:
  cnnbench check --baseline benchmarks/baseline.json --structure-only
  cnnbench check --baseline benchmarks/baseline.json --structure-only --models mypkg.nets:new
  cnnbench check --baseline benchmarks/baseline.json results/RUN
  cnnbench check --baseline benchmarks/baseline.json --threshold latency=5% --threshold params=0
  cnnbench check --baseline results/OLD results/NEW -t 'resnet*/compile*:latency=8%' --strict
  cnnbench check --baseline benchmarks/baseline.json --ci github --junit check.xml

\b
Thresholds: [MODEL[/MODE]:]METRIC=LIMIT with globs; LIMIT is a share such as 5%, 0 or off, for
latency also auto (what earlier comparisons in the baseline file have taught of its noise); for
facets of the structure (operators, kernels, reorders, outputs, allocations, graphs, graph_breaks,
recompiles, cost, values, output, or "structure" for all) a number of differences.

\b
Exit codes: 0 fine, 1 regression, 2 bad input, 3 specs failed or are missing, 4 inconclusive (with
--strict), 5 nothing in common, or different environments (with --strict).
"""


@click.command(epilog=_EPILOG)
@click.argument("run", metavar="[RUN]", required=False, type=NamedPath(),
                shell_complete=completion.runs)  # fmt: skip
@click.option("--baseline", "against", required=True, type=NamedPath(),
              metavar="FILE|DIR", help="A baseline file or a run.")  # fmt: skip
@verdicts.thresholds
@verdicts.config
@click.option("--structure-only", is_flag=True,
              help="Compare only structure: takes seconds, on any machine.")  # fmt: skip
@pairing.explain
@click.option("--models", "others", multiple=True, metavar="NAME",
              help="With --structure-only: a network to look at too, in the ways of the baseline"
              " file; it may be one that was renamed. May be repeated.")  # fmt: skip
@verdicts.strict
@verdicts.force
@verdicts.destinations
@options.view(FORMATS)
@options.plan_option(
    "budget",
    default=f"{PairedPlan.budget:g}",
    help="Time per benchmark measured side by side; the same again to confirm a regression.",
)
@options.plan_option("timeout")
@options.out()
@options.allow
@options.wait
@options.quiet
@options.executor
@options.debug
def command(
    run: Path | None,
    against: Path,
    words: tuple[str, ...],
    config: Path | None,
    structure_only: bool,
    explain: bool | None,
    others: tuple[str, ...],
    strict: bool,
    force: bool,
    to: Destinations,
    view: View,
    budget: float,
    timeout: float | None,
    out: Path | None,
    allowed: tuple[str, ...],
    wait: float | None,
    quiet: bool,
    who: str,
) -> None:
    """Check a run, or the current code, against a baseline file or another run.

    First the structure of the networks, exactly: parameters, MACs, operators, kernels, outputs.
    Then times; where the machine is too noisy to decide, the verdict is "inconclusive". Without
    RUN, the revision that the baseline file was saved at is measured side by side with the current
    code; against stored times, only large changes can be detected.
    """
    if structure_only:
        _refuse("--structure-only times nothing", out=out, explain=explain, wait=wait)
    elif others:
        raise UsageError("--models is for a look at the current code; use --structure-only")
    if run is not None:
        given = {"out": out, "explain": explain, "allow": allowed, "timeout": timeout}
        _refuse(f"{run} is measured already", **given, wait=wait, models=others)
    limits = thresholds.in_force(config, words, Path())
    kept = checking.kept(against)
    if run is not None:
        (known,) = stored.read([run])
        found = checking.with_run(kept, run, gate.side_of(known), limits)
    else:
        if not structure_only:
            # What must not be built is refused before anything is said of the machine.
            measuring.before(kept.specs(allowed), executor(who), wait, quiet=quiet)
        heard = _Heard(limits, view, force=force, quiet=quiet)
        with heard:
            found = checking.with_now(
                kept, limits, heard.listener, timing=not structure_only, out=out,
                executor=who, timeout=timeout, budget=budget, allowed=allowed,
                explain=explain, others=others,
            )  # fmt: skip
    judgement = gate.judge(
        found.comparison, found.thresholds, force=force, timing=not structure_only
    )
    verdicts.show(judgement, view, to, "check")
    gate.conclude(judgement, strict=strict)


def _refuse(because: str, **given: object) -> None:
    """Refuse the first option that was given and has nothing to do."""
    for name, value in given.items():
        if value:
            raise UsageError(f"{because}; drop --{name}")


class _Heard:
    """What a check has found so far: said as it goes, and shown if it is interrupted."""

    def __init__(
        self, limits: Sequence[Threshold], view: View, *, force: bool, quiet: bool
    ) -> None:
        self._limits = limits
        self._view = view
        self._force = force
        self._pairs = PairProgress(quiet=quiet)
        self._structure: Judgement | None = None
        self.listener = Listener(
            say=self._pairs.say,
            structure=self._made_of,
            run=lambda total, path: measuring.interruptible(
                Progress(total=total, quiet=quiet), path
            ),
            pairs=self._pairs,
            stored=lambda path: say(f"kept in {path}"),
        )

    def _made_of(self, found: Comparison) -> None:
        self._structure = gate.judge(found, self._limits, force=self._force, timing=False)
        self._pairs.say(f"structure of {reasons.counts(self._structure)}")

    def __enter__(self) -> None:
        """Begin to listen."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Show what is known, the exact part first, if the check does not come to its end.

        Raises:
            Interrupted: by the user.
        """
        if not isinstance(error, KeyboardInterrupt | Interrupted) or self._structure is None:
            return
        # Not into --output, and not as data: whoever reads those expects all of it.
        told = verdicts.text([self._structure], "table")
        if self._view.kind == "table":
            write(told, None)
        else:
            say(told.rstrip("\n"))
        self._pairs.interrupted()
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted("interrupted; the table above is of the structure only") from None
