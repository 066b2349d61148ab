from __future__ import annotations

import json
from pathlib import Path

import pytest

from cnnbench import store
from cnnbench.prediction import kept
from cnnbench.runner import choosing

FAKE = ("choose", "--executor", "fake", "--threads", "1", "--quiet")
SOME = ("--from", "lenet,torchvision:mobilenet*,torchvision:efficientnet_b?,resnet18")
ACCURACY = "model,top1,img_size,param_count\nr50.a,80,224,25\nr50.b,81,224,25\nv.x,85,288,300\n"


@pytest.fixture
def accuracy() -> Path:
    """A table of accuracies as timm's."""
    path = Path("accuracy.csv")
    path.write_text(ACCURACY, encoding="utf8")
    return path


def _facts(result) -> dict:
    return json.loads(result.stdout)


def _joined(text: str) -> str:
    return " ".join(text.split())


def test_the_answer_comes_first_with_what_is_predicted_and_measured(cnnbench_cli) -> None:
    result = cnnbench_cli(*FAKE, "--under", "6ms", *SOME, "--out", "out")

    assert result.exit_code == 0, result.output
    lines = _joined(result.stdout)
    assert lines.startswith("the most accurate under 6.00 ms: efficientnet_b")
    assert " measured, " in lines.partition("certain: nothing else")[0]
    assert "certain: nothing else can be the answer" in lines
    assert "FAKE EXECUTOR" in lines
    assert "left out: " in lines
    assert "1 without a published top-1 (lenet)" in lines


def test_the_choice_is_that_of_measuring_everything(cnnbench_cli) -> None:
    found = _facts(cnnbench_cli(*FAKE, "--under", "6ms", "--out", "out", "--json"))
    words = "run torchvision:* --executor fake --device cpu --threads 1 --modes eager --rounds 3"
    everything = [*words.split(), "--out", "all", "-q", "--json"]  # fmt: skip
    assert cnnbench_cli(*everything).exit_code == 0
    report = cnnbench_cli("report", "all", "--under", "6ms", "--format", "answers")

    (best,) = {fit["best"] for fit in json.loads(report.stdout)["within"]}
    assert found["certain"]
    assert found["best"] == best
    assert len(store.read(Path("out")).records) < 12


def test_a_choice_is_a_run_like_any_other_and_its_page_draws_rings(cnnbench_cli) -> None:
    assert cnnbench_cli(*FAKE, "--under", "6ms", *SOME, "--out", "out").exit_code == 0

    table = cnnbench_cli("report", "out")
    page = cnnbench_cli("report", "out", "--format", "html").stdout

    assert table.exit_code == 0, table.output
    assert "Predicted and measured" in page
    assert "predicted, not measured" in page
    assert "at most 6.00 ms" in page
    assert 'class="m hollow' in page or "hollow" in page


def test_a_broken_line_of_predictions_is_one_message_and_the_rest_is_shown(cnnbench_cli) -> None:
    assert cnnbench_cli(*FAKE, "--under", "6ms", *SOME, "--out", "out").exit_code == 0
    with Path("out", kept.PREDICTIONS).open("a") as file:
        file.write('{"contender": {"spec": "rm -rf"}}\n')

    result = cnnbench_cli("report", "out", "--format", "html")

    assert result.exit_code == 0
    assert result.stdout.count("line skipped: ") == 1
    assert "Predicted and measured" in result.stdout


def test_nothing_that_fits_is_one_line_with_the_nearest(cnnbench_cli) -> None:
    result = cnnbench_cli(*FAKE, "--under", "100us", *SOME)

    assert result.exit_code == 3
    assert result.stderr.startswith("cnnbench: nothing is proven to fit under 100 µs; the nearest")
    assert len(result.stderr.splitlines()) == 1
    assert "certain: nothing else" in _joined(result.stdout)


def test_a_choice_without_time_goes_on_with_resume(cnnbench_cli) -> None:
    first = cnnbench_cli(*FAKE, "--under", "6ms", *SOME, "--out", "out", "--budget", "0.001")
    assert "not certain yet: " in _joined(first.stdout)
    assert "cnnbench choose --resume out" in first.stdout

    second = cnnbench_cli("choose", "--resume", "out", "--json", "--quiet")

    assert second.exit_code == 0, second.output
    found = _facts(second)
    assert found["complete"]
    fresh = _facts(cnnbench_cli(*FAKE, "--under", "6ms", *SOME, "--json"))
    assert found["best"] == fresh["best"]


