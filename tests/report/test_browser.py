"""The page in a real browser: quick to open, silent; limits, pins, sorting, tips, paper, phones.

Runs where Chromium is installed and the playwright package drives it; nothing is downloaded.
"""

from __future__ import annotations

import pytest

from tests.report.opened import KNOWN, Opened, written


def test_it_asks_for_nothing_and_reports_no_error(opened) -> None:
    outside = [url for url in opened.requests if not url.startswith(("file:", "data:", "blob:"))]

    assert outside == []
    assert len([url for url in opened.requests if url.startswith("file:")]) == 1
    assert opened.said == []


def test_the_first_answer_is_seen_without_scrolling_and_nothing_sticks_out(opened) -> None:
    size = opened.view.viewport_size
    box = opened.view.locator(".card").first.bounding_box()

    assert box["y"] + box["height"] <= size["height"]
    assert opened.view.evaluate("document.documentElement.scrollWidth") <= size["width"]


def test_a_click_pins_a_network_everywhere_and_another_lets_it_go(opened) -> None:
    mark = opened.view.locator("#accuracy .plot:visible .m[data-n='densenet121']:visible")
    mark.locator("circle").click(force=True)

    assert opened.view.locator("#all tr.pin").count() == 6
    assert opened.view.locator("#strips .m.pin").count() == 5
    assert opened.view.locator("#pins button").inner_text().startswith("densenet121")
    opened.view.locator("#pins button").click()
    assert opened.view.locator(".pin").count() == 0


def test_a_row_pins_its_network(opened) -> None:
    opened.view.locator("#filter").fill("convnext_tiny eager")
    opened.view.locator("#all tbody tr:visible td:first-child").first.click()

    assert opened.view.locator("#accuracy .plot:visible .m.pin:visible").count() == 1
    assert "convnext_tiny" in opened.texts("#accuracy .plot:visible .label.pinned")[0]
    opened.view.locator("#pins button").click()
    opened.view.locator("#filter").fill("")
    assert opened.view.locator(".label.pinned").count() == 0


def test_pointing_at_a_mark_shows_its_numbers(opened) -> None:
    mark = opened.view.locator("#accuracy .plot:visible .m[data-n='resnet50']:visible circle")
    mark.scroll_into_view_if_needed()
    mark.hover(force=True)

    text = opened.view.locator("#tip").inner_text()
    assert text.startswith("resnet50, ")
    assert "ms" in text
    assert "top-1" in text
    opened.view.mouse.move(2, 2)
    assert opened.view.locator("#tip").is_hidden()


def test_names_of_the_front_are_all_there_and_none_lies_on_another(opened) -> None:
    kind = ".wide" if opened.view.viewport_size["width"] > 960 else ".narrow"
    labels = opened.view.locator(f"#accuracy .plot:visible {kind} .label text")
    boxes = [labels.nth(n).bounding_box() for n in range(labels.count())]

    front = opened.view.locator("#accuracy .plot:visible .group:not(.grey) .m:visible").count()
    assert len(boxes) == front >= 2
    for index, one in enumerate(boxes):
        for other in boxes[index + 1 :]:
            # Boxes of glyphs are a little larger than what is seen of them.
            apart = (one["x"] + one["width"] <= other["x"] + 1
                     or other["x"] + other["width"] <= one["x"] + 1
                     or one["y"] + one["height"] <= other["y"] + 3
                     or other["y"] + other["height"] <= one["y"] + 3)  # fmt: skip
            assert apart


def test_columns_can_be_chosen(opened) -> None:
    index = 1 + opened.view.evaluate(
        "[...document.querySelectorAll('#all thead th')].findIndex("
        "head => head.dataset.name === 'params')"
    )
    cell = opened.view.locator(f"#all tbody tr:first-child td:nth-child({index})").first
    before = cell.is_visible()
    opened.view.locator("#columns summary").click()
    opened.view.locator("#columns label", has_text="params").locator("input").click()

    assert before
    assert not cell.is_visible()
    opened.view.locator("#columns label", has_text="params").locator("input").click()
    opened.view.locator("#columns summary").click()
    assert cell.is_visible()


def test_a_click_sorts_by_size_and_another_turns_it_round(opened) -> None:
    heads = opened.texts("#all thead th")
    latency = next(n for n, text in enumerate(heads, 1) if text.startswith("latency"))
    button = opened.view.locator(f"#all thead th:nth-child({latency}) button")

    button.click()
    up = opened.column(1)[0]
    button.click()
    down = opened.column(1)[0]

    # The first network is fastest in its last mode; the last is slowest in its first.
    assert (up, down) == ("resnet18", "net72")


def test_names_are_sorted_as_people_order_them(opened) -> None:
    opened.view.locator("#all thead th:first-child button").click()

    names = [name for name in dict.fromkeys(opened.column(1)) if "net" in name]

    assert names[:3] == ["densenet121", "mobilenet_v2", "net0"]
    assert names[-4:] == ["resnet9", "resnet18", "resnet50", "squeezenet1_1"]


