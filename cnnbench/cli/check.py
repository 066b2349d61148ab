"""``cnnbench check``: a run, or what there is now, against a baseline."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnnbench import gate, store
from cnnbench.cli.ab import Announcer
from cnnbench.cli.output import write
from cnnbench.cli.progress import Progress
from cnnbench.codec import decode
from cnnbench.errors import StoreError, UnknownName, UsageError
from cnnbench.gate import Side, baseline, judging, thresholds
from cnnbench.gate.baseline import Source
from cnnbench.gate.rule import SequentialRule
from cnnbench.gate.thresholds import Remeasured
from cnnbench.plan import Plan
from cnnbench.report import FORMATS, comparison, github, junit, render
from cnnbench.runner import again
from cnnbench.runner.ab import paired, revisions
from cnnbench.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.gate import Judgement, Threshold

CI = ("github",)

_EPILOG = """\b
Examples:
  cnnbench check --baseline benchmarks/baseline.json --structure-only
  cnnbench check --baseline benchmarks/baseline.json results/RUN
  cnnbench check --baseline benchmarks/baseline.json --threshold latency=5% --threshold params=0
  cnnbench check --baseline results/OLD results/NEW -t 'resnet*/compile*:latency=8%' --strict
  cnnbench check --baseline benchmarks/baseline.json --ci github --junit check.xml

\b
Thresholds: [MODEL[/MODE]:]METRIC=LIMIT with globs; LIMIT is a share such as 5%, 0 or off; for
facets of the structure (operators, kernels, reorders, outputs, allocations, graphs, graph_breaks,
recompiles, cost, output, or "structure" for all) a number of differences.

