"""Time of every module of a step, in turns with the same step untouched, in one process.

Uses no profiler but two clock readings per module call (events on CUDA). Their cost is measured in
place, by a third kind of step with every reading twice: an empty module in a separate loop would
find other caches than a layer between layers. Compiled modes have no modules left to time and are
refused.
"""

from __future__ import annotations

import random
import resource
import statistics
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import torch

from cnnbench.errors import Unsupported
from cnnbench.profile import LayerTimes, Scope, quieter
from cnnbench.spec import Spec
from cnnbench.worker import build, modes, sampling
from cnnbench.worker.devices import Kind, open_device
from cnnbench.worker.scopes import Scopes, Teller

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cnnbench.requests import TimeLayers
    from cnnbench.worker.talk import Talk

# Rounds of an untouched, a timed and a doubly timed step: at least, at most.
_FEWEST, _MOST = 5, 200
_KINDS = 3
# Steps in which page faults are counted.
_FAULT_STEPS = 3

_RESOLUTION = (
    "own time of each module: from entering to leaving it, without its children; work between"
    " children counts towards the parent",
)
_RESOLUTION_BACKWARD = (
    "backward: by autograd node; a node's time runs to the start of the next node, so the"
    " engine's own work and the accumulation of gradients count towards the node before",
    "loss: the loss itself and its own backward pass",
)
_RESOLUTION_CUDA = (
    "times between events on the device's stream: waiting for the host counts towards the"
    " module that follows",
)


def layer_times(request: TimeLayers, talk: Talk) -> None:
    """The task: build, warm up, take rounds for about ``seconds``."""
    spec = Spec.parse(request.spec)
    modes.set_flags(spec.mode, spec.threads)
    device = open_device(spec.device)
    talk.enter("build")
    step = built(spec, request.seed)
    talk.enter("warm up")
    warm = sampling.warm_up(step.call, device, request.warm_up)
    rounds = rounds_for(request.seconds, sampling.steady(warm))
    talk.enter("layers")
    with sampling.collector_off():
        talk.answer(measure(step, device, clock_of(spec, device), rounds))


def built(spec: Spec, seed: int) -> build.Step:
    """The step of a spec whose modules can be timed separately.

    Raises:
        Unsupported: the mode compiles or captures, which leaves no modules.
    """
    if spec.mode.compiles:
        raise Unsupported(f"mode {spec.mode.text}: layers cannot be separated in compiled code")
    if spec.mode.runtime:
        raise Unsupported(
            f"mode {spec.mode.text}: layers cannot be separated in {spec.mode.runtime}"
        )
    if spec.mode.compiler == "graph":
        raise Unsupported(f"mode {spec.mode.text}: layers cannot be separated in a CUDA graph")
    return build.built(spec, seed)


def rounds_for(seconds: float, estimate: float) -> int:
    """The number of rounds that fit into a time, given the seconds of a step."""
    return max(_FEWEST, min(_MOST, int(seconds / max(_KINDS * estimate, 1e-6))))


class Clock(Protocol):
    """Clock readings that are cheap to take and are converted to nanoseconds afterwards."""

    def read(self) -> Any:
        """A reading."""

    def between(self, readings: Sequence[Any]) -> list[int]:
        """Nanoseconds between neighbouring readings; waits for them."""


class HostClock:
    """The monotonic clock."""

    read = staticmethod(time.perf_counter_ns)

    def between(self, readings: Sequence[int]) -> list[int]:
        """Differences."""
        return [after - before for before, after in pairwise(readings)]


