"""``run`` and ``conv --cluster``: what is asked for, what goes with it, and its progress."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cnnbench import units
from cnnbench.cli import measuring
from cnnbench.cli.output import say
from cnnbench.cli.progress import Progress
from cnnbench.errors import UsageError
from cnnbench.runner.cluster import directory, start
from cnnbench.runner.cluster.start import Over

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cnnbench.runner.campaign import Job
    from cnnbench.store import StoredRun

# What is of one host, or says how several share a grid without a cluster; and why not here.
_OF_ONE_HOST = {
    "shard": "hosts of a cluster share by themselves",
    "wait": "hosts of a cluster are not waited for",
    "apply": "no host of a cluster has measured all layers",
}
# How many hosts a cluster has, where it is not asked.
_COUNTS = (1, 2, 4, 8, 16)


def options(command: Any) -> Any:
    """``--cluster`` and ``--on``."""
    command = click.option(
        "--on", type=click.Choice([directory.ANY, directory.EACH]), default=None,
        help="With --cluster: every spec once, on any host, or on each kind of host."
             f"  [default: {directory.ANY}]",
    )(command)  # fmt: skip
    return click.option(
        "--cluster", metavar="ADDRESS|local",
        help="Hand the workloads out to the hosts of a Ray cluster (cnnbench[ray]).",
    )(command)  # fmt: skip


def asked(cluster: str | None, on: str | None, given: Mapping[str, object]) -> Over | None:
    """The cluster that was asked for.

    Args:
        cluster: its address.
        on: which hosts measure what.
        given: other options by parameter, ``None`` where they are not.

    Raises:
        UsageError: something does not go with it.
    """
    if cluster is not None and not cluster.strip():
        raise UsageError("--cluster is empty; give local, or the address of a head: 10.0.0.1:6379")
    if cluster is None:
        if on is not None:
            raise UsageError("--on says which hosts of a --cluster measure what; drop --on")
        return None
    for name, why in _OF_ONE_HOST.items():
        if given.get(name) is not None:
            raise UsageError(f"--{name}: {why}, so not with --cluster; drop --{name}")
    return Over(cluster, on or directory.ANY)


def times(job: Job) -> str:
    """How long a grid would take on how many hosts, in a line."""
    found = (f"{count}: {units.duration(start.expected(job, count))}" for count in _COUNTS)
    return f"very roughly, by the number of alike hosts: {', '.join(found)}"


def show_grid(job: Job, *, as_json: bool) -> None:
    """What would be measured, and how long that takes some hosts."""
    measuring.show_grid(job, as_json=as_json)
    if not as_json:
        click.echo(times(job))


def begin(job: Job, over: Over, out: Path, *, quiet: bool) -> list[StoredRun]:
    """Measure a grid on many hosts."""
    progress = HostProgress(total=len(job.specs), quiet=quiet)
    with measuring.interruptible(progress, out):
        return start.begin(job, over, out, progress)


class HostProgress(Progress):
    """The progress of a campaign on many hosts, with what is to be known of them."""

    def working_on(self, where: str, what: str, done: int, total: int) -> None:
        """As for a GPU; how much there is changes with the kinds of hosts that take part."""
        self._total = total
        super().working_on(where, what, done, total)

    def noted(self, text: str) -> None:
        """Write a line about a host, quiet or not: results may depend on it."""
        say(f"cnnbench: {text}")
