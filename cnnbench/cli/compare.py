"""``cnnbench compare``: stored runs against each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnnbench import gate
from cnnbench.cli import options, stored, verdicts
from cnnbench.errors import UsageError
from cnnbench.gate import thresholds
from cnnbench.report import FORMATS, PAGES, comparison
from cnnbench.report.entry import entries
from cnnbench.report.remarks import remarks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.cli.options import View
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
missing, 4 or 5 with --strict if no verdict is possible; 5 if the runs have no spec in common.
"""


@click.command(epilog=_EPILOG)
@options.runs("A B [C…]")
@verdicts.thresholds
@verdicts.config
@verdicts.force
@verdicts.strict
@options.view([*FORMATS, *PAGES])
@options.debug
def command(
    runs: tuple[Path, ...],
    words: tuple[str, ...],
    config: Path | None,
    force: bool,
    strict: bool,
    view: View,
) -> None:
    """Compare stored runs with the first one, spec by spec.

    Runs that were measured in the same ensembles are compared in pairs. Others were measured at
    different times: their verdicts allow for the drift of the machine. "csv" and "json" have a row
    per spec and metric, the others one per spec; "html" is one page of the new runs that begins
    with what changed.
    """
    if len(runs) < 2:
        raise UsageError("compare takes two or more runs")
    limits = thresholds.in_force(config, words, Path())
    first, *rest = stored.read(runs)
    old = gate.side_of(first)
    judgements: list[Judgement] = [
        gate.judge(gate.compare(old, gate.side_of(run)), limits, force=force) for run in rest
    ]
    view.write(_text(judgements, rest, view.kind))
    if words:
        for judgement in judgements:
            gate.conclude(judgement, strict=strict)


def _text(judgements: Sequence[Judgement], new: Sequence[StoredRun], kind: str) -> str:
    if kind in PAGES:
        table, changes = comparison.summary(judgements), comparison.changes(judgements)
        return PAGES[kind](entries(new), table, remarks(new), changes)
    return verdicts.text(judgements, kind)
