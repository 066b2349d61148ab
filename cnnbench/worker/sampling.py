"""Warm up, choose how many calls make a sample, take slices.

Knows nothing of networks: it is given a callable and a device. Only the call is between two clock
readings; counters are read around the samples of a slice, never inside.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnnbench.slices import Slice
from cnnbench.worker.counters import Counters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cnnbench.plan import WarmUp
    from cnnbench.worker.counters import Probes
    from cnnbench.worker.devices import Kind

# The largest number of samples in a slice, roughly: enough for its median, few enough to keep every
# one.
_SAMPLES_PER_SLICE = 64
# At the start of a turn, the caches hold the data of other workers: the first call takes up to
# twice as long, and calls some milliseconds later are still a few per cent slower. The calls of the
# first ``_SETTLING_SECONDS`` are not timed; longer calls are hardly affected.
_SETTLING_SECONDS = 10e-3


@dataclass(frozen=True)
class Pace:
    """How calls follow each other where other processes work ahead of them.

    Attributes:
        ahead: the number of calls that find their result ready; they are made before a slice and
            not timed.
        together: results come in such bursts, so that a sample holds a multiple of them.
    """

    ahead: int = 0
    together: int = 1


def warm_up(call: Callable[[], Any], device: Kind, plan: WarmUp, first_ns: int = 0) -> list[int]:
    """Call until warm and wait for each call; the caller makes the very first call.

    Args:
        call: one iteration.
        device: where it runs.
        plan: how long.
        first_ns: duration of the first call, if it did the same work as the others (did not
            compile).

    Returns:
        Nanoseconds of every call.
    """
    taken: list[int] = []
    while not _is_warm(taken, plan, first_ns):
        taken.append(timed(call, device)[0])
    return taken


def _is_warm(taken: list[int], plan: WarmUp, first_ns: int) -> bool:
    spent = sum(taken) / 1e9
    if len(taken) >= plan.calls and spent >= plan.seconds:
        return True
    return len(taken) >= plan.fewest and spent + first_ns / 1e9 >= plan.limit


def timed(call: Callable[[], Any], device: Kind) -> tuple[int, Any]:
    """Nanoseconds of one finished call, and what it returned."""
    start = time.perf_counter_ns()
    result = call()
    device.synchronize()
    return time.perf_counter_ns() - start, result


def steady(warmup: list[int]) -> float:
    """Seconds that one warm call takes: the median of the later half of the warm-up."""
    return statistics.median(warmup[len(warmup) // 2 :]) / 1e9


def calls_per_sample(estimate: float, seconds: float, together: int = 1) -> int:
    """Number of calls in one sample, given the seconds of a call and of a slice.

    A multiple of the calls that come ``together``.
    """
    fitting = max(1, int(seconds / _SAMPLES_PER_SLICE / max(estimate, 1e-9)))
    return math.ceil(fitting / together) * together


@contextmanager
def collector_off() -> Iterator[None]:
    """No garbage collection inside; existing objects are never scanned again."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def settle(call: Callable[[], Any], device: Kind, estimate: float, least: int = 0) -> None:
    """Untimed calls, until the caches are those of a call that follows another.

    Args:
        call: one iteration.
        device: where it runs.
        estimate: seconds of a warm call.
        least: calls in any case.
    """
    for _ in range(max(least, int(_SETTLING_SECONDS / max(estimate, 1e-9)))):
        call()
    device.synchronize()


def take_slice(
    call: Callable[[], Any],
    device: Kind,
    turn: int,
    iterations: int,
    seconds: float,
    estimate: float,
    probes: Probes | None = None,
    ahead: int = 0,
) -> Slice:
    """Sample for one turn, note what the system did meanwhile, then run the calibration probes."""
    if not device.cold:
        settle(call, device, estimate, ahead)
    before = Counters.read()
    samples = device.samples(call, iterations, seconds, estimate)
    # Counted over the slice, in which sweeping a host's caches takes more than the samples.
    swept = device.cold and device.kind == "cpu"
    witnesses: dict[str, Any] = {} if swept else Counters.read().since(before)
    state = device.state()
    probed = {} if probes is None else probes.run()
    return Slice(
        turn=turn,
        iterations=iterations,
        ns=tuple(samples),
        canaries_ns=probed,
        device=state,
        **witnesses,
    )


def rest() -> None:
    """Sleep until the threads of the last parallel region have stopped spinning."""
    time.sleep(0.002)
