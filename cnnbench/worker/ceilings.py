"""What this machine can do at most: arithmetic per second, bytes per second, the cheapest call.

Short probes with the same threads and on the same device as the measurement beside them. All probes
take turns several times, and the shortest call of each counts: a ceiling is what is possible, and a
neighbour that takes a core for a moment must not lower it. Knows nothing of workloads or records.

Compute is probed by matrix products *and* by convolutions: either can be the faster one.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from cnnbench.facts import Ceilings
from cnnbench.spec import Device, Mode
from cnnbench.worker import modes, sampling
from cnnbench.worker.devices import open_device

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from cnnbench.requests import ProbeCeilings
    from cnnbench.worker.devices import Kind
    from cnnbench.worker.talk import Talk

    Series = Callable[[torch.dtype, str], list["Probe"]]


@dataclass(frozen=True)
class Effort:
    """How much time probing may take.

    Attributes:
        rounds: turns that every probe has at least, and
        most: at most, while some of them still become faster.
        burst: seconds in which a probe is repeated in one turn.
        longest: if a call takes more than this number of seconds, no larger one is tried.
        sizes: working sets in bytes.
    """

    rounds: int
    most: int
    burst: float
    longest: float
    sizes: tuple[int, ...]


# From what a first-level cache holds to more than any cache does; quick probing takes every second
# size.
_SIZES = {
    "cpu": tuple(1 << n for n in range(14, 29)),
    "cuda": tuple(1 << n for n in range(18, 31)),
}


def effort(device: Device, *, quick: bool) -> Effort:
    """The effort of quick probing (about a second) or of thorough probing (some seconds)."""
    sizes = _SIZES[device.kind]
    return Effort(2, 5, 0.002, 0.002, sizes[1::2]) if quick else Effort(4, 16, 0.01, 0.05, sizes)


# The first part of a ceiling's name, and the precision that it stands for.
PRECISIONS = {
    "cpu": {"float32": "fp32", "bfloat16": "bf16"},
    "cuda": {"float32": "fp32", "tf32": "tf32", "bfloat16": "bf16", "float16": "fp16"},
}


# Where threads wait for a core, a single call is not informative.
_FEWEST = 3


@dataclass
class Probe:
    """A call, how much work it does, and the shortest time that it has taken so far."""

    call: Callable[[], Any]
    amount: int
    seconds: float = math.inf

    @property
    def rate(self) -> float:
        """Amount per second at best; 0 if it was never called."""
        return self.amount / self.seconds

    def burst(self, kind: Kind, seconds: float) -> None:
        """Repeat it for some time; its first call is not counted."""
        sampling.timed(self.call, kind)
        estimate = min(self.seconds, sampling.timed(self.call, kind)[0] / 1e9)
        seconds = max(seconds, _FEWEST * estimate)
        iterations = sampling.calls_per_sample(estimate, seconds)
        taken = min(kind.samples(self.call, iterations, seconds, estimate))
        self.seconds = min(self.seconds, taken / iterations / 1e9)


def ceilings(request: ProbeCeilings, talk: Talk) -> None:
    """The ceilings of a device with a number of threads."""
    device = Device.parse(request.device)
    talk.enter("ceilings")
    talk.answer(probe(device, request.threads, effort(device, quick=request.quick)))


def probe(device: Device, threads: int, how: Effort) -> Ceilings:
    """Measure the ceilings; sets the global flags of the process."""
    modes.set_flags(Mode(), threads)
    kind = open_device(device)
    with torch.inference_mode(), sampling.collector_off():
        compute = {
            (name, what): make(modes.PRECISIONS[precision].dtype or torch.float32, device.text)
            for name, precision in PRECISIONS[device.kind].items()
            for what, make in COMPUTE.items()
        }
        moves = _moves(device.text, how.sizes)
        # A ceiling is what the library's fastest algorithm reaches.
        chosen = "cudnn_benchmark" if device.kind == "cuda" else ""

        def turn() -> None:
            for (name, _), series in compute.items():
                precision = PRECISIONS[device.kind][name]
                modes.set_flags(Mode(precision=precision, implementation=chosen), threads)
                _climb(series, kind, how)
            modes.set_flags(Mode(), threads)
            for one in moves.values():
                one.burst(kind, how.burst)

        probes = [*chain.from_iterable(compute.values()), *moves.values()]
        delay = _until_steady(turn, probes, how) / threads
    return Ceilings(
        flops_per_s={
            f"{name} {what}": max(one.rate for one in series)
            for (name, what), series in compute.items()
        },
        bytes_per_s=dict(_curve(moves, how.sizes)),
        dispatch_ns=round(min(moves[name, 0].seconds for name in MOVES) * 1e9),
        threads=threads,
        run_delay_share=delay,
    )


# A turn in which no probe becomes faster by more than this has found nothing new.
_FASTER = 0.95


def _until_steady(turn: Callable[[], None], probes: list[Probe], how: Effort) -> float:
    """Repeat the probes until none becomes faster; on a busy machine that takes longer.

    Returns:
        Seconds that threads of this process waited for a core, per second.
    """
    start, waited = time.perf_counter_ns(), _run_delay_ns()
    for done in range(how.most):
        before = [one.seconds for one in probes]
        turn()
        pairs = zip(before, probes, strict=True)
        if done + 1 >= how.rounds and all(one.seconds >= _FASTER * old for old, one in pairs):
            break
    return (_run_delay_ns() - waited) / (time.perf_counter_ns() - start)


def _run_delay_ns() -> int:
    """Nanoseconds that all threads were ready to run but had no core; 0 if not counted."""
    files = Path("/proc/self/task").glob("*/schedstat")
    with contextlib.suppress(OSError, IndexError, ValueError):
        return sum(int(file.read_text(encoding="ascii").split()[1]) for file in files)
    return 0


def _climb(series: list[Probe], kind: Kind, how: Effort) -> None:
    """One turn of probes of growing size, while their calls are short enough."""
    for one in series:
        one.burst(kind, how.burst)
        if one.seconds > how.longest:
            return


# Drawn numbers that are repeated: many enough that neighbours in any sum differ.
_DRAWN = 1 << 20


def _random(count: int, dtype: torch.dtype, device: str) -> Tensor:
    """Normal numbers, few of them drawn, on a device.

    Constant data flip fewer bits, so that a device that is limited by its power would work faster
    on them than on any network's.
    """
    drawn = torch.randn(min(count, _DRAWN), generator=torch.Generator().manual_seed(0))
    times = -(-count // _DRAWN)
    return drawn.to(device, dtype).repeat(times)[:count]


def _matmuls(dtype: torch.dtype, device: str) -> list[Probe]:
    """Square matrix products of growing size, in FLOPs."""
    # Views of the largest matrix are enough: only the rows and columns of a product are read.
    largest = 8192 if device != "cpu" else 1024
    a, b, c = (_random(largest * largest, dtype, device) for _ in range(3))

    def product(n: int) -> Callable[[], Any]:
        left, right, out = (one[: n * n].view(n, n) for one in (a, b, c))
        return lambda: torch.mm(left, right, out=out)

    return [Probe(product(1 << n), 2 << 3 * n) for n in range(8, largest.bit_length())]


_CHANNELS, _SIDE = 128, 28


def _convolutions(dtype: torch.dtype, device: str) -> list[Probe]:
    """3x3 convolutions in channels-last format on growing batches, in FLOPs."""

    def made(*shape: int) -> Tensor:
        values = _random(math.prod(shape), dtype, device).view(shape)
        return values.contiguous(memory_format=torch.channels_last)

    weight = made(_CHANNELS, _CHANNELS, 3, 3)
    batches = (1, 4, 16, 64, 256) if device != "cpu" else (1, 2, 4, 8)
    macs = _CHANNELS * _SIDE * _SIDE * _CHANNELS * 9

    def convolution(batch: int) -> Callable[[], Any]:
        x = made(batch, _CHANNELS, _SIDE, _SIDE)
        return lambda: functional.conv2d(x, weight, padding=1)

    return [Probe(convolution(batch), 2 * macs * batch) for batch in batches]


# The probes of arithmetic.
COMPUTE: dict[str, Series] = {"matmul": _matmuls, "conv": _convolutions}


def _copy(arrays: list[Tensor]) -> Callable[[], Any]:
    return lambda: arrays[0].copy_(arrays[1])


def _triad(arrays: list[Tensor]) -> Callable[[], Any]:
    return lambda: torch.add(arrays[1], arrays[2], alpha=2.0, out=arrays[0])


# The probes of bandwidth, and the number of arrays of each. Source: McCalpin, "Memory Bandwidth and
# Machine Balance in Current High Performance Computers", 1995 (STREAM).
MOVES: dict[str, tuple[Callable[[list[Tensor]], Callable[[], Any]], int]] = {
    "copy": (_copy, 2),
    "triad": (_triad, 3),
}
_ITEM = 4
# Arrays at equal offsets in a page conflict in the cache, so some cache lines lie between them.
_GAP = 17 * 64 // _ITEM


def _moves(device: str, sizes: tuple[int, ...]) -> dict[tuple[str, int], Probe]:
    """A probe in bytes for every kind and working set; a call of size 0 moves nothing."""
    pool = _random(max(sizes) // _ITEM + 3 * _GAP, torch.float32, device)
    probes = {}
    for name, (make, count) in MOVES.items():
        for size in (0, *sizes):
            length = max(size // _ITEM // count, 1)
            starts = [index * (length + _GAP) for index in range(count)]
            arrays = [pool[start : start + length] for start in starts]
            probes[name, size] = Probe(make(arrays), _ITEM * count * length)
    return probes


# Below this share of the fixed cost of a call, the cost of the bytes is lost in its noise.
_TELLABLE = 0.25


def _curve(
    moves: dict[tuple[str, int], Probe], sizes: tuple[int, ...]
) -> Iterator[tuple[str, float]]:
    """Bytes per second by working set: the faster kind of move, without the call's own cost.

    Working sets whose time is dominated by the fixed cost of the call are left out.
    """
    for size in sizes:
        rates = []
        for name in MOVES:
            fixed, whole = moves[name, 0].seconds, moves[name, size]
            if whole.seconds - fixed > _TELLABLE * fixed:
                rates.append(whole.amount / (whole.seconds - fixed))
        if rates:
            yield str(size), max(rates)
