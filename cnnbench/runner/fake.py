"""A pretended executor: answers at once with made-up but repeatable numbers.

For tests and for trying out commands; its environment says that it is fake, and every table repeats
that. A spec can be made to fail by the architecture's name: ``fake:raises``, ``fake:dies``,
``fake:hangs``; a batch does not fit if it needs more than the memory limit, at one per cent of the
architecture's size per sample. What is known of ``worker.oracles`` beforehand comes out as known,
so that a pretended self-test passes.
"""

from __future__ import annotations

import random
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cnnbench import recipes, requests
from cnnbench.catalogue import Accepted
from cnnbench.codec import encode
from cnnbench.conv.problem import of_workload
from cnnbench.environment import Environment
from cnnbench.errors import WorkerDied, WorkerRaised, WorkerTimeout
from cnnbench.facts import (
    Algorithm,
    Applicability,
    Ceilings,
    Check,
    Fitted,
    Reference,
    Room,
    Sketch,
    Structure,
    Values,
)
from cnnbench.record import Cost, Memory, Part, Run
from cnnbench.requests import (
    MeasureLatency,
    SpecRequest,
    TakeSlice,
)
from cnnbench.runner import fake_counts, fake_profile
from cnnbench.slices import ClockFigures, Ready, Slice, Slices, Taken
from cnnbench.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from cnnbench.channel import Message
    from cnnbench.errors import WorkerError
    from cnnbench.messages import Request
    from cnnbench.quiet import CoreUse
    from cnnbench.runner.halt import Halt


class FakeWorker:
    """Answers like a worker."""

    def __init__(self, who: Fake | None = None) -> None:
        self._who = who or Fake()
        self.phase = "start"
        self.kept = None
        self._request: Request[Any] = requests.Describe()
        self._slices: list[Slice] = []

    def ask(self, message: Message, timeout: float) -> Any:
        """A made-up answer of the right form, as it crosses the process border."""
        request = requests.parse(message)
        if isinstance(request, TakeSlice):
            self._slices.append(self._slice(request.turn))
            return encode(Taken(request.turn, self._slices[-1].seconds))
        if isinstance(request, requests.TakeClocks):
            whole, turn = _step_ns(self._request), request.turn
            slower = whole * self._who.slowdown
            return encode(fake_profile.clocked_turn(self._request, turn, whole, slower))
        if isinstance(request, requests.Finish):
            return encode(self._run())
        if isinstance(request, requests.TakeStructure):
            return encode(_structure(self._spec))
        self._request = request
        if isinstance(request, SpecRequest):
            self.phase = "build"
            trouble = _trouble(self._spec, timeout) or _refusal(self._spec, request)
            if trouble is not None:
                raise trouble
        return encode(ANSWERS[type(request)](request))

    def keep_on(self, core: int) -> None:
        """Runs nowhere."""

    def close(self, *, force: bool = False) -> int | None:
        """Nothing to end."""
        del force
        return 0

    @property
    def _spec(self) -> Spec:
        return _spec(self._request)

    @property
    def _measured(self) -> MeasureLatency:
        assert isinstance(self._request, MeasureLatency)  # noqa: S101 - for the type checker
        return self._request

    def _slice(self, turn: int) -> Slice:
        spec, request = self._spec, self._measured
        # Neighbouring slices share the moment's noise, as they do on a real machine; the rest is
        # the slice's own.
        plain = replace(spec.workload, arguments=()).id
        place = f"{request.seed}/{request.round}/{plain}/{turn}"
        moment = random.Random(place).gauss(0, 0.2)
        name = f"{spec.mode.text}{spec.workload.model.partition('?')[2]}{self._who.label}"
        own = random.Random(f"{place}/{name}").gauss(0, self._who.noise)
        if spec.workload.architecture in _KNOWN_SECONDS:
            moment, own = 0.0, own / 10
        seconds = _seconds(spec) * (1 + self._who.slowdown)
        nanoseconds = round(seconds * 1e9 * 2 ** (moment + own))
        return Slice(turn=turn, iterations=1, ns=(nanoseconds,) * 3, cpu_ns=3 * nanoseconds)

    def _run(self) -> Run:
        request, first = self._measured, round(_seconds(self._spec) * 1e10)
        trains = self._spec.workload.phase != "inference"
        flags = {"loss": "made up"} if trains else {}
        return Run(
            round=request.round,
            ensemble=request.ensemble,
            slices=Slices.of(self._slices),
            warmup_ns=(first,),
            build_ns=first,
            check=_check(self._spec, request),
            flags=flags | ({"l2": "cold"} if request.l2 == "cold" else {}),
            parts=_parts(self._spec),
        )


