"""What the Python API returns: parts by name, one record, and what a notebook is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

import cnnbench
from cnnbench.api import run
from cnnbench.bar import Bar
from cnnbench.errors import UnknownName, UsageError


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
