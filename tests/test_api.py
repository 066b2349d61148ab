from __future__ import annotations

from collections import Counter

import pytest

import cnnbench
from cnnbench import store
from cnnbench.errors import StoreError, UsageError
from tests import made


def test_the_public_names_are_there() -> None:
    assert dir(cnnbench) == sorted(cnnbench.__all__)
    for name in cnnbench.__all__:
        assert getattr(cnnbench, name) is not None


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'mesure'"):
        _ = cnnbench.mesure


def test_a_run_gives_records_and_keeps_them(fake_run, tmp_path) -> None:
    assert len(fake_run.records) == 2 * 2 * 2
    assert {record.status for record in fake_run.records} == {"ok"}
    assert cnnbench.load(tmp_path / "run").records == fake_run.records


def test_without_a_directory_a_new_one_is_made_under_results(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)

    results = cnnbench.run("lenet", "eager", executor="fake")

    assert results.runs[0].path.parent.name == "results"
    assert (tmp_path / results.runs[0].path / store.RECORDS).exists()


@pytest.mark.parametrize("models", ["lenet, alexnet", ["lenet", "alexnet"], ("lenet", "alexnet")])
def test_words_come_as_text_or_as_a_sequence(tmp_path, models) -> None:
    results = cnnbench.run(models, "eager", executor="fake", out=tmp_path / "run")

    assert [record.spec.workload.model for record in results.records] == ["lenet", "alexnet"]


def test_every_word_of_the_call_reaches_the_specs(tmp_path) -> None:
    results = cnnbench.run(
        "pkg.nets:tiny", "channels_last", device="cpu", batch=4, input=(1, 28, 30),
        phase="training", threads=3, arguments={"width": 2}, rounds=2, slices=5, seed=1,
        executor="fake", out=tmp_path / "run",
    )  # fmt: skip

    (record,) = results.records
    assert record.id == "pkg.nets:tiny?width=2/training-b4-1x28x30/channels_last/cpu-t3"
    assert [len(run.slices) for run in record.runs] == [5, 5]


def test_a_number_is_a_square_size(tmp_path) -> None:
    results = cnnbench.run("lenet", "eager", size=64, executor="fake", out=tmp_path / "a")
    others = cnnbench.run("lenet", "eager", size=(64, 48), executor="fake", out=tmp_path / "b")

    assert results.records[0].spec.workload.input == (3, 64, 64)
    assert others.records[0].spec.workload.input == (3, 64, 48)


def test_a_frame_has_a_row_per_spec_and_the_columns_of_the_csv(fake_run) -> None:
    frame = fake_run.frame()

    assert len(frame) == 8
    assert list(frame["spec"]) == [record.id for record in fake_run.records]
    header = fake_run.report("csv").splitlines()[0]
    assert header == ",".join(frame.columns)


def test_a_pivot_has_a_row_per_workload(fake_run) -> None:
    lines = [line for line in fake_run.pivot().splitlines() if line.startswith("| ")]

    assert len(lines) == 2 + 4
    assert "channels_last" in lines[0]


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("table", "\n-----"),
        ("markdown", "\n| :-- |"),
        ("latex", r"\begin{tabular}"),
        ("csv", "spec,model,mode,"),
        ("json", '[\n {\n  "spec": '),
    ],
)
def test_reports_come_in_every_format(fake_run, kind: str, form: str) -> None:
    text = fake_run.report(kind)

    plain = text.replace(r"\_", "_")  # as LaTeX writes it
    rows = plain.split("\n }") if kind == "json" else plain.splitlines()
    counted = Counter(
        (model, mode)
        for row in rows
        for model in ("lenet", "alexnet")
        for mode in ("eager", "channels_last")
        if model in row and mode in row
    )
    assert form in text
    assert sorted(counted.values()) == [2, 2, 2, 2], counted


def test_a_result_prints_as_its_table(fake_run) -> None:
    assert str(fake_run) == fake_run.report("table")


def test_several_runs_join(tmp_path, eager, failed) -> None:
    paths = [made.directory(tmp_path / "a", [eager]), made.directory(tmp_path / "b", [failed])]

    results = cnnbench.load(*paths)

    assert results.records == (eager, failed)
    assert list(results.frame()["run"]) == ["a", "b"]


def test_a_run_of_failures_only_is_a_table(tmp_path) -> None:
    results = cnnbench.run("fake:dies", executor="fake", out=tmp_path / "run")

    assert "killed by SIGKILL" in str(results)


def test_bad_requests_are_errors_of_ours(tmp_path) -> None:
    for call in (
        lambda: cnnbench.run("lenett", executor="fake"),
        lambda: cnnbench.run("lenet", executor="fake", rounds=0),
        lambda: cnnbench.run("", executor="fake"),
    ):
        with pytest.raises(UsageError):
            call()
    with pytest.raises(StoreError):
        cnnbench.load()
    with pytest.raises(StoreError):
        cnnbench.load(tmp_path)
    assert list(tmp_path.iterdir()) == []
