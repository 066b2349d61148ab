"""Limits in a real browser: cards, plot and table follow them, as the program decides.

Runs where Chromium is installed and the playwright package drives it; nothing is downloaded.
"""

from __future__ import annotations

import pytest

from cnnbench.report.budget import Budget, fits
from cnnbench.report.page.offers import tip
from cnnbench.report.picks import picks
from tests.report.opened import KNOWN, Opened


@pytest.mark.parametrize(
    ("latency", "seconds", "mode"),
    [("", None, ""), ("20 ms", 0.02, ""), ("5", 0.005, ""), ("0.012s", 0.012, "compile"),
     ("1 us", 1e-6, "")],
)  # fmt: skip
def test_cards_are_what_the_program_picks(opened, eighty, latency, seconds, mode) -> None:
    some = [one for one in eighty if not mode or one.record.spec.mode.text == mode]
    (fit,) = fits(some, Budget(seconds))

    opened.limit(latency, mode=mode)
    shown = opened.cards()
    opened.limit()

    wanted = [one and tip(one)[0] for one in picks(fit).values()]
    assert shown == [one or "nothing within these limits" for one in wanted]


def test_cards_do_not_change_by_themselves(opened, address, browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    still = Opened(context, address)

    assert still.cards() == opened.cards()
    assert still.texts(".rival") == opened.texts(".rival")
    assert "convnext_tiny" in still.texts(".rival")[0]
    context.close()


def test_a_limit_filters_cards_plot_and_table_together(opened) -> None:
    before = opened.cards()
    opened.limit("5 ms", mode="amp=bf16")

    rows = opened.view.locator("#all tbody tr:visible").count()
    modes = set(opened.column(2))
    out = opened.view.locator("#accuracy .plot:visible .m.out:visible").count()
    marks = opened.view.locator("#accuracy .plot:visible .m:visible").count()
    assert 0 < rows < 82
    assert modes == {"amp=bf16"}
    assert 0 < out < marks == len(KNOWN) + 1
    assert opened.cards() != before
    opened.limit()
    assert opened.view.locator("#all tbody tr:visible").count() == 486
    assert opened.view.locator("#accuracy .plot:visible .m.out").count() == 0


def test_within_a_limit_a_network_is_drawn_in_the_mode_that_fits(opened) -> None:
    mark = opened.view.locator("#accuracy .plot:visible .m[data-n='resnet18']:visible")
    before = mark.get_attribute("data-o")
    opened.limit(mode="eager")
    alone = mark.get_attribute("data-o")
    opened.limit("5 ms")
    within = [one.get_attribute("data-t") for one in mark.all()]
    opened.limit()

    assert (before, alone) == ("compile+channels_last", "eager")
    assert len(within) == 1
    assert float(within[0]) <= 0.005
    assert mark.get_attribute("data-o") == before


def test_a_limit_that_is_no_number_is_said_and_limits_nothing(opened) -> None:
    opened.limit("quick")

    assert "20 ms" in opened.view.locator("#limit-said").inner_text()
    assert opened.view.locator("#limit-t").get_attribute("aria-invalid") == "true"
    assert opened.view.locator("#all tbody tr:visible").count() == 486
    opened.limit()
    assert opened.view.locator("#limit-said").inner_text() == ""


def test_the_line_in_the_plot_is_the_limit(opened) -> None:
    plot = opened.view.locator("#accuracy .plot:visible")
    plot.scroll_into_view_if_needed()
    line, area = plot.locator(".limit").bounding_box(), plot.locator(".area").bounding_box()
    opened.view.mouse.move(line["x"] + 7, line["y"] + 40)
    opened.view.mouse.down()
    opened.view.mouse.move(area["x"] + 0.5 * area["width"], line["y"] + 40, steps=4)
    opened.view.mouse.up()

    dragged = opened.view.locator("#limit-t").input_value()
    moved = plot.locator(".limit").bounding_box()
    rows = opened.view.locator("#all tbody tr:visible").count()
    opened.limit()

    assert dragged.endswith(" ms")
    assert abs(moved["x"] + 7 - area["x"] - 0.5 * area["width"]) < 6
    assert 0 < rows < 486
