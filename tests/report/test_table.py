from __future__ import annotations

from dataclasses import replace

import pytest

from cnnbench.facts import Check, Reference
from cnnbench.metrics import METRICS
from cnnbench.record import Failure
from cnnbench.report import epochs, render
from cnnbench.report.cells import texts
from cnnbench.report.entry import Entry
from cnnbench.report.table import summary, tidy
from tests import made
from tests.report.conftest import of

# Issue 2: stable names, units in them.
PROMISED = (
    "spec", "model", "mode", "device", "batch", "size", "phase", "threads", "status", "error",
    "latency_median_s", "latency_low_s", "latency_high_s", "throughput_per_s", "cpu_peak_bytes",
    "cuda_peak_bytes", "params", "macs", "flops",
)  # fmt: skip


def rows(found) -> list[dict[str, object]]:
    one = tidy(found)
    names = [column.name for column in one.columns]
    return [dict(zip(names, row, strict=True)) for row in one.rows]


def test_the_promised_columns_are_there_in_the_promised_order(found) -> None:
    names = [column.name for column in tidy(found).columns]

    assert [name for name in names if name in PROMISED] == list(PROMISED)


def test_the_columns_are_those_of_the_golden_file(found, golden) -> None:
    names = [column.name for column in tidy(found).columns]

    golden("columns.txt", "\n".join(names) + "\n")


def test_columns_do_not_depend_on_the_records(found) -> None:
    assert tidy(found).columns == tidy([]).columns == tidy(found[:1]).columns


def test_no_two_columns_have_one_name(found) -> None:
    names = [column.name for column in tidy(found).columns]

    assert len(set(names)) == len(names)


def test_every_metric_has_its_columns(found) -> None:
    names = {column.name for column in tidy(found).columns}

    assert {metric.column for metric in METRICS} < names
    assert {column for metric in METRICS for column in metric.interval or ()} < names


def test_there_is_one_row_per_record_in_their_order(found) -> None:
    assert [row["spec"] for row in rows(found)] == [one.record.id for one in found]


def test_a_row_holds_numbers_and_not_text(found) -> None:
    row = rows(found)[1]

    assert row["latency_median_s"] == pytest.approx(0.005)
    assert row["throughput_per_s"] == pytest.approx(1600)
    assert row["flops"] == 2 * row["macs"]
    assert row["throughput_per_s"] * row["latency_median_s"] == pytest.approx(row["batch"])
    assert row["speedup"] == pytest.approx(2)
    assert (row["model"], row["mode"], row["device"]) == ("lenet", "channels_last", "cpu")
    assert (row["size"], row["threads"], row["phase"]) == ("32", 2, "inference")


def test_a_failed_row_says_why_and_has_no_timing(found) -> None:
    row = rows(found)[2]

    assert (row["status"], row["error"]) == ("failed", "first call: ValueError: made up")
    assert {row[name] for name in ("latency_median_s", "throughput_per_s", "speedup")} == {None}


def test_a_wrong_row_says_why_and_keeps_its_timing(eager, wrong) -> None:
    row = rows(of(eager, wrong))[1]

    assert (row["status"], row["error"]) == ("wrong", "relative error 0.5")
    assert row["speedup"] == pytest.approx(10)


def test_the_baseline_is_of_the_same_run_and_workload(eager, twice_as_fast) -> None:
    other_batch = replace(eager, id=made.EAGER.replace("b8", "b4"))

    assert rows(of(other_batch, twice_as_fast))[1]["speedup"] is None
    assert rows([*of(eager), *of(twice_as_fast, run="b")])[1]["speedup"] is None
    assert rows(of(eager, twice_as_fast))[1]["speedup"] == pytest.approx(2)


def test_a_size_that_is_not_square_is_written_in_full(eager) -> None:
    wide = replace(eager, id=made.EAGER.replace("3x32x32", "3x32x64"))
    flat = replace(eager, id=made.EAGER.replace("3x32x32", "784"))

    assert [row["size"] for row in rows(of(wide, flat))] == ["32x64", "784"]


def test_what_all_rows_share_is_said_once_above(eager, twice_as_fast) -> None:
    one = summary(of(eager, twice_as_fast))

    assert one.captions[0] == "run a-run, inference, batch 8, input 3x32x32, cpu, threads 2"
    assert not {"batch", "phase", "input", "device", "threads"} & {c.name for c in one.columns}


def test_what_differs_is_a_column(found) -> None:
    one = summary(found)

    assert "batch" in {column.name for column in one.columns}
    assert "batch" not in one.captions[0]


def test_columns_without_a_number_are_left_out(eager) -> None:
    names = {column.name for column in summary(of(eager)).columns}

    assert "cuda_peak_bytes" not in names
    assert "compile_cold_s" not in names
    assert "cpu_peak_bytes" in names


def test_captions_say_what_the_numbers_are_numbers_of(eager) -> None:
    text = " ".join(summary(of(eager)).captions)

    for word in ("A Processor", "torch 2.0", "Python 3.11.0", made.ENVIRONMENT.fingerprint):
        assert word in text
    assert "median over 3 rounds" in text


