"""The record of a measurement: environment, cost, runs, failure.

Frozen values that know nothing of files or tables. Times are integer nanoseconds as the clock gave
them, sizes are bytes. Statistics are computed on reading (``stats``, ``metrics``), never stored.

Schema history (a schema is never edited, only superseded; a file of each stays in tests/schemas/):

* 1: the first.
* 2: adds, all optional: counters of the machine and probes to a slice, the parts of a training
  step to a run, process memory and faults to memory; to a record what is in ``facts``.
* 3: adds to an algorithm, all optional, time in oneDNN's primitives and its reorders, and where
  memory came from.
* 4: the slices of a run are columns, not a list of objects, which takes less room and time.
* 5: adds, optional: the error of what depends on the picture; weights, pictures and rounding.
* 6: adds, optional: how many samples an agreement is a share of, accuracy, a reference's notes.
* 7: adds, optional, to a structure how long a CUDA device had work.
* 8: adds, optional, to a slice for how long all threads waited; to a run which of several GPUs
  measured it, and how a runtime came to run its network; to a record, what the network computes.
* 9: adds, optional, to a record what a cold start takes.
* 10: adds, optional, to an algorithm the time of each convolution that a substitute consists of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, cast

from cnnbench import axes, facts, stats
from cnnbench.codec import decode, encode
from cnnbench.errors import SchemaError
from cnnbench.slices import Slices, columns
from cnnbench.spec import Mode, Spec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.stats import Estimate

T = TypeVar("T", "Record", "Run")

SCHEMA = 10


@dataclass(frozen=True)
class Cost:
    """The static facts of a workload, known without running it.

    Totals are for the whole batch. ``macs`` counts the multiply-accumulates of contractions in one
    forward pass in inference form; ``training_macs`` counts forward and backward. ``None`` means
    "not known to the method", never zero.

    Attributes:
        params: elements of all parameters, each counted once by identity, auxiliary heads included.
        trainable_params: those with ``requires_grad``.
        buffers: elements of all buffers; param_bytes, buffer_bytes, input_bytes: sizes.
        macs: multiply-accumulates of contractions in one inference pass.
        training_macs: the same for forward and backward of a training step, where auxiliary heads
            run as well.
        bias_adds: additions of biases, the difference to torchinfo's "mult-adds".
        elementwise_flops: FLOPs of the rest by class (norm, activation, pooling, resize).
        activation_peak_bytes: predicted peak of live activations.
        memory_peak_bytes: predicted peak including parameters, buffers and input (training:
            gradients, optimizer); tensors only, without library scratch.
        uncounted: operators without a rule and how often they were called; non-empty means the
            totals may be short.
        auxiliary_params: those of ``params`` that inference does not read (auxiliary heads).
        macs_per_item: data-dependent networks (detection): MACs that each kept item adds, by
            layer; ``macs`` is then the static part alone.
        assumptions: sentences on what was assumed where the network's values would decide.
        method: who counted.
    """

    params: int
    trainable_params: int
    buffers: int
    param_bytes: int
    buffer_bytes: int
    input_bytes: int
    macs: int
    method: str
    training_macs: int | None = None
    bias_adds: int | None = None
    elementwise_flops: Mapping[str, int] | None = None
    activation_peak_bytes: int | None = None
    memory_peak_bytes: int | None = None
    uncounted: Mapping[str, int] = field(default_factory=dict)
    auxiliary_params: int | None = None
    macs_per_item: Mapping[str, int] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()

    @property
    def flops(self) -> int:
        """Floating-point operations of the contractions: two per multiply-accumulate."""
        return 2 * self.macs


@dataclass(frozen=True)
class Part:
    """One part of a step, timed separately after the slices.

    Attributes:
        name: ``forward``, ``loss``, ``backward``, ``optimizer``.
        ns: its duration in each of several steps, with a wait after it; together the parts are a
            little longer than the step, which is timed without waiting in between.
    """

    name: str
    ns: tuple[int, ...]


@dataclass(frozen=True)
class Run:
    """One worker process with its samples.

    Attributes:
        round: which fresh start of the workers this was.
        ensemble: names the set of processes that lived together and took turns.
        slices: what was sampled, in order.
        warmup_ns: each call before sampling; the first contains compilation.
        build_ns: construction, move to the device and mode.
        compile_cache: ``cold`` or ``warm`` compiler cache, if the mode compiles.
        process_peak_bytes: high-water mark of the process at its end, with Python and torch.
        parts: the step in parts, where it has more than one.
        deployment: where a deployment runtime ran it.
        flags: global flags and settings as they were.
        check: the output of this process against the reference.
        gpu: which of several GPUs that shared the work; ``None`` where it was not shared.
    """

    round: int
    ensemble: str
    slices: Slices
    warmup_ns: tuple[int, ...]
    build_ns: int
    check: facts.Check
    flags: Mapping[str, Any] = field(default_factory=dict)
    compile_cache: str | None = None
    process_peak_bytes: int | None = None
    parts: tuple[Part, ...] = ()
    gpu: facts.OnGpu | None = None
    deployment: facts.Deployment | None = None

    @property
    def seconds(self) -> float | None:
        """Per call: the median of its slices' medians."""
        return stats.median(self.slices.seconds) if self.slices else None

    @property
    def awake_seconds(self) -> float | None:
        """The same without the waiting for a core; ``None`` where that was not counted."""
        found = self.slices.awake_seconds
        return stats.median(found) if found else None

    @property
    def cpu_seconds(self) -> float | None:
        """CPU seconds per call; ``None`` where they were not counted."""
        found = self.slices.cpu_seconds
        return stats.median(found) if found else None


