"""Records -> what they prove of networks that are to be chosen among."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench import flaws, metrics
from cnnbench.prediction.contenders import Proof

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cnnbench.record import Record


def proof(record: Record) -> Proof:
    """What a record says; a wrong or loose output is no usable result."""
    time, flaw = metrics.shown(record), flaws.flaw(record)
    if time is None or not flaws.fit(record):
        return Proof(None, why=record.reason or (flaw.name if flaw else flaws.UNMEASURED.name))
    peak = metrics.metric("peak_memory").of(record)
    doubt = flaw.said if flaw is not None and flaw in flaws.OF_TIMES else ""
    return Proof(time.point, time.low, time.high, None if peak is None else peak.point, doubt=doubt,
                 rounds=record.rounds, disturbed=flaw is flaws.DISTURBED)  # fmt: skip


def proofs(records: Iterable[Record]) -> dict[str, Proof]:
    """What records say, by spec."""
    return {record.id: proof(record) for record in records}
