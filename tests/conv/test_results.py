"""What is best, what is only faster than a slow default, and what must never be recommended."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cnnbench.conv.results import advice, is_configuration, is_library, layer_results
from cnnbench.report.lab_advice import line
from cnnbench.spec import Mode


def test_every_way_is_compared_with_the_default_and_with_the_best_library_way(lab) -> None:
    (bench,) = layer_results(lab)
    cells = {cell.record.spec.mode.text: cell for cell in bench.cells}

    assert cells["impl=im2col"].speedup.point == pytest.approx(10 / 8)
    assert cells["impl=im2col"].library_speedup.point == pytest.approx(4 / 8)
    assert cells["impl=im2col"].library.spec.mode.text == "impl=prepacked+channels_last"
    assert cells["eager"].speedup.point == 1
    assert cells["impl=matmul_1x1"].refusal == "matmul_1x1 needs a 1x1 kernel, not 3x3"
    assert cells["impl=matmul_1x1"].speedup is None


def test_a_wrong_library_way_is_not_the_best(way) -> None:
    (bench,) = layer_results([way("eager", 10), way("channels_last", 1, "wrong")])

    assert {cell.library.spec.mode.text for cell in bench.cells} == {"eager"}


def test_every_dtype_has_a_default_of_its_own(way) -> None:
    found = [way("eager", 10), way("amp=bf16", 6), way("bf16", 4), way("impl=im2col+bf16", 2)]
    (bench,) = layer_results(found)
    defaults = {cell.record.spec.mode.text: cell.default.spec.mode.text for cell in bench.cells}

    assert defaults == {
        "eager": "eager", "amp=bf16": "eager", "bf16": "bf16", "impl=im2col+bf16": "bf16",
    }  # fmt: skip


def test_three_classes_of_advice_are_kept_apart(lab) -> None:
    found = {one.kind: one for one in advice(layer_results(lab)[0])}

    assert found["A"].chosen.spec.mode.text == "channels_last"
    assert found["A"].gain.point == pytest.approx(2)
    assert found["B"].chosen.spec.mode.text == "impl=prepacked+channels_last"
    assert found["B"].gain.point == pytest.approx(2.5)
    assert found["C"].chosen.spec.workload.architecture.endswith("~depthwise")
    assert found["C"].gain.point == pytest.approx(5)
    assert found["C"].promised == pytest.approx(8)


def test_a_wrong_way_is_never_chosen_and_is_counted(lab) -> None:
    (found,) = (one for one in advice(layer_results(lab)[0]) if one.kind == "B")

    assert found.wrong == 1
    assert "winograd" not in found.chosen.id


def test_where_only_a_wrong_way_is_faster_nothing_is_chosen(way) -> None:
    found = advice(layer_results([way("eager", 10), way("impl=winograd_f4", 1, "wrong")])[0])

    assert [(one.kind, one.chosen, one.tried, one.wrong) for one in found] == [("B", None, 0, 1)]


def test_what_cannot_be_told_from_the_default_is_not_chosen(way) -> None:
    found = advice(layer_results([way("eager", 10), way("channels_last", 10)])[0])

    assert [(one.kind, one.chosen) for one in found] == [("A", None)]


def test_one_round_says_nothing(way) -> None:
    found = [way("eager", 10), way("channels_last", 5)]
    once = [replace(one, runs=one.runs[:1]) for one in found]

    (one,) = advice(layer_results(once)[0])
    assert (one.chosen, one.rounds) == (None, 1)
    assert "one round cannot show a difference" in line(one)
    (sure,) = advice(layer_results(found)[0])
    assert (sure.chosen, sure.rounds) == (found[1], 3)


def test_a_loose_way_is_left_aside_and_counted_and_an_unchecked_one_says_so(way) -> None:
    ways = [way("eager", 10), way("impl=im2col", 1, "loose"), way("impl=mec", 5, "unchecked")]

    (found,) = advice(layer_results(ways)[0])

    assert found.chosen is ways[2]
    assert line(found).endswith(
        "; 1 left out because the output is loose; its output could not be checked"
    )


def test_flags_are_configuration_and_prepacked_weights_are_the_library_s() -> None:
    native, packed, ours = (Mode(implementation=one) for one in ("native", "prepacked", "im2col"))

    assert (is_configuration(native), is_library(native)) == (True, True)
    assert (is_configuration(packed), is_library(packed)) == (False, True)
    assert (is_configuration(ours), is_library(ours)) == (False, False)


def test_a_layer_in_int8_is_compared_with_plain_eager(way) -> None:
    (bench,) = layer_results([way("eager", 10), way("openvino+int8", 2)])
    (cell,) = (one for one in bench.cells if one.record.spec.mode.precision == "int8")

    assert cell.default is not None
    assert cell.default.spec.mode.text == "eager"
    assert [one.kind for one in advice(bench) if one.dtype == "fp32" and one.visible] == []
