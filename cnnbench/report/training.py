"""What training steps minimise, and what they train: a caption where all agree, else lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench import axes, units

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.record import Record
    from cnnbench.report.entry import Entry

_EVERYTHING = "everything"


def trainable(entry: Entry) -> float | None:
    """Parameters that a step trains, where that was asked for; elsewhere they are all."""
    return _count(entry, "trainable_params")


def macs(entry: Entry) -> float | None:
    """Multiply-accumulates of such a step, forward and backward."""
    return _count(entry, "training_macs")


def _count(entry: Entry, name: str) -> float | None:
    found = entry.estimates[name] if asked(entry.record) else None
    return None if found is None else found.point


def asked(record: Record) -> bool:
    """Whether a record was asked to train something in particular."""
    said = axes.settings()["train"].said(record.spec)
    return bool(said) or record.spec.workload.phase == "finetune"


def captions(found: Sequence[Entry]) -> list[str]:
    """The one loss of all rows that train, and the one part that all train, if it is a part."""
    losses, parts = _known(found, "loss"), _known(found, "trained")
    lines = [f"loss of training steps: {loss}" for loss in losses] if len(losses) == 1 else []
    if len(parts) == 1 and parts != {_EVERYTHING}:
        lines.append(f"training steps train: {parts.pop()}")
    return lines


def lines(found: Sequence[Entry]) -> list[str]:
    """What every row that trains minimises and trains, where they differ."""
    many = {name: len(_known(found, name)) > 1 for name in ("loss", "trained")}
    losses = [
        f"{one.record.id}: loss: {said}"
        for one in found
        if many["loss"] and (said := one.record.told("loss"))
    ]
    parts = [
        f"{_place(one.record)}: {said}"
        for one in found
        if many["trained"] and (said := one.record.told("trained"))
    ]
    return [*dict.fromkeys(parts), *losses]


def _place(record: Record) -> str:
    """A network and what was asked to be trained; modes have that in common."""
    work = record.spec.workload
    wanted = axes.settings()["train"].said(record.spec) or work.phase
    return f"{units.readable(work.model)}, {wanted}"


def _known(found: Sequence[Entry], name: str) -> set[str]:
    return {said for one in found if (said := one.record.told(name))}
