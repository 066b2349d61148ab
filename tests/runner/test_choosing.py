from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from cnnbench import requests, store
from cnnbench.accuracies import GivenAccuracy
from cnnbench.errors import Incomparable, UsageError, WorkerDied, WorkerTimeout
from cnnbench.plan import Plan
from cnnbench.prediction import contenders as fates
from cnnbench.prediction import kept
from cnnbench.prediction.contenders import ChoiceLimits, Contender
from cnnbench.prediction.operators import TracedNetwork
from cnnbench.record import Failure, Record
from cnnbench.runner import choosing, fake, fake_counts, field, foretelling
from cnnbench.runner.executor import executor
from cnnbench.runner.field import ChoiceField
from cnnbench.runner.foretelling import Rates, Tracer
from cnnbench.spec import Device
from cnnbench.suite import Grid

LIMITS = ChoiceLimits(0.006)


class Silent:
    """A watcher that keeps what is finished."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def working(self, what: str, done: int, total: int) -> None:
        """Nothing."""

    def first(self, records: Sequence[Record]) -> None:
        """Nothing."""

    def finished(self, record: Record) -> None:
        self.records.append(record)


def gathered(*models: str, modes: tuple[str, ...] = ("eager",)) -> ChoiceField:
    grid = Grid(models=models, modes=modes, device=Device(), threads=(1,))
    return field.gather(grid, (), Plan(rounds=2), executor("fake"), None)


def chosen(folder: Path, found: ChoiceField, seconds: float = 300.0, limits=LIMITS):
    return choosing.start(found, limits, folder / "out", folder / "tables", seconds, Silent())


def test_only_what_is_near_the_front_is_measured(tmp_path: Path) -> None:
    found = chosen(tmp_path, gathered("torchvision:*"))

    assert found.state.is_complete
    assert found.networks == 12
    assert len(found.proofs) < len(found.contenders) / 5
    stored = store.read(tmp_path / "out")
    assert {one.id for one in stored.records} == found.proofs.keys() == {*stored.manifest.specs}


def test_predictions_are_kept_beside_the_records(tmp_path: Path) -> None:
    found = chosen(tmp_path, gathered("torchvision:mobilenet*"))

    known = kept.read(tmp_path / "out")
    assert known is not None
    assert [*known.contenders.values()] == [*found.contenders]
    assert known.limits == LIMITS


def test_a_network_that_kills_its_tracer_costs_its_own_prediction_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def trace(request: requests.TraceEach) -> object:
        if any(name.startswith("mobilenet_v2/") for name in request.specs):
            raise WorkerDied("killed by SIGKILL; out of memory?")
        return fake_counts.each_traced(request.specs, fake._seconds)

    monkeypatch.setitem(fake.ANSWERS, requests.TraceEach, trace)

    found = chosen(tmp_path, gathered("torchvision:mobilenet*", "torchvision:shufflenet*"))

    rows = {one.network: one for one in found.contenders}
    assert "killed by SIGKILL" in rows["mobilenet_v2"].why
    assert rows["mobilenet_v3_small"].seconds is not None
    # It may be the answer all the same, so it is measured.
    assert found.state.is_complete


def test_a_network_whose_trace_ends_early_is_more_work_than_there_is_time_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def trace(request: requests.TraceEach) -> object:
        answers = fake_counts.each_traced(request.specs, fake._seconds)
        return tuple(
            replace(one, trace=replace(one.trace, whole=False))
            if name.startswith("mobilenet_v2/") and one.trace is not None
            else one
            for name, one in zip(request.specs, answers, strict=True)
        )

    monkeypatch.setitem(fake.ANSWERS, requests.TraceEach, trace)
    monkeypatch.setattr("cnnbench.runner.foretelling.Rates.least", lambda *_: 1.0)
    monkeypatch.setattr("cnnbench.runner.foretelling.Rates._told", lambda _, one, __: one)

    found = chosen(tmp_path, gathered("torchvision:mobilenet*"))

    assert found.state.fates[_spec(found, "mobilenet_v2")] == fates.WORK


def _spec(found, network: str) -> str:
    return next(one.spec for one in found.contenders if one.network == network)


def test_without_time_nothing_is_measured_and_all_is_open(tmp_path: Path) -> None:
    found = chosen(tmp_path, gathered("torchvision:mobilenet*"), seconds=1e-9)

    assert not found.proofs
    assert not found.state.is_certain
    assert {*found.state.fates.values()} == {fates.OPEN}


def test_what_was_begun_is_finished_first_when_a_choice_goes_on(tmp_path: Path) -> None:
    found = gathered("torchvision:mobilenet*")
    chosen(tmp_path, found, seconds=1e-9)
    slow = next(spec for spec in found.job.specs if "mobilenet_v3_small" in spec.id)
    with store.Writer(tmp_path / "out") as writer:
        writer.replan({}, [slow.id])
    watcher = Silent()

    again = choosing.resume(tmp_path / "out", tmp_path / "tables", 300.0, watcher)

    assert watcher.records[0].id == slow.id
    assert slow.id in again.proofs
    assert again.state.is_complete


def test_another_environment_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    chosen(tmp_path, gathered("torchvision:mobilenet*"), seconds=1e-9)
    from cnnbench.environment import Environment

    monkeypatch.setitem(
        fake.ANSWERS, requests.Describe, lambda _: Environment({"fake": True, "cpu": "other"})
    )

    with pytest.raises(Incomparable, match="different: cpu"):
        choosing.resume(tmp_path / "out", tmp_path / "tables", 300.0, Silent())


def test_modes_that_only_run_can_tell_need_no_table(tmp_path: Path) -> None:
    found = chosen(tmp_path, gathered("torchvision:mobilenet*", modes=("compile",)))

    assert found.operators == 0
    assert found.state.is_complete
    assert not (tmp_path / "tables").exists()


class Worker:
    """What a pool starts."""

    def close(self) -> None:
        """Nothing."""


class HangingPool:
    """Starts workers, of whom ``hanging`` says what they answer."""

    def start(self) -> Worker:
        return Worker()


def hanging(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, float]]:
    """How many were asked about at once, and the seconds that were lost, of every request."""
    asked: list[tuple[int, float]] = []

    def answered(_: object, request: requests.TraceEach, seconds: float) -> object:
        hangs = "hangs" in request.specs
        asked.append((len(request.specs), seconds if hangs else 0.0))
        if hangs:
            raise WorkerTimeout(f"no answer within {seconds} s")
        return tuple(TracedNetwork(None, name) for name in request.specs)

    monkeypatch.setattr(foretelling, "tell", answered)
    monkeypatch.setattr(foretelling, "ask", answered)
    return asked


def test_a_network_that_hangs_costs_its_own_trace_and_little_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = hanging(monkeypatch)
    tracer = Tracer(HangingPool(), 0, 600.0)  # type: ignore[arg-type] - pretends
    tracer.side_by_side = 1
    names = [*"abcdefg", "hangs"]

    found = tracer(names)

    assert [one.why for one in found[:-1]] == names[:-1]
    assert "no answer" in found[-1].why
    counts = [count for count, _ in asked]
    assert counts.count(8) == 1
    assert sum(seconds for _, seconds in asked) < 600


def test_nothing_is_traced_beyond_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = hanging(monkeypatch)
    left = iter([20.0, *[0.0] * 40])
    tracer = Tracer(HangingPool(), 0, 600.0, lambda: next(left))  # type: ignore[arg-type]
    tracer.side_by_side = 1

    found = tracer([*"abcdefg", "hangs"])

    assert {one.why for one in found} == {foretelling.NO_TIME}
    assert asked == [(8, 20.0)]


def test_an_interruption_ends_the_workers_before_their_threads_are_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed = threading.Event()

    class Waiting(Worker):
        def close(self) -> None:
            closed.set()

    class Pool:
        started = 0

        def start(self) -> Worker:
            Pool.started += 1
            if Pool.started == 2:
                raise KeyboardInterrupt
            return Waiting()

    def never(*_: object) -> object:
        assert closed.wait(60)
        raise WorkerDied("closed")

    monkeypatch.setattr(foretelling, "tell", never)
    tracer = Tracer(Pool(), 0, 600.0)  # type: ignore[arg-type] - pretends
    tracer.side_by_side = 2

    with pytest.raises(KeyboardInterrupt):
        tracer(["a", "b"])

    assert closed.is_set()


def test_the_least_time_of_work_follows_what_is_timed_by_now() -> None:
    def rates(macs_per_second: float) -> Rates:
        found = Rates.__new__(Rates)
        found._most, found._macs, found._params = macs_per_second, 0.0, 0.0
        return found

    one = Contender("a/inference-b1-3x8x8/eager/cpu-t1", 70.0, macs=10**9)
    (slow,) = rates(1e10).told([one], {})
    (fast,) = rates(1e11).told([slow], {})

    assert (slow.floor, fast.floor) == (0.1, 0.01)


def test_what_failed_for_want_of_time_or_memory_is_tried_again_when_a_choice_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = gathered("torchvision:mobilenet*")
    chosen(tmp_path, found)
    best = store.read(tmp_path / "out").records[0]
    with store.Writer(tmp_path / "out") as writer:
        failure = Failure("sample", "timeout", "no answer")
        writer.append([replace(best, runs=(), failure=failure)])
    watcher = Silent()

    again = choosing.resume(tmp_path / "out", tmp_path / "tables", 300.0, watcher)

    assert best.id in {one.id for one in watcher.records}
    assert again.proofs[best.id].seconds is not None


def test_at_a_size_the_rows_of_the_nearest_one_count() -> None:
    rows = (GivenAccuracy("b.x", 83.0, 288), GivenAccuracy("b.y", 84.0, 320),
            GivenAccuracy("b.z", 82.0, 288))  # fmt: skip
    grid = Grid(models=("timm:b",), modes=("eager",), device=Device(), sizes=((224, 224),))

    assert field._of_timm("b", rows, grid) == (rows[0],)


def test_accuracies_of_ones_own_hold_for_networks_of_the_catalogue_too() -> None:
    rows = (GivenAccuracy("resnet18", 95.0), GivenAccuracy("resnet18", 94.0))
    grid = Grid(models=("resnet18", "resnet34"), modes=("eager",), device=Device(), threads=(1,))

    found = field.gather(grid, rows, Plan(rounds=2), executor("fake"), None)

    (first, _) = found.contenders
    assert (first.network, first.top1) == ("resnet18", 95.0)


def test_memory_is_no_limit_of_modes_that_do_not_measure_it() -> None:
    grid = Grid(models=("resnet18",), modes=("onnxruntime",), device=Device(), threads=(1,))

    with pytest.raises(UsageError, match="peak memory is not measured in mode onnxruntime"):
        field.gather(grid, (), Plan(rounds=2), executor("fake"), 1e9)
