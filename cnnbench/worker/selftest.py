"""Measures the clock and the sampling loop in a worker, where networks are measured too."""

from __future__ import annotations

import itertools
import statistics
import time
from typing import TYPE_CHECKING, Any

from cnnbench.slices import ClockFigures
from cnnbench.spec import Spec
from cnnbench.worker import modes, sampling
from cnnbench.worker.devices import open_device

if TYPE_CHECKING:
    from cnnbench.requests import MeasureClock
    from cnnbench.worker.devices import Kind
    from cnnbench.worker.talk import Talk

_READINGS = 20_000
_SLICES = 5
_SECONDS = 0.02


def instrument(request: MeasureClock, talk: Talk) -> None:
    """Resolution and cost of the clock, and what a timed iteration costs beyond two readings."""
    spec = Spec.parse(request.spec)
    modes.set_flags(spec.mode, spec.threads)
    talk.enter("clock")
    with sampling.collector_off():
        talk.answer(ClockFigures(**clock(), **loop(open_device(spec.device))))


def clock() -> dict[str, float]:
    """Nanoseconds: the smallest step of the clock, and the time between two readings in a row."""
    read = time.perf_counter_ns
    taken = [read() for _ in range(_READINGS)]
    steps = [later - earlier for earlier, later in itertools.pairwise(taken)]
    pairs = [-(read() - read()) for _ in range(_READINGS)]
    return {
        "resolution_ns": min(step for step in steps if step > 0),
        "reading_ns": statistics.median(pairs),
    }


def loop(device: Kind) -> dict[str, float]:
    """Nanoseconds per sample of an empty call by the sampling path of networks.

    ``empty_ns`` is the value of a sample. ``sample_ns`` is the CPU time for taking it, because a
    neighbour that takes the core is not a property of the loop. Both are medians of a few slices.
    """
    said, cost = [], []
    for turn in range(_SLICES):
        start = time.thread_time_ns()
        samples = device.samples(_nothing, 1, _SECONDS, 1e-6)
        cost.append((time.thread_time_ns() - start) / len(samples))
        one = sampling.take_slice(_nothing, device, turn, 1, _SECONDS, 1e-6)
        said.append(statistics.median(one.ns))
    return {"empty_ns": statistics.median(said), "sample_ns": statistics.median(cost)}


def _nothing() -> Any:
    """An iteration that does nothing."""
