"""Runs that a command shows: read, with a warning for every unreadable part."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from cnnbench import reading, store, units
from cnnbench.cli.output import say
from cnnbench.collector import uncollected
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
    with uncollected():
        runs = [store.read(path, reports=True) for path in paths]
        gc.freeze()
    for run in runs:
        for problem in run.problems:
            say(f"cnnbench: {problem}")
        if run.problems and run.missing:
            count = units.number(len(run.missing), "spec")
            say(f"cnnbench: {count} without a record: {store.going_on(run.path)} measures the rest")
    return runs


def without_copies(runs: Sequence[StoredRun]) -> list[StoredRun]:
    """The runs without those whose every record is in runs before them, which are said."""
    copies, found = reading.Copies(), []
    for run in runs:
        if copies.have_all(run):
            say(f"cnnbench: left out: {run.path}, whose records are all in other runs")
        else:
            found.append(run)
    return found
