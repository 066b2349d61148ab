"""Shares of a network, what a change should gain, and what it gained."""

from __future__ import annotations

import json

import pytest

from cnnbench.conv.layers import ConvLayer, Extraction
from cnnbench.conv.network import changes, networks, outcomes, specs
from cnnbench.conv.results import layer_results
from cnnbench.report import network as report
from tests import made
from tests.conv.conftest import LAYER

NET = "lenet/inference-b1-3x32x32"


@pytest.fixture
def network(lab):
    layer = ConvLayer(LAYER, (8, 16, 16), 3, ("a", "b", "c"))
    whole = [
        made.record(f"{NET}/eager/cpu-t1", [[60.0] * 3] * 3),
        made.record(f"{NET}/channels_last/cpu-t1", [[50.0] * 3] * 3),
    ]
    (found,) = networks([*whole, *lab], "lenet", Extraction((layer,), {}, 1, 1), layer_results(lab))
    return found


def test_a_layer_takes_its_count_times_its_time(network) -> None:
    (share,) = network.shares

    assert share.seconds == pytest.approx(0.030, rel=0.01)
    assert share.fraction == pytest.approx(0.5, rel=0.01)


def test_changes_are_predicted_by_amdahl_s_law(network) -> None:
    found = {one.mode.text: one for one in changes(network)}

    # Three calls of 10 ms become three of 5, 8 and 4 ms; the rest of the 60 ms stays.
    assert found["channels_last"].predicted.time.point == pytest.approx(0.045, rel=0.01)
    contiguous = "impl=im2col@8x16x16-k8-3x3-p1"
    assert found[contiguous].predicted.time.point == pytest.approx(0.054, rel=0.01)
    last = "impl=prepacked@8x16x16-k8-3x3-p1+channels_last"
    assert found[last].predicted.time.point == pytest.approx(0.042, rel=0.01)
    assert [found[text].kind for text in ("channels_last", contiguous, last)] == ["A", "B", "B"]


def test_a_wrong_implementation_is_never_applied(network) -> None:
    assert not any("winograd" in spec.id for spec in specs(network, changes(network)))


def test_what_was_predicted_stands_beside_what_was_measured(network) -> None:
    found = changes(network)
    eager, last = (
        made.record(f"{NET}/{mode}/cpu-t1", [[time] * 3] * 3)
        for mode, time in (("eager", 62.0), ("channels_last", 31.0))
    )
    rows = {one.change.mode.text: one for one in outcomes(network, found, [eager, last])}

    assert rows["channels_last"].gain.point == pytest.approx(2)
    gain = rows["channels_last"].change.predicted.gain
    assert gain.point == pytest.approx(60 / 45, rel=0.01)
    assert rows["impl=im2col@8x16x16-k8-3x3-p1"].after is None


def test_for_machines_shares_and_changes_have_seconds_and_intervals(network) -> None:
    eager, last = (
        made.record(f"{NET}/{mode}/cpu-t1", [[time] * 3] * 3)
        for mode, time in (("eager", 62.0), ("channels_last", 31.0))
    )
    data = report.to_dict(network, outcomes(network, changes(network), [eager, last]))

    assert json.loads(json.dumps(data, allow_nan=False)) == data
    (layer,) = data["layers"]
    assert (layer["layer"], layer["calls"]) == (LAYER, 3)
    assert layer["share"] == pytest.approx(0.5, rel=0.01)
    first, second = data["changes"][:2]
    assert first["predicted_low_s"] < first["predicted_s"] < first["predicted_high_s"]
    assert first["predicted_gain_low"] < first["predicted_gain"] < first["predicted_gain_high"]
    assert first["measured_s"] == pytest.approx(0.031)
    assert first["measured_gain"] == pytest.approx(2)
    assert (second["status"], second["measured_s"]) == ("not measured", None)


def test_layers_that_take_longer_than_the_network_predict_nothing(lab) -> None:
    layer = ConvLayer(LAYER, (8, 16, 16), 100)
    whole = [made.record(f"{NET}/{mode}/cpu-t1", [[60.0] * 3] * 3)
             for mode in ("eager", "channels_last")]  # fmt: skip
    (found,) = networks([*whole, *lab], "lenet", Extraction((layer,), {}, 1, 1), layer_results(lab))

    assert {one.predicted for one in changes(found)} == {None}


def test_a_prediction_is_as_sure_as_everything_it_follows_from(lab) -> None:
    layer = ConvLayer(LAYER, (8, 16, 16), 3)

    def channels_last(*times: float):
        whole = [made.record(f"{NET}/eager/cpu-t1", [[time] * 3 for time in times]),
                 made.record(f"{NET}/channels_last/cpu-t1", [[50.0] * 3] * 3)]  # fmt: skip
        (found,) = networks(
            [*whole, *lab], "lenet", Extraction((layer,), {}, 1, 1), layer_results(lab)
        )
        (one,) = (one for one in changes(found) if one.mode.text == "channels_last")
        return one.predicted

    steady, shaky = channels_last(60.0, 60.0, 60.0), channels_last(58.0, 60.0, 62.0)
    once = channels_last(60.0)

    # 45 ms, of which the layer's own rounds leave 15 ms unsure by some microseconds.
    assert 0.0448 < steady.time.low < 0.045 < steady.time.high < 0.0452
    # Three rounds 2 ms apart: 4.303 standard errors of 2 / sqrt(3) ms.
    assert shaky.time.high - shaky.time.point == pytest.approx(4.303 * 0.002 / 3**0.5, rel=0.02)
    assert shaky.gain.low < 60 / 45 < shaky.gain.high
    assert shaky.gain.high - shaky.gain.low > 10 * (steady.gain.high - steady.gain.low)
    assert (once.time.low, once.gain.low) == (None, None)
