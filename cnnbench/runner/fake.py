"""A pretended executor: answers at once with made-up but repeatable numbers.

For tests and for trying out commands; its environment says that it is fake, and every table repeats
that. A spec can be made to fail by the architecture's name: ``fake:raises``, ``fake:dies``,
``fake:hangs``; a batch does not fit if it needs more than the memory limit, at one per cent of the
architecture's size per sample. What is known of ``worker.oracles`` beforehand comes out as known,
so that a pretended self-test passes.
"""

from __future__ import annotations

import hashlib
import random
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cnnbench.codec import encode
from cnnbench.conv.layers import ConvLayer, Extraction
from cnnbench.conv.problem import is_conv, of_workload
from cnnbench.environment import Environment
from cnnbench.errors import WorkerDied, WorkerRaised, WorkerTimeout
from cnnbench.facts import Algorithm, Ceilings, Structure
from cnnbench.record import Check, Cost, Memory, Reference, Run
from cnnbench.runner import fake_profile
from cnnbench.slices import Slice, Slices
from cnnbench.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from cnnbench.channel import Message
    from cnnbench.errors import WorkerError


class FakeWorker:
    """Answers like a worker."""

    def __init__(self, who: Fake | None = None) -> None:
        self._who = who or Fake()
        self.phase = "start"
        self._request: Message = {}
        self._slices: list[Slice] = []

    def ask(self, message: Message, timeout: float) -> Any:
        """A made-up answer of the right form."""
        if "task" in message:
            self._request = message
            return self._task(message, timeout)
        if message["do"] == "slice":
            self._slices.append(self._slice(message["turn"]))
            return {"turn": message["turn"]}
        if message["do"] == "structure":
            return encode(_structure(Spec.parse(self._request["spec"])))
        return encode(self._run())

    def close(self, *, force: bool = False) -> int | None:
        """Nothing to end."""
        del force
        return 0

    def _task(self, message: Message, timeout: float) -> Any:
        if message["task"] == "describe":
            return encode(Environment(hard={"fake": True}, soft={"flags": {"threads": 1}}))
        if message["task"] == "resolve":
            return {"input": [3, 224, 224]}
        if message["task"] == "fits":
            return {}
        if message["task"] == "cost":
            return _facts(message)
        if message["task"] == "instrument":
            return dict(_CLOCK)
        if message["task"] == "ceilings":
            return encode(_ceilings(message["threads"]))
        if message["task"] == "layers":
            return encode(_layers())
        if message["task"] == "applicability":
            return {name: _applies(Spec.parse(name)) for name in message["specs"]}
        spec = Spec.parse(message["spec"])
        self.phase = "build"
        trouble = _trouble(spec, timeout) or _refusal(spec, message["task"])
        if trouble is not None:
            raise trouble
        answers: dict[str, Callable[[], Any]] = {
            "analyze": lambda: _cost(spec),
            "reference": lambda: Reference(True, 1e-7, 0.0, False),
            "memory": lambda: _memory(spec),
            "algorithm": lambda: Algorithm(
                "fake",
                _size(spec),
                _size(spec),
                1000,
                0,
                1000,
                (1000,),
                "made up",
                (8000, 8000),
                (2000, 2000),
                "nowhere",
            ),
            "measure": lambda: {"estimate": _seconds(spec)},
            **fake_profile.answers(spec, round(_seconds(spec) * 1e9), message),
            "try_batch": lambda: _try_batch(spec, message.get("memory_limit")),
        }
        return encode(answers[message["task"]]())

    def _slice(self, turn: int) -> Slice:
        spec = Spec.parse(self._request["spec"])
        # Neighbouring slices share the moment's noise, as they do on a real machine; the rest is
        # the slice's own.
        plain = replace(spec.workload, arguments=()).id
        place = f"{self._request['seed']}/{self._request['round']}/{plain}/{turn}"
        moment = random.Random(place).gauss(0, 0.2)
        name = f"{spec.mode.text}{spec.workload.model.partition('?')[2]}{self._who.label}"
        own = random.Random(f"{place}/{name}").gauss(0, self._who.noise)
        if spec.workload.architecture in _KNOWN_SECONDS:
            moment, own = 0.0, own / 10
        seconds = _seconds(spec) * (1 + self._who.slowdown)
        nanoseconds = round(seconds * 1e9 * 2 ** (moment + own))
        return Slice(turn=turn, iterations=1, ns=(nanoseconds,) * 3, cpu_ns=3 * nanoseconds)

    def _run(self) -> Run:
        spec = Spec.parse(self._request["spec"])
        first = round(_seconds(spec) * 1e10)
        return Run(
            round=self._request["round"],
            ensemble=self._request["ensemble"],
            slices=Slices.of(self._slices),
            warmup_ns=(first,),
            build_ns=first,
            check=_check(spec),
        )


def _trouble(spec: Spec, timeout: float) -> WorkerError | None:
    table: dict[str, WorkerError] = {
        "fake:raises": WorkerRaised("ValueError: made up"),
        "fake:dies": WorkerDied("the worker process was killed by SIGKILL; out of memory?"),
        "fake:hangs": WorkerTimeout(f"no answer within {timeout:g} s; raise --timeout"),
    }
    return table.get(spec.workload.architecture)


