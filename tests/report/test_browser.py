"""The page in a real browser: quick to open, silent, sorts, filters, shows tooltips.

Runs where Chromium is installed and the playwright package drives it; nothing is downloaded.
"""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from cnnbench.report import page
from cnnbench.report.table import summary
from tests.report.conftest import named, of

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")

MODES = ("eager", "channels_last", "compile", "amp=bf16", "bf16", "compile+channels_last")
EVIL = '</script><img src="http://example.invalid/x"><script>alert(1)</script>'


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        # Without a graphics card, and without asking anybody for updates.
        quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        one = driver.chromium.launch(executable_path=CHROMIUM, args=quiet)
        yield one
        one.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    """Eighty networks in six modes, in a run with a hostile name."""
    names = ["resnet18", "resnet50", "resnet9", *(f"net{n}" for n in range(77))]
    records = [
        named(name, mode, (10 + i) / (1 + j))
        for i, name in enumerate(names)
        for j, mode in enumerate(MODES)
    ]
    found = of(*records, run=EVIL)
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page.render(found, summary(found), (EVIL,)), encoding="utf8")
    return path.as_uri()


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

    def drawn(self) -> Opened:
        self.view.wait_for_selector("html[data-drawn]", state="attached")
        return self

    def column(self, index: int) -> list[str]:
        rows = self.view.locator("#all tbody tr:visible")
        return rows.locator(f"td:nth-child({index})").all_inner_texts()


@pytest.fixture(scope="module")
def opened(browser, address):
    """Opened once: loading it anew for every test is most of the time on a busy machine."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    yield Opened(context, address).drawn()
    context.close()


def test_it_asks_for_nothing_and_reports_no_error(opened) -> None:
    outside = [url for url in opened.requests if not url.startswith(("file:", "data:", "blob:"))]

    assert outside == []
    assert len([url for url in opened.requests if url.startswith("file:")]) == 1
    assert [line for line in opened.said if not line.startswith(("info:", "log:"))] == []


def test_every_plot_is_drawn(opened) -> None:
    plots = opened.view.locator(".plot")

    assert plots.count() >= 4
    for index in range(plots.count()):
        box = plots.nth(index).bounding_box()
        assert box["height"] > 100


def test_a_click_sorts_by_size_and_another_turns_it_round(opened) -> None:
    heads = [text.strip() for text in opened.view.locator("#all thead th").all_inner_texts()]
    latency = heads.index("latency") + 1
    button = opened.view.locator(f"#all thead th:nth-child({latency}) button")

    button.click()
    up = opened.column(1)[0], opened.column(2)[0]
    button.click()
    down = opened.column(1)[0]

    # The first network is fastest in its last mode; the last is slowest in its first.
    assert up[0] == "resnet18"
    assert down == "net76"


def test_names_are_sorted_as_people_order_them(opened) -> None:
    opened.view.locator("#all thead th:first-child button").click()

    names = list(dict.fromkeys(opened.column(1)))

    assert names[:3] == ["net0", "net1", "net2"]
    assert names[-3:] == ["resnet9", "resnet18", "resnet50"]


def test_typing_filters_rows_and_says_how_many(opened) -> None:
    opened.view.locator("#filter").fill("resnet18 channels -compile")

    assert opened.column(1) == ["resnet18"]
    assert opened.view.locator("#shown").inner_text() == "1 of 480 rows"
    opened.view.locator("#filter").fill("")
    assert opened.view.locator("#shown").inner_text() == "480 of 480 rows"


def test_pointing_at_a_field_shows_the_interval(opened) -> None:
    plot = opened.view.locator("#plot-speedups-0")
    plot.evaluate("element => element.scrollIntoView({block: 'start'})")
    box = plot.bounding_box()
    # Two moves, because the first only enters the plot.
    for step in (0, 5):
        opened.view.mouse.move(box["x"] + 0.6 * box["width"] + step, box["y"] + 300 + step)

    text = opened.view.locator(".bk-tooltip-content").first.inner_text()

    assert "eager" in text
    assert "ms" in text
    assert "output ok" in text


@pytest.fixture
def busy(browser, address):
    """A page whose browser never finds an idle moment."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    context.add_init_script("window.requestIdleCallback = () => {}")
    view = Opened(context, address).view
    view.wait_for_selector("html[data-seen]", state="attached")
    yield view
    context.close()


DRAWN = "() => document.querySelectorAll('.plot .bk-Figure').length"


def test_a_plot_is_drawn_when_the_reader_comes_near_it(busy) -> None:
    total = busy.locator(".plot").count()
    before = busy.evaluate(DRAWN)
    last = busy.locator(".plot").last
    room = last.bounding_box()["height"]

    last.scroll_into_view_if_needed()
    busy.wait_for_selector(".plot >> nth=-1 >> .bk-Figure", state="attached")

    assert before < busy.evaluate(DRAWN) <= total
    assert before == 0  # above them stand the summary and a large table
    # Nothing moves under the reader's eyes.
    assert abs(last.bounding_box()["height"] - room) < 20


def test_whoever_prints_gets_every_plot(busy) -> None:
    busy.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    busy.wait_for_selector("html[data-drawn]", state="attached")

    assert busy.evaluate(DRAWN) == busy.locator(".plot").count()


def test_it_reads_without_scripts(browser, address) -> None:
    context = browser.new_context(java_script_enabled=False)
    view = context.new_page()
    view.set_default_timeout(180_000)
    view.goto(address)

    assert view.locator("#all tbody tr").count() == 480
    assert "80 networks in 6 modes" in view.locator("#summary").inner_text()
    assert not view.locator("#filter").is_visible()
    context.close()


def test_dark_readers_get_dark_paper_and_plots_in_grey(browser, address) -> None:
    context = browser.new_context(color_scheme="dark")
    view = Opened(context, address).drawn().view

    paper = view.evaluate("getComputedStyle(document.body).backgroundColor")
    ink = view.evaluate("Bokeh.documents[0].roots()[0].below[0].axis_label_text_color")
    assert paper == "rgb(22, 24, 27)"
    assert ink == "#9a9a9a"
    context.close()


def test_on_paper_every_table_is_open(opened) -> None:
    opened.view.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    closed = opened.view.locator("details:not([open])").count()
    opened.view.evaluate("window.dispatchEvent(new Event('afterprint'))")

    assert closed == 0
    assert opened.view.locator("details:not([open])").count() > 0


def test_a_browser_that_cannot_unpack_the_library_says_so_and_sorts_all_the_same(
    browser, address
) -> None:
    context = browser.new_context()
    context.add_init_script("delete window.DecompressionStream")
    opened = Opened(context, address)

    texts = opened.view.locator(".plot").all_inner_texts()
    assert set(texts) == {"The plot needs a newer browser; its numbers stand below."}
    assert opened.view.locator("#shown").inner_text() == "480 of 480 rows"
    opened.view.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert opened.view.locator("details:not([open])").count() == 0
    assert [line for line in opened.said if not line.startswith(("info:", "log:"))] == []
    context.close()


def test_a_page_with_every_section_draws_every_plot(browser, everything, tmp_path) -> None:
    path = tmp_path / "every.html"
    path.write_text(page.render(everything, summary(everything)), encoding="utf8")
    context = browser.new_context()
    opened = Opened(context, path.as_uri()).drawn()

    assert opened.view.locator(".plot").count() >= 8
    assert opened.view.locator(".plot > *").count() >= opened.view.locator(".plot").count()
    assert [line for line in opened.said if not line.startswith(("info:", "log:"))] == []
    context.close()
