from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import pytest

from cnnbench.errors import UnknownName, UsageError
from cnnbench.report.exporting import EXPORTS, export
from tests import made
from tests.report.conftest import of, trained


def test_pytest_benchmark_reads_it(tmp_path, found) -> None:
    pytest.importorskip("pytest_benchmark")
    (tmp_path / "a.json").write_text(export(found, "pytest-benchmark"), encoding="utf8")
    (tmp_path / "b.json").write_text(export(found, "pytest-benchmark"), encoding="utf8")

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "pytest_benchmark", "compare",
         str(tmp_path / "a.json"), str(tmp_path / "b.json"), "--csv", str(tmp_path / "out.csv"),
         "--columns", "median,rounds"],
        capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text(encoding="utf8"))))
    eager = [row for row in rows if row["name"].startswith(made.EAGER)]
    assert len(eager) == 2
    assert float(eager[0]["median"]) == pytest.approx(0.010)
    assert {row["param:mode"] for row in rows} == {"eager", "channels_last"}


def test_its_statistics_fit_its_samples(found) -> None:
    data = json.loads(export(found, "pytest-benchmark"))

    first = data["benchmarks"][0]
    stats = first["stats"]
    assert stats["rounds"] == len(stats["data"]) == 27
    assert stats["ops"] == pytest.approx(stats["rounds"] / stats["total"])
    assert stats["min"] <= stats["q1"] <= stats["median"] <= stats["q3"] <= stats["max"]
    assert first["extra_info"]["round_medians"] == pytest.approx([0.01] * 3)
    assert data["machine_info"]["cnnbench_fingerprint"] == made.ENVIRONMENT.fingerprint


def test_bencher_gets_nanoseconds_with_an_interval(noisy) -> None:
    measures = json.loads(export(of(noisy), "bmf"))[noisy.id]

    assert measures["latency"]["value"] == pytest.approx(5e6)
    assert measures["latency"]["lower_value"] < 5e6 < measures["latency"]["upper_value"]
    assert measures["peak-memory"]["value"] == 3 << 20
    assert measures["parameters"]["value"] == made.COST.params


def test_github_action_benchmark_gets_milliseconds(noisy) -> None:
    one = made.record(made.EAGER, [[2]])

    rows = json.loads(export(of(noisy, one), "github-action-benchmark"))

    assert [row["value"] for row in rows] == pytest.approx([5, 2])
    assert rows[0]["unit"] == "ms"
    assert rows[0]["range"].startswith("±")
    assert "range" not in rows[1]


def test_timm_has_its_own_columns_and_units(eager) -> None:
    trained = made.record(made.EAGER.replace("inference", "training"), [[40]] * 2)

    rows = list(csv.DictReader(io.StringIO(export(of(eager, trained), "timm"))))

    assert float(rows[0]["infer_samples_per_sec"]) == pytest.approx(800)
    assert float(rows[0]["infer_step_time"]) == pytest.approx(10)
    assert float(rows[0]["infer_gmacs"]) == pytest.approx(3_400_000 / 8 / 1e9)
    assert float(rows[0]["param_count"]) == pytest.approx(0.061706)
    assert (rows[0]["infer_batch_size"], rows[0]["infer_img_size"]) == ("8", "32")
    assert rows[0]["train_samples_per_sec"] == ""
    assert float(rows[1]["train_samples_per_sec"]) == pytest.approx(200)
    assert rows[1]["infer_step_time"] == ""


@pytest.mark.parametrize("kind", EXPORTS)
def test_what_failed_is_left_out_and_nothing_at_all_is_well_formed(kind: str, failed) -> None:
    text = export(of(failed), kind)

    assert failed.id not in text
    assert text.strip()


def test_an_unknown_format_offers_the_closest() -> None:
    with pytest.raises(UnknownName, match="did you mean pytest-benchmark"):
        export([], "pytest_benchmark")


@pytest.mark.parametrize("kind", EXPORTS)
def test_two_records_of_one_name_are_refused(eager, kind: str) -> None:
    with pytest.raises(UsageError, match=r"is in runs one and two; .*export one at a time"):
        export([*of(eager, run="one"), *of(eager, run="two")], kind)


def test_another_optimizer_than_the_usual_is_said() -> None:
    rows = [*csv.DictReader(io.StringIO(export(trained(), "timm")))]
    params = [
        one["params"] for one in json.loads(export(trained(), "pytest-benchmark"))["benchmarks"]
    ]

    assert [row["optimizer"] for row in rows] == ["", "", "adamw", "adamw"]
    assert [one.get("optimizer") for one in params] == [None, None, "adamw", "adamw"]
