"""What the Python API returns: parts by name, one record, and what a notebook is shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import cnnbench
from cnnbench import store
from cnnbench.api import run
from cnnbench.bar import Bar
from cnnbench.errors import UnknownName, UsageError
from cnnbench.report import usability
from cnnbench.report.conclusions import conclusions
from cnnbench.report.entry import entries
from cnnbench.report.pivot import frame
from cnnbench.report.selection import keep


@pytest.fixture
def results(tmp_path: Path) -> cnnbench.Results:
    return run("lenet,resnet18", "eager,channels_last", device="cpu", rounds=1, slices=2,
               out=tmp_path / "run", executor="fake")  # fmt: skip


def test_parts_go_by_model_mode_and_id(results: cnnbench.Results) -> None:
    assert len(results) == len([*results]) == 4
    assert {one.spec.mode.text for one in results["lenet"]} == {"eager", "channels_last"}
    assert len(results["eager"]) == 2
    record = results["resnet18", "channels_last"].record
    assert record.spec.workload.architecture == "resnet18"
    assert results[record.id].records == (record,)


def test_a_place_is_a_part_too(results: cnnbench.Results) -> None:
    assert results[0].record is results.records[0]
    assert results[-1].record is results.records[-1]
    assert results[1:3].records == results.records[1:3]
    with pytest.raises(IndexError):
        results[4]


@pytest.mark.parametrize(
    ("key", "said"),
    [("lenett", "did you mean lenet"), (("lenet", "resnet18"), "unknown model or mode 'resnet18'")],
)
def test_a_part_that_is_not_there_is_one_line(results: cnnbench.Results, key, said: str) -> None:
    with pytest.raises(UnknownName, match=said) as caught:
        results[key]

    assert caught.value._render_traceback_() == [f"UnknownName: {caught.value}"]


def test_one_of_several_is_not_the_record(results: cnnbench.Results) -> None:
    with pytest.raises(UsageError, match=r"there are 4 records; choose one"):
        _ = results.record


def test_a_bar_shows_what_is_done(results: cnnbench.Results, monkeypatch, capsys) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ipykernel", None)  # as in a notebook
    bar = Bar()

    bar.working("lenet: round 1", 1, 4)
    bar.finished(results.records[0])
    bar.working("all", 4, 4)
    bar.close()

    shown = capsys.readouterr().err
    assert "lenet: round 1" in shown
    assert "1/4" in shown


def test_elsewhere_it_says_nothing(results: cnnbench.Results, capsys) -> None:
    bar = Bar()
    bar.working("lenet: round 1", 1, 4)
    bar.finished(results.records[0])
    bar.close()

    assert capsys.readouterr() == ("", "")


KEPT = Path(__file__).parents[1] / "results"


@pytest.mark.parametrize("name", ["quick-cpu", "all-cpu"])
def test_a_cell_shows_the_answers_and_stays_short(name: str) -> None:
    results = cnnbench.load(KEPT / name)

    text, html = repr(results), results._repr_html_()

    assert len(text) < 3000
    assert max(map(len, text.splitlines())) <= 80
    assert "channels_last: faster in" in text
    assert ("and 168 rows more" in text) is (name == "all-cpu")
    assert html.startswith("<div><div>run 2026")
    assert "<td>lenet</td>" in html or name == "all-cpu"
    assert "<script" not in html
    assert "channels_last: faster in" in html


@pytest.mark.parametrize(
    ("key", "condition"),
    [("lenet", "model=lenet"), ("channels_last", "mode=channels_last"),
     (("resnet18", "amp=bf16"), "model=resnet18 mode=amp=bf16")],
)  # fmt: skip
def test_a_part_is_judged_and_compared_as_a_filtered_report(key, condition: str) -> None:
    part = cnnbench.load(KEPT / "modes-cpu")[key]
    kept = keep(entries([store.read(KEPT / "modes-cpu")]), condition)

    assert [one.record for one in part.entries] == [one.record for one in kept]
    assert [one.speedup for one in part.entries] == [one.speedup for one in kept]
    assert conclusions(part.entries) == conclusions(kept)
    columns = frame(kept)
    assert part.frame()[list(columns)].to_csv() == columns.to_csv()
    (line,) = usability.lines(part.entries)
    assert "7 of 12 times" in line


def test_a_part_of_a_part_and_of_what_is_incomplete_keep_what_is_known(results) -> None:
    (one,) = results.runs
    broken = cnnbench.Results((replace(one, problems=("records.jsonl: torn",)),))

    assert "torn" in broken["lenet"]["eager"].report()
    assert "torn" in repr(broken["lenet"])
    assert broken["lenet"]["channels_last"].entries[0].speedup is not None


def test_names_are_escaped_in_a_cell(results: cnnbench.Results) -> None:
    evil = Path("<script>alert(1)</script>")
    named = replace(results, runs=tuple(
        replace(one, manifest=replace(one.manifest, run=str(evil))) for one in results.runs
    ))  # fmt: skip

    assert "<script" not in named._repr_html_()


def test_a_plot_is_a_figure_and_what_is_missing_is_said(results: cnnbench.Results) -> None:
    pytest.importorskip("matplotlib")
    kept = cnnbench.load(KEPT / "quick-cpu")

    assert kept.plot().axes[0].get_title(loc="left")
    assert kept.plot("modes").axes
    with pytest.raises(UnknownName, match="did you mean accuracy"):
        kept.plot("acuracy")
    with pytest.raises(UsageError, match="nothing to show as 'accuracy'; there is: "):
        results["lenet"].plot("accuracy")


def test_a_plot_that_nobody_chose_is_one_that_there_is(results: cnnbench.Results) -> None:
    pytest.importorskip("matplotlib")
    kept = cnnbench.load(KEPT / "quick-cpu")

    # No accuracy of lenet is published, so networks cannot be set against it.
    assert results["lenet"].plot().axes[0].get_title(loc="left").startswith("Does a mode pay?")
    assert kept.plot().axes[0].get_title(loc="left").startswith("Accuracy")
    with pytest.raises(UsageError, match=r"^plot: these records have nothing to show$"):
        cnnbench.Results(()).plot()
