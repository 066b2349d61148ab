"""From the grid that a user asked for to a run directory: prepare, start, resume.

The one place where selection, environment, plan, session and store meet; commands and the Python
API call it.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cnnbench import axes, named, store, suite, trust
from cnnbench import plan as planning
from cnnbench.asking import NO_IMAGES, AllGpus
from cnnbench.codec import decode, encode
from cnnbench.environment import Environment
from cnnbench.errors import Incomparable, UsageError, WorkerError
from cnnbench.plan import Plan
from cnnbench.record import Failure, Record
from cnnbench.requests import CountImages, FindCode, Fits, Resolve
from cnnbench.runner import gpus, sharded, tasks, timm
from cnnbench.runner.device import here, memory_limit, of_specs, refuse_idle_options, shared
from cnnbench.runner.executor import AnyPool, Executor, executor
from cnnbench.runner.gpus import GpuShare
from cnnbench.runner.inquiry import ask, ask_each, asking, describe
from cnnbench.runner.lanes import GpusLost, measured_by
from cnnbench.runner.source import source
from cnnbench.runner.subject import batches
from cnnbench.runner.tasks import LaneTask
from cnnbench.spec import Device, Mode, Spec
from cnnbench.suite import Facts, Grid
from cnnbench.usual import USUAL

if TYPE_CHECKING:
    from pathlib import Path

    from cnnbench.gate.baseline import Source
    from cnnbench.runner.session import Again, Watcher
    from cnnbench.shards import Shard
    from cnnbench.store import Manifest, StoredRun, Writer

_FIT_SECONDS = 600.0
# Of a model that cannot be had, so that its rows have a shape.
_UNKNOWN_INPUT = (3, 224, 224)


@dataclass(frozen=True)
class Job:
    """A prepared grid: which specs, where, how, and roughly how long.

    ``assumed`` holds the architectures whose input is only a guess; ``share`` the GPUs, where
    several share the work.
    """

    specs: tuple[Spec, ...]
    impossible: Mapping[str, str]
    macs: Mapping[str, int]
    plan: Plan
    environment: Environment
    executor: Executor
    assumed: frozenset[str] = frozenset()
    share: GpuShare | None = None
    shard: str = ""
    grid: str = ""

    def notes(self, spec: Spec) -> tuple[str, ...]:
        """What must be said of a spec whatever comes out."""
        guessed = spec.workload.architecture in self.assumed
        return (axes.assumed(spec.workload),) if guessed else ()

    def seconds(self, spec: Spec) -> float:
        """A rough estimate for one spec."""
        macs = self.macs.get(spec.id, 0)
        return planning.rough_seconds(self.plan, macs, spec.mode, spec.device.kind)

    @property
    def specs_each(self) -> int:
        """How many specs one device has to measure."""
        return -(-len(self.specs) // max(1, len(self.share.lanes) if self.share else 1))

    @property
    def possible(self) -> list[Spec]:
        """The specs that can be measured."""
        return [spec for spec in self.specs if spec.id not in self.impossible]

    @property
    def work(self) -> list[list[Spec]]:
        """The possible specs in batches."""
        return list(batches(self.possible, self.seconds))

    def tasks(self, lanes: int, homes: Mapping[str, str] | None = None) -> list[LaneTask]:
        """The possible specs as tasks for a number of GPUs; see ``tasks.cut``."""
        whole = self.plan.budget is not None
        return tasks.cut(self.possible, self.seconds, lanes, homes, whole=whole)

    def task_seconds(self, task: LaneTask) -> float:
        """A rough estimate for a task."""
        starts = len(task.batches) * planning.rough_starts(self.plan)
        return starts + sum(map(self.seconds, task.specs))

    def seconds_on(self, lanes: int) -> float:
        """A rough estimate for everything on a number of GPUs."""
        taken = tasks.expected(self.tasks(lanes), self.task_seconds, lanes)
        return max(sum(map(self.task_seconds, some)) for some in taken)

    @property
    def total_seconds(self) -> float:
        """A rough estimate for everything; with a budget, for the first answers."""
        if self.share is not None:
            return self.seconds_on(max(1, len(self.share.lanes)))
        return self.task_seconds(LaneTask(self.work))


def prepare(
    grid: Grid,
    plan: Plan | None = None,
    who: Executor | str = "process",
    *,
    dry: bool = False,
    free: bool = False,
    shard: Shard | None = None,
) -> Job:
    """Prepare a grid.

    Asks a worker what this machine is, and what models outside the catalogue are.

    Args:
        grid: what a user asked for.
        plan: how to measure it.
        who: measures, or its name.
        dry: nothing is to be measured, so the device need not be here.
        free: nobody asked for a number of rounds, so the device's usual one is taken.
        shard: the part of the grid that is measured here, and has all of a budget.

    Raises:
        UsageError: something in the grid is wrong or not possible here.
    """
    # What needs no worker is checked before one is started.
    grid = replace(grid, models=suite.select(grid.models))
    modes = None if grid.device is None else suite.modes(grid.modes, grid.device)
    who = executor(who) if isinstance(who, str) else who
    with asking(who) as pool:
        grid = replace(grid, models=timm.chosen(pool, grid.models))
        environment = describe(pool)
        device = here(None if dry else grid.device, environment)
        grid = replace(grid, device=grid.device or device)
        grid, plan = _usual(grid, plan or Plan(), free=free)
        return _work_out(grid, plan, who, pool, environment, modes or None, shard)


def _usual(grid: Grid, plan: Plan, *, free: bool) -> tuple[Grid, Plan]:
    """What was not asked for is what is usual on the device."""
    usual = USUAL[(grid.device or Device()).kind]
    if free:
        plan = replace(plan, rounds=usual.rounds)
    if not grid.batches:
        plan = replace(plan, halve_batch=plan.halve_batch or usual.halved)
    batches, modes = grid.batches or usual.batches, grid.modes or usual.modes
    return replace(grid, batches=batches, modes=modes), plan


def _work_out(
    grid: Grid, plan: Plan, who: Executor, pool: AnyPool, environment: Environment,
    modes: tuple[Mode, ...] | None, shard: Shard | None,
) -> Job:  # fmt: skip
    asked = grid.device or here(None, environment)
    if isinstance(asked, AllGpus) and grid.threads is None:
        # One thread launches; so ids do not depend on how many GPUs divide the cores.
        grid = replace(grid, threads=(1,))
    device = of_specs(asked)
    refuse_idle_options(plan, device)
    _refuse_images(pool, grid, plan.timeout)
    modes = modes or suite.modes(grid.modes, device)
    limit = plan.memory_limit or memory_limit(device)
    outside, bad = facts_outside(pool, grid, plan.timeout, limit)
    known = suite.facts(grid.models) | outside
    bad |= _missing_code(pool, grid, plan.timeout)
    refused = _refused_shapes(pool, grid, known)
    found = suite.expand(grid, device, modes, known, refused, bad)
    share = shared(asked, environment, found.specs)
    if share is not None:
        environment = gpus.seen_by_each(environment, share)
    guessed = frozenset(name for name, one in known.items() if one.assumed)
    plan = replace(plan, memory_limit=limit)
    job = Job(found.specs, found.impossible, found.macs, plan, environment, who, guessed, share)
    job = job if shard is None else sharded.only(job, shard)
    return replace(job, plan=plan.within_budget(job.specs_each, device.kind))


def _refuse_images(pool: AnyPool, grid: Grid, seconds: float) -> None:
    """Refuse a directory without a picture that can be read; a worker looks, as it will later."""
    named = grid.settings.get("images", ())
    for directory in (one for one in named if one != NO_IMAGES):
        try:
            ask(pool, CountImages(directory=directory), seconds)
        except WorkerError as error:
            if error.kind != "unsupported":
                raise
            raise UsageError(f"--images: {error}") from error


def facts_outside(
    pool: AnyPool, grid: Grid, seconds: float, limit: int | None = None
) -> tuple[dict[str, Facts], dict[str, str]]:
    """Ask workers about models that the catalogue does not hold, or does not know the inputs of.

    Returns:
        The facts of every model, and of those that cannot be had, why.
    """
    names = grid.models if grid.own_inputs else suite.outside(grid.models)
    found, bad = {}, {}
    requests = [
        Resolve(
            name=name, arguments=grid.arguments, shape=grid.input,
            settings=grid.kept("inference"), memory_limit=limit,
        )
        for name in names
    ]  # fmt: skip
    answers = ask_each(pool, requests, seconds)
    for name, answer in zip(names, answers, strict=True):
        if isinstance(answer, WorkerError):
            own = answer.kind == "unsupported"
            bad[name] = str(answer) if own else f"model '{name}': {answer.phase}: {answer}"
            found[name] = Facts(_UNKNOWN_INPUT)
        else:
            found[name] = Facts(
                answer.input, min_size=answer.min_size, assumed=answer.assumed and not grid.sizes
            )
    return found, bad


def _missing_code(pool: AnyPool, grid: Grid, seconds: float) -> dict[str, str]:
    """Ask workers for the functions of the user's that settings name; those that fail, and why."""
    table = axes.settings()
    names = [
        value
        for axis, values in grid.settings.items()
        for value in values
        if table[axis].code and named.is_code(str(value))
    ]
    answers = ask_each(pool, [FindCode(name=name) for name in names], seconds)
    return {
        name: str(answer) if answer.kind == "unsupported" else f"'{name}': {answer}"
        for name, answer in zip(names, answers, strict=True)
        if isinstance(answer, WorkerError)
    }


