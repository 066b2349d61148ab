"""Batches that are too large for a device's memory: which are measured in their place.

Knows nothing of how anything is measured.
"""

from __future__ import annotations

from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING

from cnnbench.record import UNFINISHED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from cnnbench.record import Record
    from cnnbench.runner.subject import Group, Subject
    from cnnbench.spec import Spec

# The kind of failure of a worker that could not get memory.
FULL = "out_of_memory"


def full(subject: Subject) -> bool:
    """Whether a subject failed because its device had no memory left."""
    return subject.failure is not None and subject.failure.kind == FULL


def too_large(group: Group) -> bool:
    """Whether anything of a group is out of memory at a batch that has a half."""
    return group.subjects[0].spec.workload.batch > 1 and any(map(full, group.subjects))


def half(spec: Spec) -> Spec:
    """The spec at half its batch."""
    workload = spec.workload
    return replace(spec, workload=replace(workload, batch=workload.batch // 2))


class Known:
    """The ids of all specs that are measured anyway; several threads may add to it."""

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self._ids = set(ids)
        self._lock = Lock()

    def add(self, ids: Collection[str]) -> bool:
        """Whether all of them are new; only then they are added, by the first thread that comes."""
        with self._lock:
            new = not self._ids & {*ids}
            self._ids |= {*ids} if new else set()
            return new


def smaller(group: Group, known: Known) -> list[Spec]:
    """The specs of a group at half its batch, if any of it is out of memory and half is new.

    All modes that did not fail otherwise, so that they are compared at one batch.

    Args:
        group: has had its first round.
        known: gets them.
    """
    if not too_large(group):
        return []
    left = [one.spec for one in group.subjects if one.failure is None or full(one)]
    found = [half(spec) for spec in left]
    return found if known.add([spec.id for spec in found]) else []


def unfinished(record: Record) -> Record:
    """The record, to be measured again if its run ends before what comes in its place."""
    if record.failure is None or record.failure.kind != FULL:
        return record
    return replace(record, notes=(*record.notes, f"{UNFINISHED}half the batch comes next"))


def tell(chain: Sequence[Group]) -> None:
    """Note on each row what was measured in its place, and on that in place of what.

    Args:
        chain: a group, and those at half its batch and less, in this order.
    """
    for place, group in enumerate(chain):
        for subject in filter(full, group.subjects):
            then = _fitting(subject, chain[place + 1 :])
            instead = "no smaller batch could be measured"
            if then is not None:
                batch = then.spec.workload.batch
                instead = f"batch {batch} was measured instead: {then.spec.id}"
            subject.notes.append(f"out_of_memory at batch {subject.spec.workload.batch}; {instead}")
    first = chain[0].subjects[0].spec.workload.batch
    for subject in (one for group in chain[1:] for one in group.subjects if not full(one)):
        subject.notes.append(f"measured because batch {first} does not fit the device's memory")


def _fitting(subject: Subject, chain: Sequence[Group]) -> Subject | None:
    """The same in the largest smaller batch that fits."""
    same = (
        one
        for group in chain
        for one in group.subjects
        if (one.spec.mode, one.spec.threads, one.spec.workload.architecture)
        == (subject.spec.mode, subject.spec.threads, subject.spec.workload.architecture)
    )
    return next((one for one in same if one.failure is None), None)
