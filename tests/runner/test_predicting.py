from __future__ import annotations

from pathlib import Path

import pytest

from cnnbench import requests
from cnnbench.errors import WorkerDied
from cnnbench.prediction import table
from cnnbench.prediction.operators import OperatorCall, OperatorTime
from cnnbench.runner import campaign, fake, fake_counts, predicting
from cnnbench.spec import Device
from cnnbench.suite import Grid


def _job(*models: str) -> campaign.Job:
    return campaign.prepare(Grid(models=models, device=Device(), threads=(1,)), who="fake")


def _elements(call: str) -> int:
    return OperatorCall.parse(call).tensors[0].elements


def _first_call(model: str) -> str:
    (spec,) = _job(model).specs
    return fake_counts.operators(fake._seconds(spec)).calls[0].call


def test_an_operator_that_kills_its_worker_costs_its_own_time_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deadly = _first_call("lenet")

    def times(request: requests.TimeOperators) -> list[OperatorTime]:
        if deadly in request.calls:
            raise WorkerDied("killed by SIGSEGV")
        return [*map(fake_counts.operator_time, request.calls)]

    monkeypatch.setitem(fake.ANSWERS, requests.TimeOperators, times)

    found = predicting.predict(_job("lenet"), tmp_path, 60.0)

    (row,) = found.rows
    short = f"aten::relu of {_elements(deadly)}"
    assert row.prediction is not None
    assert list(row.prediction.untimed) == [short]
    assert f"{short}: not timed: killed by SIGSEGV" in found.problems
    assert found.networks == len(predicting.NETWORKS)


def test_a_probe_without_time_promises_nothing(tmp_path: Path) -> None:
    found = predicting.predict(_job("lenet"), tmp_path, 1e-9)

    (row,) = found.rows
    assert row.prediction is None
    assert "networks of 0 families are measured" in row.why
    assert (found.operators, found.networks) == (0, 0)


def test_a_network_to_fit_on_that_cannot_be_measured_is_left_out_and_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def trouble(request: requests.MeasureLatency) -> object:
        if request.spec.startswith("vgg11/"):
            raise WorkerDied("killed by SIGKILL; out of memory?")
        return requests.Ready(1e-3)

    monkeypatch.setitem(fake.ANSWERS, requests.MeasureLatency, trouble)

    found = predicting.predict(_job("lenet"), tmp_path, 60.0)

    assert found.networks == len(predicting.NETWORKS) - 1
    assert any("vgg11/" in one and "not fitted on: killed" in one for one in found.problems)
    assert found.rows[0].prediction is not None


def test_what_is_timed_is_kept_at_once(tmp_path: Path) -> None:
    job = _job("lenet", "resnet18")

    found = predicting.predict(job, tmp_path, 60.0)
    kept = table.read(Path(found.table))

    assert len(kept.operators) == found.operators
    assert len(kept.networks) == found.networks == len(predicting.NETWORKS)
    assert predicting.predict_by(job, kept, tmp_path / "t").rows == found.rows
