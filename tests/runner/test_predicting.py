from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cnnbench import requests
from cnnbench.errors import WorkerDied
from cnnbench.prediction import table
from cnnbench.prediction.operators import OperatorCall, OperatorTime
from cnnbench.runner import campaign, fake, fake_counts, predicting
from cnnbench.spec import Device, Spec
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


def _paced(monkeypatch: pytest.MonkeyPatch, slower: float, pace: float | None = 1e-3) -> None:
    """Operators and their pace in a moment that is that many times as slow as usual."""

    def times(request: requests.TimeOperators) -> list[OperatorTime]:
        found = map(fake_counts.operator_time, request.calls)
        beside = None if pace is None else slower * pace
        return [replace(one, seconds=slower * one.seconds, pace=beside) for one in found]

    monkeypatch.setitem(fake.ANSWERS, requests.TimeOperators, times)


@pytest.mark.parametrize("first", [1.0, 0.7])
def test_what_is_timed_in_a_slower_moment_adds_up_with_the_rest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, first: float
) -> None:
    predictions = []
    for name, moments in (("steady", (1.0, 1.0, 1.0)), ("swinging", (first, 1.0, 1.5))):
        for moment, models in zip(moments, (["lenet"], ["lenet", "vgg16"], ["lenet", "swin_t"]),
                                  strict=True):  # fmt: skip
            _paced(monkeypatch, moment)
            found = predicting.predict(_job(*models), tmp_path / name, 60.0)
        predictions.append(found)

    steady, swinging = predictions
    assert steady.operators == swinging.operators > 0
    usual = table.read(Path(swinging.table)).usual_pace(1) / 1e-3
    assert usual == pytest.approx(first)  # of most operators
    # Networks were measured at the first pace, which is what their times are of.
    for one, other in zip(steady.rows, swinging.rows, strict=True):
        ratio = other.prediction.alone / one.prediction.alone
        assert ratio == pytest.approx(usual, rel=1e-6)


def test_a_network_to_fit_on_that_is_measured_in_a_slower_moment_says_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    latency, moments = predicting.OperatorProbe._latency, {}

    def slower(probe: predicting.OperatorProbe, spec: Spec) -> float:
        return moments[spec.id] * latency(probe, spec)

    def pace(probe: predicting.OperatorProbe, calls: object, threads: int) -> float:
        del probe, threads
        return 1e-3 * moments.setdefault(by_calls[str(calls)], 1.0 + len(moments) % 3)

    steady = predicting.predict(_job("lenet"), tmp_path / "steady", 60.0)
    known = table.read(Path(steady.table))
    by_calls = {
        str(fake_counts.operators(fake._seconds(Spec.parse(name))).calls): name
        for name in known.networks
    }
    monkeypatch.setattr(predicting.OperatorProbe, "_latency", slower)
    monkeypatch.setattr(predicting.OperatorProbe, "_pace", pace)
    swinging = predicting.predict(_job("lenet"), tmp_path / "swinging", 60.0)

    assert sorted(set(moments.values())) == [1.0, 2.0, 3.0]
    found = table.read(Path(swinging.table)).measured("eager", 1)
    for one, other in zip(known.measured("eager", 1), found, strict=True):
        assert other.seconds == pytest.approx(one.seconds, rel=1e-9)


def test_without_a_pace_times_are_taken_as_they_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _paced(monkeypatch, 3.0, None)
    found = predicting.predict(_job("lenet"), tmp_path, 60.0)

    known = table.read(Path(found.table))
    first = known.timed(1)[_first_call("lenet")]
    assert found.rows[0].prediction is not None
    assert first.seconds == pytest.approx(3 * fake_counts.operator_time(first.call).seconds)
    assert known.usual_pace(1) is None


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
