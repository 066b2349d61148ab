"""What commands that measure a grid have in common: what it is, Ctrl-C, what failed."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from cnnbench import store, units
from cnnbench.errors import Interrupted, SomeFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cnnbench.cli.progress import Progress
    from cnnbench.runner.campaign import Job
    from cnnbench.store import StoredRun


def show_grid(job: Job, *, as_json: bool) -> None:
    """What would be measured, what not and why, and roughly how long it takes."""
    if as_json:
        rows = [{"spec": spec.id, "impossible": job.impossible.get(spec.id)} for spec in job.specs]
        click.echo(json.dumps({"specs": rows, "rough_seconds": round(job.total_seconds)}, indent=1))
        return
    for spec in job.specs:
        reason = job.impossible.get(spec.id)
        click.echo(spec.id + (f"  (not possible: {reason})" if reason else ""))
    click.echo(extent(job))


def extent(job: Job) -> str:
    """The size of a job in a line."""
    rough = f"very roughly {units.clock(job.total_seconds)} on a small machine"
    if job.plan.budget is None:
        most = "at most " if job.plan.precision else ""
        return f"{len(job.specs)} specs, {most}{job.plan.rounds} rounds, {rough}"
    budget = units.clock(job.plan.budget)
    return f"{len(job.specs)} specs, {budget} in all; a first answer to each takes {rough}"


@contextmanager
def interruptible(progress: Progress, path: Path) -> Iterator[Progress]:
    """The progress of a run while it is measured into its directory; Ctrl-C says how to go on.

    Raises:
        Interrupted: by the user.
    """
    try:
        yield progress
    except KeyboardInterrupt:
        begun = (path / store.MANIFEST).exists()
        how = f"; continue with: cnnbench run --resume {path}" if begun else ""
        raise Interrupted(f"interrupted{how}") from None
    finally:
        progress.close()


def refuse_failed(stored: StoredRun) -> None:
    """Say that specs failed; a way to compute a layer that does not apply to it is no failure.

    Raises:
        SomeFailed: some did.
    """
    failed = [one for one in stored.records if one.status == "failed" and not one.refused]
    if failed:
        raise SomeFailed(f"{len(failed)} of {len(stored.records)} specs failed; see their rows")
