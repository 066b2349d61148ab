from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from cnnbench.facts import Fitted
from cnnbench.requests import TryBatch
from cnnbench.spec import Device
from cnnbench.worker import build, capacity, modes

SPEC = "cnnbench.worker.oracles:wrong?channels=2/inference-b3-2x4x4/eager/cpu-t1"
REQUEST = TryBatch(spec=SPEC, seed=0)


class Talk:
    def __init__(self) -> None:
        self.phases: list[str] = []
        self.answers: list[object] = []

    def enter(self, phase: str) -> None:
        self.phases.append(phase)

    def answer(self, result: object) -> None:
        self.answers.append(result)


@pytest.fixture(autouse=True)
def _flags_stay(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "1")
    with modes.restored():
        yield


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception, left: int | None) -> None:
    def step(*_: object) -> SimpleNamespace:
        def call() -> None:
            raise error

        return SimpleNamespace(call=call)

    monkeypatch.setattr(build, "step", step)
    monkeypatch.setattr(capacity, "_left", lambda: left)


def test_a_batch_that_fits_takes_two_steps() -> None:
    talk = Talk()

    capacity.try_batch(REQUEST, talk)

    assert talk.phases == ["build", "first call", "second call"]
    assert talk.answers == [Fitted(3)]


def test_an_odd_error_with_nothing_left_is_a_lack_of_memory(monkeypatch) -> None:
    failing(monkeypatch, RuntimeError("could not create a primitive"), 1 << 20)

    with pytest.raises(MemoryError, match=r"could not create a primitive \(1 MiB left"):
        capacity.try_batch(REQUEST, Talk())


@pytest.mark.parametrize("left", [1 << 30, None])
def test_an_error_with_memory_left_stays_what_it_is(monkeypatch, left: int | None) -> None:
    failing(monkeypatch, RuntimeError("could not create a primitive"), left)

    with pytest.raises(RuntimeError, match="primitive"):
        capacity.try_batch(REQUEST, Talk())


def test_on_cuda_the_allocator_is_held_to_a_share_of_the_device(monkeypatch) -> None:
    asked: list[tuple[float, int]] = []
    total = SimpleNamespace(total_memory=1000)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: total)
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda *pair: asked.append(pair)
    )

    for limit in (250, 4000, None):
        capacity._limit(Device("cuda", 1), limit)
    capacity._limit(Device("cpu"), 250)

    assert asked == [(0.25, 1), (1.0, 1)]
