"""``cnnbench compare``: stored runs against each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnnbench import gate
from cnnbench.cli import stored, verdicts
from cnnbench.cli.output import write
from cnnbench.errors import UsageError
from cnnbench.gate import thresholds
from cnnbench.report import FORMATS, PAGES, comparison
from cnnbench.report.remarks import remarks
from cnnbench.report.table import entries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.gate import Judgement
    from cnnbench.store import StoredRun

_EPILOG = """\b
Examples:
  cnnbench compare results/A results/B
  cnnbench compare results/A results/B results/C --format markdown -o table.md
  cnnbench compare results/A results/B --threshold latency=3% --threshold '*/compile*:latency=8%'
  cnnbench compare results/A results/B --format json
  cnnbench compare results/A results/B --format html -o gate.html

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
@click.option("--force", is_flag=True, help="Judge times of different environments too.")
@click.option("--strict", is_flag=True, help="With --threshold: inconclusive is exit code 4.")
@click.option("--format", "kind", default="table", show_default=True,
              help=f"One of {', '.join([*FORMATS, *PAGES])}.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Short for --format json.")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False),
              metavar="FILE", help="Write to a file, not to the terminal.")  # fmt: skip
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
def command(
    runs: tuple[Path, ...],
    words: tuple[str, ...],
    config: Path | None,
    force: bool,
    strict: bool,
    kind: str,
    as_json: bool,
    output: Path | None,
) -> None:
    """Compare stored runs with the first of them, spec by spec.

    Runs that were measured in the same ensembles are compared in pairs. Others were measured at
    different times: their verdicts allow for the drift of the machine. "csv" and "json" have a row
    per spec and metric, the others one per spec; "html" is one page of the new runs that begins
    with what changed.
    """
    kind = verdicts.chosen_format(kind, [*FORMATS, *PAGES], as_json=as_json)
    if len(runs) < 2:
        raise UsageError("compare takes two or more runs")
    limits = thresholds.in_force(config, words, Path())
    first, *rest = stored.read(runs)
    old = gate.side_of(first)
    judgements: list[Judgement] = [
        gate.judge(gate.compare(old, gate.side_of(run)), limits, force=force) for run in rest
    ]
    write(_text(judgements, rest, kind), output)
    if words:
        for judgement in judgements:
            gate.conclude(judgement, strict=strict)


def _text(judgements: Sequence[Judgement], new: Sequence[StoredRun], kind: str) -> str:
    if kind in PAGES:
        table, changes = comparison.summary(judgements), comparison.changes(judgements)
        return PAGES[kind](entries(new), table, remarks(new), changes)
    return verdicts.text(judgements, kind)
