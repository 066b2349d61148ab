"""Plots as they stand in the page: where marks are, what they carry, what is left out."""

from __future__ import annotations

import math
import re

import pytest

from cnnbench.report.page import drawing
from cnnbench.report.page.parts import (
    Box,
    Boxes,
    Heat,
    Line,
    PlotAxis,
    PlotPoint,
    Points,
    Square,
)
from tests.report.conftest import HOSTILE
from tests.report.test_page import Reader

LINEAR = PlotAxis("x"), PlotAxis("y")


def drawn(*points: PlotPoint, **more) -> Reader:
    x, y = more.pop("axes", LINEAR)
    return Reader(drawing.draw(Points(x, y, points, **more), "a plot"))


def all_of(found: Reader, tag: str, kind: str = "") -> list[dict[str, str | None]]:
    return [a for t, a in found.tags if t == tag and kind in str(a.get("class", "")).split(" ")]


def test_a_mark_is_where_its_numbers_are_and_carries_its_tip_and_data() -> None:
    found = drawn(
        PlotPoint(0, 0, "a", ("one", "two"), data=(("n", "net"),)), PlotPoint(10, 5, "a", ("b",))
    )

    low, high = all_of(found, "circle")[:2]
    assert (low["cx"], high["cx"]) == ("4.55%", "95.45%")
    assert float(str(low["cy"])) > float(str(high["cy"]))
    first = all_of(found, "g", "m")[0]
    assert (first["data-tip"], first["data-n"]) == ("one\ntwo", "net")


def test_on_a_logarithmic_axis_equal_ratios_are_equal_distances_and_round_numbers_stand() -> None:
    axes = PlotAxis("ms", log=True, scale=1e3), PlotAxis("y")
    found = drawn(*(PlotPoint(x / 1e3, 1, "a", ("t",)) for x in (1, 10, 100)), axes=axes)

    xs = [float(str(one["cx"]).rstrip("%")) for one in all_of(found, "circle")]
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.02)
    assert {"1", "10", "100"} <= set(found.texts["text"])
    area = all_of(found, "div", "area")[0]
    assert (float(area["data-low"]), float(area["data-high"])) == (-0.1, 2.1)


@pytest.mark.parametrize(
    ("low", "high"), [(0.98, 1.03), (3, 4.2), (1, 1e9), (1e-7, 2e-7), (5, 5), (0, 0), (-3, 4)]
)
@pytest.mark.parametrize("log", [False, True])
def test_axes_have_a_few_numbers_whatever_they_span(low: float, high: float, log: bool) -> None:
    scale = drawing._Scale.over([low, high], log)

    assert 2 <= len(scale.ticks()) <= 11


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, 1e308, 5e-324, -1e308])
def test_numbers_of_a_damaged_file_break_nothing(odd: float) -> None:
    points = [PlotPoint(1, 1, "a", ("t",)), PlotPoint(odd, odd, "a", ("t",), odd, odd)]
    for log in (False, True):
        axes = PlotAxis("x", log=log, scale=1e3), PlotAxis("y", log=log)
        found = drawn(*points, axes=axes, lines=(Line("l", (odd, 1), (odd, 1)),))

        assert not any("nan" in str(value) for _, a in found.tags for value in a.values())


def test_intervals_of_a_calm_plot_wait_for_the_pointer_and_one_round_has_none() -> None:
    points = PlotPoint(1, 1, "a", ("t",), 0.5, 2.0), PlotPoint(2, 2, "a", ("t",), hollow=True)

    calm, usual = drawn(*points, calm=True), drawn(*points)

    assert [len(all_of(one, "line", "w")) for one in (calm, usual)] == [1, 1]
    assert [len(all_of(one, "line", "calm")) for one in (calm, usual)] == [1, 0]
    assert len(all_of(calm, "g", "hollow")) == 1


def test_every_named_mark_has_a_name_a_number_and_its_place_in_the_key() -> None:
    found = drawn(*(PlotPoint(n, n, "a", ("t",), label=f"net{n}") for n in (3, 1, 2)))

    assert [t for t in found.texts["text"] if t.startswith("net")] == ["net1", "net2", "net3"]
    assert {"1", "2", "3"} <= set(found.texts["text"])
    assert found.texts["li"] == ["net1", "net2", "net3"]


def test_grey_marks_lie_behind_and_stand_last_in_the_legend() -> None:
    points = [PlotPoint(1, 1, name, ("t",)) for name in ("front", "rest")]

    found = drawn(*points, groups=("front", "rest"), grey=("rest",))

    groups = [attrs["data-name"] for attrs in all_of(found, "g", "group")]
    assert groups == ["rest", "front"]
    assert found.texts["li"] == ["front", "rest"]


def test_rows_have_names_and_a_place_for_each() -> None:
    axes = PlotAxis("ratio", log=True), PlotAxis("", rows=("first, latency", "second, memory"))
    found = drawn(PlotPoint(1.2, 0, "a", ("t",)), PlotPoint(0.8, -1, "b", ("t",)), axes=axes)

    names = [float(str(one["y"])) for one in all_of(found, "text", "row")]
    marks = [float(str(one["cy"])) for one in all_of(found, "circle")]
    assert [t for t in found.texts["text"] if "," in t] == ["first, latency", "second, memory"]
    assert names[0] < marks[0] < names[1] < marks[1]


def test_a_heat_map_is_a_table_with_shades_and_tips() -> None:
    rows = tuple(f"net{n}" for n in range(30))
    squares = tuple(Square(row, "compile", 4.0 / (n + 1), "x", (row, "t"))
                    for n, row in enumerate(rows))  # fmt: skip

    found = Reader(drawing.draw(Heat(rows, ("compile",), squares), "h"))

    fields = [attrs for tag, attrs in found.tags if tag == "td"]
    kinds = [str(one.get("class", "")) for one in fields]
    assert (kinds[0], kinds[3], kinds[29]) == ("f8", "", "s8")
    assert fields[0]["data-tip"] == "net0\nt"
    assert len(all_of(found, "tbody", "more")) == 1
    assert "all 30 rows" in "".join(found.texts["button"])


def test_hostile_names_are_text_in_every_kind_of_plot() -> None:
    evil = f'" onload="x" {HOSTILE}'
    point = PlotPoint(1, 1, evil, (evil,), label=evil, data=(("n", evil),))
    plots = (
        Points(PlotAxis(evil), PlotAxis(evil), (point,), (Line(evil, (0, 1), (0, 1)),)),
        Points(PlotAxis(evil), PlotAxis("", rows=(evil,)), (point,)),
        Heat((evil,), (evil,), (Square(evil, evil, 1.0, evil, (evil,)),)),
        Boxes(PlotAxis(evil), (Box(evil, evil, (0.8, 0.9, 1.0, 1.1, 1.2), (evil,)),)),
    )
    for plot in plots:
        text = drawing.draw(plot, evil)
        found = Reader(text)

        assert found.open == []
        assert "script" not in {tag for tag, _ in found.tags}
        assert not any("onload" in attrs for _, attrs in found.tags)
        assert re.search("[\x1b\u202e]", text) is None