def _refused_shapes(
    pool: AnyPool, grid: Grid, known: Mapping[str, Facts]
) -> dict[tuple[str, tuple[int, ...]], str]:
    """Ask a worker which models reject the requested shape, and why."""
    # Networks of the user's may fail for reasons of their own; those belong in their rows.
    own = suite.outside(grid.models)
    found: dict[tuple[str, tuple[int, ...]], str] = {}
    if grid.arguments or grid.own_inputs:
        return found
    shapes = {name: suite.shapes_of(grid, known[name]) for name in grid.models if name not in own}
    for place in range(max(map(len, shapes.values()), default=0)):
        asked = {name: of[place] for name, of in shapes.items() if place < len(of)}
        changed = {name: of for name, of in asked.items() if of != known[name].input}
        if not changed:
            continue
        (answer,) = ask_each(pool, [Fits(shapes=changed)], _FIT_SECONDS)
        # Not known beforehand, then; a network that cannot take it will say so in its row.
        if not isinstance(answer, WorkerError):
            found |= {(name, asked[name]): reason for name, reason in answer.items()}
    return found


def start(
    job: Job,
    out: Path,
    watcher: Watcher,
    name: str | None = None,
    known: Mapping[str, Record] | None = None,
    again: Again | None = None,
) -> StoredRun:
    """Begin a run and measure all of it.

    Args:
        job: what to measure.
        out: its directory.
        watcher: told of progress.
        name: of the run; made up if the directory has a name of the user's own.
        known: what is known of specs already, by id: their memory and structure are kept.
        again: says who has further rounds.

    Raises:
        StoreError: the directory cannot be used.
    """
    names, code = [spec.id for spec in job.specs], source()
    what = store.manifest(name or store.new_run_name(), names, job.plan, job.executor.name)
    what = replace(what, assumed=tuple(sorted(job.assumed)), shared=bool(job.share), grid=job.grid,
                   revision=code.revision, dirty=code.dirty, shard=job.shard)  # fmt: skip
    with store.create(out, what, job.environment) as writer:
        _measure(job, writer, watcher, known, again)
    return store.read(out)