def test_typing_filters_rows_and_says_how_many(opened) -> None:
    opened.view.locator("#filter").fill("resnet18 channels -compile")

    assert opened.column(1) == ["resnet18"]
    assert opened.view.locator("#shown").inner_text() == "1 of 486 rows"
    opened.view.locator("#filter").fill("")
    assert opened.view.locator("#shown").inner_text() == "486 of 486 rows"


def test_the_heat_map_shows_twenty_five_rows_and_then_all(opened) -> None:
    rows = opened.view.locator("#speedups .heat tbody tr:visible")
    first = rows.count()
    opened.view.locator("#speedups button.all").click()

    assert (first, rows.count()) == (25, 81)
    opened.view.locator("#speedups .heat").evaluate("one => one.classList.remove('every')")


def test_every_plot_has_room_and_marks(opened) -> None:
    plots = opened.view.locator(".plot:visible")

    assert plots.count() >= 3
    for index in range(plots.count()):
        box = plots.nth(index).bounding_box()
        assert box["height"] > 100
        assert box["width"] <= opened.view.viewport_size["width"]


def test_a_link_opens_what_is_folded(opened) -> None:
    opened.view.evaluate("location.hash = '#method'")
    opened.view.wait_for_selector("#evidence[open]", state="attached")

    assert opened.view.locator("#method li").first.is_visible()
    opened.view.evaluate("document.getElementById('evidence').open = false; location.hash = ''")


def test_on_a_phone_every_row_is_a_card_with_the_names_of_its_cells(browser, address) -> None:
    context = browser.new_context(viewport={"width": 420, "height": 800})
    view = Opened(context, address).view

    row = view.locator("#all tbody tr").first
    cell = row.locator("td:nth-child(2)")
    name = cell.evaluate("one => getComputedStyle(one, '::before').content")
    assert name == '"mode"'
    assert row.bounding_box()["width"] < 420
    assert cell.bounding_box()["y"] > row.locator("td").first.bounding_box()["y"] + 5
    context.close()


def test_the_first_column_stays_when_the_others_scroll(browser, address) -> None:
    context = browser.new_context(viewport={"width": 700, "height": 900})
    view = Opened(context, address).view
    frame = view.locator("#measurements .scroll")
    first = view.locator("#all tbody tr td").first
    before = first.bounding_box()["x"]

    frame.evaluate("one => one.scrollBy(200, 0)")

    assert frame.evaluate("one => one.scrollLeft") > 50
    assert first.bounding_box()["x"] == pytest.approx(before, abs=1)
    context.close()


def test_it_reads_without_scripts(browser, address) -> None:
    context = browser.new_context(java_script_enabled=False)
    view = Opened(context, address).view

    assert view.locator("#all tbody tr").count() == 486
    assert view.locator("#all tbody tr").last.locator("td").last.is_visible()
    assert "81 networks in 6 modes" in view.locator("#summary").inner_text()
    assert not view.locator("#filter").is_visible()
    assert view.locator("#accuracy .m circle").first.is_visible()
    assert view.locator("#speedups .heat tbody tr").last.is_visible()
    context.close()


def test_dark_readers_get_dark_paper_and_no_glaring_field(browser, address) -> None:
    context = browser.new_context(color_scheme="dark")
    view = Opened(context, address).view

    paper = view.evaluate("getComputedStyle(document.body).backgroundColor")
    fields = view.evaluate(
        "[...document.querySelectorAll('.heat td[class]')].map(one => "
        "Number((/ ([.0-9]+)\\)$/.exec(getComputedStyle(one).backgroundColor) ?? [0, 0.6])[1]))"
    )
    assert paper == "rgb(22, 24, 27)"
    assert fields
    assert max(fields) <= 0.6
    context.close()


def test_paper_shows_every_plot_and_table_whatever_is_folded(browser, address) -> None:
    context = browser.new_context(viewport={"width": 1000, "height": 800}, color_scheme="dark")
    view = Opened(context, address).view
    view.emulate_media(media="print")

    assert view.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert view.locator("#accuracy .plot:visible .m circle").count() >= len(KNOWN)
    assert view.locator("#distribution .box rect").first.is_visible()
    assert view.locator("#environment td").first.is_visible()
    assert not view.locator("#filter").is_visible()
    assert len(view.pdf()) > 50_000
    context.close()


def test_before_paper_everything_unfolds_and_folds_again(opened) -> None:
    opened.view.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    closed = opened.view.locator("details:not([open], .numbers)").count()
    opened.view.evaluate("window.dispatchEvent(new Event('afterprint'))")

    assert closed == 0
    assert opened.view.locator("details:not([open])").count() > 0


def test_a_page_with_every_section_is_silent_and_its_commands_can_be_copied(
    browser, everything, tmp_path
) -> None:
    context = browser.new_context()
    opened = Opened(context, written(tmp_path / "every.html", everything))

    assert opened.view.locator(".plot").count() >= 8
    assert opened.view.locator(".plot .m, .plot td").count() > 20
    opened.view.evaluate("document.getElementById('warnings').open = true")
    for block in opened.view.locator(".remedy").all():
        block.locator("button").click()
        assert block.locator("button").inner_text() == "copied"
    assert opened.said == []
    context.close()