class FaultCounter:
    """The pages that the kernel has mapped for this process, read as a clock is."""

    def read(self) -> int:
        """All so far."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

    def between(self, readings: Sequence[int]) -> list[int]:
        """Differences."""
        return [after - before for before, after in pairwise(readings)]


class DeviceClock:
    """Events on the current CUDA stream."""

    def __init__(self, device: Kind) -> None:
        self._device = device

    def read(self) -> torch.cuda.Event:
        """An event, recorded."""
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def between(self, readings: Sequence[torch.cuda.Event]) -> list[int]:
        """Elapsed times; torch gives milliseconds."""
        self._device.synchronize()
        return [round(before.elapsed_time(after) * 1e6) for before, after in pairwise(readings)]


def clock_of(spec: Spec, device: Kind) -> Clock:
    """The clock of a device kind."""
    return HostClock() if spec.device.kind == "cpu" else DeviceClock(device)


def measure(step: build.Step, device: Kind, clock: Clock, rounds: int) -> LayerTimes:
    """Run rounds, with the steps of each in random order so that drift and neighbours cancel."""
    timer = Timer(step, clock)
    plain: list[int] = []
    segments: list[dict[int, int]] = []
    doubled: list[int] = []
    turns: list[Callable[[], None]] = [
        lambda: plain.append(timer.plain()),
        lambda: doubled.append(timer.doubled()),
        lambda: segments.append(timer.timed()),
    ]
    # The first call of each kind creates what later calls reuse.
    timer.doubled()
    timer.timed()
    order = random.Random(0)
    for _ in range(rounds):
        order.shuffle(turns)
        for turn in turns:
            device.synchronize()
            turn()
    timed = [sum(one.values()) for one in segments]
    kept = quieter(plain, timed, doubled)
    means = _means([segments[index] for index in kept])
    training = step.optimizer is not None
    faults = {} if isinstance(clock, DeviceClock) else faults_of(step)
    return LayerTimes(
        scopes=timer.scopes_of(means),
        outside=timer.outside_of(means),
        plain_ns=tuple(plain),
        timed_ns=tuple(timed),
        doubled_ns=tuple(doubled),
        dispatch_ns=dispatch_ns(step, clock),
        resolution=_RESOLUTION
        + (_RESOLUTION_BACKWARD if training else ())
        + (_RESOLUTION_CUDA if isinstance(clock, DeviceClock) else ()),
        faults=faults,
    )


def faults_of(step: build.Step) -> dict[str, float]:
    """Pages that are mapped anew in each module, the mean of some steps."""
    counted = Timer(step, FaultCounter())
    counted.timed()
    steps = [counted.timed() for _ in range(_FAULT_STEPS)]
    scopes = counted.scopes_of(_means(steps))
    return {one.name: one.ns for one in scopes if one.ns}


class Timer:
    """Times one step's places, or the step untouched."""

    def __init__(self, step: build.Step, clock: Clock) -> None:
        self._step = step
        self._clock = clock
        self._scopes = Scopes(step.module)
        self._marks: list[tuple[int, Any]] = []
        note, read = self._marks.append, clock.read

        def mark(place: int) -> None:
            note((place, read()))

        self._teller = Teller(self._scopes, mark, step.optimizer)
        self._twice = Teller(self._scopes, mark, step.optimizer, times=2)
        self._places: list[int] = []

    def plain(self) -> int:
        """Nanoseconds of an untouched step."""
        start = self._clock.read()
        self._step.call()
        return self._clock.between([start, self._clock.read()])[0]

    def timed(self) -> dict[int, int]:
        """Place -> nanoseconds of one step with a reading at every change of place."""
        found = self._segments(self._teller)
        self._places = [place for place, _ in self._marks]
        return found

    @property
    def places(self) -> Sequence[int]:
        """The place that each reading of the last timed step began, in order."""
        return self._places

    def doubled(self) -> int:
        """Nanoseconds of one step with every reading, and everything that leads to it, twice."""
        return sum(self._segments(self._twice).values())

    def _segments(self, teller: Teller) -> dict[int, int]:
        self._marks.clear()
        with teller:
            teller.begin()
            self._step.call()
            end = self._clock.read()
        lengths = self._clock.between([*(reading for _, reading in self._marks), end])
        found = segments_of([place for place, _ in self._marks], lengths)
        found.pop(self._scopes.outside("not counted"), None)
        return found

    def scopes_of(self, mean: Mapping[int, float]) -> tuple[Scope, ...]:
        """Every module that was at work, by the mean time of each place."""
        scopes, calls = self._scopes, entered(self._places)
        return tuple(
            Scope(
                name=scopes.names[index],
                type=type(module).__name__,
                leaf=not any(True for _ in module.children()),
                calls=calls.get(index, 0),
                forward_ns=mean.get(index, 0.0),
                backward_ns=mean.get(scopes.backward(index), 0.0),
            )
            for index, module in enumerate(scopes.modules)
            if index in mean or scopes.backward(index) in mean
        )

    def outside_of(self, mean: Mapping[int, float]) -> dict[str, float]:
        """The parts outside the network, by the same means."""
        places = ((self._scopes.place(number), ns) for number, ns in mean.items())
        return {part: ns for (index, part), ns in places if index is None}


def segments_of(places: Sequence[int], lengths: Sequence[int]) -> dict[int, int]:
    """Place -> the sum of its segments; a segment runs from its mark to the next."""
    found: dict[int, int] = {}
    for place, length in zip(places, lengths, strict=True):
        found[place] = found.get(place, 0) + length
    return found


def entered(places: Sequence[int]) -> dict[int, int]:
    """Place -> how often it was entered, going back to it after a child not counted.

    When a module is left, an outer one that is still open on the stack continues.
    """
    times: dict[int, int] = {}
    stack: list[int] = []
    for place in places:
        if len(stack) > 1 and stack[-2] == place:
            stack.pop()
            continue
        stack.append(place)
        times[place] = times.get(place, 0) + 1
    return times


def _means(segments: list[dict[int, int]]) -> dict[int, float]:
    places = dict.fromkeys(place for one in segments for place in one)
    return {place: statistics.fmean(one.get(place, 0) for one in segments) for place in places}


def dispatch_ns(step: build.Step, clock: Clock) -> float:
    """Nanoseconds of the shortest call of an operator: the negation of one number.

    This is host time, even if the device works later: it limits the rate at which tiny operators
    are queued.
    """
    del clock
    device = next((tensor.device for tensor in step.resident()), torch.device("cpu"))
    with torch.inference_mode():
        one = torch.ones(1, device=device)
        return _quickest(one.neg)


def _quickest(call: Callable[[], Any]) -> float:
    """Nanoseconds per call: the fastest of several loops, so that a disturbance does not count."""
    best, repeat = float("inf"), range(500)
    for _ in range(10):
        start = time.perf_counter_ns()
        for _ in repeat:
            call()
        best = min(best, (time.perf_counter_ns() - start) / len(repeat))
    return best
