"""Measures given specs again, completely or only their structure, for ``check``.

Knows nothing of baseline files and verdicts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cnnbench import store, suite
from cnnbench.environment import Environment
from cnnbench.errors import WorkerError
from cnnbench.record import Cost, Memory, Record
from cnnbench.requests import CountCost, MeasureMemory, TakeStructure, TakeValues
from cnnbench.runner import campaign
from cnnbench.runner.campaign import Job
from cnnbench.runner.device import memory_limit
from cnnbench.runner.ensemble import failure
from cnnbench.runner.executor import executor
from cnnbench.runner.inquiry import ask, asking, describe, tell
from cnnbench.spec import Device

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cnnbench.facts import Structure, Values
    from cnnbench.plan import Plan
    from cnnbench.runner.executor import AnyPool, Executor
    from cnnbench.runner.session import Watcher
    from cnnbench.spec import Spec
    from cnnbench.store import StoredRun


@dataclass(frozen=True)
class Found:
    """The cost and structure of specs in the current code; nothing was timed."""

    environment: Environment
    records: tuple[Record, ...]


def measure(
    specs: Sequence[Spec],
    plan: Plan,
    out: Path,
    watcher: Watcher,
    who: str = "process",
    inspected: Sequence[Record] = (),
) -> StoredRun:
    """Measure a run of given specs.

    Args:
        specs: what to measure.
        plan: how; its memory limit is that of this machine.
        out: the run's directory.
        watcher: told of progress.
        who: the executor's name.
        inspected: what ``inspect`` found of them, which is not measured once more.

    Raises:
        StoreError: the directory cannot be used.
    """
    chosen = executor(who)
    with asking(chosen) as pool:
        environment = describe(pool)
    facts = suite.facts([spec.workload.architecture for spec in specs])
    macs = {spec.id: suite.rough_macs(spec.workload, facts) for spec in specs}
    job = Job(tuple(specs), {}, macs, _here(plan, specs[0]), environment, chosen)
    known = {record.id: record for record in inspected if record.failure is None}
    return campaign.start(job, out, watcher, store.new_run_name(), known)


def inspect(specs: Sequence[Spec], plan: Plan, who: Executor | str = "process") -> Found:
    """Cost, structure and values of given specs; a spec that fails has a record that says so.

    Args:
        specs: what to look at.
        plan: time limit and seed; its memory limit is that of this machine.
        who: looks, or its name.

    Raises:
        WorkerError: no worker can be started at all.
    """
    with asking(executor(who) if isinstance(who, str) else who) as pool:
        pool.begin(compiling=any(spec.imports_compiler for spec in specs))
        environment = describe(pool)
        costs: dict[str, Cost | WorkerError] = {}
        values: dict[str, Values | WorkerError] = {}
        records = []
        for spec in specs:
            workload = spec.workload.id
            if workload not in costs:
                costs[workload] = _cost(pool, spec, plan)
            cost = costs[workload]
            record = _record(pool, spec, plan, environment, cost)
            if record.failure is None and not spec.workload.is_layer:
                if workload not in values:
                    values[workload] = _values(pool, spec, plan)
                record = _with_values(record, values[workload])
            records.append(record)
    return Found(environment, tuple(records))


def _record(
    pool: AnyPool, spec: Spec, plan: Plan, environment: Environment, cost: Cost | WorkerError
) -> Record:
    empty = Record(
        id=spec.id,
        environment=environment.fingerprint,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    if isinstance(cost, WorkerError):
        return replace(empty, failure=failure(cost))
    memory, structure, notes = _made_of(pool, spec, plan)
    return replace(empty, cost=cost, memory=memory, structure=structure, notes=notes)


def _cost(pool: AnyPool, spec: Spec, plan: Plan) -> Cost | WorkerError:
    try:
        return ask(pool, CountCost.planned(spec, _here(plan, spec)), plan.timeout)
    except WorkerError as error:
        return error


def _values(pool: AnyPool, spec: Spec, plan: Plan) -> Values | WorkerError:
    try:
        limit = memory_limit(Device("cpu"))
        return ask(pool, TakeValues.planned(spec, plan, memory_limit=limit), plan.timeout)
    except WorkerError as error:
        return error


def _with_values(record: Record, values: Values | WorkerError) -> Record:
    if isinstance(values, WorkerError):
        note = f"values of the outputs not known: {values}"
        return replace(record, notes=(*record.notes, note))
    return replace(record, values=values)


def _made_of(
    pool: AnyPool, spec: Spec, plan: Plan
) -> tuple[Memory | None, Structure | None, tuple[str, ...]]:
    """Memory and structure of one step, from one worker; a note says what is missing."""
    worker = pool.start()
    memory = None
    try:
        memory = tell(worker, MeasureMemory.planned(spec, _here(plan, spec)), plan.timeout)
        structure = tell(worker, TakeStructure(), plan.timeout)
    except WorkerError as error:
        what = "memory" if memory is None else "structure"
        return memory, None, (f"{what} not measured: {error}",)
    finally:
        worker.close()
    return memory, structure, ()


def _here(plan: Plan, spec: Spec) -> Plan:
    """The plan, adapted to this machine."""
    return replace(plan, memory_limit=memory_limit(spec.device))
