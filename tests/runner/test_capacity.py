"""The search for the largest batch, by workers that fail in every way."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench import allocator, machine
from cnnbench.errors import WorkerDied, WorkerRaised, WorkerTimeout
from cnnbench.runner import campaign, capacity
from cnnbench.runner.capacity import FITS, FULL, Try, search
from cnnbench.runner.fake import Fake, FakeWorker
from cnnbench.spec import Device, Spec
from cnnbench.suite import Grid


def up_to_here(most: int, outcome: str = FULL):
    return lambda batch: Try(batch, FITS if batch <= most else outcome)


@given(st.integers(0, 3000), st.integers(1, 2000))
def test_the_largest_batch_is_found_exactly(most: int, up_to: int) -> None:
    tries = search(up_to_here(most), up_to)

    found = capacity.Capacity("", None, tuple(tries), FULL)
    assert found.fits == (min(most, up_to) or None)
    assert found.fails == (most + 1 if most < up_to else None)
    assert max(one.batch for one in tries) <= up_to
    assert len({one.batch for one in tries}) == len(tries) <= 2 * up_to.bit_length() + 1


@given(st.integers(1, 3000), st.floats(0, 0.5))
def test_a_gap_is_as_small_as_asked_for(most: int, within: float) -> None:
    tries = search(up_to_here(most), 4096, within)

    found = capacity.Capacity("", None, tuple(tries), FULL)
    assert found.fits <= most < found.fails
    assert found.fails - found.fits <= max(1, within * found.fits)


@given(st.integers(1, 300), st.sampled_from(["error", "timeout", "died"]))
def test_another_failure_ends_the_search(most: int, outcome: str) -> None:
    tries = search(up_to_here(most, outcome), 512)

    assert [one.outcome for one in tries[:-1]] == [FITS] * (len(tries) - 1)
    assert tries[-1].outcome == outcome


def test_a_batch_of_one_may_be_refused() -> None:
    def attempt(batch: int) -> Try:
        return Try(batch, "error") if batch == 1 else up_to_here(5)(batch)

    tries = search(attempt, 64)

    found = capacity.Capacity("", None, tuple(tries), FULL)
    assert (found.fits, found.fails) == (5, 6)


def test_what_fails_in_the_bisection_is_the_end_too() -> None:
    tries = search(lambda batch: Try(batch, {6: "died", 8: FULL}.get(batch, FITS)), 64)

    assert [(one.batch, one.outcome) for one in tries[-2:]] == [(8, FULL), (6, "died")]
    assert capacity._end(tries) == ("died", "")


@dataclass
class Limited:
    """An executor whose batches do not fit, or fail in another way."""

    most: int
    error: Exception | None
    asked: list[tuple[str, int, int | None]] = field(default_factory=list)
    name: str = "limited"

    @contextmanager
    def open(self, scratch):
        yield self

    def begin(self, *, compiling: bool = False) -> None:
        """Nothing to begin."""

    def with_allocator(self, condition: str) -> Limited:
        return self

    def start(self) -> FakeWorker:
        return _Worker(self)


class _Worker(FakeWorker):
    def __init__(self, owner: Limited) -> None:
        super().__init__()
        self._owner = owner

    def ask(self, message, timeout):
        batch = Spec.parse(message["spec"]).workload.batch
        self._owner.asked.append((message["task"], batch, message.get("memory_limit")))
        if message["task"] == "try_batch" and batch > self._owner.most:
            raise self._owner.error
        # Whether it fits is decided above.
        return super().ask(message | {"memory_limit": None}, timeout)


def find(most: int, error: Exception | None, limit: int = 1 << 30, up_to: int = 64):
    job = campaign.prepare(Grid(("lenet",), device=Device()), who="fake")
    who = Limited(most, error)
    (found,) = capacity.find(replace(job, executor=who), limit, up_to, 0.0)
    return found, who


def test_what_bounds_the_batch_and_what_it_takes_is_said() -> None:
    found, who = find(20, WorkerRaised("MemoryError: no", "out_of_memory"))

    assert (found.fits, found.fails, found.ended, found.failed) == (20, 21, FULL, False)
    assert found.limit == 1 << 30
    peaks = [(task, batch) for task, batch, _ in who.asked if task == "memory"]
    assert peaks == [("memory", 20), ("memory", 10)]
    size = found.peak_bytes - 20 * found.bytes_per_sample
    assert found.bytes_per_sample == pytest.approx(size / 100, rel=0.01)


def test_every_try_has_the_limit_and_the_pass_a_little_more() -> None:
    _, who = find(3, WorkerRaised("MemoryError: no", "out_of_memory"), limit=1000)

    limits = {task: limit for task, _, limit in who.asked}
    assert limits == {"try_batch": 1000, "memory": 1000 + capacity._PASS_BYTES}


def test_nothing_fails_up_to_the_end() -> None:
    found, _ = find(1000, None, up_to=48)

    assert (found.fits, found.fails, found.ended, found.failed) == (48, None, "up_to", False)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (WorkerDied("the worker process was killed by SIGSEGV"), "died"),
        (WorkerTimeout("no answer within 5 s; raise --timeout"), "timeout"),
        (WorkerRaised("ValueError: broken"), "error"),
    ],
)
def test_another_failure_is_no_bound_and_is_named(monkeypatch, error, kind: str) -> None:
    monkeypatch.setattr(machine, "oom_kills", lambda: 7)

    found, _ = find(4, error)

    assert (found.fits, found.fails, found.ended, found.failed) == (4, 8, kind, True)
    assert str(error) in found.why


def test_a_process_that_the_kernel_ended_for_memory_did_not_fit(monkeypatch) -> None:
    counts = iter(range(1000))
    monkeypatch.setattr(machine, "oom_kills", lambda: next(counts))

    found, _ = find(4, WorkerDied("the worker process was killed by SIGKILL; out of memory?"))

    assert (found.fits, found.fails, found.ended) == (4, 5, FULL)


def test_one_that_was_killed_and_nobody_knows_why_is_no_bound(monkeypatch) -> None:
    monkeypatch.setattr(machine, "oom_kills", lambda: None)

    found, _ = find(4, WorkerDied("the worker process was killed by SIGKILL; out of memory?"))

    assert (found.fits, found.ended, found.failed) == (4, "died", True)


def test_nothing_fits_at_all() -> None:
    found, who = find(0, WorkerRaised("MemoryError: no", "out_of_memory"))

    assert (found.fits, found.fails, found.ended, found.peak_bytes) == (None, 1, FULL, None)
    assert [task for task, _, _ in who.asked] == ["try_batch"]


def test_on_cuda_the_allocator_is_limited_and_not_the_process() -> None:
    job = campaign.prepare(Grid(("lenet",), device=Device("cuda")), who="fake")
    prober = capacity._Prober(None, job, job.specs[0], 5000, lambda _: None)

    asked = prober._trial(4)

    assert (asked.memory_limit, asked.device_limit) == (None, 5000)


# Blocks that are kept lie in pieces.


@pytest.mark.parametrize(("asked", "state"), [(None, "system"), ("kept", None)])
def test_malloc_gives_back_what_it_does_by_itself_unless_a_state_was_asked_for(
    monkeypatch, asked: str | None, state: str | None
) -> None:
    told: list[str] = []

    class Told(Fake):
        def with_allocator(self, condition: str) -> Fake:
            told.append(condition)
            return self

    monkeypatch.delenv(allocator.VARIABLE, raising=False)
    if asked:
        monkeypatch.setenv(allocator.VARIABLE, asked)
    job = campaign.prepare(Grid(("lenet",), device=Device("cpu")), None, Told())
    list(capacity.find(job, None, 2, 0))

    assert told == [state] * (state is not None)
