"""A row per slice: every turn of every process, with its samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnbench.record import Run
from cnnbench.report.variables.variable import NEVER, StoredEntry, Variable, as_json, plain
from cnnbench.slices import Slice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class StoredSlice:
    """A slice, the process that took it, and the record that it is of."""

    of: StoredEntry
    run: Run
    number: int
    taken: Slice


def slices_in(row: StoredEntry) -> Iterator[StoredSlice]:
    """Every slice of a record, process after process."""
    for run in row.record.runs:
        for number, taken in enumerate(run.slices):
            yield StoredSlice(row, run, number, taken)


def _seconds(field: str) -> Callable[[StoredSlice], float | None]:
    def of(row: StoredSlice) -> float | None:
        found: int | None = getattr(row.taken, field)
        return None if found is None else found / 1e9

    return of


def _per_call(ask: Callable[[tuple[int, ...]], float]) -> Callable[[StoredSlice], float]:
    return lambda row: ask(row.taken.ns) / row.taken.iterations / 1e9


def _counter(name: str, field: str, meaning: str) -> Variable:
    return Variable(name, "number", "s", meaning, "counters of the kernel",
                    "the kernel does not tell", _seconds(field))  # fmt: skip


_NO_DRIVER = "the device is a CPU, or the driver does not tell"


def _scaled(row: StoredSlice, name: str, factor: float = 1.0) -> float | None:
    """A number that the driver told right after the samples."""
    found = plain(row.taken.device.get(name), int, float)
    return None if found is None else factor * found


def _throttle(row: StoredSlice) -> str:
    return ",".join(map(str, plain(row.taken.device.get("throttle"), list, tuple) or ()))


def _places() -> list[Variable]:
    """The columns that say which process took a slice, and in which turn."""
    return [
        Variable("spec", "text", "", "the spec's id, as in the table of records", "spec", NEVER,
                 lambda row: row.of.record.id),
        Variable("run", "text", "", "the run's name, as in the table of records",
                 "manifest of the run", NEVER, lambda row: row.of.entry.run),
        Variable("environment", "text", "", "fingerprint, as in the table of records",
                 "environment of the run", NEVER, lambda row: row.of.record.environment),
        Variable("round", "integer", "1", "which fresh start of the workers, from 0",
                 "schedule of the run", NEVER, lambda row: row.run.round),
        Variable("ensemble", "text", "", "names the processes that took turns with each other",
                 "schedule of the run", NEVER, lambda row: row.run.ensemble),
        Variable("slice", "integer", "1", "which slice of its process, from 0",
                 "schedule of the run", NEVER, lambda row: row.number),
        Variable("turn", "integer", "1",
                 "slices of one turn and ensemble were measured next to each other",
                 "schedule of the run", NEVER, lambda row: row.taken.turn),
        Variable("compile_cache", "text", "", "cold or warm compiler cache of the process",
                 "worker", "the mode does not compile", lambda row: row.run.compile_cache),
        Variable("gpu_index", "integer", "1", "which of several GPUs that shared the work",
                 "schedule of the run", "the work was not shared",
                 lambda row: None if row.run.gpu is None else row.run.gpu.index),
    ]  # fmt: skip


def variables() -> list[Variable]:
    """The variables in order."""
    clock = "clock of the worker"
    kernel, silent = "counters of the kernel", "the kernel does not tell"
    return [
        *_places(),
        Variable("iterations", "integer", "1", "calls in a sample", clock, NEVER,
                 lambda row: row.taken.iterations),
        Variable("samples", "integer", "1", "samples in the slice", clock, NEVER,
                 lambda row: len(row.taken.ns)),
        Variable("median_s", "number", "s", "seconds per call, median of its samples", clock,
                 NEVER, lambda row: row.taken.seconds),
        Variable("min_s", "number", "s", "seconds per call, least of its samples", clock, NEVER,
                 _per_call(min)),
        Variable("max_s", "number", "s", "seconds per call, most of its samples", clock, NEVER,
                 _per_call(max)),
        Variable("mean_s", "number", "s", "seconds per call, mean of its samples", clock, NEVER,
                 _per_call(lambda ns: sum(ns) / len(ns))),
        Variable("samples_ns", "text", "nanosecond",
                 "duration of every sample, each of 'iterations' calls, as a JSON list", clock,
                 NEVER, lambda row: as_json(row.taken.ns)),
        _counter("cpu_s", "cpu_ns", "CPU time of the process over the slice, all threads"),
        _counter("run_delay_s", "run_delay_ns",
                 "time that its main thread was ready to run but had no core"),
        _counter("threads_delay_s", "threads_delay_ns",
                 "time that any of its threads was, summed over them"),
        _counter("steal_s", "steal_ns", "time that a hypervisor took from all cores"),
        _counter("others_s", "others_ns", "CPU time of other processes, all cores"),
        Variable("involuntary_switches", "integer", "1", "involuntary context switches", kernel,
                 silent, lambda row: row.taken.involuntary),
        Variable("minor_faults", "integer", "1", "minor page faults of the process", kernel,
                 silent, lambda row: row.taken.minor_faults),
        Variable("probes_ns", "text", "nanosecond",
                 "calibration probes right after the samples and how long they took, as a JSON"
                 " object", clock, "there were none",
                 lambda row: as_json(row.taken.canaries_ns) if row.taken.canaries_ns else None),
        Variable("sm_hz", "number", "Hz", "clock of the GPU's multiprocessors", "driver of the GPU",
                 _NO_DRIVER, lambda row: _scaled(row, "sm_mhz", 1e6)),
        Variable("temperature_c", "number", "degree Celsius", "temperature of the GPU",
                 "driver of the GPU", _NO_DRIVER, lambda row: _scaled(row, "temperature_c")),
        Variable("throttle", "text", "", "reasons for a lower clock, by commas",
                 "driver of the GPU", "there is none", _throttle),
    ]  # fmt: skip
