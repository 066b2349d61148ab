"""``cnnbench advise``: which mode to run a model in, what it gains and costs, what limits it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnnbench import store
from cnnbench.advice import AdviceFinding, Evidence, advise
from cnnbench.cli import limits, measuring, options
from cnnbench.cli.output import also, keep, paragraph, say, shown, wide, width
from cnnbench.cli.progress import Progress
from cnnbench.codec import encode
from cnnbench.errors import SomeFailed, UsageError
from cnnbench.plan import Plan
from cnnbench.report import usability
from cnnbench.report.budget import fits, to_dict
from cnnbench.report.conclusions import affordable
from cnnbench.report.entry import entries
from cnnbench.report.overview import overview
from cnnbench.report.table import summary
from cnnbench.runner.advise import measure, prepare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.report.budget import Budget
    from cnnbench.report.entry import Entry
    from cnnbench.suite import Grid

_TITLES = {
    "use": "Advice",
    "other": "The other modes",
    "cost": "Costs",
    "limit": "Limits",
    "untried": "Not tried",
}

# What the machine can do at most says whether memory or arithmetic holds the network back. Three
# rounds tell which modes cannot win, some of which may be ten times slower; what remains has more.
_PLAN = Plan(rounds=3, ceilings=True)

_BUDGET = (
    "Time for the whole run, e.g. 90s or 10m: modes that do not fit come last, if time is left, and"
    " what is left then verifies the choice. A busy machine may take longer."
)

_EPILOG = """\b
Examples:
  cnnbench advise resnet50
  cnnbench advise mobilenet_v2 --device cpu --threads 4 --batch 8 --budget 5m
  cnnbench advise mynets:tiny --input 3x64x64 --phase training
  cnnbench advise resnet18 --under 20ms --memory 200MB
  cnnbench advise mobilenet_v3_small --deploy --threads 1
  cnnbench advise lenet --json
"""


@click.command(epilog=_EPILOG)
@options.grid(argument=options.ONE_MODEL, several=False, without=("mode",))
@options.plan("rounds", "budget", "seed", "timeout", base=_PLAN, budget=_BUDGET)
@click.option(
    "--deploy",
    is_flag=True,
    help="Try the deployment runtimes that are installed, too: the modes of run --modes deploy.",
)
@options.out()
@options.wait
@limits.within()
@options.wide
@options.as_json
@options.quiet
@options.executor
@options.debug
def command(
    grid: Grid,
    plan: Plan,
    out: Path | None,
    wait: float | None,
    as_json: bool,
    quiet: bool,
    who: str,
    within: Budget,
    deploy: bool,
) -> None:
    """Recommend the mode to run one model in on this machine, from measurements.

    The sensible modes are measured side by side and kept as a run; one of them is profiled. A mode
    whose output is wrong or loose is never recommended. If no mode is clearly faster than plain
    eager, the advice says whether all are slower, there is no gain worth a mode, or it cannot tell.
    A small budget reduces the rounds first, then the number of modes. At the end, modes that may
    still be more than 5 % faster than the choice are measured again beside it, until that is
    decided or the time is up; without --budget, in 5 further rounds at most, or --rounds if more.
    """
    if plan.rounds < 2:
        raise UsageError("--rounds: advice needs intervals, which need at least 2 rounds")
    asked = prepare(grid, plan, who, deploy=deploy)
    name = store.new_run_name()
    out = out or Path("results") / name
    if (out / store.MANIFEST).exists():
        store.refuse_full(out)
    measuring.before(asked.specs, asked.job.executor, wait, quiet=quiet)
    with measuring.interruptible(Progress(total=len(asked.specs), quiet=quiet), out) as progress:
        evidence = measure(asked, out, progress, name)
    findings = advise(evidence)
    rows = entries([store.read(out)])
    data = _json(evidence, findings, out, rows)
    if within:
        data["within"] = [to_dict(fit) for fit in fits(rows, within)]
    text = json.dumps(data, indent=1) + "\n"
    keep(text, out / "advice.json")
    also(text if as_json else _words(findings, rows, within))
    say(f"kept in {out}: {store.RECORDS}, advice.json")
    if evidence.recommended is None:
        raise SomeFailed("plain eager could not be measured; see its row")


def _words(findings: Sequence[AdviceFinding], rows: Sequence[Entry], within: Budget) -> str:
    """The table of modes, then the findings under their titles."""
    table = summary(rows) if wide() else overview(rows, width=width(), said=False)
    lines = [shown(table)]
    for kind, title in _TITLES.items():
        found = [_line(finding) for finding in findings if finding.kind == kind]
        if kind == "use":
            found += [one.text for one in affordable(rows, within)]
        if found:
            lines += [title, *(paragraph(f"  - {text}") for text in found), ""]
    return "\n".join(lines)


def _line(finding: AdviceFinding) -> str:
    """A limit concerns one mode, which its sentence does not name."""
    named = finding.kind == "limit" and finding.mode
    return f"{finding.mode}: {finding.text}" if named else finding.text


def _json(
    evidence: Evidence, findings: Sequence[AdviceFinding], out: Path, rows: Sequence[Entry]
) -> dict[str, Any]:
    best = evidence.recommended
    return {
        "recommended": None if best is None else best.spec.mode.text,
        "spec": None if best is None else best.id,
        "verdict": None if evidence.choice is None else evidence.choice.verdict,
        "findings": encode(findings),
        "untried": dict(evidence.untried),
        "profiled": None if evidence.profile is None else evidence.profile.spec,
        "run": str(out),
        "usability": next(iter(encode(usability.by_run(rows)).values()), None),
    }