\b
Exit codes: 0 fine, 1 regression, 2 bad input, 3 specs failed or are missing, 4 inconclusive (with
--strict), 5 nothing in common, or unlike environments (with --strict).
"""


@click.command(epilog=_EPILOG)
@click.argument("run", metavar="[RUN]", required=False, type=click.Path(path_type=Path))
@click.option("--baseline", "against", required=True, type=click.Path(path_type=Path),
              metavar="FILE|DIR", help="A baseline file or a run.")  # fmt: skip
@click.option("--threshold", "-t", "words", multiple=True, metavar="[MODEL[/MODE]:]METRIC=LIMIT",
              help="How much worse it may be; may be repeated.")  # fmt: skip
@click.option("--config", type=click.Path(path_type=Path),
              help="Thresholds from a TOML file.  [default: pyproject.toml]")  # fmt: skip
@click.option("--structure-only", is_flag=True,
              help="Only what networks are made of: seconds, on any machine.")  # fmt: skip
@click.option("--strict", is_flag=True, help="Inconclusive is exit code 4.")
@click.option("--force", is_flag=True, help="Judge times of unlike environments too.")
@click.option("--ci", type=click.Choice(CI), help="Annotations and step summary for a CI system.")
@click.option("--junit", "xml", type=click.Path(path_type=Path, dir_okay=False),
              help="Write JUnit XML.")  # fmt: skip
@click.option("--markdown", type=click.Path(path_type=Path, dir_okay=False),
              help="Write a comment for a pull request.")  # fmt: skip
@click.option(
    "--format", "kind", default="table", show_default=True, help=f"One of {', '.join(FORMATS)}."
)
@click.option("--json", "as_json", is_flag=True, help="Short for --format json.")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="A file.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False),
              help="Directory of the new run.  [default: results/TIME-ID]")  # fmt: skip
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@click.option("--executor", "who", default="process", hidden=True, help="process or fake.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def command(**options: Any) -> None:
    """Check a run, or what there is now, against a baseline.

    First what the networks are made of, exactly: parameters, MACs, operators, kernels, outputs.
    Then times, whose verdict is "inconclusive" rather than wrong where the machine cannot tell.
    Without RUN the revision that the baseline was saved at is measured beside what is here; a
    stored record tells only large changes of time.
    """
    kind = "json" if options["as_json"] else options["kind"]
    if kind not in FORMATS:
        raise UnknownName("format", kind, FORMATS)
    if options["structure_only"] and options["out"]:
        raise UsageError("--structure-only keeps no run; drop --out")
    limits = thresholds.in_force(options["config"], options["words"], Path())
    kept = _kept(options["against"])
    timing = not options["structure_only"]
    fresh = remeasured(options, kept, limits) if timing and options["run"] is None else {}
    found = gate.compare(kept.side, _head(options, kept, timed=timing and not fresh))
    found = thresholds.with_pairs(found, fresh)
    judgement = gate.judge(found, limits, force=options["force"], timing=timing)
    _show(judgement, options, kind)
    thresholds.conclude(judgement, strict=options["strict"])


@dataclass(frozen=True)
class Kept:
    """What a head is checked against.

    Attributes:
        side: its records.
        plan: how they were measured.
        baseline: the file's whole contents, ``None`` for a run.
    """

    side: Side
    plan: Mapping[str, Any]
    baseline: baseline.Baseline | None = None


def _kept(path: Path) -> Kept:
    if path.is_dir():
        run = store.read(path)
        return Kept(gate.side_of(run), run.manifest.plan)
    found = baseline.read(path)
    return Kept(thresholds.side_of(found, path.name), found.plan, found)


def _head(options: Mapping[str, Any], kept: Kept, *, timed: bool) -> Side:
    """The run that was given, or what there is now."""
    if options["run"] is not None:
        run = store.read(options["run"])
        for problem in run.problems:
            click.echo(f"cnnbench: {problem}", err=True)
        return gate.side_of(run)
    specs = [Spec.parse(name) for name, one in kept.side.records.items() if one.failure is None]
    if not specs:
        raise UsageError(f"{options['against']} holds nothing that could be measured again")
    plan = decode(Plan, dict(kept.plan), f"{options['against']}: plan")
    if not timed:
        now = again.inspect(specs, plan, options["who"])
        return Side("now", now.environment, {record.id: record for record in now.records})
    return _measured(specs, plan, options)


def _measured(specs: Sequence[Spec], plan: Plan, options: Mapping[str, Any]) -> Side:
    out = options["out"] or Path("results") / store.new_run_name()
    progress = Progress(total=len(specs), quiet=options["quiet"])
    try:
        run = again.measure(specs, plan, out, progress, options["who"])
    finally:
        progress.close()
    click.echo(f"kept in {run.path}", err=True)
    return gate.side_of(run)


def remeasured(
    options: Mapping[str, Any], kept: Kept, thresholds: Sequence[Threshold]
) -> dict[str, Remeasured]:
    """The baseline's own source and the head, measured side by side now, by spec id.

    Empty where the source cannot be rebuilt; then the stored record decides, with the limits that
    it has.
    """
    repo = revisions.repository(Path.cwd())
    source = kept.baseline.source if kept.baseline is not None else Source()
    lacking = _cannot_rebuild(source, repo)
    if repo is None or source.revision is None or lacking:
        _say(f"{lacking}; the stored record decides, with wide limits", options)
        return {}
    rules = _rules(kept, thresholds)
    if not rules:
        return {}
    _say(f"measuring the baseline's revision {source.revision[:12]} beside what is here", options)
    outcomes = paired.remeasure(
        list(rules), (f"rev:{source.revision}", "."), repo, lambda spec: rules[spec.id],
        paired.PairedPlan(executor=options["who"]), Announcer(quiet=options["quiet"]),
        options["out"],
    )  # fmt: skip
    return {
        one.contest.base.id: Remeasured(
            one.confirmation or one.pairs, replace(one.decision, verdict=one.verdict)
        )
        for one in outcomes
        if one.failure is None
    }


def _cannot_rebuild(source: Source, repo: Path | None) -> str:
    """Why the baseline's code cannot be measured again, or nothing."""
    if source.revision is None:
        return "the baseline records no revision"
    if source.dirty is not False:
        return "the baseline was measured with uncommitted changes"
    if repo is None:
        return "this is no git repository"
    if not revisions.commit(repo, source.revision):
        return f"the baseline's revision {source.revision[:12]} is not in this repository"
    return ""


def _rules(kept: Kept, thresholds: Sequence[Threshold]) -> dict[str, SequentialRule]:
    """The rule of every spec whose latency is to be judged."""
    rules = {}
    for name, record in kept.side.records.items():
        limit = judging.limits(Spec.parse(name), thresholds).get("latency")
        if record.failure is None and limit is not None and limit.limit:
            rules[name] = SequentialRule(limit.limit)
    return rules


def _say(text: str, options: Mapping[str, Any]) -> None:
    if not options["quiet"]:
        click.echo(f"cnnbench: {text}", err=True)


def _show(judgement: Judgement, options: Mapping[str, Any], kind: str) -> None:
    shape = comparison.summary if kind in {"table", "markdown"} else comparison.tidy
    write(render(shape([judgement]), kind), options["output"])
    if options["xml"] is not None:
        write(junit.render(judgement), options["xml"])
    if options["markdown"] is not None:
        write(github.comment(judgement), options["markdown"])
    if options["ci"] == "github":
        _for_github(judgement)


def _for_github(judgement: Judgement) -> None:
    for line in github.annotate(judgement):
        # On stderr, where the runner reads them too and JSON on stdout stays whole.
        click.echo(line, err=True)
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        click.echo("cnnbench: GITHUB_STEP_SUMMARY is not set; no step summary written", err=True)
        return
    try:
        with Path(path).open("a", encoding="utf8") as file:
            file.write(github.step_summary(judgement))
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