def _parts(spec: Spec) -> tuple[Part, ...]:
    """The steps of a pipeline without workers, each of the same time; a network has none."""
    if not recipes.is_pipeline(spec.workload.architecture) or recipes.alone(spec.workload):
        return ()
    names = (*recipes.of_workload(spec.workload).steps, "rest")
    return tuple(Part(name, (round(_seconds(spec) * 1e9 / len(names)),)) for name in names)


def _trouble(spec: Spec, timeout: float) -> WorkerError | None:
    table: dict[str, WorkerError] = {
        "fake:raises": WorkerRaised("ValueError: made up"),
        "fake:dies": WorkerDied("the worker process was killed by SIGKILL; out of memory?"),
        "fake:hangs": WorkerTimeout(f"no answer within {timeout:g} s; raise --timeout"),
    }
    return table.get(spec.workload.architecture)


def _refusal(spec: Spec, request: SpecRequest[Any]) -> WorkerError | None:
    """Refuse, like a worker that is asked to measure what does not apply."""
    if not isinstance(request, MeasureLatency) or not spec.workload.is_layer:
        return None
    reason = _applies(spec).reason
    return WorkerRaised(reason, "unsupported") if reason else None


def _ceilings(request: requests.ProbeCeilings) -> Ceilings:
    kinds = [f"{dtype} {what}" for dtype in ("float32", "bfloat16") for what in ("matmul", "conv")]
    return Ceilings(
        flops_per_s=dict.fromkeys(kinds, 1e11 * request.threads),
        bytes_per_s={str(1 << 16): 1e11, str(1 << 26): 1e10},
        dispatch_ns=1000,
        threads=request.threads,
    )


def _applies(spec: Spec) -> Applicability:
    """Winograd's algorithm does not apply to what is not 3x3; everything else applies."""
    name = spec.mode.implementation
    if name.startswith("winograd") and "-3x3" not in spec.workload.architecture:
        return Applicability(f"{name} is for 3x3 kernels")
    return Applicability("", of_workload(spec.workload).macs, 0)


# Networks of worker.oracles, and what is known of each.
_ORACLES = "cnnbench.worker.oracles"
_KNOWN_SECONDS: dict[str, Callable[[Mapping[str, Any]], float]] = {
    f"{_ORACLES}:repeated": lambda given: 1e-4 * given.get("times", 20),
    f"{_ORACLES}:sleeps": lambda given: 1.01e-3 * given["milliseconds"],
}
_CLOCK = ClockFigures(1.0, 20.0, 50.0, 150.0)


def _memory(spec: Spec) -> Memory:
    if spec.workload.architecture == f"{_ORACLES}:holds":
        held = spec.workload.keywords["mebibytes"] << 20
        return Memory(resident_bytes=1, cpu_peak_bytes=1 + held, cpu_high_water_bytes=1 + held)
    return Memory(resident_bytes=_size(spec), cpu_peak_bytes=_size(spec) + _needs(spec))


# Batches of pictures that an output is checked on.
_PICTURES = 4


def _check(spec: Spec, request: MeasureLatency) -> Check:
    if request.reference is None:
        return Check("unchecked", reason=request.no_reference)
    if spec.workload.architecture == f"{_ORACLES}:wrong" and spec.mode.text != "eager":
        return Check("wrong", error=0.1, reason="made up")
    pictures = _PICTURES * spec.workload.batch
    return Check("ok", error=0.0, error_float64=1e-7, top1_agreement=1.0, top1_pictures=pictures)


