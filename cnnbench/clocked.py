"""A step with a clock in every module, and what each module does: what two sides are compared by.

Times are nanoseconds of one step. As in ``profile``, at every moment exactly one part of the step
is at work: the innermost module that has been entered, or a part outside the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ClockedPart:
    """A module, or a part of the step outside the network.

    Attributes:
        name: the path of the module; the empty text is the network itself. Outside: the part.
        type: class name; empty outside.
        readings: clock readings that begin its segments in a step, backward pass included.
    """

    name: str
    type: str
    readings: int


@dataclass(frozen=True)
class Clocked:
    """A worker whose modules can be timed.

    Attributes:
        estimate: seconds of a warm step without clocks.
        parts: whatever was at work in a step, modules in order of registration.
    """

    estimate: float
    parts: tuple[ClockedPart, ...]


@dataclass(frozen=True)
class ClockedTurn:
    """Steps of one turn, with and without clocks in them, alternating; medians over the steps.

    Attributes:
        turn: which.
        plain_ns: a step without clocks.
        timed_ns: a step with clocks.
        own_ns: own time of every part, in the order of ``Clocked.parts``.
        steps: how many of either.
        waiting: share of the turn for which the process was ready to run but had no core; ``None``
            if the system does not say.
    """

    turn: int
    plain_ns: float
    timed_ns: float
    own_ns: tuple[float, ...]
    steps: int
    waiting: float | None = None


@dataclass(frozen=True)
class ModuleFacts:
    """What a module is and does, without a clock.

    Attributes:
        name, type: path and class name.
        calls: how often it is entered in a step.
        geometry: its own line in ``print(network)``, e.g. channels, kernel and stride.
        params: elements of parameters of its own, without its children.
        dtype: their type, e.g. ``float32``; empty without any.
        output: type, shape and memory format of the first tensor that it returns.
        operators: operators that it calls itself in the forward pass, nested ones too -> calls.
        heaviest: its operators, those that took longest under the profiler first.
        kernels: primitives of its library -> calls.
    """

    name: str
    type: str
    calls: int = 1
    geometry: str = ""
    params: int = 0
    dtype: str = ""
    output: str = ""
    operators: Mapping[str, int] = field(default_factory=dict)
    heaviest: tuple[str, ...] = ()
    kernels: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class StepFacts:
    """The modules of a step; ``missing``: what could not be had of them -> why."""

    modules: tuple[ModuleFacts, ...]
    missing: Mapping[str, str] = field(default_factory=dict)
