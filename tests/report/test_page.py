"""The page as text: complete, inert, small, and holding what it promises."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest

from cnnbench.facts import Check
from cnnbench.metrics import Awake
from cnnbench.report import page
from cnnbench.report.entry import Entry
from cnnbench.report.page import context, palette
from cnnbench.report.page.sections import SECTIONS, sections
from cnnbench.report.table import summary, tidy
from cnnbench.stats import Estimate
from tests import made
from tests.report.conftest import HOSTILE, named, of
from tests.report.test_times import waiting

VOID = {"meta", "link", "input", "br", "col", "img", "hr"}


# Whose end tag HTML does not need: what comes next ends them.
ENDS = {"td": {"td"}, "tr": {"td", "tr"}}
ENDED = {"tbody": ("td", "tr")}


class Reader(HTMLParser):
    """Every element in order; fails where tags do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))
        while self.open and self.open[-1] in ENDS.get(tag, ()):
            self.open.pop()
        if tag not in VOID:
            self.open.append(tag)
        if tag in {"td", "th"}:
            self.cells.append("")

    def handle_endtag(self, tag) -> None:
        for implied in ENDED.get(tag, ()):
            if self.open[-1] == implied:
                self.open.pop()
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        inside = self.open[-1] if self.open else ""
        self.texts.setdefault(inside, []).append(data)
        if inside in {"td", "th"}:
            self.cells[-1] += data

    def element(self, name: str) -> dict[str, str | None]:
        return next(attrs for tag, attrs in self.tags if attrs.get("id") == name)


def rendered(found: list[Entry], remarks: tuple[str, ...] = ()) -> str:
    return page.render(found, summary(found), remarks)


@pytest.fixture
def text(everything) -> str:
    return rendered(everything)


def test_every_section_is_there_and_none_is_left_out(everything, text) -> None:
    made_sections, absent = sections(everything)

    assert absent == []
    assert len(made_sections) == len(SECTIONS)
    found = Reader(text)
    for section in made_sections:
        assert found.element(section.name)
        assert section.table is not None
        assert section.table.rows


def test_no_two_elements_have_one_name(text) -> None:
    names = [attrs["id"] for _, attrs in Reader(text).tags if "id" in attrs]

    assert len(names) == len(set(names)) > 20


def test_what_there_are_no_data_for_is_left_out_with_the_reason(eager) -> None:
    text = rendered(of(eager))

    assert "Batch scaling: needs a network at two batches." in text
    assert 'id="batches"' not in text


def test_it_is_well_formed_and_reads_without_scripts(everything, text) -> None:
    found = Reader(text)

    assert found.open == []
    assert {"62.0 k", "resnet50", "out_of_memory"} - set(found.cells) == {"62.0 k"}
    for entry in everything:
        assert entry.record.spec.mode.text in found.cells
    assert any("RuntimeError: no such thing" in cell for cell in found.cells)


def test_it_loads_nothing(text) -> None:
    found = Reader(text)

    policy = next(a["content"] for t, a in found.tags if "Content-Security" in str(a))
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'unsafe-inline'")
    assert "unsafe-eval" not in policy
    assert "http" not in policy
    for tag, attrs in found.tags:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            value = attrs.get(name) or "#"
            assert value.startswith(("#", "data:")), (tag, attrs)
    style = "".join(found.texts["style"])
    assert "url(" not in style
    assert "@import" not in style


def test_a_page_of_eighty_networks_in_six_modes_stays_under_five_megabytes() -> None:
    modes = ("eager", "channels_last", "compile", "amp=bf16", "bf16", "compile+channels_last")
    found = of(*(named(f"net{n}", mode, 10) for n in range(80) for mode in modes))

    text = rendered(found)

    assert len(text.encode()) < 5_000_000
    assert text.count("<tr>") > 480


def test_two_thousand_rows_are_all_there() -> None:
    found = of(*(named(f"net{n}", mode, 10) for n in range(1000) for mode in ("eager", "compile")))

    found_cells = Reader(rendered(found)).cells

    assert {f"net{n}" for n in range(1000)} <= set(found_cells)


def test_hostile_text_is_text(hostile_entries, hostile) -> None:
    both = [page.render(hostile_entries, summary(hostile_entries), (HOSTILE,)),
            page.render([], hostile, (HOSTILE,))]  # fmt: skip

    for text in both:
        assert "<script>alert" not in text
        found = Reader(text)
        assert [t for t, _ in found.tags].count("script") == 1
        assert any("<script>alert(1)</script>" in data for data in found.texts["li"])


