"""What runs on a host of a cluster: it says what it is, and measures the groups that it is handed.

A host is asked and answers in JSON. The process that this runs in imports no torch: what measures
are the worker pools of the executor, processes of their own.
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnbench import allocator
from cnnbench.codec import decode, encode
from cnnbench.doctor import quick
from cnnbench.environment import Environment
from cnnbench.errors import CnnbenchError
from cnnbench.plan import Plan
from cnnbench.record import to_json
from cnnbench.runner.device import here, memory_limit
from cnnbench.runner.executor import executor
from cnnbench.runner.halving import Known
from cnnbench.runner.inquiry import asking, describe
from cnnbench.runner.session import Session
from cnnbench.spec import Device, Spec
from cnnbench.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cnnbench.channel import Message
    from cnnbench.record import Record
    from cnnbench.runner.executor import Executor

_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class HostAsked:
    """What a host is asked before it has anything to measure.

    Attributes:
        version: of the cnnbench that asks.
        executor: that will measure.
        device: of the specs.
        folder: where the command was given, and so the user's own networks may be.
        allocator: the state of malloc that was asked for; empty for the usual one.
        torch: the version that it must have; empty for any.
        threads: that specs have at most.
    """

    version: str
    executor: str
    device: str
    folder: str = ""
    allocator: str = ""
    torch: str = ""
    threads: int = 1


@dataclass(frozen=True)
class Introduction:
    """What a host answers.

    Attributes:
        environment: as its workers find it; ``None`` if it cannot measure.
        refused: why it cannot; empty if it can.
        machine: the same for two hosts of a cluster that share processors; empty if none is told.
        remarks: what disturbs measurements there, a line each.
    """

    environment: Environment | None = None
    refused: str = ""
    machine: str = ""
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class GroupOrder:
    """A group to be measured.

    Attributes:
        specs: their ids, together one group.
        plan: how; without a memory limit the host has its own.
        executor: measures.
        macs: roughly, of each spec.
        elsewhere: ids that are measured in any case, and so not in place of a larger batch.
    """

    specs: tuple[str, ...]
    plan: Plan
    executor: str
    macs: Mapping[str, int] = field(default_factory=dict)
    elsewhere: tuple[str, ...] = ()


class _Nobody:
    """Watches nothing: who handed the group out sees the records."""

    def working(self, what: str, done: int, total: int) -> None:
        """Not said."""

    def first(self, records: Sequence[Record]) -> None:
        """Not said."""

    def finished(self, record: Record) -> None:
        """Not said."""


def introduction(message: Message) -> Message:
    """What this host is, or why it cannot measure what is asked for."""
    # Read by itself first: of another version the rest may have another form.
    version = message.get("version")
    if version != VERSION:
        told = f"it has cnnbench {VERSION}, not {version}; {installing(str(version))}"
        return _told(Introduction(refused=told))
    asked = decode(HostAsked, message, "asked")
    if asked.folder and Path(asked.folder).is_dir():
        os.chdir(asked.folder)
    if asked.allocator:
        os.environ[allocator.VARIABLE] = asked.allocator
    who = executor(asked.executor)
    try:
        with asking(who) as pool:
            environment = describe(pool)
        here(Device.parse(asked.device), environment)
    except CnnbenchError as error:
        return _told(Introduction(refused=str(error)))
    if refused := other_torch(asked.torch, torch_of(environment)):
        return _told(Introduction(refused=refused))
    # What pretends disturbs nothing beside it.
    machine = "" if who.pretends else _machine()
    return _told(Introduction(environment, machine=machine, remarks=_remarks(who, asked.threads)))


def installing(version: str) -> str:
    """What makes a host one that measures with a version of cnnbench."""
    return f"install that there with: pip install 'cnnbench[ray]=={version}'"


def torch_of(environment: Environment) -> str:
    """The version of torch; empty where there is none, as where all is pretended."""
    return str((environment.hard.get("torch") or {}).get("version") or "")


def other_torch(asked: str, found: str) -> str:
    """Why a version of torch is not the one that is asked for; empty if it is.

    For what it was built (``+cpu``, ``+cu130``) is a matter of the host.
    """
    wanted = asked.partition("+")[0]
    if not asked or not found or wanted == found.partition("+")[0]:
        return ""
    told = f"it has torch {found}, not {wanted}"
    return f"{told}; install that there with: pip install torch=={wanted}"


def _remarks(who: Executor, threads: int) -> tuple[str, ...]:
    """What else works on this host now, and comes first."""
    found = quick(who.core_use(), threads)
    busy = () if found is None else (found.what,)
    if who.pretends or (given_way := os.getpriority(os.PRIO_PROCESS, 0)) <= 0:
        return busy
    return (*busy, f"measures at niceness {given_way}, so all other work there comes first;"
            " start Ray there with RAY_worker_niceness=0 in its environment")  # fmt: skip


def _told(found: Introduction) -> Message:
    return dict(encode(found))


def _machine() -> str:
    """The same in every process, and every container, of one machine that was booted once."""
    with contextlib.suppress(OSError):
        return _BOOT.read_text(encoding="ascii").strip()
    return platform.node()


def measured(message: Message, environment: Environment) -> Iterator[list[dict[str, Any]]]:
    """Measure a group, and say after each of its ensembles all that is known.

    Args:
        message: an ``GroupOrder``.
        environment: as this host has described it.
    """
    order = decode(GroupOrder, message, "order")
    specs = [Spec.parse(name) for name in order.specs]
    limit = order.plan.memory_limit or memory_limit(specs[0].device)
    plan = replace(order.plan, memory_limit=limit)
    known = Known({*order.specs, *order.elsewhere})
    session = Session(
        executor(order.executor), plan, environment, _Nobody(), order.macs, known=known
    )
    for records in session.run([specs]):
        yield [to_json(record) for record in records]
