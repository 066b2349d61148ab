"""The largest batch that fits: doubling, then bisection, each try in a worker of its own.

An experiment by itself: it never changes what another command measures. Only a known lack of
memory bounds the search; any other failure ends it and is reported.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cnnbench import allocator, machine
from cnnbench.errors import WorkerError
from cnnbench.requests import MeasureMemory, TryBatch
from cnnbench.runner.inquiry import ask, asking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cnnbench.runner.campaign import Job
    from cnnbench.runner.executor import AnyPool
    from cnnbench.spec import Spec

FITS, FULL = "fits", "out_of_memory"

# The pass that measures memory needs a little itself: the profiler's events and their text.
_PASS_BYTES = 256 << 20


@dataclass(frozen=True)
class Try:
    """One batch in one worker.

    Attributes:
        batch: samples per step.
        outcome: ``fits``, ``out_of_memory``, or the kind of another failure.
        message: of the failure.
    """

    batch: int
    outcome: str
    message: str = ""


@dataclass(frozen=True)
class Capacity:
    """The result for one spec.

    Attributes:
        id: of the spec at batch 1.
        limit: bytes that a worker could get; ``None`` is the whole device.
        tries: in order.
        ended: why the search ended: ``out_of_memory`` (the bound is known), ``up_to`` (nothing
            failed), ``unsupported``, or the kind of the failure that came in between.
        why: that failure's message.
        peak_bytes: peak memory of a step at the largest batch that fits.
        bytes_per_sample: growth of the peak per sample, from half that batch to it.
        missing: why a figure of memory is not there.
    """

    id: str
    limit: int | None
    tries: tuple[Try, ...]
    ended: str
    why: str = ""
    peak_bytes: int | None = None
    bytes_per_sample: float | None = None
    missing: str = ""

    @property
    def fits(self) -> int | None:
        """The largest batch that fitted."""
        return max((one.batch for one in self.tries if one.outcome == FITS), default=None)

    @property
    def fails(self) -> int | None:
        """The smallest batch above it that failed, for any reason."""
        found = [one.batch for one in self.tries if one.outcome != FITS]
        return min((batch for batch in found if batch > (self.fits or 0)), default=None)

    @property
    def failed(self) -> bool:
        """Whether the search ended for another reason than memory or its limit."""
        return self.ended not in {FULL, "up_to"}


def search(attempt: Callable[[int], Try], up_to: int, within: float = 0.0) -> list[Try]:
    """Find the largest batch that fits.

    Args:
        attempt: tries a batch.
        up_to: the largest batch to try.
        within: the bisection ends when the gap is at most this share of what fits; at one sample
            in any case.

    Returns:
        Every try. A failure that is not a lack of memory is the last, but for batch 1: a batch
        normalisation in training refuses a single sample, and what it does with two is still of
        interest.
    """
    tries = [attempt(1)]
    best, batch = int(tries[-1].outcome == FITS), 1
    while batch < up_to and (tries[-1].outcome == FITS or _refuses_one(tries)):
        batch = min(2 * batch, up_to)
        tries.append(attempt(batch))
        best = batch if tries[-1].outcome == FITS else best
    high = batch
    while best and tries[-1].outcome in {FITS, FULL} and high - best > max(1.0, within * best):
        tries.append(attempt((best + high) // 2))
        if tries[-1].outcome == FITS:
            best = tries[-1].batch
        else:
            high = tries[-1].batch
    return tries


def _refuses_one(tries: list[Try]) -> bool:
    return [(one.batch, one.outcome) for one in tries] == [(1, "error")]


def find(
    job: Job,
    limit: int | None,
    up_to: int,
    within: float,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Capacity]:
    """The capacity of every spec of a job.

    Malloc is left as the C library comes, unless a state of it was asked for: blocks that are kept
    lie in pieces in which the next batch has no room, and what fits then differs from try to try.

    Args:
        job: specs at batch 1, where and how.
        limit: bytes that a worker may get; the job's own if ``None``.
        up_to: see ``search``.
        within: see ``search``.
        say: told what begins.
    """
    who = job.executor if allocator.asked() else job.executor.with_allocator("system")
    with asking(who) as pool:
        for spec in job.specs:
            if (reason := job.impossible.get(spec.id)) is not None:
                yield Capacity(spec.id, None, (), "unsupported", reason)
            else:
                yield _Prober(pool, job, spec, limit, say).find(up_to, within)


class _Prober:
    """Tries one spec at different batches."""

    def __init__(
        self, pool: AnyPool, job: Job, spec: Spec, limit: int | None, say: Callable[[str], None]
    ) -> None:
        self._pool = pool
        self._plan = job.plan
        self._spec = spec
        self._on_cpu = spec.device.kind == "cpu"
        # A device's memory is its own limit.
        self._limit = limit or (job.plan.memory_limit if self._on_cpu else None)
        self._say = say

    def find(self, up_to: int, within: float) -> Capacity:
        tries = search(self._try, up_to, within)
        found = Capacity(self._spec.id, self._limit, tuple(tries), *_end(tries))
        return found if found.fits is None else self._with_memory(found, found.fits)

    def _try(self, batch: int) -> Try:
        self._say(f"{self._at(batch).id}: does it fit?")
        before = machine.oom_kills()
        try:
            ask(self._pool, self._trial(batch), self._plan.timeout)
        except WorkerError as error:
            return Try(batch, _kind(error, before), f"{error.phase}: {error}")
        return Try(batch, FITS)

    def _with_memory(self, found: Capacity, batch: int) -> Capacity:
        self._say(f"{self._at(batch).id}: peak memory")
        half = max(1, batch // 2)
        try:
            peak = self._peak(batch)
            smaller = self._peak(half) if half < batch else None
        except WorkerError as error:
            return replace(found, missing=f"memory not measured: {error}")
        slope = None if peak is None or smaller is None else (peak - smaller) / (batch - half)
        return replace(found, peak_bytes=peak, bytes_per_sample=slope)

    def _peak(self, batch: int) -> int | None:
        limit = None if self._limit is None else self._limit + _PASS_BYTES
        # A device is not limited here: its allocator has been, and the batch fitted.
        request = MeasureMemory.planned(
            self._at(batch), self._plan, memory_limit=limit if self._on_cpu else None
        )
        memory = ask(self._pool, request, self._plan.timeout)
        return memory.cpu_peak_bytes if self._on_cpu else memory.cuda_allocated_bytes

    def _at(self, batch: int) -> Spec:
        return replace(self._spec, workload=replace(self._spec.workload, batch=batch))

    def _trial(self, batch: int) -> TryBatch:
        # A CUDA process maps far more than it uses, so there the allocator is limited instead.
        process, device = (self._limit, None) if self._on_cpu else (None, self._limit)
        return TryBatch.planned(
            self._at(batch), self._plan, memory_limit=process, device_limit=device
        )


def _kind(error: WorkerError, kills_before: int | None) -> str:
    """The outcome of a failed try; only the kernel can say why it killed a process."""
    killed = error.kind == "died" and kills_before is not None
    if killed and (machine.oom_kills() or 0) > (kills_before or 0):
        return FULL
    return error.kind


def _end(tries: list[Try]) -> tuple[str, str]:
    """Why a search ended, as a word and a message."""
    failed = [one for one in tries if one.outcome != FITS]
    other = [one for one in failed if one.outcome != FULL and one is tries[-1]]
    if other:
        return other[0].outcome, other[0].message
    full = [one for one in failed if one.outcome == FULL]
    return (FULL, full[-1].message) if full else ("up_to", "")
