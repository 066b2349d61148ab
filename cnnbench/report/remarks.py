"""Remarks about whole runs, and about single records."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from cnnbench import shards, units
from cnnbench.prediction import kept

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.report.table import Table
    from cnnbench.store import StoredRun


def remarks(runs: Sequence[StoredRun]) -> tuple[str, ...]:
    """Sentences about whole runs: empty, incomplete, all failed, a part, two of the same name."""
    lines = [line for run in runs for line in _of(run)]
    for name, count in Counter(run.manifest.run for run in runs).items():
        if count > 1:
            lines.append(f"{count} of the directories contain run {name}, so its rows are repeated")
    parts = [(run.manifest.shard, run.manifest.grid) for run in runs if run.manifest.shard]
    lines += shards.missing(parts)
    if len({run.environment.fingerprint for run in runs}) > 1:
        lines.append("the runs come from different environments, so their times are not comparable")
    return tuple(lines)


def _of(run: StoredRun) -> list[str]:
    name, total, missing = run.manifest.run, len(run.manifest.specs), len(run.missing)
    problems = (*run.problems, *kept.look(run.path)[1])
    lines = [f"run {name}: {problem}" for problem in problems]
    if not run.records:
        return [*lines, f"run {name} has no records ({units.number(total, 'spec')} planned)"]
    if missing:
        lines.append(
            f"run {name}: not measured yet: {missing} of {units.number(total, 'spec')}"
            " (interrupted?)"
        )
    if run.unfinished:
        lines.append(
            f"run {name}: fewer rounds than planned: {units.number(len(run.unfinished), 'spec')}"
            " (interrupted?)"
        )
    strangers = {record.environment for record in run.records} - {run.environment.fingerprint}
    if strangers:
        count = sum(record.environment in strangers for record in run.records)
        lines.append(
            f"run {name}: measured in another environment than environment.json says: {count} of"
            f" {units.number(len(run.records), 'record')} ({', '.join(sorted(strangers))})"
        )
    if len(run.failed) == len(run.records):
        lines.append(f"run {name}: every spec failed, so there are no numbers")
    return lines


def with_remarks(table: Table, lines: Sequence[str]) -> Table:
    """The table with the sentences before its notes."""
    return replace(table, notes=(*lines, *table.notes))
