"""The measurements of one workload, and the findings about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from cnnbench import metrics, units
from cnnbench.choice import ModeChoice, choose
from cnnbench.profile import Profile
from cnnbench.record import Record
from cnnbench.stats import Estimate

# Why modes in bfloat16 were not tried.
EMULATED = "this processor has no instructions for bf16"


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
class Unkept:
    """A step without kept blocks, beside one with them.

    Attributes:
        spec: id.
        ratio: how many times as long it takes.
        faults: pages per call that are mapped anew.
    """

    spec: str
    ratio: Estimate
    faults: float | None = None


@dataclass(frozen=True)
class Evidence:
    """The measurements of one workload on one device.

    Attributes:
        records: one per mode, plain eager among them.
        untried: mode -> why it was not measured.
        profile: of one of the modes that do not compile, if there is one.
        unkept: the mode to use where malloc is left as it comes, if that was measured.
        verified: by spec id, in how many rounds it was measured again beside the choice.
    """

    records: tuple[Record, ...]
    untried: Mapping[str, str] = field(default_factory=dict)
    profile: Profile | None = None
    unkept: Unkept | None = None
    verified: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def choice(self) -> ModeChoice | None:
        """Which mode to use; ``None`` if plain eager could not be measured."""
        return choose(self.records)

    @property
    def baseline(self) -> Record | None:
        """Plain eager, if it could be measured."""
        return None if self.choice is None else self.choice.baseline

    @property
    def recommended(self) -> Record | None:
        """The mode to use; ``None`` if plain eager could not be measured."""
        return None if self.choice is None else self.choice.best

    @property
    def profiled(self) -> Record | None:
        """The record of the profiled mode."""
        name = None if self.profile is None else self.profile.spec
        found = [one for one in self.records if one.id == name and metrics.latency(one)]
        return found[0] if found else None


def mode_of(record: Record) -> str:
    """The mode's text."""
    return record.spec.mode.text


def between(change: Estimate) -> str:
    """Its interval in brackets; empty where there is none."""
    if change.low is None or change.high is None:
        return ""
    ends = units.interval(units.ratio, change.point, change.low, change.high, change.rounds)
    return f" [{ends}]"