def _needs(spec: Spec) -> int:
    """Bytes beyond the parameters, proportional to the batch."""
    return spec.workload.batch * _size(spec) // 100


def _try_batch(request: requests.TryBatch) -> Fitted:
    spec, limit = _spec(request), request.memory_limit
    if limit is not None and _size(spec) + _needs(spec) > limit:
        raise WorkerRaised("MemoryError: made up", "out_of_memory")
    return Fitted(spec.workload.batch)


def _algorithm(spec: Spec) -> Algorithm:
    size = _size(spec)
    return Algorithm("fake", size, size, 1000, 0, 1000, (1000,), "made up",
                     (8000, 8000), (2000, 2000), "nowhere")  # fmt: skip


def _size(spec: Spec) -> int:
    return 1_000_000 + fake_counts.digest(spec.workload.architecture) % 100_000_000


def _seconds(spec: Spec) -> float:
    """Proportional to the batch, different per architecture and mode."""
    speed = 1 + fake_counts.digest(spec.mode.text) % 100 / 100 if spec.mode.text != "eager" else 1.0
    if (known := _KNOWN_SECONDS.get(spec.workload.architecture)) is not None:
        return known(spec.workload.keywords)
    sample = 1e-3 + fake_counts.digest(spec.workload.architecture) % 1000 / 1e5
    return spec.workload.batch * sample / speed


def _cost(spec: Spec) -> Cost:
    size = _size(spec)
    return Cost(
        params=size // 4,
        trainable_params=size // 4,
        buffers=0,
        param_bytes=size,
        buffer_bytes=0,
        input_bytes=4 * spec.workload.batch,
        macs=spec.workload.batch * size,
        method="fake",
    )


def _structure(spec: Spec) -> Structure:
    """Compiling makes a graph and leaves fewer operators; channels_last saves the reorders."""
    layers = 4 + fake_counts.digest(spec.workload.architecture) % 16
    compiled = spec.mode.compiles
    nhwc = spec.mode.memory_format == "channels_last"
    operators = {"aten::conv2d": layers, "aten::relu": layers}
    return Structure(
        operators={"aten::convolution": layers} if compiled else operators,
        kernels={f"convolution fake:{'nhwc' if nhwc else 'nchw'} f32": layers},
        reorders=0 if nhwc else 2 * layers,
        outputs=(f"float32[{spec.workload.batch},1000]",),
        allocations=2 * layers,
        allocated_bytes=_size(spec),
        graphs=1 if compiled else None,
        recompiles=0 if compiled else None,
    )


def _values(spec: Spec) -> Values:
    """Those of an output of 1000 scores; the mode has no part in them."""
    own = random.Random(spec.workload.id)
    sums = tuple(round(own.gauss(0, 30), 6) for _ in range(32))
    return Values((Sketch("", 2000, 44.7, sums, moved=1e-6),), None, "calibrated", 2, "float64")


def _spec(request: Request[Any]) -> Spec:
    assert isinstance(request, SpecRequest)  # noqa: S101 - for the type checker
    return Spec.parse(request.spec)


_FIRST = (20_000_000, 1_500_000_000, 100_000_000, 50_000_000)
# Two GPUs, for whoever asks for all of them.
_GPU_PLACES = ({"uuid": "pretended-0"}, {"uuid": "pretended-1"})

