"""``cnnbench compare``: stored runs against each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnnbench import compare, gate, store
from cnnbench.cli.output import write
from cnnbench.errors import UnknownName, UsageError
from cnnbench.report import FORMATS, comparison, render

if TYPE_CHECKING:
    from cnnbench.compare import Judgement

_EPILOG = """\b
Examples:
  cnnbench compare results/A results/B
  cnnbench compare results/A results/B results/C --format markdown -o table.md
  cnnbench compare results/A results/B --threshold latency=3% --threshold '*/compile*:latency=8%'
  cnnbench compare results/A results/B --format json

\b
Exit codes: 0 without --threshold; with it 1 if something regressed, 3 if specs failed or are
missing, 4 or 5 with --strict if the machine cannot tell; 5 if the runs have nothing in common.
"""


@click.command(epilog=_EPILOG)
@click.argument("runs", metavar="A B [C…]", nargs=-1, required=True,
                type=click.Path(path_type=Path))  # fmt: skip
@click.option("--threshold", "-t", "words", multiple=True, metavar="[MODEL[/MODE]:]METRIC=LIMIT",
              help="How much worse it may be; may be repeated.")  # fmt: skip
@click.option("--config", type=click.Path(path_type=Path), help="Thresholds from a TOML file.")
@click.option("--force", is_flag=True, help="Judge times of unlike environments too.")
@click.option("--strict", is_flag=True, help="With --threshold: inconclusive is exit code 4.")
@click.option(
    "--format", "kind", default="table", show_default=True, help=f"One of {', '.join(FORMATS)}."
)
@click.option("--json", "as_json", is_flag=True, help="Short for --format json.")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="A file.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def command(
    runs: tuple[Path, ...],
    words: tuple[str, ...],
    config: Path | None,
    force: bool,
    strict: bool,
    kind: str,
    as_json: bool,
    output: Path | None,
    debug: bool,
) -> None:
    """Compare stored runs with the first of them, spec by spec.

    Runs that were measured in the same ensembles are compared in pairs. Others were measured at
    different times: their verdicts allow for the drift of the machine. "table" and "markdown" have
    a row per spec, "csv" and "json" one per spec and metric.
    """
    del debug
    kind = "json" if as_json else kind
    if kind not in FORMATS:
        raise UnknownName("format", kind, FORMATS)
    if len(runs) < 2:
        raise UsageError("compare takes two or more runs")
    thresholds = gate.thresholds(config, words, Path())
    first, *rest = [store.read(path) for path in runs]
    for problem in (problem for run in (first, *rest) for problem in run.problems):
        click.echo(f"cnnbench: {problem}", err=True)
    old = compare.side_of(first)
    judgements: list[Judgement] = [
        compare.judge(compare.compare(old, compare.side_of(run)), thresholds, force=force)
        for run in rest
    ]
    shape = comparison.summary if kind in {"table", "markdown"} else comparison.tidy
    write(render(shape(judgements), kind), output)
    if words:
        for judgement in judgements:
            gate.conclude(judgement, strict=strict)