def test_made_up_numbers_say_so(fake_run) -> None:
    assert "FAKE EXECUTOR: every number here is made up" in summary(fake_run.entries).captions


def test_notes_explain_every_row_that_is_not_ok(eager, failed, wrong) -> None:
    slow = Reference(True, 1e-7, 0.25, False)
    noted = replace(eager, notes=("memory not measured: x",), reference=slow)

    notes = summary(of(noted, failed)).notes
    assert f"{made.BF16}: failed: first call: ValueError: made up" in notes
    assert f"{made.EAGER}: memory not measured: x" in notes
    assert any(
        note.startswith(f"{made.EAGER}: 25.0 % of the activations are sub") for note in notes
    )
    assert summary(of(wrong)).notes[1:] == (f"{made.BF16}: wrong: relative error 0.5",)
    assert summary(of(eager)).notes == ("the run is usable: 1 of 1 time is clean",)


def test_a_table_of_failures_only_is_still_a_table(failed) -> None:
    one = summary(of(failed))

    assert len(one.rows) == 1
    assert "latency" not in {column.name for column in one.columns}


def test_a_table_of_nothing_is_empty() -> None:
    assert summary([]).rows == tidy([]).rows == ()


def test_a_reason_names_the_phase(eager) -> None:
    one = replace(eager, failure=Failure("warm up", "died", "killed by SIGKILL"))

    assert one.reason == "warm up: killed by SIGKILL"
    assert eager.reason == ""


def test_an_optimizer_is_shown_where_it_is_not_the_usual_one() -> None:
    usual = made.record(made.EAGER.replace("inference", "training"), [[1] * 3])
    other = made.record(made.EAGER.replace("inference", "training-adamw"), [[1] * 3])

    both, same = summary(of(usual, other)), summary(of(usual))

    place = [column.name for column in both.columns].index("optimizer")
    assert [row[place] for row in both.rows] == ["momentum", "adamw"]
    assert "optimizer" not in {column.name for column in same.columns}
    assert "optimizer adamw" in summary(of(other)).captions[0]
    assert "optimizer" not in summary(of(made.record(made.EAGER, [[1] * 3]))).captions[0]


def test_for_machines_every_training_row_has_its_optimizer() -> None:
    names = ("inference", "training", "training-adamw")
    table = tidy(of(*(made.record(made.EAGER.replace("inference", n), [[1] * 3]) for n in names)))

    place = [column.name for column in table.columns].index("optimizer")
    assert [row[place] for row in table.rows] == [None, "momentum", "adamw"]


def test_subnormal_numbers_are_named_with_their_layer() -> None:
    found = Reference(True, 1e-7, 0.25, False, subnormal_layer="features.3")
    record = made.record(made.EAGER, [[1] * 3], reference=found)
    unknown = replace(record, reference=replace(found, subnormal_layer=None))

    (_, named), (_, other) = (summary(of(one)).notes for one in (record, unknown))
    assert "25.0 % of the activations are subnormal numbers, first in features.3," in named
    assert "first in" not in other


@pytest.mark.parametrize(("share", "said"), [(2e-4, "under 0.1 % of the"), (4e-6, None)])
def test_a_share_that_rounds_to_zero_is_not_said_to_be_zero(share, said) -> None:
    found = Reference(True, 1e-7, share, False)
    notes = summary(of(made.record(made.EAGER, [[1] * 3], reference=found))).notes

    told = [line.partition(": ")[2] for line in notes if "subnormal" in line]
    assert [line[: len(said or "")] for line in told] == ([said] if said else [])


def test_accuracy_and_agreement_are_shown_where_pictures_are_the_users() -> None:
    check = Check("ok", top1_agreement=1.0, top1_pictures=12, accuracy_top1=0.0)
    own = made.record(made.EAGER.replace("/eager", "-images=%2Fmine/eager"), [[1.0]], check=check)
    seeded = made.record(made.EAGER, [[1.0]], check=replace(check, accuracy_top1=None))

    shown, usual = (summary([Entry(one, "r", None, made.ENVIRONMENT)]) for one in (own, seeded))

    place = {column.title: place for place, column in enumerate(shown.columns)}
    cells = texts(shown)[0]
    assert [cells[place[title]] for title in ("accuracy", "agreement", "pictures")] == [
        "0.0 % [0.0 %, 24.2 %]", "100 %", "12",
    ]  # fmt: skip
    assert "images /mine" in shown.captions[0]
    assert not {"accuracy", "agreement", "pictures"} & {column.title for column in usual.columns}


def test_epochs_show_what_tells_rows_apart_before_what_all_say_alike() -> None:
    names = [
        made.EAGER.replace("inference-b8-3x32x32", f"{phase}-b8-3x32x32-train={part}")
        for phase in ("training", "finetune")
        for part in ("head", "all")
    ]

    text = render(
        epochs.table(of(*(made.record(name, [[10]]) for name in names)), 100), "table", 80
    )

    assert "decided by step" in text
    lines = text.splitlines()
    (head,) = (line.split() for line in lines if line.startswith("model"))
    assert {"phase", "train"} <= {*head}
    assert max(map(len, lines)) <= 80
