from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from cnnbench import requests, store
from cnnbench.errors import Incomparable, WorkerDied
from cnnbench.plan import Plan
from cnnbench.prediction import contenders as fates
from cnnbench.prediction import kept
from cnnbench.prediction.contenders import ChoiceLimits
from cnnbench.record import Record
from cnnbench.runner import choosing, fake, fake_counts, field
from cnnbench.runner.executor import executor
from cnnbench.runner.field import ChoiceField
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
    from dataclasses import replace

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