def notes_of(mode: Mode, runs: Sequence[Run]) -> tuple[str, ...]:
    """What the processes of a mode have left for a reader under ``flags``, each line once.

    ``remarks`` on what the mode did not do; and the types of a network that is not in float32 by
    itself, from its own and those that it ran in: ``own_dtype`` and ``dtype``; ``l2``.
    """
    remarks = dict.fromkeys(line for run in runs for line in run.flags.get("remarks", ()))
    cold = any(run.flags.get("l2") == "cold" for run in runs)
    return (*remarks, *_precision(mode, runs), *["caches flushed before every sample"] * cold)


def _precision(mode: Mode, runs: Sequence[Run]) -> tuple[str, ...]:
    flags = runs[0].flags if runs else {}
    own, ran = flags.get("own_dtype", ""), flags.get("dtype", "")
    if own in {"", "float32"}:
        return ()
    converted = f"; mode {mode.text} converts it to {ran}" if ran != own else ""
    return (f"the network is in {own}{converted}",)


@dataclass(frozen=True)
class Memory:
    """Peak memory of one step, from a separate pass and process.

    Attributes:
        resident_bytes: memory that lives through the step: parameters, buffers, input, optimizer
            state.
        cpu_peak_bytes: resident plus the allocator's peak within the step.
        cpu_high_water_bytes: resident, and gradients that the step finds and clears, plus the
            growth of the process's high-water mark, malloc caching off.
        cuda_allocated_bytes, cuda_requested_bytes, cuda_reserved_bytes: of CUDA's own allocator.
        cuda_workspace_bytes: what libraries hold beyond the tensors at the peak.
        cuda_process_bytes: memory of the process on the device as the driver counts it.
        minor_faults: page faults of one step with malloc caching as it usually is.
        missing: name of each value that is not available -> why.
    """

    resident_bytes: int | None = None
    cpu_peak_bytes: int | None = None
    cpu_high_water_bytes: int | None = None
    cuda_allocated_bytes: int | None = None
    cuda_requested_bytes: int | None = None
    cuda_reserved_bytes: int | None = None
    cuda_workspace_bytes: int | None = None
    cuda_process_bytes: int | None = None
    minor_faults: int | None = None
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """Why a spec has no (complete) measurement.

    Attributes:
        phase: what the worker was doing.
        kind: one word: ``error``, ``out_of_memory``, ``timeout``, ``died``, …
        message: one line.
        details: the end of the traceback or of what the process wrote.
    """

    phase: str
    kind: str
    message: str
    details: str = ""


# How a note of a record begins while further rounds are planned.
UNFINISHED = "not finished: "


