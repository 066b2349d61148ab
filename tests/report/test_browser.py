"""The page in a real browser: quick to open, silent; limits, pins, sorting, tips, paper, phones.

Runs where Chromium is installed and the playwright package drives it; nothing is downloaded.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from cnnbench.report import page
from cnnbench.report.budget import Budget, fits
from cnnbench.report.page.measurements import measurements
from cnnbench.report.page.offers import tip
from cnnbench.report.picks import picks
from cnnbench.report.selection import Selection
from tests.report.conftest import named, of

if TYPE_CHECKING:
    from pathlib import Path

    from cnnbench.report.table import Entry

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")

MODES = ("eager", "channels_last", "compile", "amp=bf16", "bf16", "compile+channels_last")
EVIL = '</script><img src="http://example.invalid/x"><script>alert(1)</script>'
KNOWN = ("resnet18", "resnet50", "mobilenet_v2", "squeezenet1_1", "densenet121", "vgg11")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        # Without a graphics card, and without asking anybody for updates.
        quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        one = driver.chromium.launch(executable_path=CHROMIUM, args=quiet)
        yield one
        one.close()


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    """Eighty networks in six modes, in a run with a hostile name; one measured in one round."""
    names = [*KNOWN, "resnet9", *(f"net{n}" for n in range(73))]
    records = [
        named(name, mode, (10 + 3 * i) / (1 + j))
        for i, name in enumerate(names)
        for j, mode in enumerate(MODES)
    ]
    once = [named("convnext_tiny", mode, 30) for mode in MODES]
    once = [type(one)(**{**vars(one), "runs": one.runs[:1]}) for one in once]
    return of(*records, *once, run=EVIL)


def written(path: Path, found: list[Entry]) -> str:
    path.write_text(page.render(found, measurements(found, Selection()), (EVIL,)), "utf8")
    return path.as_uri()


@pytest.fixture(scope="module")
def address(tmp_path_factory, entries) -> str:
    return written(tmp_path_factory.mktemp("page") / "report.html", entries)


class Opened:
    """A page with everything that it said and asked for."""

    def __init__(self, context: Any, address: str) -> None:
        self.view = context.new_page()
        # A shared machine may leave a browser a small part of one core.
        self.view.set_default_timeout(180_000)
        self.requests: list[str] = []
        self.said: list[str] = []
        self.view.on("request", lambda one: self.requests.append(one.url))
        self.view.on("console", lambda one: self.said.append(f"{one.type}: {one.text}"))
        self.view.on("pageerror", lambda one: self.said.append(f"error: {one}"))
        self.view.on("dialog", lambda one: self.said.append(f"error: dialog {one.message}"))
        self.view.goto(address)

    def column(self, index: int) -> list[str]:
        # Not by what is laid out: on a phone, rows far away are not yet.
        rows = self.view.locator("#all tbody tr:not([hidden])")
        return rows.locator(f"td:nth-child({index})").all_text_contents()

    def texts(self, what: str) -> list[str]:
        return [text.strip() for text in self.view.locator(what).all_text_contents()]

    def cards(self) -> list[str]:
        return self.texts(".card .who")

    def limit(self, latency: str = "", memory: str = "", mode: str = "") -> None:
        self.view.locator("#limit-t").fill(latency)
        self.view.locator("#limit-m").fill(memory)
        self.view.locator("#limit-o").select_option(mode)


@pytest.fixture(scope="module", params=[(1400, 900), (420, 800)], ids=["wide", "phone"])
def opened(request, browser, address):
    """Opened once: loading it anew for every test is most of the time on a busy machine."""
    wide, high = request.param
    context = browser.new_context(viewport={"width": wide, "height": high})
    yield Opened(context, address)
    context.close()


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


@pytest.mark.parametrize(
    ("latency", "seconds", "mode"),
    [("", None, ""), ("20 ms", 0.02, ""), ("5", 0.005, ""), ("0.012s", 0.012, "compile"),
     ("1 us", 1e-6, "")],
)  # fmt: skip
def test_cards_are_what_the_program_picks(opened, entries, latency, seconds, mode) -> None:
    some = [one for one in entries if not mode or one.record.spec.mode.text == mode]
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
