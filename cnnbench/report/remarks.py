"""What a reader must know of the runs themselves, beyond their rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.report.table import Table
    from cnnbench.store import StoredRun


def remarks(runs: Sequence[StoredRun]) -> tuple[str, ...]:
    """A sentence for everything about the runs that no row can say.

    Nothing was measured, something is still to be, all of it failed, two runs carry one name.
    """
    lines = [line for run in runs for line in _of(run)]
    for name, count in Counter(run.manifest.run for run in runs).items():
        if count > 1:
            lines.append(
                f"{count} of the directories hold run {name}; its rows stand here as often"
            )
    if len({run.environment.fingerprint for run in runs}) > 1:
        lines.append("the runs come from different environments; their times do not compare")
    return tuple(lines)


def _of(run: StoredRun) -> list[str]:
    name, total, missing = run.manifest.run, len(run.manifest.specs), len(run.missing)
    lines = [f"run {name}: {problem}" for problem in run.problems]
    if not run.records:
        return [*lines, f"run {name} has no records: none of its {total} specs was measured"]
    if missing:
        lines.append(f"run {name}: {missing} of {total} specs have no record yet (interrupted?)")
    strangers = {record.environment for record in run.records} - {run.environment.fingerprint}
    if strangers:
        count = sum(record.environment in strangers for record in run.records)
        lines.append(
            f"run {name}: {count} of {len(run.records)} records were measured elsewhere than"
            f" environment.json says ({', '.join(sorted(strangers))})"
        )
    if len(run.failed) == len(run.records):
        lines.append(f"run {name}: every spec failed, so there is no number")
    return lines


def with_remarks(table: Table, lines: Sequence[str]) -> Table:
    """The table with the sentences before its notes."""
    return replace(table, notes=(*lines, *table.notes))
