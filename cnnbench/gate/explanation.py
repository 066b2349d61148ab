"""Why one side is slower: the values that an explanation is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from cnnbench.errors import SchemaError

# A module by itself; a module with all that is in it; all modules of a class; a part of the step
# outside of the network; modules by the size of what they return; an operator or kernel by name.
Kind = Literal["module", "within", "class", "outside", "stage", "operator"]

State = Literal["both", "new", "gone"]


@dataclass(frozen=True)
class Span:
    """Nanoseconds with an interval; ``None`` where there is none."""

    ns: float
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        known = [one for one in (self.ns, self.low, self.high) if one is not None]
        if not all(map(math.isfinite, known)) or known[1:] != sorted(known[1:]):
            raise SchemaError(f"{self}: expected nanoseconds, and an interval of them")


@dataclass(frozen=True)
class NamedPart:
    """A part of a step whose time clearly changed.

    Attributes:
        name: path of a module, class, or part, as the head calls it.
        kind: what that is.
        change: of its own time in a step; the interval holds for all parts together.
        type: class of a module.
        was: what the base calls it, where that is something else; empty where it is new.
        state: whether both sides have it.
        reasons: what it does differently; empty where it does the same.
        members: how many modules it stands for.
    """

    name: str
    kind: Kind
    change: Span
    type: str = ""
    was: str = ""
    state: State = "both"
    reasons: tuple[str, ...] = ()
    members: int = 1


@dataclass(frozen=True)
class Explanation:
    """What of a change is where.

    Attributes:
        spec: name of the comparison.
        total: the change of the whole step, measured without clocks.
        step_ns: the base's step.
        named: parts that changed, the largest change first.
        structure: differences of modules whose time is not known to have changed.
        clocked: the change of the whole step in the processes with clocks, by steps without them.
        overhead: how much longer the clocks make a step, as a share.
        parts: how many parts were compared.
        pairs: of fresh processes.
        seconds: that it took.
        notes: what a reader must know of it; why nothing is named, where that has a reason.
        where: the directory that keeps it; empty if none does.
    """

    spec: str
    total: Span
    step_ns: float = 0.0
    named: tuple[NamedPart, ...] = ()
    structure: tuple[str, ...] = ()
    clocked: Span | None = None
    overhead: float | None = None
    parts: int = 0
    pairs: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    where: str = ""

    def __post_init__(self) -> None:
        numbers = (self.step_ns, self.seconds, self.overhead or 0.0)
        if not all(map(math.isfinite, numbers)) or min(self.pairs, self.parts, self.seconds) < 0:
            raise SchemaError(f"explanation of {self.spec}: its numbers are none of a measurement")

    @property
    def named_ns(self) -> float:
        """The changes of all named parts together."""
        return sum(one.change.ns for one in self.named)

    @property
    def residual_ns(self) -> float:
        """What of the total no named part explains."""
        return self.total.ns - self.named_ns