def resume(
    path: Path,
    watcher: Watcher,
    *,
    retry_failed: bool = False,
    budget: float | None = None,
    timeout: float | None = None,
    allowed: Sequence[str] = (),
) -> StoredRun:
    """Measure what a run still lacks, with its own plan; on request, failed specs again.

    A budget counts anew, and in seconds; it and the time limit are the run's own if not given.

    Raises:
        StoreError: not a run directory.
        UsageError: it names models that are neither the user's own nor ``allowed``.
        Incomparable: the machine or software is not the one that the run was started on.
    """
    stored = store.read(path)
    specs = wanted(stored, retry_failed=retry_failed, allowed=allowed)
    if not specs:
        return stored
    who = executor(stored.manifest.executor)
    with asking(who) as pool:
        environment = describe(pool)
    share = None
    if stored.manifest.shared and (begun := stored.environment.hard.get("gpus") or [None]):
        share = shared(AllGpus(), environment, specs, like=begun[0])
        environment = gpus.seen_by_each(environment, share) if share else environment
    if environment.fingerprint != stored.environment.fingerprint:
        changed = ", ".join(stored.environment.differing(environment))
        raise Incomparable(
            f"{path} was started in another environment (different: {changed}); start a new run"
        )
    plan = decode(Plan, dict(stored.manifest.plan), "plan")
    plan = replace(plan, budget=budget or plan.budget, timeout=timeout or plan.timeout)
    known = suite.facts([spec.workload.architecture for spec in specs])
    macs = {spec.id: suite.rough_macs(spec.workload, known) for spec in specs}
    with store.Writer(path) as writer:
        if stored.manifest.revision is not None and _is_other_code(stored.manifest, source()):
            store.write_whole(path / store.MANIFEST, encode(replace(stored.manifest, dirty=True)))
        guessed = frozenset(stored.manifest.assumed)
        job = Job(specs, {}, macs, plan, environment, who, guessed, share)
        _measure(job, writer, watcher, {one.id: one for one in stored.records if one.unfinished})
    return store.read(path)