def _refusal(spec: Spec, task: str) -> WorkerError | None:
    """As a worker does that is asked to measure what does not apply."""
    if task != "measure" or not is_conv(spec.workload.architecture):
        return None
    reason = _applies(spec)["reason"]
    return WorkerRaised(reason, "unsupported") if reason else None


def _facts(message: Message) -> dict[str, Any]:
    size = _digest(message["name"]) % 1_000_000
    counts = {"params": size, "trainable_params": size, "buffers": 0, "macs": size}
    more = {"flops": 2 * size, "mult_adds": size, "activation_peak_bytes": size}
    layer = {"name": "conv", "type": "Conv2d", "depth": 1, "leaf": True, "calls": 1, "share": 1.0}
    return {
        "name": message["name"],
        "phase": message["phase"],
        "batch": message["batch"],
        "input": [[message["batch"], 3, 224, 224]],
        **counts,
        **more,
        "memory_peak_bytes": 2 * size,
        "uncounted": {},
        "assumptions": ["made up by the fake executor"],
        "layers": [layer | counts | {"mult_adds": size}],
        "ops": [],
        "crosschecks": [],
    }


def _ceilings(threads: int) -> Ceilings:
    kinds = [f"{dtype} {what}" for dtype in ("float32", "bfloat16") for what in ("matmul", "conv")]
    return Ceilings(
        flops_per_s=dict.fromkeys(kinds, 100000000000.0 * threads),
        bytes_per_s={str(1 << 16): 1e11, str(1 << 26): 1e10},
        dispatch_ns=1000,
        threads=threads,
    )


def _layers() -> Extraction:
    stem = ConvLayer("conv:k8-3x3-s2-p1", (3, 32, 32), 1, ("stem",))
    body = ConvLayer("conv:k8-3x3-p1", (8, 16, 16), 4, ("body.0", "body.1"))
    problems = [(one.count, one.problem().macs) for one in (stem, body)]
    macs = sum(count * macs for count, macs in problems)
    return Extraction((stem, body), {"transposed 2x2": 1}, macs, 2 * macs)


def _applies(spec: Spec) -> dict[str, Any]:
    """Winograd's algorithm does not apply to what is not 3x3; everything else applies."""
    name = spec.mode.implementation
    if name.startswith("winograd") and "-3x3" not in spec.workload.architecture:
        return {"reason": f"{name} is for 3x3 kernels"}
    return {"reason": "", "executed_macs": of_workload(spec.workload).macs, "prepared_bytes": 0}


def _digest(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)


# Networks of worker.oracles, and what is known of each.
_ORACLES = "cnnbench.worker.oracles"
_KNOWN_SECONDS: dict[str, Callable[[Mapping[str, Any]], float]] = {
    f"{_ORACLES}:repeated": lambda given: 1e-4 * given.get("times", 20),
    f"{_ORACLES}:sleeps": lambda given: 1.01e-3 * given["milliseconds"],
}
_CLOCK = {"resolution_ns": 1.0, "reading_ns": 20.0, "empty_ns": 50.0, "sample_ns": 150.0}


def _memory(spec: Spec) -> Memory:
    if spec.workload.architecture == f"{_ORACLES}:holds":
        held = spec.workload.keywords["mebibytes"] << 20
        return Memory(resident_bytes=1, cpu_peak_bytes=1 + held, cpu_high_water_bytes=1 + held)
    return Memory(resident_bytes=_size(spec), cpu_peak_bytes=_size(spec) + _needs(spec))


def _check(spec: Spec) -> Check:
    if spec.workload.architecture == f"{_ORACLES}:wrong" and spec.mode.text != "eager":
        return Check("wrong", error=0.1, reason="made up")
    return Check("ok", error=0.0, error_float64=1e-7, top1_agreement=1.0)


def _needs(spec: Spec) -> int:
    """Bytes beyond the parameters, proportional to the batch."""
    return spec.workload.batch * _size(spec) // 100


def _try_batch(spec: Spec, limit: int | None) -> dict[str, int]:
    if limit is not None and _size(spec) + _needs(spec) > limit:
        raise WorkerRaised("MemoryError: made up", "out_of_memory")
    return {"batch": spec.workload.batch}


def _size(spec: Spec) -> int:
    return 1_000_000 + _digest(spec.workload.architecture) % 100_000_000


def _seconds(spec: Spec) -> float:
    """Proportional to the batch, different per architecture and mode."""
    speed = 1 + _digest(spec.mode.text) % 100 / 100 if spec.mode.text != "eager" else 1.0
    if (known := _KNOWN_SECONDS.get(spec.workload.architecture)) is not None:
        return known(spec.workload.keywords)
    return spec.workload.batch * (1e-3 + _digest(spec.workload.architecture) % 1000 / 1e5) / speed


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
    layers = 4 + _digest(spec.workload.architecture) % 16
    compiled = spec.mode.compiler != "eager"
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


class FakePool:
    """Starts pretended workers."""

    def __init__(self, who: Fake) -> None:
        self._who = who

    def start(self) -> FakeWorker:
        """A worker that is ready at once."""
        return FakeWorker(self._who)


class Fake:
    """The executor that pretends.

    Args:
        label: makes the noise of one side of a duet another than the other's.
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

    def join(self, pool: object) -> FakePool:
        """Its own pretended workers; whose pool it is makes no difference."""
        del pool
        return FakePool(self)
