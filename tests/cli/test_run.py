from __future__ import annotations

import csv
import io
import json
from contextlib import redirect_stderr
from typing import TYPE_CHECKING, Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench import store
from cnnbench.cli.parameters import Bytes, KeyValue, Numbers, Seconds, Shape, Words
from cnnbench.cli.progress import Progress
from cnnbench.errors import WorkerDied
from cnnbench.runner import campaign
from cnnbench.runner.fake import FakePool
from tests.cli.test_measuring import interrupt_at

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result


@pytest.fixture
def run(cnnbench_cli) -> Callable[..., Result]:
    """``cnnbench run`` with made-up numbers, of one small network if nothing else is said."""

    def call(*words: str | Path, models: str = "lenet") -> Result:
        return cnnbench_cli("run", "--executor", "fake", "--models", models, *words)

    return call


def specs(result: Result) -> list[str]:
    assert result.exit_code == 0, result.stderr
    return [row["spec"] for row in json.loads(result.stdout)["specs"]]


def test_a_run_ends_in_a_table_and_files(run, tmp_path) -> None:
    result = run("--out", "out")

    assert result.exit_code == 0
    assert "channels_last" in result.stdout
    assert "FAKE EXECUTOR" in result.stdout
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "manifest.json", "environment.json", "records.jsonl", "report.csv", "report.md",
    }  # fmt: skip
    assert "kept in out: records.jsonl, report.csv, report.md" in result.stderr


def test_with_no_option_quick_is_measured_into_a_new_directory(cnnbench_cli, tmp_path) -> None:
    result = cnnbench_cli("run", "--executor", "fake")

    (path,) = (tmp_path / "results").iterdir()
    assert result.exit_code == 0
    models = {record.spec.workload.model for record in store.read(path).records}
    assert "lenet" in models
    assert len(models) > 2


@pytest.mark.parametrize(
    ("words", "id_"),
    [
        ([], "lenet/inference-b1-3x32x32/eager/cpu-t1"),
        (["--modes", "compile+amp"], "lenet/inference-b1-3x32x32/compile+amp=bf16/cpu-t1"),
        (["--device", "cuda:1"], "lenet/inference-b1-3x32x32/eager/cuda:1-t1"),
        (["--batch", "8,16"], "lenet/inference-b16-3x32x32/eager/cpu-t1"),
        (["--size", "64"], "lenet/inference-b1-3x64x64/eager/cpu-t1"),
        (["--size", "64x48"], "lenet/inference-b1-3x64x48/eager/cpu-t1"),
        (["--input", "1x64x64"], "lenet/inference-b1-1x64x64/eager/cpu-t1"),
        (["--phase", "training,finetune"], "lenet/finetune-b1-3x32x32/eager/cpu-t1"),
        (["--threads", "7"], "lenet/inference-b1-3x32x32/eager/cpu-t7"),
        (["--phase", "inference,training", "--optimizer", "adamw"],
         "lenet/training-adamw-b1-3x32x32/eager/cpu-t1"),
        (["--threads", "2,7"], "lenet/inference-b1-3x32x32/eager/cpu-t2"),
        (["--size", "64,96x48"], "lenet/inference-b1-3x96x48/eager/cpu-t1"),
        (["--model-arg", "a=1", "--model-arg", "b=x"],
         "lenet?a=1&b=%22x%22/inference-b1-3x32x32/eager/cpu-t1"),
    ],
)  # fmt: skip
def test_every_option_of_the_grid_reaches_the_specs(run, words: list[str], id_: str) -> None:
    threads = [] if "--threads" in words else ["--threads", "1"]

    assert id_ in specs(run("--dry-run", "--json", *threads, *words))