@dataclass(frozen=True)
class Record:
    """Spec + environment + cost + runs, or spec + environment + failure.

    Attributes:
        id: the spec's id.
        environment: fingerprint of the environment it was measured in.
        measured_at: UTC time at which the record was closed, ISO 8601.
        cost, reference, memory, runs: as measured; a failed record keeps what it had by then.
        failure: set if the spec could not be measured to the end.
        structure, algorithm: what the step is made of; a convolution in the lab.
        ceilings, values: probed around its ensembles; what the network computes in any mode.
        notes: other information for readers, e.g. why a value is missing.
    """

    id: str
    environment: str
    measured_at: str
    cost: Cost | None = None
    reference: facts.Reference | None = None
    memory: Memory | None = None
    runs: tuple[Run, ...] = ()
    failure: Failure | None = None
    notes: tuple[str, ...] = ()
    structure: facts.Structure | None = None
    algorithm: facts.Algorithm | None = None
    ceilings: tuple[facts.Ceilings, ...] = ()
    values: facts.Values | None = None
    cold_start: facts.ColdStart | None = None
    schema: int = SCHEMA

    @cached_property
    def spec(self) -> Spec:
        """The spec, read from the id."""
        return Spec.parse(self.id)

    @cached_property
    def round_seconds(self) -> tuple[float, ...]:
        """Seconds per call, one value per round; computed once, because it is used often."""
        return stats.of_rounds((run.round, run.seconds) for run in self.runs)

    @cached_property
    def latency(self) -> Estimate | None:
        """Seconds per call with their interval over rounds; ``None`` without a measurement."""
        values = () if self.failure is not None else self.round_seconds
        return stats.geometric(values) if values else None

    @cached_property
    def beside(self) -> dict[int, tuple[Record, Sequence[tuple[Run, float]]]]:
        """What ``metrics`` found of rounds in which it took turns with another, by its ``id``."""
        return {}

    @property
    def unfinished(self) -> bool:
        """Whether its run was to measure further rounds of it and was ended before."""
        return any(note.startswith(UNFINISHED) for note in self.notes)

    @property
    def rounds(self) -> int:
        """Number of rounds with samples."""
        return len({run.round for run in self.runs if run.slices})

    @cached_property
    def sampled_ns(self) -> int:
        """Sum of all its samples."""
        return sum([run.slices.sampled_ns for run in self.runs])

    @cached_property
    def check(self) -> facts.Check | None:
        """The worst check of all runs."""
        return facts.worst(run.check for run in self.runs)

    def told(self, name: str) -> str | None:
        """A word of its training step, ``loss`` or ``trained``; ``None`` where nobody said."""
        said = (run.flags[name] for run in self.runs if name in run.flags)
        return next(map(str, said), None)

    @property
    def refused(self) -> bool:
        """Whether its implementation does not apply to the layer, which is not a failure."""
        failed = self.failure is not None and self.failure.kind == "unsupported"
        return failed and self.spec.workload.is_layer

    @property
    def reason(self) -> str:
        """Why it is not ``ok``, in one line; empty if it is."""
        if self.failure is not None:
            return f"{self.failure.phase}: {self.failure.message}"
        return self.check.reason if self.check is not None else ""

    @cached_property
    def status(self) -> str:
        """``ok``, ``loose``, ``wrong``, ``unchecked``, or ``failed``."""
        check = None if self.failure is not None else self.check
        return "failed" if check is None else check.status


def to_json(record: Record) -> dict[str, Any]:
    """A record as plain JSON types."""
    return cast("dict[str, Any]", encode(record))


def run_from_json(data: Any) -> Run:
    """Read a run, its slices in columns or, as up to schema 3, a list; or a ``SchemaError``."""
    old = isinstance(data, dict) and isinstance(data.get("slices"), list)
    return decode(Run, _in_columns(data) if old else data)


def _in_columns(run: Any) -> Any:
    return run | {"slices": columns(run["slices"])} if "slices" in run else run


def _runs_in_columns(record: dict[str, Any]) -> dict[str, Any]:
    runs = record.get("runs", [])
    if not isinstance(runs, list) or not all(isinstance(run, dict) for run in runs):
        return record
    return record | {"runs": list(map(_in_columns, runs))}


# Each migration turns a record of schema n into one of n + 1; what the others added is optional.
_MIGRATIONS: dict[int, Any] = dict.fromkeys((1, 2, 4, 5, 6, 7, 8, 9), lambda data: data) | {
    3: _runs_in_columns
}


def from_json(data: Any) -> Record:
    """Read a record of any schema up to this one.

    Raises:
        SchemaError: not a record, or of a newer schema.
    """
    if not isinstance(data, dict) or type(data.get("schema")) is not int:
        raise SchemaError("not a cnnbench record: it has no schema number")
    if (schema := data["schema"]) < 1:
        raise SchemaError(f"record schema {schema} is none: they begin at 1")
    if schema > SCHEMA:
        what = f"record schema {schema} is not known to this version (up to {SCHEMA})"
        raise SchemaError(f"{what}; install a newer cnnbench")
    for number in range(data["schema"], SCHEMA):
        data = _MIGRATIONS[number](data) | {"schema": number + 1}
    record = decode(Record, data, "record")
    axes.understood(record.spec)  # an id that is none is refused here, and what it says is kept
    return record


def lean(record: Record) -> Record:
    """The record without what no report looks at, which is half of its memory.

    Flags but those that reports tell, and the calls of the warm-up after the first.
    """
    return _with(record, runs=tuple([
        _with(run, warmup_ns=run.warmup_ns[:1],
              flags={k: v for k, v in run.flags.items() if k in {"loss", "trained", "l2"}})
        for run in record.runs
    ]))  # fmt: skip


def _with(value: T, **changes: Any) -> T:
    """What ``replace`` does, in a tenth of the time: nothing has to be checked again."""
    made: T = object.__new__(type(value))
    vars(made).update(vars(value) | changes)
    return made


def with_failure(record: Record, failure: Failure) -> Record:
    """The record, failed; the first failure is kept, because the later ones follow from it."""
    return record if record.failure is not None else replace(record, failure=failure)