def test_hostile_names_stay_inside_the_attributes_of_plots() -> None:
    evil = 'x" onclick="alert(1)"></text></svg></script><script>alert(1)</script><!--'
    quoted = quote(evil, safe="")
    times = (("eager", 10), ("compile", 5))
    records = [named(f"{quoted}{n}", *pair) for n in range(2) for pair in times]

    found = Reader(rendered(of(*records, run=evil)))

    tags = [tag for tag, _ in found.tags]
    assert (tags.count("script"), found.open) == (1, [])
    assert not any("onclick" in attrs for _, attrs in found.tags)
    assert any(str(attrs.get("data-n")).startswith(evil) for _, attrs in found.tags)


def downloads(text: str) -> dict[str, str]:
    found = {}
    for tag, attrs in Reader(text).tags:
        if tag == "a" and attrs.get("download"):
            data = base64.b64decode(str(attrs["href"]).partition("base64,")[2])
            name = str(attrs["download"])
            found[name.removesuffix(".gz")] = (
                gzip.decompress(data) if name.endswith(".gz") else data
            ).decode()
    return found


def test_the_raw_numbers_can_be_downloaded_unrounded(everything, text) -> None:
    files = downloads(text)

    rows = list(csv.DictReader(io.StringIO(files["cnnbench.csv"], newline="")))
    assert [row["spec"] for row in rows] == [entry.record.id for entry in everything]
    place = [column.name for column in tidy([]).columns].index("latency_median_s")
    first = json.loads(files["cnnbench.json"])[0]
    assert first["latency_median_s"] == tidy(everything).rows[0][place]


def test_large_downloads_are_compressed_and_read_back() -> None:
    found = of(*(named(f"net{n}", "eager", 10) for n in range(900)))

    text = rendered(found)

    assert 'download="cnnbench.csv.gz"' in text
    assert len(downloads(text)["cnnbench.csv"].splitlines()) == 901


def test_the_same_numbers_are_not_twice_in_a_page_of_thousands(monkeypatch) -> None:
    found = of(*(named(f"net{n}", "eager", 10) for n in range(4)))
    assert set(downloads(rendered(found))) == {"cnnbench.csv", "cnnbench.json"}

    monkeypatch.setattr(page, "_BOTH", 3)

    assert set(downloads(rendered(found))) == {"cnnbench.csv"}


def test_long_tables_of_sections_are_cut_and_say_so_but_failures_are_not() -> None:
    fine = [named(f"net{n}", mode, 10) for n in range(320) for mode in ("eager", "channels_last")]
    failures = [made.failed(named(f"bad{n}", "eager", 10).id) for n in range(310)]

    text = rendered(of(*fine, *failures))

    parts = {
        name: text.partition(f'<section id="{name}">')[2].partition("</section>")[0]
        for name in ("measurements", "speedups", "failures")
    }
    counts = {name: part.count("<tr><td") for name, part in parts.items()}
    assert counts == {"measurements": 950, "speedups": 300, "failures": 310}
    assert "The first 300 of 630 rows" in parts["speedups"]
    assert "The first" not in parts["failures"]


def test_equal_records_make_an_equal_page(everything) -> None:
    one, two = rendered(everything), rendered(everything)

    assert one == two


def test_numbers_carry_what_they_are_sorted_by(everything) -> None:
    found = Reader(rendered(everything))

    keys = [float(str(attrs["data-v"])) for tag, attrs in found.tags if "data-v" in attrs]
    assert 0.006 in keys
    assert 0.018 in keys


def section(found: list[Entry], name: str):
    return next(one for one in sections(found)[0] if one.name == name)


def test_the_heat_map_holds_the_speed_ups_with_their_intervals(everything) -> None:
    ((_, heat),) = section(everything, "speedups").plots

    squares = {(one.row, one.column): one for one in heat.squares}
    one = squares["resnet50, batch 1", "compile"]
    assert one.value == pytest.approx(30 / 18)
    assert "1.67x eager" in one.tip
    assert squares["resnet50, batch 1", "eager"].value == 1


def test_a_speed_up_that_is_not_sure_stands_in_brackets(eager, noisy) -> None:
    ((_, heat),) = section(of(eager, noisy), "speedups").plots

    assert [one.text for one in heat.squares] == ["1.0", "(2.0)"]
    assert "2.00x [" in heat.squares[1].tip[2]


def test_a_strip_per_mode_counts_where_it_pays(everything, eager, noisy) -> None:
    ((title, strip),) = section(everything, "strips").plots
    ((vague, _),) = section(of(eager, noisy), "strips").plots

    assert title == "compile: faster 4 · slower 0"
    assert [one.y for one in strip.points] == pytest.approx([30 / 18] * 4)
    assert (strip.lines[0].ys, strip.x.ranks) == ((1.0, 1.0), True)
    assert vague.endswith(": faster 0 · slower 0 · no clear difference 1")