def test_every_option_of_the_plan_reaches_the_manifest(run, tmp_path) -> None:
    words = ["--rounds", "2", "--slices", "4", "--seed", "5", "--timeout", "2m",
             "--memory-limit", "1G"]  # fmt: skip
    assert run(*words, "--out", "out", "--modes", "eager").exit_code == 0

    stored = store.read(tmp_path / "out")
    plan = stored.manifest.plan
    assert [plan[name] for name in ("rounds", "slices", "seed", "timeout", "memory_limit")] == [
        2, 4, 5, 120.0, 1 << 30,
    ]  # fmt: skip
    assert [len(run.slices) for run in stored.records[0].runs] == [4, 4]


def test_all_models_are_the_whole_catalogue(run) -> None:
    from cnnbench import catalogue

    found = specs(run("--dry-run", "--json", "--modes", "eager", models="all"))

    assert len(found) == len(catalogue.entries())


def test_a_glob_of_timms_names_is_read_by_a_worker(run) -> None:
    found = specs(
        run("--dry-run", "--json", "--modes", "eager", models="timm:vit_*,lenet,timm:vit_*")
    )

    assert [one.partition("/")[0] for one in found] == ["timm:vit__a", "timm:vit__b", "lenet"]


def test_a_dry_run_shows_the_grid_and_a_rough_time_and_leaves_nothing(run, tmp_path) -> None:
    result = run("--dry-run", "--size", "40", models="lenet,alexnet")

    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert len(lines) == 5
    assert "(not possible: model 'alexnet' cannot take 40x40" in lines[2]
    assert lines[-1].startswith("4 specs, 5 rounds, very roughly 42 s on a small machine")
    assert list(tmp_path.iterdir()) == []


def test_json_on_stdout_is_nothing_but_json(run) -> None:
    rows = json.loads(run("--json", "--out", "out").stdout)

    assert [row["mode"] for row in rows] == ["eager", "channels_last"]
    assert {row["status"] for row in rows} == {"ok"}


def test_progress_is_plain_lines_when_not_on_a_terminal(run) -> None:
    lines = run("--out", "out").stderr.splitlines()

    assert not [line for line in lines if "\x1b" in line or "\r" in line]
    assert any(line.startswith("[0/12] lenet/inference") for line in lines)
    assert any(line.endswith("  ok") for line in lines)


def test_quiet_leaves_only_where_the_files_are(run) -> None:
    assert run("--quiet", "--out", "out").stderr.splitlines() == [
        "kept in out: records.jsonl, report.csv, report.md"
    ]


@pytest.mark.parametrize("name", ["fake:raises", "fake:dies", "fake:hangs"])
def test_a_failed_spec_has_a_row_and_the_exit_code_is_3(run, name: str) -> None:
    result = run("--json", "--out", "out", "--modes", "eager", models=f"{name},lenet")

    rows = json.loads(result.stdout)
    assert result.exit_code == 3
    assert [row["status"] for row in rows] == ["failed", "ok"]
    assert rows[0]["error"].startswith(("build: ", "reference: "))
    assert result.stderr.endswith("cnnbench: 1 of 2 specs failed; see their rows\n")