def test_a_complete_choice_measures_nothing_more(cnnbench_cli) -> None:
    first = _facts(cnnbench_cli(*FAKE, "--under", "6ms", *SOME, "--out", "out", "--json"))
    before = Path("out", store.RECORDS).read_bytes()

    again = _facts(cnnbench_cli("choose", "--resume", "out", "--json", "--quiet"))

    assert (again["best"], again["operators"]) == (first["best"], 0)
    assert Path("out", store.RECORDS).read_bytes() == before


def test_resuming_another_run_is_refused_with_what_to_do(cnnbench_cli) -> None:
    assert cnnbench_cli("run", "lenet", "--executor", "fake", "--out", "out", "-q").exit_code == 0

    result = cnnbench_cli("choose", "--resume", "out")

    assert result.exit_code == 2
    assert "out is no run of cnnbench choose" in result.stderr


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ((), "no limit of time; give one, such as --under 20ms"),
        (("--under", "20ms", "--allow", "lenet"), "--allow goes with --resume DIR"),
        (("--under", "20ms", "--from", "lenet"), "none of these networks has a published top-1"),
        (("--under", "20ms", "--modes", "onnxruntime+int8"), "accuracies are published of float"),
        (("--under", "20ms", "--from", "torchvision:nobody"), "unknown torchvision model"),
        (("--under", "20"), "needs a unit"),
        (("--resume", "x", "--under", "20ms"), "drop --under"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(cnnbench_cli, words, part: str) -> None:
    result = cnnbench_cli("choose", "--executor", "fake", *words) if "x" not in words else (
        cnnbench_cli("choose", *words)
    )  # fmt: skip

    assert result.exit_code == 2
    assert part in _joined(result.stderr)


def test_models_of_timm_take_part_by_a_table_of_accuracies(cnnbench_cli, accuracy: Path) -> None:
    result = cnnbench_cli(*FAKE, "--under", "20ms", "--memory", "500MB", "--from", "timm:*",
                          "--accuracy", accuracy, "--json")  # fmt: skip

    found = _facts(result)
    assert [one["network"] for one in found["contenders"]] == ["timm:r50.b", "timm:v.x"]
    assert found["best"] == "timm:r50.b/inference-b1-3x224x224/eager/cpu-t1"
    assert found["counts"]["weights"] == 1


def test_at_another_size_it_is_said_whose_the_accuracy_is(cnnbench_cli, accuracy: Path) -> None:
    result = cnnbench_cli(*FAKE, "--under", "20ms", "--from", "timm:v*,timm:r50", "--size", "160",
                          "--accuracy", accuracy, "--wide")  # fmt: skip

    assert result.exit_code == 0, result.output
    assert "accuracy of 2 networks is published of another input size" in _joined(result.stdout)


def test_models_without_an_accuracy_are_counted(cnnbench_cli, accuracy: Path) -> None:
    result = cnnbench_cli(*FAKE, "--under", "20ms", "--from", "timm:r50,timm:z*,resnet18",
                          "--accuracy", accuracy, "--json")  # fmt: skip

    assert _facts(result)["unknown"] == ["timm:z_a", "timm:z_b"]


def test_networks_of_ones_own_take_part_by_their_names(cnnbench_cli) -> None:
    Path("own.csv").write_text("model,top1\nfake:raises,99\nmine:net,98\n")

    found = _facts(cnnbench_cli(*FAKE, "--under", "20ms", "--from", "fake:raises,mine:net",
                                "--accuracy", "own.csv", "--json"))  # fmt: skip

    assert found["best"].startswith("mine:net/")
    assert found["counts"]["unbuilt"] == 1


def test_modes_that_are_not_predicted_are_measured_alone(cnnbench_cli) -> None:
    result = cnnbench_cli(*FAKE, "--under", "6ms", "--from", "mobilenet_v2,resnet18", "--modes",
                          "eager,compile", "--json")  # fmt: skip

    rows = {(one["network"], one["mode"]): one for one in _facts(result)["contenders"]}
    assert "seconds" not in rows["mobilenet_v2", "compile"]
    assert rows["mobilenet_v2", "compile"]["why"] == "mode compile is not predicted"
    assert "measured" in rows["mobilenet_v2", "compile"]


def test_a_table_predicts_for_its_machine_and_proves_nothing(cnnbench_cli) -> None:
    assert cnnbench_cli("predict", "lenet", *FAKE[1:]).exit_code == 0
    (table,) = Path("results/operators").iterdir()
    before = sorted(Path("results").rglob("*"))

    result = cnnbench_cli(*FAKE, "--under", "6ms", *SOME, "--table", table)
    found = _facts(cnnbench_cli(*FAKE, "--under", "6ms", *SOME, "--table", table, "--json"))

    assert result.exit_code == 0, result.output
    assert "nothing was proven by measuring" in _joined(result.stdout)
    assert (found["proven"], found["certain"]) == (False, False)
    assert sorted(Path("results").rglob("*")) == before
    refused = cnnbench_cli(*FAKE, "--under", "6ms", *SOME, "--table", table, "--out", "out")
    assert "drop --out" in refused.stderr


def test_an_interruption_says_how_to_go_on(cnnbench_cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(choosing.Chooser, "go_on", interrupt)

    result = cnnbench_cli(*FAKE, "--under", "6ms", *SOME, "--out", "out")

    assert result.exit_code == 130
    assert "continue with: cnnbench choose --resume out" in result.stderr


def test_progress_is_on_stderr(cnnbench_cli) -> None:
    result = cnnbench_cli(*FAKE[:-1], "--under", "6ms", *SOME)

    assert "predicting " in result.stderr
    assert "/inference-b1-" in result.stderr
    assert "predicting" not in result.stdout


def _choice(cnnbench_cli, out: str) -> None:
    assert cnnbench_cli(*FAKE, "--under", "6ms", *SOME, "--out", out).exit_code == 0


def test_a_choice_is_gone_on_with_by_choose(cnnbench_cli) -> None:
    _choice(cnnbench_cli, "out")

    again = cnnbench_cli(*FAKE, "--under", "6ms", *SOME, "--out", "out")
    run = cnnbench_cli("run", "--resume", "out")

    assert again.exit_code == run.exit_code == 2
    assert "continue it with cnnbench choose --resume out" in _joined(again.stderr)
    assert "go on with it by cnnbench choose --resume" in _joined(run.stderr)


def test_a_report_is_never_written_over_the_run(cnnbench_cli) -> None:
    _choice(cnnbench_cli, "out")
    names = ("records.jsonl", "manifest.json", "environment.json", "predictions.jsonl")
    before = {name: Path("out", name).read_bytes() for name in names}

    for name in names:
        for words, said in (
            (["report", "out"], "is a part of the run there; choose another file"),
            (["export", "out", "--format", "tidy"], "name the file .csv or .parquet"),
            (["export", "--format", "dictionary"], "name the file .csv or .parquet"),
        ):
            refused = cnnbench_cli(*words, "-o", f"out/{name}")
            assert refused.exit_code == 2, (words, name)
            assert said in _joined(refused.stderr)

    assert before == {name: Path("out", name).read_bytes() for name in names}
    assert cnnbench_cli("export", "out", "--format", "tidy", "-o", "out/x.csv").exit_code == 0


def test_a_file_of_predictions_without_a_network_is_said(cnnbench_cli) -> None:
    _choice(cnnbench_cli, "out")
    path = Path("out", kept.PREDICTIONS)
    path.write_text(path.read_text().splitlines()[0] + "\n")

    result = cnnbench_cli("choose", "--resume", "out", "--quiet")

    assert result.exit_code == 2
    assert "names no network; start a new choice" in _joined(result.stderr)


def test_a_network_that_was_lost_from_the_file_is_missed(cnnbench_cli) -> None:
    _choice(cnnbench_cli, "out")
    path = Path("out", kept.PREDICTIONS)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if '"spec":"resnet18/' not in line))

    result = cnnbench_cli("choose", "--resume", "out", "--quiet")

    assert "1 of " in result.stderr
    assert "networks are missing" in _joined(result.stderr)