def test_a_strip_of_thousands_draws_the_ends_and_equal_steps() -> None:
    modes = (("eager", 10.0), ("compile", 5.0))
    found = of(
        *(named(f"net{n}", mode, time + n / 1e3) for n in range(900) for mode, time in modes)
    )

    ((title, strip),) = section(found, "strips").plots

    assert title.startswith("compile: faster 900 ")
    assert len(strip.points) == 400
    assert {strip.points[0].x, strip.points[-1].x} == {0.0, 899.0}


def test_a_mode_whose_outputs_are_all_wrong_has_no_strip() -> None:
    wrong = named("net", "compile", 5, check=Check("wrong", 1.0, 1e-7, 1.0))
    found = of(named("net", "eager", 10), wrong)

    assert not [one for one in sections(found)[0] if one.name == "strips"]


def test_the_rows_with_the_largest_gains_come_first() -> None:
    times = (("slow", 9.0), ("fast", 2.0), ("middle", 5.0))
    found = of(*(named(model, mode, time) for model, gain in times
                 for mode, time in (("eager", 10.0), ("compile", gain))))  # fmt: skip

    ((_, heat),) = section(found, "speedups").plots

    assert heat.rows == ("fast", "middle", "slow")


def test_the_summary_begins_with_the_verdicts_of_a_comparison(eager) -> None:
    found = [
        context.PageChange(made.EAGER, "latency", Estimate(1.2, 1.1, 1.3), "regression"),
        *[context.PageChange(made.EAGER, "params", Estimate(1.0, 1.0, 1.0), "unchanged")] * 2,
    ]

    text = page.render(of(eager), summary(of(eager)), (), found)

    first, second = Reader(text).texts["li"][:2]
    assert first == f"Compared with the older run, 1 regression: {made.EAGER} latency 1.20x."
    assert second == "Compared with the older run, 2 unchanged."
    drawn = context.changes(found).plots[0][1]
    assert drawn.y.rows == (f"latency: {made.EAGER}",)


def test_the_lab_is_a_heat_map_of_its_own(everything) -> None:
    ((_, heat),) = section(everything, "lab").plots

    assert heat.rows == ("conv:k64-3x3",)
    assert heat.columns == ("eager", "impl=im2col")
    assert [one.value for one in heat.squares] == pytest.approx([1, 0.5])


def test_the_library_at_its_best_is_what_a_second_heat_map_is_against(everything) -> None:
    # The best library way is channels_last, twice as fast as the default.
    faster = [named("conv:k64-3x3", "channels_last", 1), named("conv:k64-3x3~ghost", "eager", 1)]
    records = [one.record for one in everything] + faster

    ((_, heat),) = section(of(*records), "library").plots

    squares = {one.column: one for one in heat.squares}
    assert heat.rows == ("conv:k64-3x3",)
    assert {name: one.value for name, one in squares.items()} == pytest.approx(
        {"eager": 0.5, "impl=im2col": 0.25, "channels_last": 1}
    )
    assert "the best library implementation" in squares["eager"].tip[2]


def test_batches_are_lines_of_throughput(everything) -> None:
    ((_, plot),) = section(everything, "batches").plots

    line = sorted((p.x, p.y) for p in plot.points if p.group == "resnet18, eager")
    assert line == [(1, pytest.approx(100)), (8, pytest.approx(800))]


def test_a_box_holds_the_samples_of_one_process(everything) -> None:
    ((_, plot),) = section(everything, "distribution").plots

    assert {box.group for box in plot.boxes} == {"round 0", "round 1", "round 2"}
    assert all(box.numbers == pytest.approx((1, 1, 1, 1, 1)) for box in plot.boxes)


def test_boxes_of_a_disturbed_row_are_of_one_kind_of_time_and_name_it() -> None:
    disturbed = of(waiting(made.EAGER.replace("cpu-t2", "cpu-t1"), 0.5))
    assert isinstance(disturbed[0].latency, Awake)

    one = section(disturbed, "distribution")
    ((_, plot),) = one.plots

    assert all(box.numbers == pytest.approx((1, 1, 1, 1, 1)) for box in plot.boxes)
    assert "by the clock" in plot.axis.title
    assert "All times are the clock's" in one.reading


