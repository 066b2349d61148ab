"""Groups handed to hosts until nothing is left: the one loop of a campaign on many hosts.

One thread hears what all hosts say, writes it, and only then hands out the next group, so that a
kill at any moment loses no more than the groups at work. What a lost host had begun is withdrawn
and goes to another as if it had never begun: no figure is of two hosts.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from cnnbench import units
from cnnbench.codec import decode, encode
from cnnbench.errors import WorkerError
from cnnbench.plan import Plan
from cnnbench.record import Failure, Record, from_json
from cnnbench.runner.cluster.deal import Deal, Parcel
from cnnbench.runner.cluster.directory import EACH, Runs
from cnnbench.runner.cluster.hosts import Finished, HostAnswered, HostLost, Measured, Node
from cnnbench.runner.cluster.serving import GroupOrder, HostAsked, Introduction
from cnnbench.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnbench.runner.cluster.hosts import Cluster, Event
    from cnnbench.runner.session import Watcher

# How often the cluster is asked for hosts that have come.
_LOOK_SECONDS = 5.0
# How long a campaign waits for a host to take part while none does; then something is wrong with
# all of them. A start of Ray's process and an import of torch are some ten seconds.
JOIN_SECONDS = 300.0
# A host that is lost time after time is not asked any more.
MOST_INVITATIONS = 3


class HostsLost(WorkerError):
    """No host is left that may measure what is left."""


@runtime_checkable
class HostWatcher(Protocol):
    """A watcher that shows what is done on each of several hosts."""

    def working_on(self, where: str, what: str, done: int, total: int) -> None:
        """A group begins on a host; ``what`` is empty where nothing more will."""

    def noted(self, text: str) -> None:
        """Something about a host that a user must know, in a line."""


@dataclass(frozen=True)
class HandedWork:
    """What is to be measured, by any host.

    Attributes:
        groups: specs that are compared with each other, in the order of the grid.
        seconds: that each of them takes, roughly.
        plan: how they are measured.
        macs: of a call of each spec, roughly.
        notes: what must be said of a spec whatever comes out.
        impossible: spec id -> why it cannot be measured; in no group.
        done: ids that are measured, by the fingerprint of the run that has them.
    """

    groups: tuple[tuple[Spec, ...], ...]
    seconds: tuple[float, ...]
    plan: Plan
    macs: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    impossible: Mapping[str, str] = field(default_factory=dict)
    done: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def has(self, name: str, kind: str | None = None) -> bool:
        """Whether a spec is measured: in the run of a kind, or in any."""
        if kind is not None:
            return name in self.done.get(kind, ())
        return any(name in run for run in self.done.values())

    def left_of(self, group: int, kind: str | None = None) -> list[Spec]:
        """The specs of a group that are missing: in the run of a kind, or in all."""
        return [one for one in self.groups[group] if not self.has(one.id, kind)]

    def parcels(self, kind: str = "") -> list[Parcel]:
        """What is left to be handed out: to any host, or all that a kind has to measure.

        What has been measured of a group keeps the rest at hosts of that kind.
        """
        found = []
        for number, specs in enumerate(self.groups):
            left = self.left_of(number, kind or None)
            homes = {name for name, run in self.done.items() for one in specs if one.id in run}
            own = kind or (min(homes) if len(homes) == 1 else "")
            if left:
                seconds = self.seconds[number] * len(left) / len(specs)
                found.append(Parcel(number, seconds, own))
        return found


class Handing:
    """Hands the work out to the hosts of a cluster."""

    def __init__(
        self,
        cluster: Cluster,
        runs: Runs,
        work: HandedWork,
        asked: HostAsked,
        on: str,
        watcher: Watcher,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """What it brings together.

        Args:
            cluster: has the hosts.
            runs: take what is measured.
            work: to be done.
            asked: what a host is asked before it takes part.
            on: ``any`` or ``each``.
            watcher: told of progress, and of hosts if it is a ``HostWatcher``.
            clock: seconds, of how long hosts take and how long there was none.
        """
        self._cluster = cluster
        self._runs = runs
        self._work = work
        self._asked = asked
        self._each = on == EACH
        self._watcher = watcher
        self._clock = clock
        self._deal = Deal() if self._each else Deal().with_more(work.parcels())
        self._kinds: set[str] = set()
        self._machines: dict[str, Node] = {}
        self._invited: dict[str, Node] = {}
        self._invitations: dict[str, int] = {}
        self._members: dict[str, Node] = {}
        self._seen: dict[str, dict[str, Record]] = {}
        self._why: list[str] = []
        self._told: set[str] = set()
        self._done = 0
        self._looked = -_LOOK_SECONDS
        # When a host was at work last.
        self._since = clock()

    def run(self) -> None:
        """Measure everything.

        Raises:
            HostsLost: no host is left that may have what is left.
            StoreError: the disk takes no more; what hosts measure ends when the cluster is closed.
        """
        while not self._is_over():
            self._look()
            self._hand_out()
            if self._deal.taken:
                self._since = self._clock()
            elif self._is_hopeless():
                self._give_up()
            event = self._cluster.wait(_LOOK_SECONDS)
            if event is not None:
                self._hear(event)
        self._runs.settle()

    def _is_over(self) -> bool:
        """Whether everything is measured; with ``each``, no host may bring another kind, either."""
        if not self._deal.over or not self._kinds:
            return False
        return not self._each or self._is_hopeless()

    def _is_hopeless(self) -> bool:
        """Whether no host will take part that does not yet."""
        return not self._invited or self._clock() - self._since > JOIN_SECONDS

    def _look(self) -> None:
        """Invite the hosts that have come since."""
        if self._clock() - self._looked < _LOOK_SECONDS:
            return
        self._looked = self._clock()
        for line in self._cluster.unfit():
            self._note(line)
        for node in self._cluster.nodes():
            known = node.id in self._invited or node.id in self._members
            asked = self._invitations.get(node.id, 0)
            if not known and asked < MOST_INVITATIONS:
                self._invitations[node.id] = asked + 1
                self._invited[node.id] = node
                self._cluster.invite(node, dict(encode(self._asked)))

    def _hand_out(self) -> None:
        """The next groups to all hosts that are free."""
        now = self._clock()
        for host, parcel in self._deal.choices(now).items():
            node, kind = self._members[host], self._deal.hosts[host]
            specs = self._work.left_of(parcel.group, kind if self._each else None)
            if not self._each:
                self._runs.expect(kind, [one.id for one in specs])
            self._deal = self._deal.handed(host, parcel, now)
            self._seen[host] = {}
            self._show(node, f"{specs[0].workload.group.id} on {specs[0].device.text}")
            self._cluster.hand(node, dict(encode(self._order(specs))))

    def _order(self, specs: Sequence[Spec]) -> GroupOrder:
        names = tuple(one.id for one in specs)
        elsewhere: tuple[str, ...] = ()
        if self._work.plan.halve_batch:
            like = {one.workload.architecture for one in specs}
            every = (one for group in self._work.groups for one in group)
            elsewhere = tuple(one.id for one in every if one.workload.architecture in like)
        macs = {name: self._work.macs[name] for name in names if name in self._work.macs}
        return GroupOrder(names, self._work.plan, self._asked.executor, macs, elsewhere)

    def _hear(self, event: Event) -> None:
        node = event.node
        if isinstance(event, HostAnswered):
            self._invited.pop(node.id, None)
            self._join(node, decode(Introduction, event.message, node.name))
        elif isinstance(event, Measured):
            records = [self._noted(from_json(one)) for one in event.records]
            self._runs.append(self._deal.hosts[node.id], records)
            self._seen[node.id] |= {one.id: one for one in records}
        elif isinstance(event, Finished):
            self._end(node)
        else:
            self._lose(event)

    def _end(self, node: Node) -> None:
        """A host has no more to say of its group: that is measured, unless something is missing."""
        parcel, kind = self._deal.taken[node.id], self._deal.hosts[node.id]
        specs = self._work.left_of(parcel.group, kind if self._each else None)
        if any(one.id not in self._seen[node.id] for one in specs):
            self._cluster.leave(node)
            self._lose(HostLost(node, "it ended before everything was measured"))
            return
        self._deal = self._deal.done(node.id, self._clock())
        self._finish(self._seen.pop(node.id).values())
        self._show(node, "")

    def _join(self, node: Node, found: Introduction) -> None:
        """A host has said what it is: it takes part, or is refused with a line."""
        environment, other = found.environment, self._machines.get(found.machine)
        refused = found.refused
        if other is not None and found.machine:
            refused = f"it is the same machine as {other.name}, which measures already"
        if refused or environment is None:
            self._cluster.leave(node)
            self._invitations[node.id] = MOST_INVITATIONS
            self._note(f"{node.name}: not used: {refused}")
            return
        for line in found.remarks:
            self._note(f"{node.name}: {line}")
        kind = environment.fingerprint
        self._runs.open(environment)
        if kind not in self._kinds:
            if self._each or not self._kinds:
                self._refuse(kind)
            if self._each:
                self._deal = self._deal.with_more(self._work.parcels(kind))
            self._kinds.add(kind)
        self._machines[found.machine] = node
        self._members[node.id] = node
        self._deal = self._deal.joined(node.id, kind)

    def _refuse(self, kind: str) -> None:
        """Rows of what is not possible: in each run, or in the first one."""
        refused = [
            _failed(name, kind, Failure("plan", "unsupported", why))
            for name, why in self._work.impossible.items()
            if not self._work.has(name, kind if self._each else None)
        ]
        if refused:
            if not self._each:
                self._runs.expect(kind, [one.id for one in refused])
            self._runs.append(kind, refused)
        self._finish(refused)

    def _lose(self, event: HostLost) -> None:
        """A host is lost: what it had begun is withdrawn, and the deal says who has it next."""
        node = event.node
        # It may still be there, and is asked anew at once.
        self._looked = -_LOOK_SECONDS
        self._invited.pop(node.id, None)
        self._members.pop(node.id, None)
        self._machines = {key: one for key, one in self._machines.items() if one.id != node.id}
        kind, parcel = self._deal.hosts.get(node.id), self._deal.taken.get(node.id)
        before = len(self._deal.given_up)
        self._deal = self._deal.lost(node.id)
        line = f"{node.name}: lost: {event.why}"
        self._why.append(line)
        self._note(line)
        self._show(node, "lost")
        if kind is None or parcel is None:
            return
        seen = self._seen.pop(node.id)
        specs = self._work.left_of(parcel.group, kind if self._each else None)
        if not self._each:
            self._runs.withdraw(kind, {*seen, *(one.id for one in specs)})
        if len(self._deal.given_up) > before:
            self._give_up_group(specs, kind, line)

    def _give_up_group(self, specs: Sequence[Spec], kind: str, why: str) -> None:
        """Rows of a group that every host was lost with: it may be what they were lost by."""
        message = f"measured to no end on any host; the last one: {why}"
        records = [
            _failed(one.id, kind, Failure("measure", "host_lost", message)) for one in specs
        ]  # fmt: skip
        if not self._each:
            self._runs.expect(kind, [one.id for one in specs])
        self._runs.append(kind, records)
        self._finish(records)

    def _give_up(self) -> None:
        left = len(self._deal.left) or len(self._work.groups)
        told = "; ".join(self._why[-3:]) or "; ".join(sorted(self._told)) or "none has answered"
        self._runs.settle()
        raise HostsLost(
            f"no host of the cluster can measure what is left"
            f" ({units.number(left, 'group')}): {told}"
        )

    def _finish(self, records: Collection[Record]) -> None:
        """Rows are as they stay."""
        self._done += len(records)
        for record in records:
            self._watcher.finished(record)

    def _noted(self, record: Record) -> Record:
        """A record with what must be said of it whatever comes out."""
        return replace(record, notes=(*self._work.notes.get(record.id, ()), *record.notes))

    def _note(self, line: str) -> None:
        """Say something of a host, once."""
        if line not in self._told and isinstance(self._watcher, HostWatcher):
            self._watcher.noted(line)
        self._told.add(line)

    def _show(self, node: Node, what: str) -> None:
        """What a host does now; counted are the specs of all parcels."""
        waiting = [*self._deal.left, *self._deal.taken.values()]
        total = self._done + sum(len(self._work.groups[one.group]) for one in waiting)
        if isinstance(self._watcher, HostWatcher):
            self._watcher.working_on(node.name, what, self._done, total)
        elif what:
            self._watcher.working(f"{node.name}: {what}", self._done, total)


def _failed(name: str, kind: str, failure: Failure) -> Record:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Record(id=name, environment=kind, measured_at=now, failure=failure)