def test_when_all_specs_fail_there_is_still_a_table(run, tmp_path) -> None:
    result = run("--out", "out", models="fake:dies")

    assert result.exit_code == 3
    assert "killed by SIGKILL" in result.stdout
    assert (tmp_path / "out" / "report.csv").exists()
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--models", "lenett"], "unknown architecture 'lenett'; did you mean lenet"),
        (["--models", "tag:quik"], "unknown tag 'quik'; did you mean quick"),
        (["--modes", "egaer"], "unknown mode word 'egaer'; did you mean eager"),
        (["--modes", "eager+compile"], "contradicts itself"),
        (["--modes", "fp16+bf16"], "both set the precision; keep one"),
        (["--modes", "tf32", "--device", "cpu"], "'tf32' exists on cuda only"),
        (["--modes", "amp", "--device", "cuda"], "amp needs a precision"),
        (["--device", "gpu"], "unknown device 'gpu'"),
        (["--phase", "testing"], "unknown phase 'testing'"),
        (["--size", "8"], "model 'lenet' cannot take 8x8; the smallest it takes is"),
        (["--executor", "fakes"], "unknown executor 'fakes'; did you mean fake?"),
        (["--out", "full"], "full holds other files"),
        (["--resume", "nowhere"], "--resume takes everything from the run itself; drop --"),
    ],
)
def test_bad_input_is_one_line_on_stderr(run, tmp_path, words: list[str], text: str) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("dear")

    result = run(*words)

    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert result.stderr.startswith("cnnbench: ")
    assert text in result.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--batch", "0"], ["--batch", "1,,2"], ["--batch", "²"], ["--batch", "x"],
        ["--size", "0"], ["--size", "1x2x3"], ["--input", "x"], ["--threads", "0"],
        ["--rounds", "0"], ["--slices", "-1"], ["--seed", "x"], ["--timeout", "0"],
        ["--timeout", "soon"], ["--memory-limit", "0"], ["--memory-limit", "2T"],
        ["--model-arg", "width"], ["--model-arg", "1a=2"], ["--model-arg", "a=[1"],
        ["--models", ","], ["--modes", ""],
    ],
    ids=" ".join,
)  # fmt: skip
def test_values_that_no_option_takes_exit_2_and_name_the_option(run, words: list[str]) -> None:
    result = run("--dry-run", *words)

    assert result.exit_code == 2
    assert f"'{words[0]}'" in result.stderr
    assert "Traceback" not in result.stderr


def test_debug_shows_the_traceback(run) -> None:
    assert "Traceback" in run("--modes", "x", "--debug").stderr
    assert "Traceback" not in run("--modes", "x").stderr


def test_cuda_without_a_gpu_is_one_line(run, monkeypatch) -> None:
    from cnnbench.environment import Environment

    monkeypatch.setattr(campaign, "describe", lambda who: Environment({"gpus": []}))

    result = run("--device", "cuda")

    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "torch finds no CUDA device here; use --device cpu" in result.stderr


def test_a_dry_run_for_a_gpu_needs_none(run, monkeypatch) -> None:
    from cnnbench.environment import Environment

    monkeypatch.setattr(campaign, "describe", lambda who: Environment({"gpus": []}))

    there = run("--dry-run", "--device", "cuda", "--modes", "eager,tf32")
    here = run("--dry-run", "--modes", "eager")

    assert there.exit_code == here.exit_code == 0
    assert [line.split("/")[-1] for line in there.stdout.splitlines()[:2]] == ["cuda:0-t2"] * 2
    assert there.stdout.rstrip().endswith("on a workstation's GPU")
    assert "/cpu-t" in here.stdout


def test_another_run_in_the_directory_is_left_alone(run, tmp_path) -> None:
    run("--out", "out")
    before = (tmp_path / "out" / "records.jsonl").read_bytes()

    result = run("--out", "out")

    assert result.exit_code == 2
    assert "out holds another run; continue it with cnnbench run --resume out" in result.stderr
    assert (tmp_path / "out" / "records.jsonl").read_bytes() == before


def cut(path: Path, records: int) -> None:
    lines = (path / store.RECORDS).read_bytes().splitlines(keepends=True)
    (path / store.RECORDS).write_bytes(b"".join(lines[:records]))


def test_resume_measures_what_is_missing(run, cnnbench_cli, tmp_path) -> None:
    run("--out", "out", "--batch", "1,8")
    cut(tmp_path / "out", 3)

    result = cnnbench_cli("run", "--resume", "out", "--json")

    assert result.exit_code == 0
    assert len(json.loads(result.stdout)) == 4
    assert [line for line in result.stderr.splitlines() if line.endswith("  ok")] == [
        line for line in result.stderr.splitlines() if "b8-3x32x32/channels_last" in line[:60]
        and line.endswith("  ok")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "option"),
    [(["--batch", "8"], "--batch"), (["--input", "1x8x8"], "--input"), (["--dry-run"], "--dry-run"),
     (["--model-arg", "a=1"], "--model-arg"), (["--memory-limit", "1G"], "--memory-limit")],
)  # fmt: skip
def test_resume_refuses_options_of_the_grid(run, cnnbench_cli, words, option: str) -> None:
    run("--out", "out")

    result = cnnbench_cli("run", "--resume", "out", *words)

    assert result.exit_code == 2
    assert result.stderr.endswith(f"from the run itself; drop {option}\n")


