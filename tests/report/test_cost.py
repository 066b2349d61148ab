"""Tables of static cost: arithmetic on hand-made facts, and what must not be hidden."""

from __future__ import annotations

from typing import Any

import pytest

from cnnbench.errors import UnknownName
from cnnbench.report import cost

OP: dict[str, Any] = {
    "direction": "forward", "kind": "contraction", "macs": 100, "bias_adds": 10,
    "elementwise_flops": 0, "read_bytes": 30, "written_bytes": 10,
}  # fmt: skip


def layer(name: str, depth: int, *, leaf: bool, macs: int, calls: int = 1) -> dict[str, Any]:
    return {
        "name": name, "type": "Conv2d", "depth": depth, "leaf": leaf, "calls": calls, "params": 5,
        "macs": macs, "mult_adds": macs + 1, "share": macs / 100, "kernel": [3, 3],
        "input": [1, 3, 8, 8], "output": [1, 4, 8, 8], "field": {"size": [3, 5], "stride": [1, 1]},
    }  # fmt: skip


FACTS: dict[str, Any] = {
    "name": "net", "phase": "inference", "batch": 2, "input": [[2, 3, 8, 8], [2, 1]], "params": 9,
    "macs": 100, "flops": 200, "mult_adds": 110, "uncounted": {}, "assumptions": [],
    "layers": [
        layer("", 0, leaf=False, macs=100), layer("a", 1, leaf=False, macs=90),
        layer("a.0", 2, leaf=True, macs=20), layer("a.1", 2, leaf=True, macs=70),
        layer("b", 1, leaf=True, macs=10), layer("unused", 1, leaf=True, macs=0, calls=0),
    ],
    "ops": [
        OP | {"name": "conv"}, OP | {"name": "conv", "macs": 300},
        OP | {"name": "conv", "direction": "backward"},
        OP | {"name": "relu", "macs": 0, "bias_adds": 0, "elementwise_flops": 40},
    ],
}  # fmt: skip


def column(table: Any, name: str) -> list[Any]:
    index = [one.name for one in table.columns].index(name)
    return [row[index] for row in table.rows]


def test_layers_are_the_leaves_that_ran_and_a_depth_collapses_them() -> None:
    assert column(cost.layers([FACTS], None, None, None), "name") == ["a.0", "a.1", "b"]
    assert column(cost.layers([FACTS], 1, None, None), "name") == ["a", "b"]
    assert column(cost.layers([FACTS], 0, None, None), "name") == [""]
    assert sum(column(cost.layers([FACTS], 1, None, None), "macs")) == FACTS["macs"]


def test_layers_are_sorted_from_large_to_small_and_cut() -> None:
    table = cost.layers([FACTS], None, "macs", 2)

    assert column(table, "macs") == [70, 20]
    assert column(table, "kernel") == ["3x3", "3x3"]
    assert column(table, "field") == ["3x5", "3x5"]


def test_operators_of_one_name_are_added_up_and_directions_kept_apart() -> None:
    table = cost.ops([FACTS], None, None)

    assert column(table, "name") == ["conv", "conv (backward)", "relu"]
    assert column(table, "calls") == [2, 1, 1]
    assert column(table, "macs") == [400, 100, 0]
    assert column(table, "share") == [0.8, 0.2, 0.0]
    assert column(table, "arithmetic_intensity") == [(2 * 400 + 20) / 80, 210 / 40, 1.0]


def test_several_models_tell_their_layers_apart() -> None:
    table = cost.layers([FACTS, FACTS | {"name": "other"}], None, None, 1)

    assert column(table, "model") == ["net", "other"]


def test_what_is_not_counted_assumed_or_failed_is_said_in_every_view() -> None:
    doubtful = FACTS | {
        "uncounted": {"my::op": 3},
        "assumptions": ["one item is kept"],
        "macs_per_item": {"head": 7},
    }
    failed = {"name": "broken", "error": "layer 'x' does not take this input"}
    tables = (
        cost.totals([doubtful, failed]),
        cost.layers([doubtful, failed], None, None, None),
        cost.ops([doubtful, failed], None, None),
        cost.crosschecks([doubtful, failed]),
    )

    for table in tables:
        text = "\n".join(table.notes)
        assert "totals may be short" in text
        assert "my::op x3" in text
        assert "one item is kept" in text
        assert "7 MACs in head" in text
        assert "broken: layer 'x'" in text


def test_totals_keep_raw_numbers_and_every_input_shape() -> None:
    table = cost.totals([FACTS])

    assert column(table, "macs") == [100]
    assert column(table, "input") == ["2x3x8x8, 2x1"]


def test_a_crosscheck_says_where_the_difference_is() -> None:
    agrees = {"tool": "one", "ours": 5, "theirs": 5, "differences": [], "explained": True}
    gap = {"operators": "norm", "ours": 0, "theirs": 2, "reason": "counts norms"}
    differs = {"tool": "two", "ours": 5, "theirs": 7, "differences": [gap], "explained": True}
    cannot = {"tool": "three", "error": "cannot trace"}

    table = cost.crosschecks([FACTS | {"crosschecks": [agrees, differs, cannot]}])

    assert column(table, "tool") == ["one", "two", "two", "three"]
    assert column(table, "reason") == ["agrees", "differs", "counts norms", "cannot trace"]


def test_an_unknown_column_to_sort_by_is_named() -> None:
    with pytest.raises(UnknownName, match="did you mean params"):
        cost.layers([FACTS], None, "param", None)
