from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from cnnbench import machine, store
from cnnbench.environment import Environment
from cnnbench.errors import (
    Incomparable,
    StoreError,
    UnknownName,
    Unsupported,
    UsageError,
    WorkerRaised,
)
from cnnbench.gate.baseline import Source
from cnnbench.plan import Plan
from cnnbench.runner import campaign
from cnnbench.runner.executor import EXECUTORS
from cnnbench.spec import Device
from cnnbench.suite import Grid
from tests.runner.conftest import Ear, Trouble

GRID = Grid(("lenet", "alexnet"), ("eager", "channels_last"), threads=(1,))


def prepare(
    device: str | None = None, plan: Plan | None = None, who: str = "fake", **change: Any
) -> campaign.Job:
    where = None if device is None else Device.parse(device)
    grid = replace(GRID, device=where, **change)
    return campaign.prepare(grid, plan or Plan(slices=2), who)


def lines(path) -> list[str]:
    return (path / store.RECORDS).read_text().splitlines()


def test_an_order_becomes_a_grid_in_its_order() -> None:
    job = prepare(batches=(1, 8))

    assert [spec.id for spec in job.specs[:3]] == [
        "lenet/inference-b1-3x32x32/eager/cpu-t1",
        "lenet/inference-b1-3x32x32/channels_last/cpu-t1",
        "lenet/inference-b8-3x32x32/eager/cpu-t1",
    ]
    assert len(job.specs) == 8
    assert job.total_seconds > 0


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"models": ("resnet19",)}, UnknownName, "did you mean resnet1"),
        ({"modes": ("chanels_last",)}, UnknownName, "did you mean channels_last"),
        ({"modes": ("eager+compile",)}, UsageError, "contradicts itself"),
        ({"device": "gpu"}, UsageError, "use cpu, cuda or cuda:INDEX"),
        ({"phases": ("testing",)}, UnknownName, "unknown phase 'testing'"),
        ({"who": "fak"}, UnknownName, "did you mean fake"),
        ({"sizes": ((8, 8),)}, Unsupported, "cannot take 8x8"),
        ({"models": ()}, UsageError, "no model given"),
    ],
)
def test_a_wrong_order_is_refused(change: dict[str, Any], error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        prepare(**change)


def test_what_needs_no_worker_is_checked_before_one_is_started(monkeypatch) -> None:
    def start() -> Any:
        raise AssertionError("a worker was started")

    monkeypatch.setitem(EXECUTORS, "fake", start)

    for change in (
        {"models": ("nonsense",)},
        {"device": "gpu"},
        {"device": "cpu", "modes": ("x",)},
    ):
        with pytest.raises(UsageError):
            prepare(**change)


@pytest.fixture
def without_gpu(monkeypatch) -> None:
    """An executor on a machine without CUDA."""
    monkeypatch.setattr(campaign, "describe", lambda who: Environment({"cpu": "x", "gpus": []}))


@pytest.fixture
def with_gpu(monkeypatch) -> None:
    """An executor on a machine with one CUDA device."""
    gpus = [{"name": "a GPU"}]
    monkeypatch.setattr(campaign, "describe", lambda who: Environment({"gpus": gpus}))


@pytest.mark.usefixtures("without_gpu")
def test_cuda_without_a_gpu_is_refused_in_one_line() -> None:
    with pytest.raises(Unsupported, match=r"^--device cuda:0: torch finds no CUDA device here"):
        prepare(device="cuda")


@pytest.mark.usefixtures("with_gpu")
def test_a_second_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(Unsupported, match="--device cuda:1: torch finds 1 CUDA device here"):
        prepare(device="cuda:1")


@pytest.mark.usefixtures("with_gpu")
def test_without_a_word_the_best_device_is_taken() -> None:
    assert {spec.device.text for spec in prepare().specs} == {"cuda:0"}


@pytest.mark.usefixtures("without_gpu")
def test_without_a_gpu_that_is_the_cpu() -> None:
    assert {spec.device.text for spec in prepare().specs} == {"cpu"}


def test_the_memory_limit_is_most_of_what_is_free_and_only_on_the_cpu(monkeypatch) -> None:
    monkeypatch.setattr(machine, "memory_available", lambda: 1000)

    assert prepare().plan.memory_limit == 900
    assert prepare(device="cuda").plan.memory_limit is None
    assert prepare(plan=Plan(memory_limit=5)).plan.memory_limit == 5


def test_threads_are_those_that_can_run_unless_given(monkeypatch) -> None:
    monkeypatch.setattr(machine, "default_threads", lambda: 13)

    assert {spec.threads for spec in prepare(threads=None).specs} == {13}
    assert {spec.threads for spec in prepare(threads=(2,)).specs} == {2}


def test_models_outside_of_the_catalogue_are_asked_of_a_worker() -> None:
    job = prepare(models=("pkg.nets:tiny",), arguments={"width": 2})

    assert {spec.workload.model for spec in job.specs} == {"pkg.nets:tiny?width=2"}


@pytest.mark.parametrize(
    ("kind", "text"), [("unsupported", "^no module"), ("error", "^model 'a:b': start: no module")]
)
def test_a_factory_that_is_not_there_is_bad_input(monkeypatch, kind: str, text: str) -> None:
    from cnnbench.runner.fake import FakeWorker

    real = FakeWorker.ask

    def task(self: FakeWorker, message: dict[str, Any], timeout: float) -> Any:
        if message.get("task") == "resolve":
            raise WorkerRaised("no module named 'a'", kind)
        return real(self, message, timeout)

    monkeypatch.setattr(FakeWorker, "ask", task)

    with pytest.raises(UsageError, match=text):
        prepare(models=("a:b",))


def test_a_run_has_a_record_per_spec_and_tells_the_watcher(tmp_path) -> None:
    ear = Ear()

    stored = campaign.start(prepare(), tmp_path / "run", ear)

    assert [record.id for record in stored.records] == list(stored.manifest.specs)
    assert tuple(ear.records) == stored.records
    assert (stored.missing, stored.manifest.executor) == ((), "fake")


def test_sizes_that_a_network_cannot_take_are_rows(tmp_path) -> None:
    stored = campaign.start(prepare(sizes=((40, 40),)), tmp_path / "run", Ear())

    status = {record.spec.workload.model: record.status for record in stored.records}
    reasons = {record.failure.message for record in stored.records if record.failure}
    assert status == {"lenet": "ok", "alexnet": "failed"}
    assert reasons == {"model 'alexnet' cannot take 40x40; the smallest it takes is 63x63"}
    assert stored.missing == ()


def test_a_directory_with_another_run_is_refused_before_measuring(tmp_path) -> None:
    job = prepare()
    campaign.start(job, tmp_path / "run", Ear())
    before = lines(tmp_path / "run")

    with pytest.raises(StoreError, match="holds another run"):
        campaign.start(job, tmp_path / "run", Ear())

    assert lines(tmp_path / "run") == before


def test_resuming_measures_exactly_what_is_missing(tmp_path) -> None:
    path = tmp_path / "run"
    whole = campaign.start(prepare(batches=(1, 8)), path, Ear())
    kept = lines(path)[:3]
    (path / store.RECORDS).write_text("\n".join(kept) + '\n{"id":"torn')
    ear = Ear()

    stored = campaign.resume(path, ear)

    assert [record.id for record in ear.records] == list(whole.manifest.specs[3:])
    assert lines(path)[:3] == kept
    assert stored.missing == ()
    assert len(stored.records) == len(whole.records)


def test_resuming_keeps_the_runs_own_plan(tmp_path) -> None:
    path = tmp_path / "run"
    campaign.start(prepare(plan=Plan(rounds=5, slices=2, seed=9)), path, Ear())
    (path / store.RECORDS).write_text("")

    stored = campaign.resume(path, Ear())

    assert {len(record.runs) for record in stored.records} == {5}
    assert {len(run.slices) for record in stored.records for run in record.runs} == {2}


@pytest.mark.parametrize(
    ("now", "dirty"),
    [
        (Source("a" * 40, dirty=False), False),
        (Source("b" * 40, dirty=False), True),
        (Source("a" * 40, dirty=True), True),
        (Source(), True),
    ],
)
def test_a_run_that_goes_on_with_other_code_is_no_commits(
    tmp_path, monkeypatch, now: Source, dirty: bool
) -> None:
    path = tmp_path / "run"
    monkeypatch.setattr(campaign, "source", lambda: Source("a" * 40, dirty=False))
    campaign.start(prepare(), path, Ear())
    (path / store.RECORDS).write_text("")
    monkeypatch.setattr(campaign, "source", lambda: now)

    kept = campaign.resume(path, Ear()).manifest

    assert (kept.revision, kept.dirty) == ("a" * 40, dirty)


def test_resuming_a_finished_run_asks_no_worker(tmp_path, monkeypatch) -> None:
    path = tmp_path / "run"
    campaign.start(prepare(), path, Ear())
    monkeypatch.setattr(campaign, "describe", None)

    assert campaign.resume(path, Ear()).missing == ()


def test_a_failed_spec_is_not_missing(tmp_path) -> None:
    path = tmp_path / "run"
    campaign.start(prepare(models=("lenet", "fake:raises")), path, Ear())
    ear = Ear()

    campaign.resume(path, ear)

    assert ear.records == []


def test_resuming_in_another_environment_is_refused_with_what_differs(tmp_path) -> None:
    path = tmp_path / "run"
    campaign.start(prepare(), path, Ear())
    (path / store.RECORDS).write_text("")
    other = {"hard": {"fake": True, "cpu": "Another"}}
    (path / store.ENVIRONMENT).write_text(json.dumps(other))

    with pytest.raises(Incomparable, match=r"another environment \(different: cpu\); start a new"):
        campaign.resume(path, Ear())

    assert lines(path) == []


def test_a_killed_run_can_be_resumed(tmp_path, monkeypatch) -> None:
    path = tmp_path / "run"

    def kill(heard: Any) -> Exception | None:
        # The second batch never ends.
        return KeyboardInterrupt() if heard.workload == "alexnet" else None

    monkeypatch.setitem(EXECUTORS, "fake", lambda: Trouble(kill, name="fake"))
    monkeypatch.setattr(campaign.Job, "seconds", lambda self, spec: 60.0)
    with pytest.raises(KeyboardInterrupt):
        campaign.start(prepare(), path, Ear())
    monkeypatch.setitem(EXECUTORS, "fake", Trouble)
    ear = Ear()

    assert [record.spec.workload.model for record in store.read(path).records] == ["lenet"] * 2
    campaign.resume(path, ear)

    assert [record.spec.workload.model for record in ear.records] == ["alexnet"] * 2
    assert store.read(path).missing == ()


def test_differences_are_names_of_hard_facts() -> None:
    old, new = Environment({"a": 1, "b": 2}), Environment({"a": 1, "b": 3, "c": 4}, {"load": [9]})

    assert old.differing(new) == ["b", "c"]
