"""The latency task from request to run, in this process, with somebody who gives the commands."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cnnbench.plan import Plan
from cnnbench.record import Run
from cnnbench.requests import Finish, MeasureLatency, TakeSlice
from cnnbench.slices import Slice, Taken
from cnnbench.spec import Mode, Spec
from cnnbench.worker import build, checking, measuring, modes
from cnnbench.worker import reference as references
from cnnbench.worker.devices import Cpu


class Talk:
    """Asks for some slices, then to finish."""

    def __init__(self, slices: int = 2) -> None:
        self.phases: list[str] = []
        self.answers: list[Any] = []
        self.kept: list[Any] = []
        turns = [TakeSlice(turn=turn, seconds=0.002) for turn in range(slices)]
        self._commands = iter([*turns, Finish()])

    def enter(self, phase: str) -> None:
        self.phases.append(phase)

    def answer(self, result: Any) -> None:
        self.answers.append(result)

    def keep(self, result: Any) -> None:
        self.kept.append(result)

    def next(self) -> Any:
        return next(self._commands)

    @property
    def run(self) -> Run:
        assert isinstance(self.answers[-1], Run)
        return self.answers[-1]


@pytest.fixture(autouse=True)
def _flags_restored():
    with modes.restored():
        yield


def test_tensors_move_between_turns_on_command_and_the_run_says_how_often() -> None:
    spec = "lenet/inference-b2-3x32x32/eager/cpu-t1"
    talk = Talk()
    turns = [TakeSlice(turn=turn, seconds=0.002, move=turn != 1) for turn in (0, 1, 2)]
    talk._commands = iter([*turns, Finish()])
    measuring.measure(request(spec), talk)

    assert talk.run.flags["moves"] == 2
    assert measured(spec).run.flags["moves"] == 0


def request(spec: str, **more: Any) -> MeasureLatency:
    plan = Plan(warm_up_calls=2, warm_up_seconds=0.0)
    more = {"round": 3, "ensemble": "e"} | more
    return MeasureLatency.planned(Spec.parse(spec), plan, **more)


def measured(spec: str, **more: Any) -> Talk:
    talk = Talk()
    measuring.measure(request(spec, **more), talk)
    return talk


def test_a_run_has_its_slices_with_witnesses_and_canaries() -> None:
    talk = measured("lenet/inference-b2-3x32x32/eager/cpu-t1")

    assert talk.answers[0].estimate > 0
    seconds = [one.awake_seconds or one.seconds for one in talk.run.slices]
    assert talk.answers[1:3] == [Taken(0, seconds[0]), Taken(1, seconds[1])]
    assert (talk.run.round, talk.run.ensemble) == (3, "e")
    assert [one.turn for one in talk.run.slices] == [0, 1]
    assert all(set(one.canaries_ns) == {"matmul", "python"} for one in talk.run.slices)
    assert talk.run.parts == ()
    assert talk.phases == ["build", "first call", "check", "warm up", "measure", "remarks"]


def test_a_training_run_has_its_parts_after_the_slices() -> None:
    talk = measured("lenet/training-adam-b2-3x32x32/eager/cpu-t1")

    assert [part.name for part in talk.run.parts] == ["forward", "loss", "backward", "optimizer"]
    assert talk.phases[-2:] == ["parts", "remarks"]


@pytest.mark.parametrize("mode", ["compile", "eager"])
def test_what_was_timed_is_checked_again(tmp_path, monkeypatch, mode: str) -> None:
    name = "lenet/inference-b2-3x32x32/{}/cpu-t1"
    path = tmp_path / "reference.npz"
    plain = Spec.parse(name.format("eager"))
    modes.set_flags(Mode(), 1)
    reference = references.compute(plain, lambda of: build.built(of, 0), 0, path)
    talk = Talk()
    found: list[str] = []

    def stale(mode: Mode, module: torch.nn.Module):
        # Right until it is timed, as a graph that was recorded with other inputs.
        return lambda *given: module(*given) * (2.0 if "measure" in talk.phases else 1.0)

    def check(*given: Any) -> Any:
        made = kept(*given)
        found.append(made.status)
        return made

    kept = checking.check
    monkeypatch.setattr(modes, "compiled", stale)
    monkeypatch.setattr(measuring.checking, "check", check)
    given = {"reference": reference, "reference_path": str(path), "round": 0}

    measuring.measure(request(name.format(mode), **given), talk)

    assert found == ["ok", "wrong"]
    # What a death in the second check would leave: the same slices, and the first check.
    (before,) = talk.kept
    assert (before.slices, before.check.status) == (talk.run.slices, "ok")
    assert talk.phases.index("check again") > talk.phases.index("measure")
    assert talk.run.check.status == "wrong"


def test_a_check_that_fails_after_the_measurement_loses_no_slice(tmp_path, monkeypatch) -> None:
    path, spec = tmp_path / "reference.npz", "lenet/inference-b2-3x32x32/eager/cpu-t1"
    modes.set_flags(Mode(), 1)
    known = references.compute(Spec.parse(spec), lambda of: build.built(of, 0), 0, path)
    answers = iter([checking.check])

    def once(*given: Any) -> Any:
        return next(answers)(*given)

    monkeypatch.setattr(measuring.checking, "check", once)
    run = measured(spec, reference=known, reference_path=str(path), round=0).run

    assert len(run.slices) == 2
    assert run.check.status == "unchecked"
    assert "no check after the measurement" in run.check.reason


@pytest.mark.parametrize(("cold", "iterations"), [(True, 1), (False, None)])
def test_a_sample_with_a_cold_cache_is_one_call(monkeypatch, cold: bool, iterations) -> None:
    device = Cpu()
    monkeypatch.setattr(device, "cold", cold, raising=False)
    monkeypatch.setattr(device, "notes", lambda: {"l2": "cold"}, raising=False)
    monkeypatch.setattr(measuring, "open_device", lambda _device, _l2: device)
    monkeypatch.setattr(measuring.sampling, "calls_per_sample", lambda *_: 7)

    run = measured("lenet/inference-b1-3x32x32/eager/cpu-t1", l2="cold").run

    assert {one.iterations for one in run.slices} == {iterations or 7}
    assert run.flags["l2"] == "cold"


@pytest.mark.parametrize(("threads", "seconds"), [(1, 0.75), (2, 1.0)])
def test_a_turn_is_told_awake_where_one_thread_says_it_all(
    threads: int, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Slice(0, 1, (1_000_000_000,), cpu_ns=750_000_000, run_delay_ns=250_000_000)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)

    assert one.awake_seconds == pytest.approx(0.75)
    assert measuring._seconds(one) == pytest.approx(seconds)
