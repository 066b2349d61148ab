"""The JSON of static cost: the names and their order are what scripts of users rely on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cnnbench.cost_json import cost_to_json
from cnnbench.costs import (
    CostReport,
    CostTotals,
    CrossCheck,
    CrosscheckDifference,
    Field,
    LayerRow,
    NotCounted,
    OpRow,
    Totals,
    TracedMemory,
)

SUMS = Totals(3, 100, 10, 40, 8, {"activation": 6})
TOTALS = CostTotals(
    "net", "training", "sgd", 2, ((2, 3, 8, 8),), 9, 8, 7, 1, SUMS, SUMS, Totals(4, 200),
    TracedMemory(1, 2, 3, 4, 5, 6, 7, 8, "a", "b", "c", "d", 9), {"odd": 1}, (), ("guessed",),
    False, 7,
)  # fmt: skip
LAYER = LayerRow(
    "conv", "Conv2d", 1, True, 1, (2, 3), (2, 4), (3, 3), None, None, None, 1, 5, 5, 5, 0, 0,
    replace(SUMS, macs=25), Totals(1, 50), 64, Field((3.0, 3.0), None),
)  # fmt: skip
OP = OpRow("conv", "a", "forward", "contraction", 100, 10, 0, 30, 12, (2, 4))
INTENSITY = (2 * 100 + 10 + 6) / 48


def part(name: str, report: CostReport) -> dict[str, Any]:
    (found,) = cost_to_json(report)[name]
    return found


def test_totals_have_stable_names_in_a_stable_order() -> None:
    found = cost_to_json(CostReport(TOTALS))

    assert " ".join(found) == (
        "name phase optimizer mode batch input params trainable_params trained auxiliary_params"
        " buffers macs flops mult_adds bias_adds elementwise_flops macs_per_sample forward_macs"
        " training_macs read_bytes written_bytes arithmetic_intensity activation_peak_bytes"
        " memory_peak_bytes memory uncounted complete macs_per_item assumptions method real depth"
    )
    assert (found["trainable_params"], found["auxiliary_params"], found["buffers"]) == (8, 1, 7)
    assert (found["flops"], found["mult_adds"], found["macs_per_sample"]) == (200, 110, 50)
    assert (found["forward_macs"], found["training_macs"]) == (100, 300)
    assert found["arithmetic_intensity"] == INTENSITY
    assert (found["activation_peak_bytes"], found["memory_peak_bytes"]) == (6, 8)
    assert (found["input"], found["complete"]) == ([[2, 3, 8, 8]], False)


def test_a_layer_has_its_sums_beside_its_facts_and_its_share() -> None:
    found = part("layers", CostReport(TOTALS, layers=(LAYER,)))

    assert found["kernel"] == [3, 3]
    assert found["field"] == {
        "size": [3.0, 3.0],
        "stride": None,
        "centre": None,
        "known": True,
    }
    assert (found["macs"], found["backward_macs"], found["share"]) == (25, 50, 0.25)
    assert found["elementwise_flops"] == {"activation": 6}
    assert not {"totals", "backward", "elementwise"} & set(found)
    assert list(found)[-7:] == [
        "elementwise_flops", "arithmetic_intensity", "backward_macs", "backward_read_bytes",
        "backward_written_bytes", "own", "share",
    ]  # fmt: skip
    assert (found["calls"], found["operators"]) == (1, 3)
    assert (found["own"]["macs"], found["own"]["operators"]) == (0, 0)


def test_an_operator_has_what_follows_from_its_counts() -> None:
    found = part("ops", CostReport(TOTALS, ops=(OP,)))

    assert (found["flops"], found["mult_adds"], found["arithmetic_intensity"]) == (200, 110, 5.0)
    assert found["output"] == [2, 4]


def test_a_cross_check_says_what_differs_or_why_it_failed() -> None:
    gap = CrosscheckDifference("conv", 9, 7, "no bias")
    counted = part("crosschecks", CostReport(TOTALS, crosschecks=(CrossCheck("t", 9, 7, (gap,)),)))
    failed = part("crosschecks", CostReport(TOTALS, crosschecks=(CrossCheck("t", error="no"),)))

    assert list(counted) == ["tool", "ours", "theirs", "differences", "explained"]
    assert counted["explained"] is True
    assert failed == {"tool": "t", "error": "no"}


def test_a_network_without_a_report_has_the_reason() -> None:
    assert cost_to_json(NotCounted("net", "no such model")) == {
        "name": "net", "error": "no such model",
    }  # fmt: skip