def test_resume_of_what_is_no_run_is_one_line(cnnbench_cli) -> None:
    result = cnnbench_cli("run", "--resume", "nowhere")

    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "nowhere is not a cnnbench run" in result.stderr


def test_resume_in_another_environment_exits_5(run, cnnbench_cli, tmp_path) -> None:
    run("--out", "out")
    cut(tmp_path / "out", 1)
    (tmp_path / "out" / "environment.json").write_text('{"hard": {"fake": true, "cpu": "x"}}')

    result = cnnbench_cli("run", "--resume", "out")

    assert (result.exit_code, result.stdout) == (5, "")
    assert result.stderr == (
        "cnnbench: out was started in another environment (different: cpu); start a new run\n"
    )


def test_ctrl_c_keeps_what_was_measured_and_says_how_to_go_on(
    run, cnnbench_cli, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(campaign.Job, "seconds", lambda self, spec: 60.0)
    with monkeypatch.context() as patch:
        interrupt_at(patch, "alexnet")
        result = run("--out", "out", models="lenet,alexnet")
    kept = store.read(tmp_path / "out")

    resumed = cnnbench_cli("run", "--resume", "out", "--json")

    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == (
        "cnnbench: interrupted; continue with: cnnbench run --resume out"
    )
    assert (len(kept.records), len(kept.missing)) == (2, 2)
    assert resumed.exit_code == 0
    assert [row["status"] for row in json.loads(resumed.stdout)] == ["ok"] * 4


def test_ctrl_c_before_measuring_exits_130_too(run, tmp_path, monkeypatch) -> None:
    interrupt_at(monkeypatch, "describe")

    assert run("--out", "out").exit_code == 130
    assert not (tmp_path / "out").exists()


class Screen(io.TextIOWrapper):
    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf8", newline="", write_through=True)

    def isatty(self) -> bool:
        return True

    def getvalue(self) -> str:
        return self.buffer.getvalue().decode()


@pytest.fixture
def screen(monkeypatch) -> Screen:
    """A terminal of 60 columns in place of stderr."""
    one = Screen()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return one


def test_a_terminal_has_one_moving_line_cut_to_its_width(screen: Screen) -> None:
    with redirect_stderr(screen):
        Progress(total=4).working("w" * 100, 0, 8)

    text = screen.getvalue()
    assert text.startswith("\r\x1b[2K0/4 specs  www")
    assert "\n" not in text
    assert len(text.removeprefix("\r\x1b[2K")) == 59


def test_lines_that_stay_are_never_cut(screen: Screen, eager) -> None:
    with redirect_stderr(screen):
        Progress(total=1).finished(eager)

    assert f"{eager.id}  10.0 ms  \x1b[32mok\x1b[0m\n" in screen.getvalue()


def test_no_color_has_no_colour_on_a_terminal(screen: Screen, eager, monkeypatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    with redirect_stderr(screen):
        Progress(total=1).finished(eager)

    assert "\x1b[3" not in screen.getvalue()
    assert "ok\n" in screen.getvalue()


def test_a_dumb_terminal_has_plain_lines(screen: Screen, monkeypatch, failed) -> None:
    monkeypatch.setenv("TERM", "dumb")

    with redirect_stderr(screen):
        progress = Progress(total=1)
        progress.working("something", 0, 2)
        progress.finished(failed)
        progress.close()

    assert screen.getvalue() == (
        f"[0/2] something\n{failed.id}  first call: ValueError: made up  failed\n"
    )


def test_how_long_is_left_is_told_once_something_is_done(screen: Screen) -> None:
    with redirect_stderr(screen):
        progress = Progress(total=2)
        progress.working("a", 0, 4)
        before = screen.getvalue()
        progress.working("b", 2, 4)

    assert "left" not in before
    assert "about 0 s left" in screen.getvalue()


TYPES = [Words(), Numbers(), Shape("3x8x8", (1, 2, 3)), KeyValue(), Bytes(), Seconds()]


@given(st.sampled_from(TYPES), st.text(max_size=15) | st.from_regex(r"[0-9x,.=a-zA-Z²٣ ]{1,8}"))
def test_any_text_is_a_value_or_a_usage_error(kind: Any, text: str) -> None:
    try:
        value = kind.convert(text, None, None)
    except click.UsageError:
        return

    assert kind.convert(value, None, None) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("512M", 512 << 20), ("2GiB", 2 << 30), ("1k", 1024), ("77B", 77), ("1 gb", 10**9)],
)
def test_sizes_are_read(text: str, value: int) -> None:
    assert Bytes().convert(text, None, None) == value


