"""``cnnbench advise``: which mode to run a model in, what it gains and costs, what limits it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnnbench import store
from cnnbench.advice import AdviceFinding, Evidence, advise
from cnnbench.cli.one_model import of_one_model, order
from cnnbench.cli.output import write
from cnnbench.cli.parameters import Seconds
from cnnbench.cli.progress import Progress
from cnnbench.codec import encode
from cnnbench.errors import Interrupted, SomeFailed, StoreError
from cnnbench.plan import Plan
from cnnbench.report import render
from cnnbench.report.table import entries, summary
from cnnbench.runner.advise import measure, prepare

if TYPE_CHECKING:
    from collections.abc import Sequence

_TITLES = {
    "use": "Advice",
    "other": "The other modes",
    "cost": "What it costs",
    "limit": "What holds it back",
    "untried": "Not tried",
}

_EPILOG = """\b
Examples:
  cnnbench advise resnet50
  cnnbench advise mobilenet_v2 --device cpu --threads 4 --batch 8 --budget 5m
  cnnbench advise mynets:tiny --input 3x64x64 --phase training
  cnnbench advise lenet --json
"""


@click.command(epilog=_EPILOG)
@of_one_model
@click.option("--budget", type=Seconds(),
              help="Rough time, e.g. 90s or 10m: fewer rounds, then fewer modes.")  # fmt: skip
@click.option("--rounds", type=click.IntRange(min=2), default=Plan.rounds, show_default=True,
              help="Fresh starts of all workers.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False),
              help="Run directory.  [default: results/TIME-ID]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def command(**options: Any) -> None:
    """Say which mode to run one model in on this machine, measured, in plain words.

    The sensible modes are measured side by side and kept as a run; one of them is profiled. A mode
    whose output is wrong or loose is never recommended. Where nothing is clearly faster than plain
    eager, the advice says whether all is slower, the difference is not clear, or not repeated.
    """
    job, untried = prepare(order(options, _plan(options)), options["budget"])
    name = store.new_run_name()
    out = options["out"] or Path("results") / name
    if (out / store.MANIFEST).exists():
        raise StoreError(
            f"{out} holds another run; choose another --out (to measure what is missing there:"
            f" cnnbench run --resume {out})"
        )
    progress = Progress(total=len(job.specs), quiet=options["quiet"])
    try:
        evidence = measure(job, untried, out, progress, name)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; continue with: cnnbench run --resume {out}") from None
    finally:
        progress.close()
    findings = advise(evidence)
    text = json.dumps(_json(evidence, findings, out), indent=1) + "\n"
    write(text, out / "advice.json")
    click.echo(text if options["as_json"] else _words(findings, out), nl=False)
    click.echo(f"kept in {out}: {store.RECORDS}, advice.json", err=True)
    if evidence.recommended is None:
        raise SomeFailed("plain eager could not be measured; see its row")


def _plan(options: dict[str, Any]) -> Plan:
    # What the machine can do at most says whether memory or arithmetic holds the network back.
    return Plan(
        rounds=options["rounds"], seed=options["seed"], timeout=options["timeout"], ceilings=True
    )


def _words(findings: Sequence[AdviceFinding], out: Path) -> str:
    """The table of modes, then the findings under their titles."""
    lines = [render(summary(entries([store.read(out)])), "table")]
    for kind, title in _TITLES.items():
        found = [_line(finding) for finding in findings if finding.kind == kind]
        if found:
            lines += [title, *(f"  - {text}" for text in found), ""]
    return "\n".join(lines)


def _line(finding: AdviceFinding) -> str:
    """What holds back is said of one mode, which the sentence itself does not name."""
    named = finding.kind == "limit" and finding.mode
    return f"{finding.mode}: {finding.text}" if named else finding.text


def _json(evidence: Evidence, findings: Sequence[AdviceFinding], out: Path) -> dict[str, Any]:
    best = evidence.recommended
    return {
        "recommended": None if best is None else best.spec.mode.text,
        "spec": None if best is None else best.id,
        "verdict": None if evidence.choice is None else evidence.choice.verdict,
        "findings": encode(findings),
        "untried": dict(evidence.untried),
        "profiled": None if evidence.profile is None else evidence.profile.spec,
        "run": str(out),
    }
