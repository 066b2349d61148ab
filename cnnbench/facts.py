"""What a record can state about a step besides its time: structure, output check, ceilings.

Frozen values that know nothing of specs, runs or files. Sizes are bytes, counts are counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from cnnbench.errors import SchemaError

# Said of the cost of a network that read values, as control flow does, where real ones were used.
BRANCH = "counted for the branch that these values took"


def doubts(assumptions: Iterable[str]) -> tuple[str, ...]:
    """What of the assumptions of a count a reader of its record must know."""
    return tuple(one for one in assumptions if one == BRANCH)


@dataclass(frozen=True)
class Structure:
    """The structure of a step: exact, without a clock, from an untimed pass in a separate process.

    If two records of one network differ here, the network did different things, whatever the clock
    says.

    Attributes:
        operators: ATen operator -> calls in one step.
        kernels: library primitive or device kernel, by its implementation's name -> calls.
        reorders: layout conversions that a library added, ``None`` if unknown.
        outputs: dtype and shape of each output tensor, e.g. ``float32[1,1000]``.
        allocations: blocks that the allocator gave out in one step.
        allocated_bytes: their sum.
        graphs: graphs that the compiler created for the step; ``None`` if nothing was compiled.
        graph_breaks: reason -> times that the compiler gave up within the step.
        recompiles: further compilations of something compiled before.
        missing: name of each figure that could not be had -> why.
        device_ns: how long a CUDA device had any kernel or copy of the step to do, in one call, by
            the profiler; the one figure with a clock, so it makes no structure another.
    """

    operators: Mapping[str, int] = field(default_factory=dict)
    kernels: Mapping[str, int] = field(default_factory=dict)
    reorders: int | None = None
    outputs: tuple[str, ...] = ()
    allocations: int | None = None
    allocated_bytes: int | None = None
    graphs: int | None = None
    graph_breaks: Mapping[str, int] = field(default_factory=dict)
    recompiles: int | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    device_ns: int | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Algorithm:
    """What an implementation of a convolution does, by its formulas and as measured.

    ``None`` where a library does not report a value, never zero.

    Attributes:
        name: the implementation.
        executed_macs: multiply-accumulates that it actually executes, for the whole batch.
        moved_bytes: bytes that it must read and write at least.
        workspace_bytes: extra memory that it needs while it runs, by its formula.
        prepared_bytes: memory of the weights prepared beforehand, by its formula.
        measured_workspace_bytes: the extra memory as the allocator saw it.
        preparation_ns: preparation of the weights, timed separately; never part of a sample.
        source: the paper or library.
        primitive_ns: time in all primitives of oneDNN, by its own clock, and in torch's copies of
            one call, in each of several calls; empty if oneDNN ran none.
        reorder_ns: the part of that time in layout conversions: oneDNN's reorders and the copies.
        allocator: the allocator of the memory, and its settings.
        stage_ns: time of each convolution that a substitute consists of, by its text, in a call
            with clocks between them; of a unit that of its convolution, and of what follows by
            its word; what is left is under an empty text.
    """

    name: str
    executed_macs: int | None
    moved_bytes: int
    workspace_bytes: int | None
    prepared_bytes: int | None
    measured_workspace_bytes: int | None = None
    preparation_ns: tuple[int, ...] = ()
    source: str = ""
    primitive_ns: tuple[int, ...] = ()
    reorder_ns: tuple[int, ...] = ()
    allocator: str = ""
    stage_ns: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.reorder_ns) not in {0, len(self.primitive_ns)}:
            raise SchemaError("primitive_ns and reorder_ns are of unequal length")


@dataclass(frozen=True)
class Ceilings:
    """The limits of the machine, probed beside a measurement with the same threads.

    Attributes:
        flops_per_s: kind of work, e.g. ``float32 matmul`` or ``bfloat16 conv`` -> FLOP/s.
        bytes_per_s: size of a working set in bytes, as text -> bytes per second, read and written.
        dispatch_ns: the shortest call of an operator.
        threads: number of threads while probing.
        run_delay_share: share of the probing time that its threads were ready to run but had no
            core; if several threads wait for each other, ceilings are then too low.
    """

    flops_per_s: Mapping[str, float]
    bytes_per_s: Mapping[str, float]
    dispatch_ns: int
    threads: int
    run_delay_share: float | None = None

    def __post_init__(self) -> None:
        if not all(size.isdecimal() for size in self.bytes_per_s):
            raise SchemaError("bytes_per_s has a size that is not a number of bytes")


@dataclass(frozen=True)
class Fitted:
    """Two steps of ``batch`` samples found the memory that they need."""

    batch: int


@dataclass(frozen=True)
class Room:
    """The memory of a device as a process finds it that has done nothing there yet.

    Attributes:
        free_bytes: free beside this process.
        process_bytes: what such a process takes without a tensor; ``None`` if the driver does not
            say.
        one_process: only one process at a time may use the device.
    """

    free_bytes: int
    process_bytes: int | None = None
    one_process: bool = False


@dataclass(frozen=True)
class OnGpu:
    """Which GPU measured a run where several of a host shared the work, when, and beside what.

    Attributes:
        index: torch's number of it on the host; within its workers it is device 0.
        uuid: its own name.
        cores: the cores that its workers were kept on; empty if they were not.
        began, ended: the ensemble, UTC, ISO 8601 with microseconds.
        neighbours: number of another GPU -> the workloads that were on it meanwhile.
    """

    index: int
    uuid: str
    cores: tuple[int, ...]
    began: str
    ended: str
    neighbours: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Applicability:
    """Why a spec of a single layer cannot be, or what it does.

    Attributes:
        reason: empty if it can be.
        executed_macs, prepared_bytes: see ``Algorithm``.
    """

    reason: str = ""
    executed_macs: int | None = None
    prepared_bytes: int | None = None


# Output statuses, from the best to the worst.
_SEVERITY = ("ok", "unchecked", "loose", "wrong")


@dataclass(frozen=True)
class Deployment:
    """How a network came to run in a deployment runtime, in one process.

    Attributes:
        runtime: its mode word.
        version: of its library.
        precision: in which it computes, as it says itself when asked.
        threads: that it uses, as it says itself.
        artefact_bytes: size of what was loaded.
        loaded_bytes: memory that loading and the first call added to the process.
        ns: what it took to ``import`` the library, ``export`` and ``convert`` the network (absent
            where an earlier round had done that), ``load`` the artefact, and the ``first`` call.
        settings: further settings, as read back.
    """

    runtime: str
    version: str
    precision: str
    threads: int | None = None
    artefact_bytes: int | None = None
    loaded_bytes: int | None = None
    ns: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ColdStart:
    """From the start of a process to its first answer: nanoseconds of each, one per process.

    All files lie in the page cache, and what a compiler or an export makes has been made.

    Attributes:
        python_ns: until the interpreter runs the first line.
        import_ns: torch and the network's library, or the deployment runtime.
        load_ns: building the network and reading its weights from a file, or loading the artefact.
        first_ns: the first call.
    """

    python_ns: tuple[int, ...]
    import_ns: tuple[int, ...]
    load_ns: tuple[int, ...]
    first_ns: tuple[int, ...]

    def __post_init__(self) -> None:
        if len({len(one) for one in self.parts}) != 1 or not self.first_ns:
            raise SchemaError("a cold start has the same number of processes in every part")

    @property
    def parts(self) -> tuple[tuple[int, ...], ...]:
        """All parts, in order."""
        return self.python_ns, self.import_ns, self.load_ns, self.first_ns

    @classmethod
    def of(cls, answers: Sequence[Mapping[str, int]]) -> Self:
        """What processes have answered, each by part."""
        return cls(**{part: tuple(one[part] for one in answers) for part in answers[0]})


@dataclass(frozen=True)
class Check:
    """How far a mode's output is from the reference.

    Attributes:
        status: ``ok``, ``loose``, ``wrong`` or ``unchecked``.
        error: relative Frobenius error against fp32 eager.
        error_float64: relative Frobenius error against float64 eager.
        top1_agreement: share of input samples whose largest logit is the reference's, for
            classifiers.
        error_centred: the error of what depends on the picture, of the output where it is largest.
        reason: why it is not ``ok``.
        top1_pictures: how many samples that is a share of; all of the user's pictures, if there are
            any and this process looked at them.
        accuracy_top1, accuracy_top5: share of the user's pictures whose class is the likeliest, or
            among the five likeliest; with trained weights only.
    """

    status: str
    error: float | None = None
    error_float64: float | None = None
    top1_agreement: float | None = None
    reason: str = ""
    error_centred: float | None = None
    top1_pictures: int | None = None
    accuracy_top1: float | None = None
    accuracy_top5: float | None = None

    def __post_init__(self) -> None:
        if self.status not in _SEVERITY:
            raise SchemaError(f"output status '{self.status}' is none of {', '.join(_SEVERITY)}")

    @property
    def severity(self) -> int:
        """Place of its status among all, from the best to the worst."""
        return _SEVERITY.index(self.status)

    def turned_wrong(self, before: Check | None) -> bool:
        """Whether it is wrong where another was not."""
        return self.status == "wrong" and (before is None or before.status != "wrong")


def worst(checks: Iterable[Check]) -> Check | None:
    """The worst of some checks, the first of those that are alike; ``None`` if there is none."""
    return max(checks, key=lambda check: check.severity, default=None)


def worse(one: Check, other: Check) -> Check:
    """The worse of two checks; the first if they are alike."""
    return worst((one, other)) or one


@dataclass(frozen=True)
class Deviation:
    """How far an output is from another, relative to its norm.

    Attributes:
        whole: of all of it; ``None`` if it is not finite.
        centred: of what depends on the picture: every value less its mean over pictures.
    """

    whole: float | None
    centred: float | None = None


@dataclass(frozen=True)
class Reference:
    """The fp32 eager output that every mode is compared with.

    Attributes:
        repeatable: a second call gave the same bits.
        error_float64: its own relative Frobenius error against float64.
        subnormal_share: share of subnormal numbers among its activations; they cost 30 to 160 times
            the time on CPU.
        nonfinite: an activation was infinite or not a number.
        random: the pass draws random numbers (dropout in training), so outputs cannot be compared.
        subnormal_layer: the first layer with a subnormal number in its output, if any has one.
        pictures: how many different samples the outputs are answers to.
        picture_share: norm of the outputs less their mean over pictures, over their norm.
        weights: ``calibrated``, or ``random`` as the network's builder initialised them.
        rounding: precision -> for every output how far rounding alone moves it in this network;
            for ``fp32`` its distance from float64.
        accuracy_top1, accuracy_top5: of fp32 eager, over the user's pictures; see ``Check``.
        notes: what a reader should know of the user's pictures.
    """

    repeatable: bool
    error_float64: float | None
    subnormal_share: float | None
    nonfinite: bool
    random: bool = False
    subnormal_layer: str | None = None
    pictures: int | None = None
    picture_share: float | None = None
    weights: str = "random"
    rounding: Mapping[str, tuple[Deviation, ...]] = field(default_factory=dict)
    accuracy_top1: float | None = None
    accuracy_top5: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sketch:
    """An output in few numbers, enough to tell how far another one is from it.

    Attributes:
        name: what leads to it (``0.boxes``); empty for a single output.
        count: its numbers; of a complex one two for each.
        norm: Frobenius norm of those that are finite.
        sums: sums of all of them with random signs; of at most as many numbers they are themselves.
        nonfinite: how many are infinite or not numbers.
        digest: of the values of an exact type, which have no distance; empty for floating point.
        moved: relative distance that a relative error of 2^-24 in everything that goes in moves it.
    """

    name: str
    count: int
    norm: float
    sums: tuple[float, ...] = ()
    nonfinite: int = 0
    digest: str = ""
    moved: float = 0.0

    def __post_init__(self) -> None:
        numbers = (self.norm, self.moved, *self.sums)
        if (
            not all(map(math.isfinite, numbers))
            or min(self.count, self.nonfinite, self.norm, self.moved) < 0
        ):
            raise SchemaError(f"output '{self.name}': its numbers are no sketch of an output")


@dataclass(frozen=True)
class Values:
    """What a network computes, whatever the mode: its outputs in few numbers, or why not.

    Of the network itself, eager on the CPU, in float64 where it can be: on the same seeded weights
    and inputs everywhere.

    Attributes:
        outputs: of inference; of a training step its loss, and norms and signs of the gradients.
        initial: the weights before they are calibrated, in few numbers.
        weights: ``calibrated``, ``random``, …; as in ``Reference``.
        batch: samples that it was called with.
        precision: ``float64``, or ``own`` for a network that does not run in it.
        random: the pass draws random numbers, so there is nothing to keep.
        reason: why there is nothing to keep; empty if there is.
    """

    outputs: tuple[Sketch, ...] = ()
    initial: Sketch | None = None
    weights: str = ""
    batch: int = 0
    precision: str = ""
    random: bool = False
    reason: str = ""
