"""``cnnbench export``: stored runs as data for statistics, and in the formats of other tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cnnbench import metrics, reading, units
from cnnbench.cli import options, stored
from cnnbench.cli.output import opened, say, write_parts
from cnnbench.errors import UsageError
from cnnbench.report.entry import entries
from cnnbench.report.exporting import EXPORTS, export
from cnnbench.report.variables import DICTIONARY, ROWS, TABLES, explained, records_of
from cnnbench.report.variables.written import as_csv, refuse_parquet, write_parquet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from cnnbench.cli.options import View
    from cnnbench.report.variables.variable import Variable
    from cnnbench.store import StoredRun

_EPILOG = """\b
Examples:
  cnnbench export results --format tidy -o records.csv
  cnnbench export results/2026-* --format tidy -o records.parquet
  cnnbench export results/RUN --format slices -o slices.parquet
  cnnbench export --format dictionary -o dictionary.csv
  cnnbench export results/RUN --format pytest-benchmark -o bench.json
  cnnbench export results/RUN --format bmf -o bencher.json
  cnnbench export results/RUN --format github-action-benchmark -o output.json
  cnnbench export results/RUN --format timm -o timm.csv
"""

# Formats of data for statistics -> the table of variables.
_DATA = {"tidy": "records", "slices": "slices"}
_DICTIONARY = "dictionary"
_PARQUET = ".parquet"
# Endings of files that hold something else than text.
_OTHERS = (
    ".arrow", ".bz2", ".db", ".feather", ".gz", ".h5", ".json", ".jsonl", ".ods", ".orc", ".pkl",
    ".sqlite", ".xls", ".xlsx", ".xz", ".zip", ".zst",
)  # fmt: skip


@click.command(epilog=_EPILOG)
@options.runs(required=False)
@options.view([*_DATA, _DICTIONARY, *EXPORTS], usual=None, what="export format")
@options.debug
def command(runs: tuple[Path, ...], view: View) -> None:
    """Write stored runs as data for statistics, or in the file formats of other tools.

    tidy: a row per record, failed ones too, and a column per variable. slices: a row per slice,
    with its samples. dictionary: name, type, unit and meaning of every column; needs no run. These
    are CSV, or Parquet for -o FILE.parquet; runs may be directories that hold some, at any depth.
    pytest-benchmark: JSON for 'pytest-benchmark compare'. bmf: Bencher. github-action-benchmark:
    for 'tool: customSmallerIsBetter'. timm: CSV like that of its benchmark.py; without specs that
    failed, which have no number.
    """
    if view.kind == _DICTIONARY:
        _write(DICTIONARY, explained(), view)
        return
    if not runs:
        raise UsageError(f"--format {view.kind} needs run directories; name one, as results/RUN")
    if view.kind in _DATA:
        table = _DATA[view.kind]
        found = records_of(_passing(reading.places(runs)), _left_out)
        _write(TABLES[table], ROWS[table](found), view)
        return
    read = stored.without_copies(stored.read(stored.each(runs)))
    shown = entries(read)
    view.write(export(shown, view.kind))
    timed = [one.record for one in shown if one.estimates["latency"] is not None]
    if waited := sum(map(metrics.waited, timed)):
        say(
            f"cnnbench: {waited} of {units.number(len(timed), 'time')} held waiting for a core, and"
            " this format has times by the clock; measure on a quiet machine before they are judged"
        )
    failed = sum(len(run.failed) for run in read)
    if failed:
        say(f"cnnbench: left out: {units.number(failed, 'failed spec')}")


def _passing(paths: Sequence[Path]) -> Iterator[StoredRun]:
    """Run after run; what cannot be read of one is said."""
    for run in reading.LazyRuns(paths).passing(reports=True):
        for problem in run.problems:
            say(f"cnnbench: {problem}")
        yield run


def _left_out(run: StoredRun, count: int) -> None:
    say(
        f"cnnbench: {run.path}: {units.number(count, 'record')} left out, of which an earlier run"
        " holds a copy"
    )


def _write(variables: Sequence[Variable], rows: Iterable[object], view: View) -> None:
    output = view.output
    if output is not None and output.suffix.lower() in _OTHERS:
        raise UsageError(f"{output}: {view.kind} is CSV or Parquet; name the file .csv or .parquet")
    if output is None or output.suffix.lower() != _PARQUET:
        write_parts(as_csv(variables, rows), output)
        return
    refuse_parquet()
    with opened(output) as file:
        write_parquet(variables, rows, file)
