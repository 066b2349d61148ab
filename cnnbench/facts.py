"""What a record can state about a step besides its time: structure, algorithm, ceilings.

Frozen values that know nothing of specs, runs or files. Sizes are bytes, counts are counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cnnbench.errors import SchemaError


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
        primitive_ns: time in all primitives of oneDNN, by its own clock, in each of several calls;
            empty if it ran none.
        reorder_ns: the part of that time in layout conversions.
        allocator: the allocator of the memory, and its settings.
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
class Applicability:
    """Why a spec of a single layer cannot be, or what it does.

    Attributes:
        reason: empty if it can be.
        executed_macs, prepared_bytes: see ``Algorithm``.
    """

    reason: str = ""
    executed_macs: int | None = None
    prepared_bytes: int | None = None
