"""What a browser may break into lines and sheets: no word of a command, no plot, no heading."""

from __future__ import annotations

import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.report import page
from cnnbench.report.page import drawing
from cnnbench.report.page.document import command, unbroken
from cnnbench.report.page.measurements import measurements
from cnnbench.report.page.parts import Box, Boxes, PlotAxis
from cnnbench.report.selection import Selection
from tests.report.conftest import named, of

WHOLE = re.compile(r'<span class="u">(.*?)</span>')


def copied(html: str) -> str:
    """What a reader gets who copies it."""
    return unescape(re.sub(r"<[^>]*>", "", html))


def test_a_command_is_broken_between_words_and_a_long_list_behind_commas() -> None:
    models = ",".join(f"network{n}" for n in range(20))
    line = f"cnnbench run --models {models} --max-latency 20ms"

    html = command(line)

    assert copied(html) == line
    pieces = [unescape(one) for one in WHOLE.findall(html)]
    assert {"cnnbench", "--models", "--max-latency", "network3,", "network19"} <= {*pieces}
    assert not re.search(r"[^\s<>]", re.sub(r"<wbr>", "", WHOLE.sub("", html)))


@given(st.text())
def test_what_is_copied_is_what_was_written(text: str) -> None:
    told = f"measure more rounds (--rounds 5) <b> {text}"
    plain = copied(unbroken("".join(c for c in told if c.isprintable())))

    assert plain == "".join(c for c in told if c.isprintable())
    assert '<span class="u">--rounds</span>' in unbroken(told)


def test_no_option_on_a_page_stands_where_a_browser_may_break_it(everything) -> None:
    text = page.render(everything, measurements(everything, Selection()), ("drop --budget",))
    body = text[text.index("<body>") : text.index("<script>")]

    left = WHOLE.sub("", re.sub(r'\s(data-tip|placeholder)="[^"]*"', "", body))
    assert '<span class="u">--budget</span>' in body
    assert re.findall(r"--[a-z]\w*", left) == []


@pytest.mark.parametrize(("count", "pieces"), [(3, 1), (60, 4)])
def test_a_plot_of_many_rows_is_cut_in_pieces_that_fit_a_sheet(count: int, pieces: int) -> None:
    boxes = [
        Box(f"net{row}", f"round {n}", (0.8, 0.9, 1.0, 1.1, 1.2), ("tip",))
        for row in range(count)
        for n in range(2)
    ]

    html = drawing.draw(Boxes(PlotAxis("time"), tuple(boxes)), "title")

    heights = [float(one) for one in re.findall(r'<svg[^>]* height="([\d.]+)"', html)]
    assert len(heights) == pieces
    assert max(heights) <= 720
    assert html.count('class="m box"') == len(boxes)
    assert all(f">net{row}<" in html for row in range(count))


def test_hundreds_of_notes_stay_folded_on_paper() -> None:
    def notes(count: int) -> str:
        records = [named(f"net{n}", "eager", 5, notes=(f"note {n}",)) for n in range(count)]
        found = of(*records)
        return page.render(found, measurements(found, Selection()))

    assert re.search(r'<details class="numbers">\s*<summary>\d+ notes', notes(60))
    assert not re.search(r'<details class="numbers">\s*<summary>\d+ notes', notes(20))
