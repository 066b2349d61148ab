from __future__ import annotations

import dataclasses
import re
from collections import Counter
from pathlib import Path

import pytest

import cnnbench
from cnnbench import plan as planning
from cnnbench import requests, store
from cnnbench.errors import StoreError, UnknownName, UsageError
from cnnbench.plan import IN_PROCESS, Plan
from cnnbench.report.variables import TABLES
from cnnbench.runner import campaign
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


def test_an_empty_directory_is_none(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(UsageError, match="out is empty"):
        cnnbench.run("fake:net", executor="fake", out="")

    assert list(tmp_path.iterdir()) == []


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
    header = fake_run.report("csv").splitlines()[0].split(",")
    assert list(frame.columns)[: len(header)] == header
    assert list(frame.columns) == [one.name for one in TABLES["records"]]


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


# Another value than the default of every field of a plan.
PLAN: dict[str, object] = {
    "rounds": 2, "slices": 3, "slice_seconds": 0.02, "turn_budget": 4.0, "warm_up_calls": 3,
    "warm_up_seconds": 0.1, "warm_up_limit": 2.0, "seed": 7, "timeout": 60.0,
    "memory_limit": 1 << 30, "precision": 0.5, "budget": 3600.0, "warm_up_fewest": 1,
    "least_turns": 2, "memory_warm_calls": 1, "float64_macs": 10**9, "ceilings": True,
    "l2": "cold", "cudnn_benchmark": True, "max_latency": 0.05,
    "halve_batch": True, "nvtx": True, "energy": True, "cold_start": True,
    "most_rounds": 5,
}  # fmt: skip
ON_CUDA_ONLY = {"cudnn_benchmark", "nvtx"}


def test_every_field_of_a_plan_is_tried_below() -> None:
    assert PLAN.keys() == {field.name for field in dataclasses.fields(Plan)}


@pytest.mark.parametrize("name", PLAN)
def test_every_field_of_a_plan_is_used_by_a_run_or_refused(tmp_path, name: str) -> None:
    def run():
        return cnnbench.run("lenet", "eager", device="cpu", executor="fake", out=tmp_path / "run",
                            **{name: PLAN[name]})  # fmt: skip

    if name in ON_CUDA_ONLY:
        with pytest.raises(UsageError, match=f"--{name.replace('_', '-')}.*only for CUDA devices"):
            run()
        return
    assert run().runs[0].manifest.plan[name] == PLAN[name]
    files = (*Path(campaign.__file__).parent.glob("*.py"), Path(requests.__file__))
    sources = "".join(path.read_text() for path in files)
    own = Path(planning.__file__).read_text()
    assert re.search(rf"plan\.{name}\b", sources) or f"self.{name}" in own


@pytest.mark.parametrize("name", sorted({*PLAN} - {*IN_PROCESS}))
def test_a_field_that_measure_cannot_use_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"measure: {name} needs worker processes; drop it"):
        cnnbench.measure(object(), **{name: PLAN[name]})


@pytest.mark.parametrize("call", [cnnbench.run, cnnbench.measure])
def test_an_unknown_field_comes_with_the_closest(call) -> None:
    with pytest.raises(UnknownName, match="unknown plan field 'round'; did you mean rounds"):
        call("lenet", round=3)


def test_contradictions_have_one_text_on_both_doors(tmp_path, cnnbench_cli) -> None:
    for words, given in (
        (["--size", "64", "--input", "3x64x64"], {"size": 64, "input": (3, 64, 64)}),
        (["--optimizer", "adam"], {"optimizer": "adam"}),
    ):
        with pytest.raises(UsageError) as caught:
            cnnbench.run("lenet", executor="fake", **given)
        for command in (["run", "--models"], ["max-batch", "--models"], ["advise"], ["profile"],
                        ["cost"], ["baseline", "save", "--models"]):  # fmt: skip
            done = cnnbench_cli(*command, "lenet", *words, "--executor", "fake")
            assert done.stderr == f"cnnbench: {caught.value}\n"
            assert done.exit_code == 2


def test_several_optimizers_are_several_specs_and_inference_has_none(tmp_path) -> None:
    found = cnnbench.run(
        "lenet", "eager", phase="inference,training", optimizer="momentum,adam", threads=1,
        device="cpu", rounds=1, executor="fake", out=tmp_path / "run",
    )  # fmt: skip

    assert [record.spec.workload.id for record in found.records] == [
        "lenet/inference-b1-3x32x32", "lenet/training-b1-3x32x32", "lenet/training-adam-b1-3x32x32",
    ]  # fmt: skip


def own_loss(output, inputs):
    return output.sum()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"phase": "training", "loss": own_loss}, r"^loss: .* write 'tests\.test_api:own_loss'"),
        ({"phase": "training", "loss": lambda out: out}, r"write 'package\.module:function'"),
        ({"input_factory": own_loss}, r"^input_factory: .*does not reach worker processes"),
    ],
)
def test_what_workers_cannot_get_says_what_to_write(more, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        cnnbench.run("lenet", executor="fake", **more)
