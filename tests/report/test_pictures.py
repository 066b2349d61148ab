from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from cnnbench.errors import Unsupported
from cnnbench.report import page
from cnnbench.report.markdown import Illustration, gallery
from cnnbench.report.page.parts import Box, Boxes, Heat, Line, PlotAxis, PlotPoint, Points, Square
from cnnbench.report.page.sections import sections
from tests.report.conftest import HOSTILE, named, of

matplotlib: Any = pytest.importorskip("matplotlib")
pictures: Any = pytest.importorskip("cnnbench.report.page.pictures")

SVG = "{http://www.w3.org/2000/svg}"


def texts(path: Path) -> list[str]:
    """Every text of a picture, which must be whole XML."""
    return ["".join(one.itertext()) for one in ET.parse(path).iter(f"{SVG}text")]


def test_every_plot_of_the_page_becomes_a_file(everything, tmp_path) -> None:
    drawn = page.illustrations(everything, tmp_path / "b")

    plots = [(section, title) for section in sections(everything)[0] for title, _ in section.plots]
    assert [one.title for one in drawn] == [title for _, title in plots]
    assert len({one.address for one in drawn}) == len(drawn) >= 8
    for one, (section, title) in zip(drawn, plots, strict=True):
        path = tmp_path / one.address
        assert one.heading in {section.title, ""}
        assert title.split()[0] in " ".join(texts(path))


def test_equal_records_make_equal_pictures(everything, tmp_path) -> None:
    for name in ("one", "two"):
        page.illustrations(everything, tmp_path / name)

    files = sorted((tmp_path / "one").iterdir())
    assert files
    for path in files:
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_they_say_what_the_page_says(everything, tmp_path) -> None:
    page.illustrations(everything, tmp_path)

    speedups = texts(tmp_path / "speedups-0.svg")
    assert {"resnet18, batch 1", "resnet50, batch 8", "compile", "eager", "1.7"} <= set(speedups)
    assert "ImageNet top-1, %" in texts(tmp_path / "accuracy-0.svg")
    assert "float32 matmul" in "".join(texts(tmp_path / "roofline-0.svg"))


EVIL = "$x$ $\\frac{1}{" + HOSTILE
PLOTS = [
    Points(
        PlotAxis(EVIL, log=True, scale=1e3), PlotAxis(EVIL), (
            PlotPoint(1, 1, EVIL, (EVIL,), 0.5, 2.0, label=EVIL), PlotPoint(10, 2, "b", ("b",)),
        ), (Line(EVIL, (1.0, 2.0), (1.0, 2.0)), Line("c", (1.0, 2.0), (2.0, 2.0), dashed=True)),
    ),
    Points(PlotAxis("x"), PlotAxis("y", log=True), (PlotPoint(1, 1, "a", ("a",), 0.5, 2.0),),
           interval="y"),
    Heat((EVIL,), (EVIL, "x" * 30), (Square(EVIL, EVIL, 0.5, EVIL, (EVIL,)),)),
    Boxes(PlotAxis(EVIL), (Box(EVIL, EVIL, (0.8, 0.9, 1.0, 1.1, 1.5), (EVIL,)),)),
]  # fmt: skip


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: type(plot).__name__)
def test_hostile_names_are_texts_in_whole_files_that_load_nothing(plot, tmp_path) -> None:
    path = tmp_path / "a.svg"

    pictures.save(plot, EVIL, path)

    written = " ".join(texts(path))
    assert "<script>alert(1)</script>" in written
    assert "$x$" in written
    root = ET.parse(path).getroot()
    assert not list(root.iter(f"{SVG}script"))
    links = [value for one in root.iter() for name, value in one.items() if name.endswith("href")]
    assert all(value.startswith("#") for value in links)


@pytest.mark.parametrize("high", [1.2, 50.0, 1e6])
def test_axes_have_numbers_as_people_write_them_whatever_they_span(high, tmp_path) -> None:
    marks = tuple(PlotPoint(x, 1, "a", ("a",)) for x in (1.0, high))

    pictures.save(Points(PlotAxis("x", log=True), PlotAxis("y"), marks), "t", tmp_path / "a.svg")

    numbers = [text for text in texts(tmp_path / "a.svg") if text[:1].isdigit()]
    assert len(numbers) >= 6
    assert not any("e" in text or "^" in text for text in numbers)