def _is_other_code(begun: Manifest, now: Source) -> bool:
    """Whether what goes on with a run is not the commit that it was begun with."""
    return begun.revision != now.revision or bool(now.dirty)


def wanted(
    stored: StoredRun, *, retry_failed: bool, allowed: Sequence[str] = ()
) -> tuple[Spec, ...]:
    """The specs that resuming a run measures.

    Raises:
        UsageError: it names models that are neither the user's own nor ``allowed``.
    """
    names = {*stored.missing, *stored.unfinished, *(stored.failed if retry_failed else ())}
    planned = [name for name in stored.manifest.specs if name in names]
    return trust.specs(planned, stored.path, allowed)


def _measure(
    job: Job, writer: Writer, watcher: Watcher, kept: Mapping[str, Record] | None = None,
    again: Again | None = None,
) -> None:  # fmt: skip
    impossible = [_refused(spec, job) for spec in job.specs if spec.id in job.impossible]
    if impossible:
        writer.append(impossible)
    for record in impossible:
        watcher.finished(record)
    # Closed at once if the disk takes no more, so that no worker outlives it.
    with closing(measured_by(job, watcher, kept or {}, again)) as measured:
        try:
            for records in measured:
                if again is not None:  # which may have let others in
                    writer.replan({}, [one.id for one in records])
                told = [replace(one, notes=(*job.notes(one.spec), *one.notes)) for one in records]
                writer.append(told)
        except GpusLost as error:
            command = f"cnnbench run --resume {shlex.quote(str(writer.path))}"
            raise WorkerError(f"{error}; continue with: {command}") from error
    writer.settle()


def _refused(spec: Spec, job: Job) -> Record:
    return Record(
        id=spec.id,
        environment=job.environment.fingerprint,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        failure=Failure("plan", "unsupported", job.impossible[spec.id]),
    )
