"""Tables of static cost: arithmetic on hand-made facts, and what must not be hidden."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cnnbench.costs import (
    CostReport,
    CostTotals,
    CrossCheck,
    CrosscheckDifference,
    Field,
    LayerRow,
    NotCounted,
    OpRow,
    Slope,
    Totals,
    TracedMemory,
)
from cnnbench.errors import UnknownName
from cnnbench.report import cost, render
from cnnbench.report.crosschecks import crosschecks

OP = OpRow("conv", "", "forward", "contraction", 100, 10, 0, 30, 10, ())
MEMORY = TracedMemory(0, 0, 0, 0, 0, 0, 0, 0, "", "", "", "", 0)


def layer(name: str, depth: int, *, leaf: bool, macs: int, calls: int = 1) -> LayerRow:
    params = 5 if calls else 0
    return LayerRow(
        name, "Conv2d", depth, leaf, calls, (1, 3, 8, 8), (1, 4, 8, 8), (3, 3), None, None, None,
        None, params, 5, params if leaf else 0, 0, 0, Totals(2 * calls, macs, 1), Totals(), 0,
        Field((3.0, 5.0), (1.0, 1.0)),
    )  # fmt: skip


TOTALS = CostTotals(
    "net", "inference", "sgd", 2, ((2, 3, 8, 8), (2, 1)), 9, 9, 0, 0, Totals(3, 100, 10),
    Totals(3, 100, 10), None, MEMORY, {}, (), (), False, 7,
)  # fmt: skip
REPORT = CostReport(
    TOTALS,
    layers=(
        layer("", 0, leaf=False, macs=100), layer("a", 1, leaf=False, macs=90),
        layer("a.0", 2, leaf=True, macs=20), layer("a.1", 2, leaf=True, macs=70),
        layer("b", 1, leaf=True, macs=10), layer("unused", 1, leaf=True, macs=0, calls=0),
    ),
    ops=(
        OP, replace(OP, macs=300), replace(OP, direction="backward"),
        replace(OP, name="relu", kind="activation", macs=0, bias_adds=0, elementwise_flops=40),
    ),
)  # fmt: skip


def column(table: Any, name: str) -> list[Any]:
    index = [one.name for one in table.columns].index(name)
    return [row[index] for row in table.rows]


def test_layers_are_the_leaves_that_ran_and_a_depth_collapses_them() -> None:
    assert column(cost.layers([REPORT], None, None, None), "name") == ["a.0", "a.1", "b"]
    assert column(cost.layers([REPORT], 1, None, None), "name") == ["a", "b"]
    assert column(cost.layers([REPORT], 0, None, None), "name") == [""]
    assert sum(column(cost.layers([REPORT], 1, None, None), "macs")) == TOTALS.macs


def test_a_parent_s_own_work_is_a_row_and_calls_are_the_module_s() -> None:
    parent = replace(REPORT.layers[1], own=Totals(1, 5), own_params=3)
    table = cost.layers([replace(REPORT, layers=(parent, *REPORT.layers[2:]))], None, None, None)

    assert column(table, "name") == ["a (own)", "a.0", "a.1", "b"]
    assert column(table, "macs") == [5, 20, 70, 10]
    assert column(table, "params") == [3, 5, 5, 5]
    assert column(table, "calls") == [1, 1, 1, 1]
    assert "add up to 9 params, 100 MACs" in table.captions[-1]


def test_columns_go_by_name_or_heading_and_wide_ones_are_shown_on_request() -> None:
    table = cost.layers([REPORT], None, None, None)

    names = [one.name for one in cost.only(table, ["MACs", "layer", "read_bytes"]).columns]
    assert names == ["macs", "name", "read_bytes"]
    assert "read_bytes" not in [one.name for one in cost.only(table, []).columns]
    assert "backward_macs" not in [one.name for one in cost.only(table, []).columns]
    assert "read_bytes" in [one.name for one in cost.only(table, [], for_people=False).columns]
    with pytest.raises(UnknownName, match=r"columns: name, type, depth, .*written_bytes"):
        cost.only(table, ["speed"])


def test_on_a_narrow_line_the_share_stays_longest() -> None:
    trained = replace(REPORT, totals=replace(TOTALS, backward=TOTALS.forward))
    table = cost.only(cost.layers([trained], None, None, None), (), for_people=True)

    for width in (80, 60, 40, 30):
        lines = render(table, "table", width).splitlines()
        assert any(line.startswith("layer ") and "share" in line for line in lines)


def test_layers_are_sorted_from_large_to_small_and_cut() -> None:
    table = cost.layers([REPORT], None, "macs", 2)

    assert column(table, "macs") == [70, 20]
    assert column(table, "kernel") == ["3x3", "3x3"]
    assert column(table, "field") == ["3x5", "3x5"]


def test_operators_of_one_name_are_added_up_and_directions_kept_apart() -> None:
    table = cost.ops([REPORT], None, None)

    assert column(table, "name") == ["conv", "conv (backward)", "relu"]
    assert column(table, "calls") == [2, 1, 1]
    assert column(table, "macs") == [400, 100, 0]
    assert column(table, "share") == [0.8, 0.2, 0.0]
    assert column(table, "arithmetic_intensity") == [(2 * 400 + 20) / 80, 210 / 40, 1.0]


def test_several_models_tell_their_layers_apart() -> None:
    table = cost.layers(
        [REPORT, replace(REPORT, totals=replace(TOTALS, name="other"))], None, None, 1
    )

    assert column(table, "model") == ["net", "other"]


def test_what_is_not_counted_assumed_or_failed_is_said_in_every_view() -> None:
    doubt = replace(
        TOTALS,
        uncounted={"my::op": 3},
        assumptions=("one item is kept",),
        slopes=(Slope("head", 7),),
    )
    doubtful = replace(REPORT, totals=doubt)
    failed = NotCounted("broken", "layer 'x' does not take this input")
    tables = (
        cost.totals([doubtful, failed]),
        cost.layers([doubtful, failed], None, None, None),
        cost.ops([doubtful, failed], None, None),
        crosschecks([doubtful, failed]),
    )

    for table in tables:
        text = "\n".join(table.notes)
        assert "totals may be too low" in text
        assert "my::op x3" in text
        assert "one item is kept" in text
        assert "7 MACs in head" in text
        assert "broken: layer 'x'" in text


def test_notes_on_parts_of_one_network_say_which_part_is_trained() -> None:
    def part(trained: str, layer: str) -> CostReport:
        memory = replace(MEMORY, layer=layer)
        return CostReport(replace(TOTALS, phase="training", trained=trained, memory=memory))

    head, whole = part("fc", "bn1"), part("everything", "relu")

    starts = [text.partition(" peaks")[0] for text in cost.notes([head, whole])]
    assert starts == ["net, training fc: memory", "net, training everything: memory"]
    assert cost.notes([head])[0].startswith("net: memory peaks in layer 'bn1'")


def test_totals_keep_raw_numbers_and_every_input_shape() -> None:
    table = cost.totals([REPORT])

    assert column(table, "macs") == [100]
    assert column(table, "input") == ["2x3x8x8, 2x1"]


def test_headings_of_a_training_phase_say_which_pass_they_count() -> None:
    trained = replace(TOTALS, phase="training", forward=Totals(3, 130, 10), backward=Totals(4, 250))
    table = cost.totals([replace(REPORT, totals=trained)])
    asked = cost.only(table, ["name", "MACs", "mult-adds", "forward MACs", "training_macs"])

    assert [one.title for one in asked.columns] == [
        "model", "inference MACs", "inference mult-adds", "forward MACs", "training MACs",
    ]  # fmt: skip
    assert asked.rows == (("net", 100, 110, 130, 380),)
    assert "heads that run in training only" in table.captions[-1]
    assert "forward_macs" not in [one.name for one in cost.totals([REPORT]).columns]


def test_a_crosscheck_says_where_the_difference_is() -> None:
    agrees = CrossCheck("one", 5, 5)
    gap = CrosscheckDifference("norm", 0, 2, "counts norms")
    differs = CrossCheck("two", 5, 7, (gap,))
    cannot = CrossCheck("three", error="cannot trace")

    table = crosschecks([replace(REPORT, crosschecks=(agrees, differs, cannot))])

    assert column(table, "tool") == ["one", "two", "two", "three"]
    assert column(table, "reason") == ["agrees", "differs", "counts norms", "cannot trace"]


def test_an_unknown_column_to_sort_by_is_named() -> None:
    with pytest.raises(UnknownName, match="did you mean params"):
        cost.layers([REPORT], None, "param", None)
