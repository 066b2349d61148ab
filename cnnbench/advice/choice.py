"""What was measured of one workload, and which mode it speaks for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cnnbench import metrics
from cnnbench.profile import Profile
from cnnbench.record import Record

if TYPE_CHECKING:
    from cnnbench.stats import Estimate

# What a recommended mode's output may be; "unchecked" is said with it.
_RIGHT = {"ok", "unchecked"}


@dataclass(frozen=True)
class AdviceFinding:
    """One sentence of advice.

    Attributes:
        name: stable, for scripts.
        kind: ``use``, ``other``, ``cost``, ``limit`` or ``untried``.
        text: the sentence, with its numbers.
        mode: the mode that it is about, if it is about one.
    """

    name: str
    kind: str
    text: str
    mode: str = ""


@dataclass(frozen=True)
class Evidence:
    """What was measured of one workload on one device.

    Attributes:
        records: one per mode, plain eager among them.
        untried: mode -> why it was not measured.
        profile: of one of the modes that do not compile, if there is one.
    """

    records: tuple[Record, ...]
    untried: Mapping[str, str] = field(default_factory=dict)
    profile: Profile | None = None

    @property
    def baseline(self) -> Record | None:
        """Plain eager, if it could be measured."""
        found = [one for one in self.records if one.spec == one.spec.plain and _measured(one)]
        return found[0] if found else None

    @property
    def profiled(self) -> Record | None:
        """The record of the profiled mode."""
        name = None if self.profile is None else self.profile.spec
        found = [one for one in self.records if one.id == name and _measured(one)]
        return found[0] if found else None


def _measured(record: Record) -> bool:
    return metrics.latency(record) is not None


def mode_of(record: Record) -> str:
    """The mode's text."""
    return record.spec.mode.text


def is_gain(change: Estimate | None) -> bool:
    """Whether a speed-up can be seen: its whole interval lies above 1."""
    return change is not None and change.low is not None and change.low > 1


def is_loss(change: Estimate | None) -> bool:
    """Whether a slow-down can be seen: its whole interval lies below 1."""
    return change is not None and change.high is not None and change.high < 1


def recommended(evidence: Evidence) -> Record | None:
    """The simplest mode among the right ones that cannot be told from the fastest of them.

    Plain eager if no other shows a gain; ``None`` if eager itself was not measured.
    """
    baseline = evidence.baseline
    if baseline is None:
        return None
    gains = [
        (change.point, record)
        for record in evidence.records
        if record.status in _RIGHT
        and (change := metrics.speedup(record, baseline)) is not None
        and is_gain(change)
    ]
    if not gains:
        return baseline
    _, fastest = max(gains, key=lambda pair: pair[0])
    equals = [record for _, record in gains if not is_gain(metrics.speedup(fastest, record))]
    return min(equals, key=_effort)


def _effort(record: Record) -> tuple[bool, int, float]:
    """How much a mode asks for: a compiler, then words, then time."""
    mode = record.spec.mode
    words = 0 if mode.text == "eager" else mode.text.count("+") + 1
    time = metrics.latency(record)
    return mode.compiler != "eager", words, math.inf if time is None else time.point
