"""Tables of the convolution lab look like the golden files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cnnbench import store
from cnnbench.conv import results
from cnnbench.record import Failure
from cnnbench.report import lab as report
from cnnbench.report import lab_advice, lab_overview
from cnnbench.report.entry import entries
from cnnbench.store import StoredRun
from tests import made
from tests.conv.conftest import lab, refused, way  # noqa: F401 - fixtures
from tests.report.test_times import waiting

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(lab) -> StoredRun:  # noqa: F811 - a fixture
    what = replace(store.manifest("a-run", [one.id for one in lab], {}, "fake"), created="")
    # Ways that do not apply are recorded first; tables keep the order of what was asked for.
    return StoredRun(Path("a-run"), what, made.ENVIRONMENT, tuple(reversed(lab)))


@pytest.mark.parametrize(("kind", "ending"), [("table", "txt"), ("markdown", "md"),
                                              ("csv", "csv"), ("json", "json")])  # fmt: skip
def test_a_lab_looks_like_the_golden_file(run, kind: str, ending: str, golden) -> None:
    golden(f"lab.{ending}", report.to_text([run], kind))


def test_the_first_screen_looks_like_the_golden_file(run, golden) -> None:
    text = report.to_text([run], "table", width=80)

    golden("lab_overview.txt", text)
    assert max(map(len, text.splitlines())) <= 80


def test_rows_of_the_first_screen_come_by_time_and_what_is_wrong_is_not_the_first(run) -> None:
    table = lab_overview.overview(report.benches([run]), entries([run]))

    times = [results.seconds(one) for one in run.records if not one.refused]
    assert len(table.rows) == len([one for one in times if one < float("inf")])
    shown = [float(str(row[1]).split()[0]) for row in table.rows]
    assert shown == sorted(shown)
    (first,) = (str(row[0]) for row in table.rows if str(row[0]).startswith(">"))
    assert "winograd_f4" not in first


def overview(records) -> tuple[str, dict[str, str]]:
    """The first sentence, and what each way says of being repaid."""
    what = replace(store.manifest("a-run", [one.id for one in records], {}, "fake"), created="")
    run = StoredRun(Path("a-run"), what, made.ENVIRONMENT, tuple(records))
    (bench,) = report.benches([run])
    rows = lab_overview.overview([bench], entries([run])).rows
    return lab_overview.sentences(bench)[0], {str(row[0])[2:]: str(row[6]) for row in rows}


def otherwise(record):
    """The same times in other rounds, so that its ratio to another is not the same in all."""
    pairs = zip(record.runs, reversed(record.runs), strict=True)
    return replace(record, runs=tuple(replace(one, slices=of.slices) for one, of in pairs))


def test_of_one_round_nothing_is_said_but_that_it_is_one(way) -> None:  # noqa: F811 - a fixture
    once = [replace(one, runs=one.runs[:1]) for one in (way("eager", 10), way("impl=im2col", 5))]

    said, repaid = overview(once)

    assert said.startswith("The default is the one to use: 10.0 ms, ")
    assert said.endswith(f"; {lab_advice.ONE_ROUND}.")
    assert repaid["im2col"] == ""


def test_only_a_clear_gain_is_said_to_repay_its_preparation(way) -> None:  # noqa: F811 - a fixture
    ways = [way("eager", 10), way("impl=im2col", 5), way("impl=direct", 20),
            otherwise(way("impl=native", 9.9999)), way("impl=winograd_f4", 1, "wrong")]  # fmt: skip

    said, repaid = overview(ways)

    assert "im2col is the fastest of 4 implementations" in said
    assert "no clear difference" not in said
    assert repaid == {
        "winograd_f4": "", "im2col": "1 call", "native": "", "eager": "", "direct": "never",
    }  # fmt: skip


def test_what_is_not_clearly_slower_than_the_fastest_is_named(way) -> None:  # noqa: F811 - a fixture
    ways = [way("eager", 10), way("impl=im2col", 5), otherwise(way("impl=native", 5.0001))]

    said, _ = overview(ways)

    assert said.endswith("; no clear difference from it: native.")


def test_a_wrong_way_is_shown_as_wrong_whatever_its_speed(run) -> None:
    rows = json.loads(report.to_json([run]))["rows"]
    (wrong,) = (row for row in rows if row["implementation"] == "winograd_f4")

    assert wrong["status"] == "wrong"
    assert wrong["speedup"] == pytest.approx(10)


@pytest.mark.parametrize(
    ("name", "place", "mode", "known"),
    [
        ("conv:k16-2x1-p2x0-d3x1", "16x1x8", "bf16", True),
        ("conv:k16-2x1-p2x0-d3x1", "16x1x8", "amp=bf16", True),
        ("conv:k16-2x1-p2x0-d3x1", "16x1x8", "impl=prepacked+bf16", True),
        ("conv:k16-2x1-p2x0-d3x1", "16x1x8", "eager", False),
        ("conv:k16-2x1-p2x0-d3x1", "16x1x8", "impl=native+bf16", False),
        ("conv:k16-2x1-p2x0-d3x1~ghost", "16x1x8", "bf16", False),
        ("conv:k16-3x3-p1", "16x8x8", "bf16", False),
        # Wrong is what is known of this one, not that it dies.
        ("conv:k1-3x6-s1x2", "1x8x6", "bf16", False),
    ],
)
def test_a_process_that_died_says_so_and_whether_that_is_known(
    name: str, place: str, mode: str, known: bool
) -> None:
    made_of = made.record(f"{name}/inference-b1-{place}/{mode}/cpu-t1", [])
    record = replace(made_of, failure=Failure("first call", "died", "was killed by SIGSEGV"))
    what = replace(store.manifest("a-run", [record.id], {}, "fake"), created="")
    run = StoredRun(Path("a-run"), what, made.ENVIRONMENT, (record,))

    (row,) = json.loads(report.to_json([run]))["rows"]

    assert (row["status"], row["reason"]) == ("failed", "was killed by SIGSEGV")
    assert ("oneDNN#5942" in (row["known_bug"] or "")) == known
    text = report.to_text([run])
    assert "failed: died" in text
    assert ("(known: dies where oneDNN#5942 does)" in text) == known


def test_a_default_that_died_leaves_nothing_to_compare_with(lab) -> None:  # noqa: F811 - a fixture
    died = replace(lab[0], failure=Failure("first call", "died", "was killed"), runs=())
    what = replace(store.manifest("a-run", [one.id for one in lab], {}, "fake"), created="")
    run = StoredRun(Path("a-run"), what, made.ENVIRONMENT, (died, *lab[1:]))

    text = report.to_text([run])

    assert "A configuration only: no comparison, because" in text
    assert "one round cannot show a difference" not in text


def test_every_column_for_machines_is_documented() -> None:
    page = (ROOT / "docs" / "conv.md").read_text(encoding="utf8")

    assert [name for name in report.TIDY if f"`{name}`" not in page] == []


def test_a_substitute_of_several_convolutions_says_where_its_time_goes(lab) -> None:  # noqa: F811
    taken = {"n1c8h16w16-k8-3x3-p1-g8": 700_000, "n1c8h16w16-k8-1x1": 1_200_000, "": 100_000}
    found = [
        replace(one, algorithm=replace(one.algorithm, stage_ns=taken))
        if "~depthwise" in one.id and one.algorithm is not None
        else one
        for one in lab
    ]
    what = replace(store.manifest("a-run", [one.id for one in found], {}, "fake"), created="")
    (bench,) = report.benches([StoredRun(Path("a-run"), what, made.ENVIRONMENT, tuple(found))])
    (said,) = (one for one in lab_overview.sentences(bench) if one.startswith("depthwise"))

    # 18,432 and 16,384 multiply-accumulates.
    assert said.partition(": 3x3 ")[2].startswith(
        "8->8 depthwise 700 µs (0.0527 GFLOP/s), 1x1 8->8 1.20 ms (0.0273 GFLOP/s), rest 100 µs"
    )


def test_all_figures_of_a_row_are_by_one_clock(way) -> None:  # noqa: F811 - a fixture
    """Also where waiting for a core has spoilt it: gains side by side hold that waiting too."""
    plain = way("eager", 10)
    slow = waiting(plain.id.replace("cpu-t2", "cpu-t1"), 0.5)
    spoilt = replace(plain, id=slow.id, runs=slow.runs)
    what = replace(store.manifest("a-run", [spoilt.id], {}, "fake"), created="")
    run = StoredRun(Path("a-run"), what, made.ENVIRONMENT, (spoilt,))

    text = report.to_text([run], "table", width=120)

    (row,) = [line for line in text.splitlines() if line.startswith("> eager")]
    assert row.split()[2:4] == ["20.0", "ms"]
    rate = next(iter(lab_overview.sentences(report.benches([run])[0]))).split()
    assert "20.0" in rate
    assert "taken out" not in " ".join(text.split())
    assert "and all figures here are by the clock" in " ".join(text.split())
    assert text.startswith("The run is not usable: ")
    told = json.loads(report.to_json([run]))["usability"]
    assert {one["use"] for one in told.values()} == {"not usable"}
