"""What commands that measure a grid have in common: what it is, Ctrl-C, what failed."""

from __future__ import annotations

import json
import shlex
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from cnnbench import doctor, store, trust, units
from cnnbench.cli import sharing, who
from cnnbench.cli.output import say
from cnnbench.errors import Interrupted, SomeFailed
from cnnbench.quiet import until_quiet
from cnnbench.runner.cluster import directory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from cnnbench.cli.progress import Progress
    from cnnbench.runner.campaign import Job
    from cnnbench.runner.executor import Executor
    from cnnbench.runner.gpus import GpuShare
    from cnnbench.spec import Spec
    from cnnbench.store import StoredRun


def show_grid(job: Job, *, as_json: bool) -> None:
    """What would be measured, what not and why, and roughly how long it takes."""
    if as_json:
        rows = [{"spec": spec.id, "impossible": job.impossible.get(spec.id)} for spec in job.specs]
        told: dict[str, Any] = {"specs": rows, "rough_seconds": round(job.total_seconds)}
        if job.share is not None:
            told["gpus"] = sharing.as_json(job, job.share)
        click.echo(json.dumps(told, indent=1))
        return
    for spec in job.specs:
        reason = job.impossible.get(spec.id)
        click.echo(spec.id + (f"  (not possible: {reason})" if reason else ""))
    for line in [] if job.share is None else sharing.lines(job, job.share):
        click.echo(line)
    click.echo(extent(job))


def extent(job: Job) -> str:
    """The size of a job in a line."""
    specs = units.number(len(job.specs), "spec")
    cuda = any(spec.device.kind == "cuda" for spec in job.specs)
    where = "a workstation's GPU" if cuda else "a small machine"
    if job.share is not None and len(job.share.lanes) > 1:
        where = f"{len(job.share.lanes)} GPUs of a workstation"
    rough = f"very roughly {units.duration(job.total_seconds)} on {where}"
    if job.plan.budget is None:
        most = "at most " if job.plan.precision else ""
        return f"{specs}, {most}{units.number(job.plan.rounds, 'round')}, {rough}"
    budget = units.duration(job.plan.budget)
    return f"{specs}, {budget} in all; a first answer to each takes {rough}"


def before(
    specs: Iterable[Spec],
    who: Executor,
    wait: float | None,
    *,
    quiet: bool,
    share: GpuShare | None = None,
) -> str:
    """Say in a line if the machine is busy, with what to expect and to do; wait if that is asked.

    Args:
        specs: that are about to be measured; what they need decides whether cores are short.
        who: measures.
        wait: seconds at most until it is quiet; ``None`` does not wait.
        quiet: say nothing.
        share: the GPUs that share the work; which of them stay idle is said.

    Returns:
        What is wrong with the machine; empty if nothing is.
    """
    # A CUDA device is fed by one thread.
    threads = max((one.threads if one.device.kind == "cpu" else 1 for one in specs), default=1)
    if share is not None:
        threads *= len(share.lanes)
        _say(sharing.said(share), quiet=quiet)
    waited = "" if wait is None else _wait(who, threads, wait, quiet=quiet)
    found = doctor.quick(who.core_use(), threads)
    if found is not None:
        # Who has waited needs no advice to wait.
        advice = f"; {found.fix}" if wait is None else ""
        _say(f"{waited}{found.what}{advice}", quiet=quiet)
    return "" if found is None else found.what


def _wait(who: Executor, threads: int, limit: float, *, quiet: bool) -> str:
    """Wait with one line of progress; returns how to begin the next if it was in vain."""
    if who.core_use() is None:
        _say("--wait: it is not known here how busy the cores are; starting at once", quiet=quiet)
        return ""
    seen: list[str] = []

    def is_quiet() -> bool:
        found = doctor.busy(who.core_use(), threads)
        if found is not None and not seen:
            _say(f"waiting for quiet, {units.duration(limit)} at most: {found.what}", quiet=quiet)
            seen.append(found.what)
        return found is None

    if until_quiet(limit, is_quiet):
        return ""
    return f"not quiet within {units.duration(limit)}, starting anyway: "


def _say(text: str, *, quiet: bool) -> None:
    if not quiet:
        say(f"cnnbench: {text}")


@contextmanager
def interruptible(
    progress: Progress, path: Path, resuming: str | None = None
) -> Iterator[Progress]:
    """The progress of a run while it is measured into its directory; Ctrl-C says how to go on.

    Args:
        progress: to close in the end.
        path: the directory.
        resuming: with what options it is resumed already, a blank before each.

    Raises:
        Interrupted: by the user.
    """
    try:
        yield progress
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted{_continue(path, resuming)}") from None
    finally:
        progress.close()


def _continue(path: Path, resuming: str | None) -> str:
    """How to go on with a run, if it has begun; from its file, so models may need permission."""
    many = directory.holds(path)
    if not many and not (path / store.MANIFEST).exists():
        return ""
    planned = directory.read(path).specs if many else store.planned(path)
    options = trust.options(planned, path) if resuming is None else resuming
    options += "".join(f" {shlex.quote(word)}" for word in who.again())
    return f"; continue with: cnnbench run --resume {shlex.quote(str(path))}{options}"


def refuse_failed(*stored: StoredRun) -> None:
    """Say that specs failed; a way to compute a layer that does not apply to it is no failure.

    Raises:
        SomeFailed: some did.
    """
    records = [record for run in stored for record in run.records]
    failed = [one for one in records if one.status == "failed" and not one.refused]
    if failed:
        specs = units.number(len(records), "spec")
        raise SomeFailed(f"{len(failed)} of {specs} failed; see their rows")
