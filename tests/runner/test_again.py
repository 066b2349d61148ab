from __future__ import annotations

import pytest

from cnnbench.errors import WorkerDied
from cnnbench.plan import Plan
from cnnbench.runner import again
from cnnbench.runner.fake import FakeWorker
from cnnbench.spec import Spec
from tests import made


def fake(name: str) -> Spec:
    return Spec.parse(f"fake:{name}/inference-b1-3x32x32/eager/cpu-t1")


class Watcher:
    def __init__(self) -> None:
        self.records: list[str] = []

    def working(self, what: str, done: int, total: int) -> None:
        pass

    def first(self, records) -> None:
        pass

    def finished(self, record) -> None:
        self.records.append(record.id)


def test_inspecting_counts_and_times_nothing() -> None:
    specs = [Spec.parse(made.EAGER), Spec.parse(made.CHANNELS_LAST)]

    found = again.inspect(specs, Plan(), "fake")

    assert [one.id for one in found.records] == [made.EAGER, made.CHANNELS_LAST]
    assert all(one.cost is not None and not one.runs for one in found.records)
    assert all(one.memory is not None for one in found.records)
    assert [one.structure.reorders == 0 for one in found.records] == [False, True]
    assert found.environment.hard == {"fake": True}


def test_a_network_that_cannot_be_built_fails_alone() -> None:
    found = again.inspect([fake("raises"), Spec.parse(made.EAGER)], Plan(), "fake")

    assert [one.failure is None for one in found.records] == [False, True]
    assert found.records[0].failure.message == "ValueError: made up"


def test_measuring_again_is_a_run_of_these_specs(tmp_path) -> None:
    watcher = Watcher()
    specs = [Spec.parse(made.EAGER), Spec.parse(made.CHANNELS_LAST)]

    run = again.measure(specs, Plan(rounds=2), tmp_path / "run", watcher, "fake")

    assert {one.id for one in run.records} == {one.id for one in specs}
    assert sorted(watcher.records) == sorted(one.id for one in specs)
    assert run.manifest.plan["rounds"] == 2


@pytest.mark.parametrize("name", ["dies", "hangs"])
def test_whatever_happens_is_a_row(name: str) -> None:
    (record,) = again.inspect([fake(name)], Plan(), "fake").records

    assert record.failure is not None


def test_a_structure_that_cannot_be_had_costs_only_itself(monkeypatch) -> None:
    def ask(self, message, timeout):
        if message.get("do") == "structure":
            raise WorkerDied("the worker process was killed by SIGKILL; out of memory?")
        return answer(self, message, timeout)

    answer = FakeWorker.ask
    monkeypatch.setattr(FakeWorker, "ask", ask)

    (record,) = again.inspect([Spec.parse(made.EAGER)], Plan(), "fake").records

    assert record.failure is None
    assert (record.memory is None, record.structure) == (False, None)
    assert record.notes[0].startswith("structure not measured: the worker process was killed")


def test_a_structure_is_asked_for_as_a_run_asks_for_it(monkeypatch, tmp_path) -> None:
    asked: list[dict] = []

    def ask(self, message, timeout):
        if message.get("task") in {"memory", "analyze"}:
            asked.append(message)
        return answer(self, message, timeout)

    answer = FakeWorker.ask
    monkeypatch.setattr(FakeWorker, "ask", ask)
    monkeypatch.setattr(again, "memory_limit", lambda device: 1 << 30)
    plan = Plan(rounds=1, slices=1, cudnn_benchmark=True, memory_warm_calls=1, seed=7)
    specs = [Spec.parse(made.EAGER)]

    again.measure(specs, plan, tmp_path / "run", Watcher(), "fake")
    again.inspect(specs, plan, "fake")

    assert [one["task"] for one in asked] == ["analyze", "memory"] * 2
    assert asked[:2] == asked[2:]
    assert asked[1]["cudnn_benchmark"] is True
    assert (asked[1]["warm_calls"], asked[1]["memory_limit"]) == (1, 1 << 30)


def test_what_was_inspected_is_not_measured_once_more(monkeypatch, tmp_path) -> None:
    asked: list[str] = []

    def ask(self, message, timeout):
        what = message.get("task") or message["do"]
        if what in {"memory", "structure"}:
            asked.append(what)
            if broken and what == "structure":
                raise WorkerDied("the worker process was killed")
        return answer(self, message, timeout)

    answer = FakeWorker.ask
    monkeypatch.setattr(FakeWorker, "ask", ask)
    specs, plan = [Spec.parse(made.EAGER), Spec.parse(made.CHANNELS_LAST)], Plan(rounds=2)
    for broken in (False, True):
        asked.clear()
        found = again.inspect(specs, plan, "fake").records
        broken_before, broken = broken, False
        run = again.measure(specs, plan, tmp_path / f"{broken_before}", Watcher(), "fake", found)

        # What could not be had before is tried again.
        assert asked == ["memory", "structure"] * (4 if broken_before else 2)
        assert all(one.memory is not None and one.structure is not None for one in run.records)
        assert all(one.rounds == 2 for one in run.records)
