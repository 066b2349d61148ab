"""A campaign on many hosts from a prepared grid: begin, and go on.

The counterpart of ``runner.campaign`` for ``--cluster``; what it leaves is described in
``directory``.
"""

from __future__ import annotations

import shlex
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cnnbench import allocator, axes, suite, trust
from cnnbench import plan as planning
from cnnbench.asking import AllGpus
from cnnbench.codec import decode, encode
from cnnbench.errors import UsageError, WorkerError
from cnnbench.plan import Plan
from cnnbench.runner import campaign, lab
from cnnbench.runner.cluster import deal, directory, on_ray
from cnnbench.runner.cluster.directory import EACH, Runs, Spread
from cnnbench.runner.cluster.handing import HandedWork, Handing, HostsLost
from cnnbench.runner.cluster.serving import HostAsked, torch_of
from cnnbench.runner.source import source
from cnnbench.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from cnnbench.runner.campaign import Job
    from cnnbench.runner.cluster.hosts import Cluster
    from cnnbench.runner.executor import Executor
    from cnnbench.runner.lab import Lab, LabOrder
    from cnnbench.runner.session import Watcher
    from cnnbench.spec import Spec
    from cnnbench.store import StoredRun
    from cnnbench.suite import Grid


@dataclass(frozen=True)
class Over:
    """Which cluster measures, and how its hosts share the work.

    Attributes:
        address: as ``ray.init`` takes it, or ``address.LOCAL``.
        on: ``directory.ANY`` or ``EACH``.
    """

    address: str
    on: str = directory.ANY


def prepare(grid: Grid, plan: Plan, who: Executor | str = "process", *, free: bool = False) -> Job:
    """Prepare a grid as ``campaign.prepare`` does; the device need not be here, but at the hosts.

    Raises:
        UsageError: something in the grid is wrong, or is not done on many hosts.
    """
    _refuse(grid, plan)
    return _for_any_host(campaign.prepare(grid, plan, who, dry=True, free=free), plan)


def prepare_lab(order: LabOrder, plan: Plan, who: Executor | str = "process") -> Lab:
    """Prepare a request to the convolution lab as ``lab.prepare`` does; else as ``prepare``.

    What applies is asked of a worker here; what does not apply on a host alone has a row of it.

    Raises:
        As ``prepare``.
    """
    _refuse(order.grid, plan)
    found = lab.prepare(order, plan, who, dry=True)
    return replace(found, job=_for_any_host(found.job, plan))


def _refuse(grid: Grid, plan: Plan) -> None:
    """Refuse what hosts that have one group at a time cannot do."""
    if plan.budget is not None:
        raise UsageError(
            "--budget: hosts of a cluster are handed one group at a time, and none has the whole"
            " to spend time on; drop --budget"
        )
    if isinstance(grid.device, AllGpus):
        raise UsageError(
            "--device cuda:all: hosts of a cluster measure one thing at a time; use --device cuda:0"
        )


def _for_any_host(job: Job, plan: Plan) -> Job:
    """The same with the memory limit that was asked for: each host finds out what it has."""
    return replace(job, plan=replace(job.plan, memory_limit=plan.memory_limit))


def expected(job: Job, hosts: int) -> float:
    """A rough estimate for everything on a number of hosts."""
    return deal.expected(_work(job.possible, job.plan, job.macs, job.seconds).seconds, hosts)


def begin(job: Job, over: Over, out: Path, watcher: Watcher) -> list[StoredRun]:
    """Begin a campaign and measure all of it.

    Args:
        job: what to measure, as ``prepare`` gives it.
        over: who measures it.
        out: its directory.
        watcher: told of progress; of hosts, too, if it is a ``handing.HostWatcher``.

    Returns:
        A run for each environment.

    Raises:
        StoreError: the directory cannot be used.
        UsageError: there is no such cluster.
        WorkerError: no host can measure what is left.
    """
    code = source()
    what = Spread(
        over.address, over.on, tuple(spec.id for spec in job.specs), encode(job.plan),
        job.executor.name, job.impossible, tuple(sorted(job.assumed)), code.revision, code.dirty,
        torch_of(job.environment),
    )  # fmt: skip
    work = _work(job.possible, job.plan, job.macs, job.seconds)
    work = replace(work, impossible=job.impossible, notes=_notes(job.possible, job.assumed))
    with closing(_connect(over.address)) as cluster:
        directory.create(out, what)
        return _measure(out, what, work, cluster, watcher)