# What is answered to each task; a worker's own table is TASKS in worker/tasks.py.
ANSWERS: dict[type[Request[Any]], Callable[[Any], Any]] = {
    requests.Describe: lambda _: Environment(
        {"fake": True}, {"flags": {"threads": 1}, "gpu_places": [*_GPU_PLACES]}
    ),
    requests.Resolve: lambda _: Accepted((3, 224, 224)),
    requests.FindCode: lambda _: True,
    requests.ListTimm: lambda request: fake_counts.timm(request.pattern),
    requests.Fits: lambda _: {},
    requests.CountImages: lambda _: 1,
    requests.CountCost: lambda request: _cost(_spec(request)),
    requests.ReportCost: fake_counts.report,
    requests.TakeGradients: fake_counts.gradients,
    requests.ComputeReference: lambda _: Reference(True, 1e-7, 0.0, False),
    requests.MeasureMemory: lambda request: _memory(_spec(request)),
    requests.PrepareColdStart: lambda request: request.place,
    requests.TakeValues: lambda request: _values(_spec(request)),
    requests.MeasureLatency: lambda request: Ready(_seconds(_spec(request))),
    requests.TraceStep: lambda request: fake_profile.trace(request, _step_ns(request)),
    requests.TimeLayers: lambda request: fake_profile.layers(_spec(request), _step_ns(request)),
    requests.ClockModules: lambda request: fake_profile.clocked(_spec(request), _step_ns(request)),
    requests.DescribeModules: lambda request: fake_profile.facts(_spec(request)),
    requests.ListPrimitives: lambda request: fake_profile.primitives(
        _spec(request), _step_ns(request)
    ),
    requests.CountLayers: lambda _: fake_profile.COSTS,
    requests.MeasureClock: lambda _: _CLOCK,
    requests.TryBatch: _try_batch,
    requests.ProbeCeilings: _ceilings,
    requests.AskRoom: lambda _: Room(1 << 40),
    requests.ExtractLayers: lambda _: fake_counts.layers(),
    requests.DescribeAlgorithm: lambda request: _algorithm(_spec(request)),
    requests.CheckApplicability: lambda request: {
        name: _applies(Spec.parse(name)) for name in request.specs
    },
    requests.TraceOperators: lambda request: fake_counts.operators(_seconds(_spec(request))),
    requests.TraceEach: lambda request: fake_counts.each_traced(request.specs, _seconds),
    requests.TimeOperators: lambda request: [*map(fake_counts.operator_time, request.calls)],
}


def _step_ns(request: Request[Any]) -> int:
    return round(_seconds(_spec(request)) * 1e9)


class FakePool:
    """Starts pretended workers."""

    def __init__(self, who: Fake) -> None:
        self._who = who

    def begin(self, *, compiling: bool = False) -> None:
        """Nothing to begin."""

    def start(self) -> FakeWorker:
        """A worker that is ready at once."""
        return FakeWorker(self._who)

    def first_answer(self, order: str, timeout: float) -> Mapping[str, int]:
        """Torch is imported in 1.5 s, and a first call takes 50 ms."""
        del order, timeout
        return dict(zip(("python_ns", "import_ns", "load_ns", "first_ns"), _FIRST, strict=True))


class Fake:
    """The executor that pretends.

    Args:
        label: makes the noise of one side of a pair another than the other's.
        slowdown: how much slower than others everything is, as a fraction.
        noise: of a slice, in powers of two.
    """

    name = "fake"
    pretends = True

    def __init__(self, label: str = "", slowdown: float = 0.0, noise: float = 0.01) -> None:
        self.label = label
        self.slowdown = slowdown
        self.noise = noise

    @contextmanager
    def open(self, scratch: Path) -> Iterator[FakePool]:
        """A pretended pool; the scratch directory stays empty."""
        del scratch
        yield FakePool(self)

    def seeing(self, gpu: str, halt: Halt) -> Fake:
        """The same: it answers at once, so nobody has to be woken."""
        del gpu, halt
        return self

    def with_allocator(self, condition: str) -> Fake:
        """The same: it allocates nothing."""
        del condition
        return self

    def core_use(self) -> CoreUse | None:
        """Nothing is measured, so nothing disturbs it."""
        return None

    def freest_core(self) -> int | None:
        """There are no cores."""
        return None

    def join(self, pool: object) -> FakePool:
        """Its own pretended workers, from any pool."""
        del pool
        return FakePool(self)
