"""What a worker sampled: a slice is one turn, and the slices of a run are kept column by column.

A run has many slices and every slice a dozen fields, so a report of thousands of records would
spend its time on creating objects. It only needs sums and medians of single fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, repeat, starmap
from typing import Any, cast, overload

from cnnbench.errors import SchemaError
from cnnbench.stats import median


@dataclass(frozen=True)
class Slice:
    """What a worker did in one turn, while every other worker slept.

    Attributes:
        turn: slices of equal turn in one ensemble were measured next to each other.
        iterations: calls per sample.
        ns: duration of each sample, i.e. of ``iterations`` calls.
        cpu_ns: CPU time of the whole process (all threads) over the slice.
        run_delay_ns: time its main thread was runnable but not running.
        threads_delay_ns: the same of all its threads, summed over them.
        involuntary: involuntary context switches of the process.
        minor_faults: minor page faults of the process.
        steal_ns: time that the hypervisor took from the machine's cores, all of them together.
        others_ns: CPU time that other processes spent on the machine, all cores together.
        canaries_ns: small fixed pieces of work done right after the samples -> how long they took.
        device: values of the device's driver right after the samples: clocks, throttle reasons.
    """

    turn: int
    iterations: int
    ns: tuple[int, ...]
    cpu_ns: int | None = None
    run_delay_ns: int | None = None
    threads_delay_ns: int | None = None
    involuntary: int | None = None
    minor_faults: int | None = None
    steal_ns: int | None = None
    others_ns: int | None = None
    canaries_ns: Mapping[str, int] = field(default_factory=dict)
    device: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Seconds per call: the median sample divided by its calls."""
        return _seconds(self.ns, self.iterations)

    @property
    def awake_seconds(self) -> float | None:
        """Seconds per call without the waiting for a core; ``None`` where that is not known."""
        return _awake_seconds(self.ns, self.iterations, self.cpu_ns, self.run_delay_ns)

    @property
    def cpu_seconds(self) -> float | None:
        """CPU seconds per call: a mean, because they are counted per slice."""
        return _cpu_seconds(self.ns, self.iterations, self.cpu_ns)


def _seconds(ns: Sequence[int], iterations: int) -> float:
    return median(ns) / iterations / 1e9


def _cpu_seconds(ns: Sequence[int], iterations: int, cpu_ns: int | None) -> float | None:
    return None if cpu_ns is None else cpu_ns / (iterations * len(ns)) / 1e9


def _awake_seconds(
    ns: Sequence[int], iterations: int, cpu_ns: int | None, run_delay_ns: int | None
) -> float | None:
    """Seconds per call of which the process was not ready to run without having a core.

    The mean over the slice, because waiting is counted per slice: its samples, less the share of
    what was counted (CPU time and waiting) that was waiting. A share, not the difference, because
    the counts begin a little before the samples and end a little after them. Or the median, if it
    is smaller: a wait that hits few samples does not move it, and a slice without waiting keeps its
    usual latency. Right for processes of one thread: it is the main thread's waiting that is known.
    What the code itself waits for stays in, unlike in CPU time.
    """
    if run_delay_ns is None:
        return None
    wall = sum(ns)
    whole = max(wall, (cpu_ns or 0) + run_delay_ns)
    mean = wall * (whole - run_delay_ns) / whole / (iterations * len(ns)) / 1e9
    return min(_seconds(ns, iterations), mean)


# Fields that a slice may lack.
WITNESSES = (
    "cpu_ns", "run_delay_ns", "threads_delay_ns", "involuntary", "minor_faults", "steal_ns",
    "others_ns",
)  # fmt: skip