def wanted(path: Path, *, retry_failed: bool, allowed: Sequence[str] = ()) -> tuple[Spec, ...]:
    """The specs that resuming a campaign may measure; with ``each``, those that a kind lacks.

    Raises:
        StoreError: it is no directory of a campaign.
        UsageError: it names models that are neither the user's own nor ``allowed``.
    """
    what = directory.read(path)
    done = [_done(run, retry_failed=retry_failed) for run in directory.runs(path)]
    # A host of another kind may come, which has everything to measure.
    having = {name for name in what.specs if any(name in one for one in done)}
    if what.on == EACH and done:
        having = {name for name in what.specs if all(name in one for one in done)}
    left = [name for name in what.specs if name not in having and name not in what.impossible]
    return trust.specs(left, path / directory.FILE, allowed)


def resume(
    path: Path,
    watcher: Watcher,
    *,
    address: str | None = None,
    retry_failed: bool = False,
    timeout: float | None = None,
    allowed: Sequence[str] = (),
) -> list[StoredRun]:
    """Measure what a campaign still lacks, with its own plan.

    Args:
        path: its directory.
        watcher: as ``begin``.
        address: of the cluster, where it is not the one that the campaign was begun on.
        retry_failed: measure failed specs again.
        timeout: of a step of a worker, in place of the campaign's own.
        allowed: models that may be built although they are not the user's own.

    Raises:
        As ``begin`` and ``wanted``.
    """
    what = directory.read(path)
    if not wanted(path, retry_failed=retry_failed, allowed=allowed):
        return directory.runs(path)
    possible = [name for name in what.specs if name not in what.impossible]
    specs = trust.specs(possible, path / directory.FILE, allowed)
    plan = decode(Plan, dict(what.plan), "plan")
    plan = replace(plan, timeout=timeout or plan.timeout)
    known = suite.facts([spec.workload.architecture for spec in specs])
    macs = {spec.id: suite.rough_macs(spec.workload, known) for spec in specs}

    def seconds(spec: Spec) -> float:
        return planning.rough_seconds(plan, macs[spec.id], spec.mode, spec.device.kind)

    work = _work(specs, plan, macs, seconds)
    stored = directory.runs(path)
    done = {one.path.name: _done(one, retry_failed=retry_failed) for one in stored}
    work = replace(work, impossible=what.impossible, done=done, notes=_notes(specs, what.assumed))
    with closing(_connect(address or what.address)) as cluster:
        return _measure(path, what, work, cluster, watcher, stored)


def _done(run: StoredRun, *, retry_failed: bool) -> frozenset[str]:
    """The specs of a run that are not measured again."""
    again = {*run.unfinished, *(run.failed if retry_failed else ())}
    return frozenset(one.id for one in run.records if one.id not in again)


def _work(
    specs: Sequence[Spec], plan: Plan, macs: Mapping[str, int], seconds: Callable[[Spec], float]
) -> HandedWork:
    """The specs as what hosts are handed, with the time that each takes."""
    groups: dict[object, list[Spec]] = {}
    for spec in specs:
        groups.setdefault((spec.workload.group, spec.device), []).append(spec)
    starts = planning.rough_starts(plan)
    return HandedWork(
        tuple(map(tuple, groups.values())),
        tuple(starts + sum(map(seconds, some)) for some in groups.values()),
        plan,
        macs,
    )


def _notes(specs: Iterable[Spec], assumed: Collection[str]) -> dict[str, tuple[str, ...]]:
    """What is said of networks whose input is only a guess."""
    guessed = (one for one in specs if one.workload.architecture in assumed)
    return {one.id: (axes.assumed(one.workload),) for one in guessed}


def _connect(address: str) -> Cluster:
    return on_ray.RayHosts(address)


def _measure(
    path: Path, what: Spread, work: HandedWork, cluster: Cluster, watcher: Watcher,
    before: Sequence[StoredRun] = (),
) -> list[StoredRun]:  # fmt: skip
    first = next((group[0] for group in work.groups), None)
    device = first.device.text if first is not None else "cpu"
    threads = max((one.threads for group in work.groups for one in group), default=1)
    asked = HostAsked(VERSION, what.executor, device, str(Path.cwd()), allocator.asked() or "",
                      what.torch, threads if device == "cpu" else 1)  # fmt: skip
    with Runs(path, what) as runs:
        for run in before if what.on != EACH else ():
            begun = {*run.manifest.specs, *(one.id for one in run.records)}
            if rest := begun - work.done[run.path.name]:
                runs.withdraw(run.path.name, rest)
        try:
            Handing(cluster, runs, work, asked, what.on, watcher).run()
        except HostsLost as error:
            command = f"cnnbench run --resume {shlex.quote(str(path))}"
            raise WorkerError(f"{error}; continue with: {command}") from error
    return directory.runs(path)