def test_the_roofline_has_its_roofs_and_places_work_under_them(everything) -> None:
    one = section(everything, "roofline")
    ((_, plot),) = one.plots

    names = [line.name for line in plot.lines]
    assert names[0] == "float32 matmul"
    assert "256 MiB working set" in names
    rows = {row[0]: row for row in one.table.rows}
    flops, moved = 2 * made.COST.macs, 2 * (1 << 20) + made.COST.param_bytes + made.COST.input_bytes
    assert rows["resnet18, batch 1, eager"][1] == pytest.approx(flops / moved)
    assert rows["resnet18, batch 1, eager"][2] == pytest.approx(flops / 0.010 / 1e9)
    assert rows["resnet18, batch 1, eager"][3] == pytest.approx(flops / 0.010 / 2e11)
    assert rows["conv:k64-3x3, batch 1, impl=im2col"][1] == pytest.approx(200)


def test_changes_of_a_comparison_have_a_section(everything) -> None:
    found = [
        context.PageChange(made.EAGER, "latency", Estimate(1.2, 1.1, 1.3), "regression"),
        context.PageChange(made.BF16, "latency", None, "inconclusive"),
    ]

    text = page.render(everything, summary(everything), (), found)

    assert "1.20x [1.10x, 1.30x]" in Reader(text).cells
    assert 'id="plot-changes-0"' in text


def test_colours_are_neutral_at_one_and_stronger_away_from_it() -> None:
    assert palette.shade(1) == "#f5f5f5"
    assert palette.shade(4) == palette.shade(400)
    assert palette.shade(0.25) != palette.shade(4)
    assert {palette.ink(1), palette.ink(8), palette.ink(0.1)} == {"#111111", "#ffffff"}


@pytest.mark.skipif(shutil.which("node") is None, reason="no node here")
def test_the_page_sorts_and_filters_as_it_says() -> None:
    script = Path(page.__file__).with_name("page.js")
    code = f"""
const {{ matches, compare }} = require({json.dumps(str(script))});
const {{ limitOf, numbersOf, within, fitting, rival, picks }} =
  require({json.dumps(str(script.with_name("limits.js")))});
const assert = require("node:assert");
assert(matches("resnet18 compile ok", "RESNET comp"));
assert(!matches("resnet18 compile ok", "resnet eager"));
assert(!matches("resnet18 failed", "resnet -failed"));
assert(matches("anything", "  "));
assert(matches("a - b", "-"));
const sorted = (list, down) => [...list].sort((a, b) => compare(a, b, down));
assert.deepEqual(sorted(["resnet18", "resnet9", "-"]), ["resnet9", "resnet18", "-"]);
assert.deepEqual(sorted([3, "-", 20, 1], false), [1, 3, 20, "-"]);
assert.deepEqual(sorted([3, "-", 20, 1], true), [20, 3, 1, "-"]);
const units = {{ "": 1e-3, s: 1, ms: 1e-3 }};
const limits = ["", "20 ms", "20", "<= 1,5 s"].map((text) => limitOf(text, units));
assert.deepEqual(limits, [undefined, 0.02, 0.02, 1.5]);
assert(["fast", "20 minutes", "-3 ms"].every((text) => Number.isNaN(limitOf(text, units))));
assert(within({{ t: 1, m: 5 }}, {{ t: 1 }}) && !within({{ t: 1 }}, {{ m: 5 }}));
const [a, b, c, d] = [{{ n: "x", t: 3, a: 70, b: "1" }}, {{ n: "x", t: 2, a: 70 }},
  {{ n: "y", t: 1, a: 69.5, p: 4 }}, {{ n: "z", t: 1, a: 90, w: "one round only" }}];
assert.deepEqual(fitting([a, b, c, d]), [a, c]);
assert.deepEqual(fitting([b, c, d]), [b, c]);
assert.deepEqual(picks([a, c], 1), [a, c, c]);
assert.deepEqual(picks([a, c], 0), [a, a, a]);
const row = numbersOf({{ dataset: {{ o: "eager", t: "0.5" }} }});
assert.deepEqual([row.t, row.m, row.o], [0.5, undefined, "eager"]);
assert.equal(rival([a, d], a), d);
assert.equal(rival([a, c], a), undefined);
"""
    done = subprocess.run(["node", "-e", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_nothing_turns_the_reading_round(eager) -> None:
    text = rendered(of(replace(eager, notes=("a\u202eb\x1b[31m",)), run="x\u202ey"), ("c\u2066d",))

    assert "\u202e" not in text.partition("<script")[0]
    assert "\u2066" not in text
    assert "\x1b" not in text


def test_whole_numbers_are_sorted_to_the_last_digit() -> None:
    records = [named("a", "eager", 1), named("b", "eager", 2)]
    batches = [
        replace(one, id=one.id.replace("-b1-", f"-b{batch}-"))
        for one, batch in zip(records, (100_003, 100_001), strict=True)
    ]

    tags = Reader(rendered(of(*batches))).tags
    assert {"100003", "100001"} <= {attrs.get("data-v") for _, attrs in tags}