@dataclass(frozen=True)
class Slices(Sequence[Slice]):
    """The slices of a run, in order; a column for each field of a slice.

    The column of a counter is ``None`` if no slice has it, and contains ``None`` for each slice
    without it.

    Attributes:
        canaries_ns: a column for each probe.

    Raises:
        SchemaError: columns of unequal length, or a slice without samples that took time.
    """

    turn: tuple[int, ...]
    iterations: tuple[int, ...]
    ns: tuple[tuple[int, ...], ...]
    cpu_ns: tuple[int | None, ...] | None = None
    run_delay_ns: tuple[int | None, ...] | None = None
    threads_delay_ns: tuple[int | None, ...] | None = None
    involuntary: tuple[int | None, ...] | None = None
    minor_faults: tuple[int | None, ...] | None = None
    steal_ns: tuple[int | None, ...] | None = None
    others_ns: tuple[int | None, ...] | None = None
    canaries_ns: Mapping[str, tuple[int | None, ...]] = field(default_factory=dict)
    device: tuple[Mapping[str, Any], ...] | None = None

    def __post_init__(self) -> None:
        witnesses = [getattr(self, name) for name in WITNESSES]
        columns = [self.iterations, self.ns, *witnesses, self.device, *self.canaries_ns.values()]
        count = len(self.turn)
        if not all([column is None or len(column) == count for column in columns]):  # noqa: C419 - a list is faster
            raise SchemaError(f"columns are of unequal length; 'turn' has {count}")
        if count and not (all(self.ns) and min(self.iterations) > 0 < min(map(min, self.ns))):
            raise SchemaError("a slice needs samples, each of at least one call and nanosecond")

    @classmethod
    def of(cls, found: Iterable[Slice]) -> Slices:
        """Slices as columns."""
        some = tuple(found)
        names = dict.fromkeys(name for one in some for name in one.canaries_ns)
        return cls(
            turn=tuple(one.turn for one in some),
            iterations=tuple(one.iterations for one in some),
            ns=tuple(one.ns for one in some),
            **{name: _known(getattr(one, name) for one in some) for name in WITNESSES},
            canaries_ns={name: tuple(one.canaries_ns.get(name) for one in some) for name in names},
            device=tuple(one.device for one in some) if any(one.device for one in some) else None,
        )

    def __len__(self) -> int:
        return len(self.turn)

    @overload
    def __getitem__(self, index: int) -> Slice: ...
    @overload
    def __getitem__(self, index: slice) -> Slices: ...
    def __getitem__(self, index: int | slice) -> Slice | Slices:
        if isinstance(index, slice):
            return Slices.of([self._at(one) for one in range(len(self))[index]])
        return self._at(range(len(self))[index])

    def __iter__(self) -> Iterator[Slice]:
        return map(self._at, range(len(self)))

    def _at(self, index: int) -> Slice:
        witnesses = {name: getattr(self, name) for name in WITNESSES}
        probes = {name: column[index] for name, column in self.canaries_ns.items()}
        return Slice(
            turn=self.turn[index],
            iterations=self.iterations[index],
            ns=self.ns[index],
            **{name: column and column[index] for name, column in witnesses.items()},
            canaries_ns={name: ns for name, ns in probes.items() if ns is not None},
            device={} if self.device is None else self.device[index],
        )

    @cached_property
    def seconds(self) -> tuple[float, ...]:
        """Seconds per call of each slice; computed once, because it is used often."""
        return tuple(map(_seconds, self.ns, self.iterations))

    @cached_property
    def awake_seconds(self) -> tuple[float, ...] | None:
        """Seconds per call of each slice without waiting for a core; ``None`` if one lacks it."""
        if self.run_delay_ns is None:
            return None if self.turn else ()
        counted = self.cpu_ns or repeat(None)
        columns = zip(self.ns, self.iterations, counted, self.run_delay_ns, strict=False)
        return _all(starmap(_awake_seconds, columns))

    @property
    def cpu_seconds(self) -> tuple[float, ...] | None:
        """CPU seconds per call of each slice; ``None`` if one lacks it."""
        if self.cpu_ns is None:
            return None if self.turn else ()
        return _all(map(_cpu_seconds, self.ns, self.iterations, self.cpu_ns))

    @cached_property
    def sampled_ns(self) -> int:
        """Sum of all samples."""
        return sum(map(sum, self.ns))

    @property
    def calls(self) -> tuple[int, ...]:
        """Number of sampled calls in each slice."""
        pairs = zip(self.ns, self.iterations, strict=True)
        return tuple([iterations * len(ns) for ns, iterations in pairs])

    @property
    def per_call_ns(self) -> list[float]:
        """Nanoseconds per call of every sample, slice after slice."""
        if set(self.iterations) == {1}:
            return list(chain.from_iterable(self.ns))
        pairs = zip(self.ns, self.iterations, strict=True)
        return [one / iterations for ns, iterations in pairs for one in ns]

    def total(self, witness: str) -> int | None:
        """Sum of a counter over all slices; ``None`` if one of them lacks it."""
        if not self.turn:
            return 0
        column: tuple[int | None, ...] | None = getattr(self, witness)
        if column is None or None in column:
            return None
        return sum(cast("tuple[int, ...]", column))


def _all(values: Iterable[float | None]) -> tuple[float, ...] | None:
    known = tuple(values)
    return None if None in known else cast("tuple[float, ...]", known)


def _known(values: Iterable[int | None]) -> tuple[int | None, ...] | None:
    column = tuple(values)
    return None if all(value is None for value in column) else column


def columns(data: Any) -> Any:
    """Convert the JSON of slices up to record schema 3, a list of objects, to columns.

    Raises:
        SchemaError: it is not a list of slices.
    """
    if not isinstance(data, list) or not all(map(_is_slice, data)):
        raise SchemaError("'slices' is no list of slices with turn, iterations and ns")
    names = dict.fromkeys(["turn", "iterations", "ns", *(name for one in data for name in one)])
    table: dict[str, Any] = {name: [one.get(name) for one in data] for name in names}
    probes = table.pop("canaries_ns", [])
    probed = dict.fromkeys([name for one in probes for name in one or ()])
    table["canaries_ns"] = {
        name: [None if one is None else one.get(name) for one in probes] for name in probed
    }
    if "device" in table:
        table["device"] = [one or {} for one in table["device"]]
    return table if any(table.get("device", ())) else {**table, "device": None}


def _is_slice(data: Any) -> bool:
    if not isinstance(data, dict) or not data.keys() >= {"turn", "iterations", "ns"}:
        return False
    probes, device = data.get("canaries_ns", {}), data.get("device", {})
    return isinstance(probes, dict) and isinstance(device, dict) and None not in probes.values()


@dataclass(frozen=True)
class ClockFigures:
    """The clock and the sampling loop of a worker, in nanoseconds.

    Attributes:
        resolution_ns: the smallest step of the clock.
        reading_ns: between two readings in a row.
        empty_ns: what a sample of an empty call says.
        sample_ns: CPU time that taking it costs.
    """

    resolution_ns: float
    reading_ns: float
    empty_ns: float
    sample_ns: float


@dataclass(frozen=True)
class Ready:
    """A worker can be sampled; ``estimate`` is the seconds of a warm call."""

    estimate: float


@dataclass(frozen=True)
class Taken:
    """A slice has been taken in this turn; ``seconds`` per call, as far as they are known now."""

    turn: int
    seconds: float | None = None