def at(path: Path) -> list[tuple[float, str]]:
    """Where texts stand, in points from the left of a picture that is so wide; and they."""
    found = []
    for one in ET.parse(path).iter(f"{SVG}text"):
        moved = re.search(r"translate\(([-0-9.]+)", one.get("transform", ""))
        x = moved[1] if moved else (one.get("x") or one.find(f"{SVG}tspan").get("x"))
        found.append((float(x.split()[0]), "".join(one.itertext())))
    return found


@pytest.mark.parametrize("count", [2, 12, 30])
def test_every_line_has_a_name_within_the_picture(count, tmp_path) -> None:
    names = [f"_resnet{index}, compile+channels_last+amp=bf16" for index in range(count)]
    marks = tuple(PlotPoint(x, index + x, name, ("",)) for index, name in enumerate(names)
                  for x in (1.0, 8.0))  # fmt: skip

    pictures.save(
        Points(PlotAxis("x", log=True), PlotAxis("y"), marks, joined=True), "t", tmp_path / "a"
    )

    places = at(tmp_path / "a")
    written = " ".join(text for _, text in places)
    assert all(re.search(rf"{name.split(',')[0]}\b", written) for name in names)
    width = float(ET.parse(tmp_path / "a").getroot().get("viewBox").split()[2])
    assert all(0 <= x < width for x, _ in places)


def test_names_that_differ_at_the_end_stay_apart(tmp_path) -> None:
    rows = tuple(f"timm:tf_efficientnetv2_b3, inference, batch {n}, threads 1" for n in (1, 8))
    long = tuple("x" * 200 + str(n) for n in (1, 2))
    squares = tuple(Square(row, "eager", 1.0, "1.0", ()) for row in (*rows, *long))

    pictures.save(Heat((*rows, *long), ("eager",), squares), "t", tmp_path / "a.svg")

    written = texts(tmp_path / "a.svg")
    assert {"batch 1, threads 1", "batch 8, threads 1"} <= {text[-18:] for text in written}
    assert sum(text.endswith(("x1", "x2")) for text in written) == 2


def test_what_a_user_has_set_for_papers_of_their_own_changes_nothing(tmp_path) -> None:
    plot = PLOTS[1]
    pictures.save(plot, "t", tmp_path / "one.svg")

    with matplotlib.rc_context({"text.usetex": True, "figure.facecolor": "red"}):
        pictures.save(plot, "t", tmp_path / "two.svg")
        assert matplotlib.rcParams["text.usetex"] is True

    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_values_that_differ_in_their_last_bits_are_equal(tmp_path) -> None:
    marks = tuple(PlotPoint(x, 1000 * (1 + x * 1e-15), "a", ("",)) for x in (1.0, 8.0))

    pictures.save(Points(PlotAxis("x"), PlotAxis("y", log=True), marks), "t", tmp_path / "a.svg")

    assert texts(tmp_path / "a.svg")


def test_one_record_makes_at_least_one_picture_and_none_makes_none(tmp_path) -> None:
    assert page.illustrations(of(named("lenet", "eager", 10)), tmp_path)
    assert page.illustrations([], tmp_path) == []


def test_the_markdown_of_pictures_shows_them_by_part() -> None:
    some = [
        Illustration("Size *and* work", "Up is better.", "a|b", "my report-pictures/size-0.svg"),
        Illustration("", "", "second", "x/size-1.svg"),
    ]

    assert gallery(some).splitlines() == [
        "", r"## Size \*and\* work", "", "Up is better.", "",
        r"![a\|b](my%20report-pictures/size-0.svg)", "", "![second](x/size-1.svg)",
    ]  # fmt: skip
    assert gallery([]) == "\nNo plots: they need more measurements than these runs have.\n"


def test_without_the_library_one_line_says_what_to_install(found, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "cnnbench.report.page.pictures")
    monkeypatch.delattr(page, "pictures", raising=False)

    with pytest.raises(Unsupported, match=r"need matplotlib.*pip install 'cnnbench\[pictures\]'"):
        page.illustrations(found, tmp_path)
