from __future__ import annotations

import pytest

import cnnbench
from cnnbench import metrics
from cnnbench.facts import Structure
from cnnbench.plan import Plan
from cnnbench.requests import DescribeAlgorithm, MeasureMemory, TakeStructure
from cnnbench.runner.fake import Fake, FakeWorker
from cnnbench.runner.inquiry import ask, tell
from cnnbench.spec import Spec


def numbers(path, **more) -> dict[str, float]:
    results = cnnbench.run("lenet", "eager,amp", threads=1, executor="fake", out=path, **more)
    return {record.id: metrics.latency(record).point for record in results.records}


def test_made_up_numbers_are_repeatable(tmp_path) -> None:
    assert numbers(tmp_path / "a") == numbers(tmp_path / "b")


def test_another_seed_is_another_luck(tmp_path) -> None:
    assert numbers(tmp_path / "a") != numbers(tmp_path / "b", seed=1)


def test_drift_is_shared_so_that_speedups_are_sharper_than_latencies(fake_run) -> None:
    entry = next(one for one in fake_run.entries if one.record.spec.mode.text != "eager")

    speedup = metrics.speedup(entry.record, entry.baseline)

    assert speedup.margin < 0.3 * metrics.latency(entry.record).margin


def test_the_environment_says_that_it_is_fake(fake_run) -> None:
    assert fake_run.runs[0].environment.hard == {"fake": True}


@pytest.mark.parametrize(
    ("name", "kind"), [("fake:raises", "error"), ("fake:dies", "died"), ("fake:hangs", "timeout")]
)
def test_trouble_is_had_by_name(tmp_path, name: str, kind: str) -> None:
    results = cnnbench.run(["lenet", name], executor="fake", out=tmp_path / "run")

    kinds = [record.failure and record.failure.kind for record in results.records]
    assert kinds == [None, None, kind, kind]


def test_a_made_up_structure_is_repeatable_and_knows_its_mode() -> None:
    def structure(mode: str) -> Structure:
        worker = FakeWorker()
        spec = Spec.parse(f"lenet/inference-b1-3x32x32/{mode}/cpu-t1")
        tell(worker, MeasureMemory.planned(spec, Plan()), 1.0)
        return tell(worker, TakeStructure(), 1.0)

    assert structure("eager") == structure("eager")
    assert structure("eager").graphs is None
    assert structure("compile").graphs == 1
    assert structure("channels_last").reorders == 0 < structure("eager").reorders


def test_a_pretended_worker_states_an_algorithm(tmp_path) -> None:
    spec = Spec.parse("conv:k8-3x3/inference-b1-3x9x9/impl=im2col/cpu-t1")

    with Fake().open(tmp_path) as pool:
        answer = ask(pool, DescribeAlgorithm.planned(spec, Plan()), 1.0)

    assert answer.measured_workspace_bytes == 1000
