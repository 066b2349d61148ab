from __future__ import annotations

import pytest

from cnnbench.runner import again
from cnnbench.runner.plan import Plan
from cnnbench.spec import Spec
from tests import made


def fake(name: str) -> Spec:
    return Spec.parse(f"fake:{name}/inference-b1-3x32x32/eager/cpu-t1")


class Watcher:
    def __init__(self) -> None:
        self.records: list[str] = []

    def working(self, what: str, done: int, total: int) -> None:
        pass

    def finished(self, record) -> None:
        self.records.append(record.id)


def test_inspecting_counts_and_times_nothing() -> None:
    specs = [Spec.parse(made.EAGER), Spec.parse(made.CHANNELS_LAST)]

    found = again.inspect(specs, Plan(), "fake")

    assert [one.id for one in found.records] == [made.EAGER, made.CHANNELS_LAST]
    assert all(one.cost is not None and not one.runs for one in found.records)
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