@pytest.mark.parametrize(("text", "value"), [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200)])
def test_durations_are_read(text: str, value: float) -> None:
    assert Seconds().convert(text, None, None) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("a=1", 1), ("a=x-1.5", "x-1.5"), ("a=[1,2]", [1, 2]), ("a=true", True), ('a="1"', "1"),
     ("a={}", {})],
)  # fmt: skip
def test_arguments_are_json_or_a_plain_word(text: str, value: Any) -> None:
    assert KeyValue().convert(text, None, None) == ("a", value)


def test_precision_and_budget_reach_the_plan_and_make_rounds_a_bound(run, tmp_path) -> None:
    assert run("--precision", "50%", "--budget", "2s", "--out", "out").exit_code == 0

    plan = store.read(tmp_path / "out").manifest.plan
    assert (plan["precision"], plan["budget"], plan["rounds"]) == (0.5, 2.0, 20)


def test_a_budget_that_may_not_do_is_said_beforehand(run) -> None:
    result = run("--budget", "1s", "--rounds", "1", models="lenet,alexnet,resnet18")

    assert result.exit_code == 0
    assert "cnnbench: the budget may not do: 6 specs, 1 s in all" in result.stderr


def test_a_run_with_a_budget_has_one_row_per_spec_and_can_be_resumed(run, cnnbench_cli) -> None:
    assert run("--budget", "1s", "--rounds", "3", "--out", "out").exit_code == 0

    result = cnnbench_cli("run", "--resume", "out", "--budget", "5s", "--json")

    rows = json.loads(result.stdout)
    assert [row["status"] for row in rows] == ["ok", "ok"]


@pytest.mark.parametrize("text", ["0", "2", "200%", "-1%", "two", "", "%"])
def test_a_precision_that_is_no_share_is_refused_in_one_line(run, text: str) -> None:
    result = run("--precision", text)

    assert result.exit_code == 2
    assert f"'{text}' is not a share such as 2% or 0.02" in result.stderr


def test_an_optimizer_without_training_is_refused_in_one_line(run) -> None:
    result = run("--optimizer", "adam")

    assert result.exit_code == 2
    assert "optimizer needs phase training or finetune" in result.stderr


def test_the_cuda_options_reach_the_plan(run, tmp_path) -> None:
    words = ("--l2", "cold", "--cudnn-benchmark", "--out", "out")
    assert run(*words, "--modes", "eager", "--device", "cuda").exit_code == 0

    plan = store.read(tmp_path / "out").manifest.plan
    assert (plan["l2"], plan["cudnn_benchmark"]) == ("cold", True)


