"""The content of a profile: where the time of a step goes, by layer, operator and primitive.

Frozen values and their arithmetic. Times are nanoseconds of one step, sizes are bytes. Knows
nothing of how they were taken, nor of tables.

A step is cut into segments: at every moment exactly one *scope* is at work, the innermost module
that has been entered, or a part of the step outside the network. So the segments of a timed pass
add up to that pass, and what a module does between its children (an addition, a concatenation, a
``flatten``) is its own time and is not hidden.

The cost of the clock readings is measured in place: a step with every reading twice is longer than
the timed step by the cost of one reading there, including cache effects. The remaining difference
to the untouched step is the residual. The three kinds of step take turns, and none is computed from
the others.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cnnbench import stats, units
from cnnbench.facts import Ceilings


@dataclass(frozen=True)
class Scope:
    """A module's own time, without its children.

    Attributes:
        name: its path; the empty text is the network itself.
        type: class name.
        leaf: whether it has no children.
        calls: how often it was entered in a step.
        forward_ns, backward_ns: time at work in a step.
    """

    name: str
    type: str
    leaf: bool
    calls: int
    forward_ns: float
    backward_ns: float = 0.0

    @property
    def ns(self) -> float:
        """Forward and backward."""
        return self.forward_ns + self.backward_ns


# A residual beyond this share of the step, or known no better, leaves open where the time goes.
_WIDE = 0.25


@dataclass(frozen=True)
class LayerTimes:
    """Scopes of a step and the same step untouched, measured in turns in one process.

    Attributes:
        scopes: every module that ran, in order of registration; means over the quieter rounds.
        outside: part of the step outside the network -> its time, likewise.
        plain_ns: the untouched step, one number per round.
        timed_ns: the step with clocks in it, one number per round.
        doubled_ns: the step with every clock twice, one number per round.
        dispatch_ns: the shortest call of an operator there, for judging tiny operators.
        resolution: sentences on what a number stands for.
        faults: path of a module -> pages of memory that the kernel maps anew for it in a step,
            its children's not among them; of those with any, and on a host only.
    """

    scopes: tuple[Scope, ...]
    outside: Mapping[str, float]
    plain_ns: tuple[int, ...]
    timed_ns: tuple[int, ...]
    doubled_ns: tuple[int, ...]
    dispatch_ns: float | None = None
    resolution: tuple[str, ...] = ()
    faults: Mapping[str, float] = field(default_factory=dict)

    @property
    def sum_ns(self) -> float:
        """All segments of a timed step: modules and what is outside the network."""
        return sum(scope.ns for scope in self.scopes) + sum(self.outside.values())

    @property
    def end_to_end_ns(self) -> float:
        """The untouched step: the mean over the quieter rounds."""
        return statistics.fmean(plain for plain, _, _ in self._kept)

    @property
    def clocks_ns(self) -> float:
        """The cost of the clock readings of a timed step: the doubled step minus the timed one."""
        return statistics.fmean(doubled - timed for _, timed, doubled in self._kept)

    @property
    def residual_ns(self) -> float:
        """End to end = sum - clocks + residual."""
        return self.end_to_end_ns - (self.sum_ns - self.clocks_ns)

    @property
    def residual_share(self) -> float:
        """The residual over the end-to-end time; its sign says which is longer."""
        return self.residual_ns / self.end_to_end_ns

    @property
    def residual_half_share(self) -> float | None:
        """Half of the residual's 95 % interval over rounds, as a share of the end-to-end time."""
        rounds = [plain - 2 * timed + doubled for plain, timed, doubled in self._kept]
        if len(rounds) < 2:
            return None
        return stats.t_interval(rounds, 0.95)[1] / self.end_to_end_ns

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why the layers do not explain the step; empty if they do."""
        half, most = self.residual_half_share, max((one.ns for one in self.scopes), default=0.0)
        share, found = most / self.end_to_end_ns, []
        if half is not None and half > _WIDE:
            found.append(f"the residual is known to ± {units.percent(half)} only")
        if share > 1:
            found.append(f"a layer takes {units.percent(share)} of the step that contains it")
        elif abs(self.residual_share) > _WIDE:
            residual = units.percent(self.residual_share, sign=True)
            found.append(f"the layers and the step differ by {residual}")
        return tuple(found)

    @property
    def _kept(self) -> list[tuple[int, int, int]]:
        rounds = list(zip(self.plain_ns, self.timed_ns, self.doubled_ns, strict=True))
        return [rounds[index] for index in quieter(*zip(*rounds, strict=True))]


def quieter(*steps: Sequence[int]) -> tuple[int, ...]:
    """Indices of the half of the rounds with the smaller sums, at least one.

    What disturbs a step lands in some layer by chance, so the quieter half says best where the
    time goes. Judging all steps of a round together favours none; a mean, unlike a median, is
    additive.

    >>> quieter([10, 11, 50, 10], [12, 13, 12, 90])
    (0, 1)
    """
    sums = [sum(some) for some in zip(*steps, strict=True)]
    order = sorted(range(len(sums)), key=lambda index: sums[index])
    return tuple(sorted(order[: (len(order) + 1) // 2]))


@dataclass(frozen=True)
class LayerCost:
    """What a module does by itself, counted on the meta device; bytes as in float32.

    Attributes:
        name: its path.
        forward_macs, backward_macs: multiply-accumulates.
        forward_bytes, backward_bytes: read and written by its operators, before any cache.
        operators: operators that it calls, both passes, views left out.
    """

    name: str
    forward_macs: int = 0
    backward_macs: int = 0
    forward_bytes: int = 0
    backward_bytes: int = 0
    operators: int = 0


@dataclass(frozen=True)
class Primitive:
    """A library primitive or device kernel that ran in a scope, calls of one kind added up.

    Attributes:
        scope: path of the module, or ``None`` outside the network.
        direction: ``forward`` or ``backward``.
        kind: ``convolution``, ``reorder``, ``inner_product``, …
        implementation: as the library names it.
        calls: in one step.
        ns: their time by the library's own clock, from an untimed pass of its own.
    """

    scope: str | None
    direction: str
    kind: str
    implementation: str
    calls: int
    ns: float


@dataclass(frozen=True)
class Operator:
    """An ATen operator, per step, under the profiler.

    Attributes:
        name: of the operator.
        calls: in one step.
        self_ns: host time in it alone.
        total_ns: host time with what it calls.
        device_ns: time of its kernels on the device; 0 on a CPU.
        allocated_bytes: allocated less released by itself.
        modules: paths of the modules whose operations a compiler fused in it; empty for others.
    """

    name: str
    calls: float
    self_ns: float
    total_ns: float
    device_ns: float = 0.0
    allocated_bytes: float = 0.0
    modules: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProfilerTrace:
    """What torch's profiler recorded.

    Attributes:
        file: the trace, for TensorBoard's profiler plugin and Perfetto.
        heaviest: path of a module -> the operator, or on a device the kernel, that took most of
            its forward pass.
        kernel_ns: path of a module -> time of the device kernels that its own forward pass
            launched, per step, as if one ran at a time; empty on a CPU.
        stacks: folded stacks for flame graphs, if they were asked for.
        plain_ns: steps before the profiler was started.
        profiled_ns: the recorded steps.
        operators: longest first.
        kernels: device kernels, longest first; empty on a CPU.
        memory_ns, memory_bytes: the last step's curve: time since its start, bytes above it.
    """

    file: str
    plain_ns: tuple[int, ...]
    profiled_ns: tuple[int, ...]
    operators: tuple[Operator, ...]
    kernels: tuple[Operator, ...] = ()
    memory_ns: tuple[float, ...] = ()
    memory_bytes: tuple[int, ...] = ()
    heaviest: Mapping[str, str] = field(default_factory=dict)
    kernel_ns: Mapping[str, float] = field(default_factory=dict)
    stacks: str | None = None

    @property
    def overhead(self) -> float:
        """How many times longer a step takes under the profiler: a ratio of medians."""
        return statistics.median(self.profiled_ns) / statistics.median(self.plain_ns)

    @property
    def memory_peak_bytes(self) -> int:
        """Highest point of the curve."""
        return max(self.memory_bytes, default=0)


@dataclass(frozen=True)
class Profile:
    """One spec's profile; a part that could not be had is ``None`` and explained in ``notes``.

    ``busy`` says what else kept the cores busy before, if they were too few.
    ``ceilings`` are those of the machine, probed beside the passes; empty if they were not.
    ``failed`` names the parts that should have been there; what does not apply has a note only.
    """

    spec: str
    environment: str
    trace: ProfilerTrace | None = None
    layers: LayerTimes | None = None
    primitives: tuple[Primitive, ...] | None = None
    costs: tuple[LayerCost, ...] | None = None
    notes: tuple[str, ...] = ()
    ceilings: tuple[Ceilings, ...] = ()
    failed: tuple[str, ...] = ()
    busy: str = ""

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why its times must not be used."""
        found = () if self.layers is None else self.layers.doubts
        return (*found, *filter(None, [self.busy]))
