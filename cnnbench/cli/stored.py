"""Runs that a command shows: read, with a warning for every unreadable part."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from cnnbench import reading, record_lines, store
from cnnbench.cli.output import say
from cnnbench.runner.cluster import directory

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from cnnbench.store import StoredRun


def each(paths: Iterable[Path]) -> list[Path]:
    """Run directories; in place of a run over many hosts, the run of each environment."""
    found = []
    for path in paths:
        found += directory.places(path) if directory.holds(path) else [path]
    return found


def read(paths: Iterable[Path]) -> list[StoredRun]:
    """Read every run; warn on stderr about parts that cannot be read.

    Raises:
        StoreError: one is not a run directory.
    """
    with record_lines.uncollected():
        runs = [store.read(path, reports=True) for path in paths]
        gc.freeze()
    for problem in (problem for run in runs for problem in run.problems):
        say(f"cnnbench: {problem}")
    return runs


def once(runs: Sequence[StoredRun]) -> list[StoredRun]:
    """The runs that have a record which none before them has; says what is left out."""
    found = []
    for before, run in zip(runs, reading.once(runs), strict=True):
        for problem in run.problems[len(before.problems) :]:
            say(f"cnnbench: {problem}")
        if run.records or not before.records:
            found.append(run)
    return found