def test_options_that_would_change_nothing_are_refused_in_one_line(run) -> None:
    result = run("--cudnn-benchmark", "--device", "cpu")

    assert result.exit_code == 2
    assert result.stderr.strip() == (
        "cnnbench: --cudnn-benchmark: only for CUDA devices, but this is cpu; drop it"
    )


def test_several_batches_end_with_the_curve_of_each_model(run, tmp_path: Path) -> None:
    done = run("--modes", "eager", "--batch", "1,8", "--out", "two")
    one = run("--modes", "eager", "--out", "one")

    kept = (tmp_path / "two" / "report.md").read_text(encoding="utf8")
    assert "saturates at batch" in done.stdout
    assert "| saturates at batch |" in kept
    assert "saturates" not in one.stdout + (tmp_path / "one" / "report.md").read_text("utf8")


def test_max_latency_drops_what_is_slower_and_the_run_is_complete(cnnbench_cli) -> None:
    words = ["run", "--models", "lenet,resnet18", "--executor", "fake", "-q", "--out", "a"]
    done = cnnbench_cli(*words, "--max-latency", "2ms")
    resumed = cnnbench_cli("run", "--resume", "a")

    assert done.exit_code == 0
    said = " ".join(done.stdout.split())
    assert "2 rows: not measured further: every slice was slower than --max-latency 2.00 ms" in said
    assert "is complete; nothing was measured" in resumed.stderr
    refused = cnnbench_cli(*words, "--max-latency", "50")
    assert refused.exit_code == 2
    assert "'50' needs a unit, such as 50ms" in refused.stderr


def test_a_terminal_shows_a_first_answer_of_every_workload(monkeypatch, eager, capsys) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)

    Progress(total=1).first([eager])
    Progress(total=1, quiet=True).first([eager])

    assert capsys.readouterr().err.count("(first round)") == 1


def test_the_answer_to_a_budget_ends_a_run(cnnbench_cli) -> None:
    done = cnnbench_cli("run", "--models", "resnet18,vgg16", "--executor", "fake", "-q",
                        "--out", "a", "--under", "2ms", "--top1", "70")  # fmt: skip

    assert "Under 2.00 ms, with a top-1 of 70 % or more: vgg16 in channels_last" in done.stdout


def test_a_cold_start_and_its_parts_are_columns_where_it_is_asked_for(run, tmp_path) -> None:
    with_it = run("--cold-start", "--modes", "eager,compile", "--out", tmp_path / "cold")
    warm = run("--modes", "eager", "--out", tmp_path / "warm")

    rows = list(csv.DictReader((tmp_path / "cold" / "report.csv").read_text().splitlines()))
    assert len(rows) == 2
    for row in rows:
        # What the executor makes up: Python 0.02, importing 1.5, loading 0.1, the first call 0.05.
        parts = [float(row[f"cold_{one}_s"]) for one in ("import", "load", "first")]
        assert parts == pytest.approx([1.5, 0.1, 0.05])
        assert float(row["cold_start_s"]) == pytest.approx(0.02 + sum(parts))
    (row,) = csv.DictReader((tmp_path / "warm" / "report.csv").read_text().splitlines())
    assert row["cold_start_s"] == ""
    assert (
        "Cold start of lenet in compile: 1.67 s (import 1.50 s, load 100 ms, first call\n"
        "  50.0 ms)." in with_it.stdout
    )
    assert "Cold start" not in warm.stdout


def test_a_cold_start_that_is_none_is_a_note_and_costs_nothing_else(run, monkeypatch) -> None:
    def died(*_: object) -> None:
        raise WorkerDied("no first answer: ImportError: no such library")

    monkeypatch.setattr(FakePool, "first_answer", died)
    result = run("--cold-start", "--json")

    row = json.loads(result.stdout)[0]
    assert row["status"] == "ok"
    assert row["cold_start_s"] is None
    assert "cold start not measured: no first answer: ImportError" in row["notes"]
