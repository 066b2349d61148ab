"""The task that times modules on command, turn by turn, for two sides that are compared.

The clocks are those of a profile (``layer_times``): two readings per module call. Here a worker
waits between turns, because another one takes its turn then, and answers each turn at once. A turn
gives the median of every part over its steps: what disturbs a step hits one part of many, so that
even where every step is disturbed most parts of most steps are not.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from cnnbench.clocked import Clocked, ClockedPart, ClockedTurn
from cnnbench.requests import TakeClocks
from cnnbench.spec import Spec
from cnnbench.worker import compiling, modes, sampling
from cnnbench.worker.counters import Counters
from cnnbench.worker.devices import open_device
from cnnbench.worker.layer_times import HostClock, Timer, built, clock_of
from cnnbench.worker.placement import Placement
from cnnbench.worker.scopes import OUTSIDE, Scopes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cnnbench.requests import ClockModules
    from cnnbench.worker.build import Step
    from cnnbench.worker.devices import Kind
    from cnnbench.worker.layer_times import Clock
    from cnnbench.worker.talk import Talk

# Of a turn: at least, however slow a step is; and at most.
_FEWEST, _MOST = 2, 300
# Outside of the network, and not the time of anything that users wrote.
_LEFT_OUT = {"not counted"}


def clock_modules(request: ClockModules, talk: Talk) -> None:
    """The task: build, warm up, then a turn per command.

    Raises:
        Unsupported: the mode leaves no modules to time.
    """
    spec = Spec.parse(request.spec)
    modes.set_flags(spec.mode, spec.threads, cudnn_benchmark=request.cudnn_benchmark)
    compiling.compile_here(spec.mode, spec.device)
    device = open_device(spec.device)
    talk.enter("build")
    step = built(spec, request.seed)
    talk.enter("warm up")
    warm = sampling.warm_up(step.call, device, request.warm_up)
    placement = Placement(step)
    with sampling.collector_off():
        clock = ThreadClock() if request.cpu_time else clock_of(spec, device)
        clocks = Clocks(step, device, clock)
        talk.answer(Clocked(sampling.steady(warm), clocks.parts))
        talk.enter("clocks")
        while isinstance(command := talk.next(), TakeClocks):
            if command.move:
                placement.move()
            talk.answer(clocks.turn(command.turn, command.seconds))
            sampling.rest()


class ThreadClock(HostClock):
    """The CPU time of this thread: stands still where another process has the core."""

    read = staticmethod(time.thread_time_ns)


class Clocks:
    """The clocks of a step, and which parts of it they have seen at work."""

    def __init__(self, step: Step, device: Kind, clock: Clock) -> None:
        self._device = device
        self._timer = Timer(step, clock)
        scopes = Scopes(step.module)
        # The first call creates what later ones reuse.
        self._timer.timed()
        self._timer.timed()
        self._places = dict(enumerate_parts(scopes))
        readings: dict[str, int] = {}
        for place in self._timer.places:
            if (name := self._places.get(place)) is not None:
                readings[name] = readings.get(name, 0) + 1
        types = {_module(name): type(one).__name__ for name, one in _named(scopes)}
        self._names = list(readings)
        self._names.sort(key=list(dict.fromkeys(self._places.values())).index)
        self.parts = tuple(
            ClockedPart(name.removeprefix(_MARK), types.get(name, ""), readings[name])
            for name in self._names
        )

    def turn(self, number: int, seconds: float) -> ClockedTurn:
        """Steps with and without clocks, alternating, for about that long."""
        plain: list[int] = []
        timed: list[dict[str, int]] = []
        before, began = Counters.read(), time.perf_counter()
        end = began + seconds
        # The first step of a turn finds the caches of another process.
        self._timer.plain()
        while len(timed) < _FEWEST or (time.perf_counter() < end and len(timed) < _MOST):
            self._device.synchronize()
            plain.append(self._timer.plain())
            self._device.synchronize()
            timed.append(self._by_name(self._timer.timed()))
        delay = Counters.read().since(before)["run_delay_ns"]
        taken = 1e9 * (time.perf_counter() - began)
        return ClockedTurn(
            number,
            statistics.median(plain),
            statistics.median(sum(one.values()) for one in timed),
            tuple(statistics.median(one.get(name, 0) for one in timed) for name in self._names),
            len(timed),
            None if delay is None else delay / taken,
        )

    def _by_name(self, segments: Mapping[int, int]) -> dict[str, int]:
        """Forward and backward of a module together."""
        found: dict[str, int] = {}
        for place, ns in segments.items():
            if (name := self._places.get(place)) is not None:
                found[name] = found.get(name, 0) + ns
        return found


# Before the path of a module, so that none can be taken for a part outside of the network.
_MARK = "module "


def _module(path: str) -> str:
    return f"{_MARK}{path}"


def _named(scopes: Scopes) -> Sequence[tuple[str, object]]:
    return list(zip(scopes.names, scopes.modules, strict=True))


def enumerate_parts(scopes: Scopes) -> list[tuple[int, str]]:
    """Every place of a step, and the part whose time it is."""
    count = len(scopes.names)
    modules = [(place, _module(scopes.names[place % count])) for place in range(2 * count)]
    outside = [(scopes.outside(part), part) for part in OUTSIDE if part not in _LEFT_OUT]
    return [*modules, *outside]
