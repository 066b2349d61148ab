"""``--device cuda:all`` on the command line, and what is refused."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from cnnbench import store
from cnnbench.cli.progress import LiveLines, Progress
from cnnbench.cli.sharing import said
from cnnbench.environment import Environment
from cnnbench.runner import fake
from cnnbench.runner.gpus import Gpu, GpuShare, Lane

GRID = ("lenet", "alexnet", "vgg11", "--modes", "eager,tf32", "--batch", "1", "--executor", "fake")
ALL = (*GRID, "--device", "cuda:all")


def test_a_run_is_shared_and_can_be_reported_and_resumed(cnnbench_cli, tmp_path) -> None:
    done = cnnbench_cli("run", *ALL, "--out", "out")

    assert done.exit_code == 0, done.output
    assert "cnnbench: shared by 2 GPUs (cuda:0, cuda:1)" in done.stderr
    assert re.search(r"\] cuda:[01]: lenet/inference-b1-3x32x32: reference", done.stderr)
    stored = store.read(tmp_path / "out")
    assert stored.manifest.shared
    assert len(stored.records) == 6
    assert all(run.gpu is not None for record in stored.records for run in record.runs)
    report = cnnbench_cli("report", "out", "--format", "json")
    assert report.exit_code == 0
    (tmp_path / "out" / store.RECORDS).write_text("")
    again = cnnbench_cli("run", "--resume", "out", "--json")
    assert len(json.loads(again.stdout)) == 6, again.output
    assert all(run.gpu for one in store.read(tmp_path / "out").records for run in one.runs)


def test_a_run_on_one_device_says_nothing_of_several(cnnbench_cli, tmp_path) -> None:
    cnnbench_cli("run", *GRID, "--device", "cuda", "--out", "out", "-q")

    stored = store.read(tmp_path / "out")
    assert not stored.manifest.shared
    assert {run.gpu for record in stored.records for run in record.runs} == {None}


def test_ids_do_not_depend_on_how_many_gpus_there_are(cnnbench_cli) -> None:
    shared = cnnbench_cli("run", *ALL, "--dry-run", "--json")
    one = cnnbench_cli("run", *GRID, "--device", "cuda:0", "--threads", "1", "--dry-run", "--json")

    assert json.loads(shared.stdout)["specs"] == json.loads(one.stdout)["specs"]


def test_a_dry_run_says_how_gpus_share_the_work(cnnbench_cli) -> None:
    done = cnnbench_cli("run", *ALL, "--dry-run")
    data = json.loads(cnnbench_cli("run", *ALL, "--dry-run", "--json").stdout)

    lines = done.stdout.splitlines()
    assert "shared by 2 GPUs (cuda:0, cuda:1); the first that is free takes the next" in done.stdout
    rows = [re.match(r"  cuda:(\d)  (\d) workloads?, .* (s|min)$", line) for line in lines]
    found = [row for row in rows if row]
    assert [row[1] for row in found] == ["0", "1"]
    assert sum(int(row[2]) for row in found) == 3
    assert lines[-1].endswith("on 2 GPUs of a workstation")
    specs = [name for gpu in data["gpus"] for name in gpu["specs"]]
    assert sorted(specs) == sorted(row["spec"] for row in data["specs"])
    assert data["rough_seconds"] == max(gpu["rough_seconds"] for gpu in data["gpus"])
    assert [gpu["uuid"] for gpu in data["gpus"]] == ["pretended-0", "pretended-1"]


def test_a_dry_run_needs_no_gpu(cnnbench_cli, monkeypatch) -> None:
    kind = fake.requests.Describe
    monkeypatch.setitem(fake.ANSWERS, kind, lambda _: Environment({"cpu": "x", "gpus": []}))

    done = cnnbench_cli("run", *ALL, "--dry-run")
    data = json.loads(cnnbench_cli("run", *ALL, "--dry-run", "--json").stdout)
    real = cnnbench_cli("run", *ALL)

    assert done.exit_code == 0, done.output
    said = re.search(
        r"^no GPU here; very roughly, by the number of alike GPUs: 1: .*, 2: .*, 4: .*, 8: ",
        done.stdout,
        re.MULTILINE,
    )
    assert said
    assert data["gpus"] == []
    assert data["rough_seconds"] > 0
    assert real.exit_code == 2
    assert "--device cuda:all: torch finds no CUDA device here; use --device cpu" in real.stderr


def test_idle_gpus_are_said_with_the_reason() -> None:
    share = GpuShare((Lane(Gpu(0, "a")),), (Gpu(1, "b"), Gpu(2, "c")), "1 core for 1 thread each")

    assert said(share) == (
        "shared by 1 GPU (cuda:0); not used: cuda:1, cuda:2 (1 core for 1 thread each)"
    )


@pytest.mark.parametrize(
    "line",
    [
        "profile lenet",
        "advise lenet",
        "max-batch lenet",
        "input --recipe mnist",
        "ab eager tf32 --models lenet",
        "bisect HEAD~1 HEAD --models lenet",
        "baseline save --models lenet -o base.json",
    ],
)
def test_a_command_that_measures_on_one_device_refuses_all_in_a_line(
    cnnbench_cli, line: str
) -> None:
    done = cnnbench_cli(*shlex.split(line), "--executor", "fake", "--device", "cuda:all")

    assert done.exit_code == 2, done.output
    (said,) = done.stderr.splitlines()
    assert said == (
        "cnnbench: --device cuda:all: only run and conv share work among GPUs; this takes one, such"
        " as --device cuda:0"
    )


@pytest.mark.parametrize("line", ["cost lenet", "check --baseline b.json", "selftest"])
def test_a_command_without_a_device_has_no_such_option(cnnbench_cli, line: str) -> None:
    done = cnnbench_cli(*line.split(), "--device", "cuda:all")

    assert done.exit_code == 2
    assert "No such option '--device'" in done.stderr


@pytest.mark.parametrize(
    "words", [("--device", "cuda:0,cuda:1"), ("--device", "cuda:0", "--device", "cuda:1")]
)
def test_several_devices_are_refused_with_both_things_that_may_be_meant(
    cnnbench_cli, words
) -> None:
    done = cnnbench_cli("run", *GRID, *words)

    assert done.exit_code == 2
    (said,) = done.stderr.splitlines()
    assert "it takes one device; cuda:all shares the work among all GPUs" in said
    assert "such as --device cuda:0" in said
    twice = cnnbench_cli("run", *GRID, "--device", "cuda:0", "--device", "cuda:0", "--dry-run")
    assert twice.exit_code == 0


def test_another_option_that_takes_one_value_is_not_silently_the_last(cnnbench_cli) -> None:
    done = cnnbench_cli("run", *GRID, "--images", ".", "--images", "/", "--dry-run")

    assert done.exit_code == 2
    assert "given twice" in done.stderr


def test_conv_is_shared_too(cnnbench_cli, tmp_path) -> None:
    done = cnnbench_cli(
        "conv", "--layer", "n1c4h8w8-k4-3x3-p1", "--layer", "n1c8h8w8-k4-3x3-p1",
        "--impl", "im2col", "--modes", "eager", "--device", "cuda:all", "--rounds", "2",
        "--executor", "fake", "-q",
        "--out", "out",
    )  # fmt: skip

    assert done.exit_code == 0, done.output
    stored = store.read(tmp_path / "out")
    assert stored.manifest.shared
    assert {run.gpu is None for record in stored.records for run in record.runs} == {False}


def test_a_terminal_has_a_line_for_each_gpu(monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    progress = Progress(total=4)

    progress.working_on("cuda:1", "b", 0, 10)
    progress.working_on("cuda:0", "a" * 100, 5, 10)
    screen = capsys.readouterr().err
    progress.close()

    last = screen.rpartition("\x1b[2K")[2].splitlines()
    assert last[0].startswith("0/4 specs, about")
    assert last[1:] == ["cuda:0  " + "a" * 31, "cuda:1  b"]
    erased = capsys.readouterr().err
    assert erased.startswith("\r\x1b[2K" + "\x1b[1A\x1b[2K" * 2)


def test_without_a_terminal_every_line_names_its_gpu(capsys) -> None:
    Progress(total=4).working_on("cuda:1", "b", 0, 10)
    Progress(total=4).working_on("cuda:1", "", 0, 10)
    Progress(total=4, quiet=True).working_on("cuda:1", "b", 0, 10)

    assert capsys.readouterr().err == "[0/10] cuda:1: b\n"


def test_a_small_terminal_shows_what_it_has_room_for(monkeypatch) -> None:
    monkeypatch.setenv("LINES", "3")
    monkeypatch.setenv("COLUMNS", "10")
    block = LiveLines()
    block.lines = [f"line {n} is long" for n in range(8)]

    assert block.drawn() == "line 0 is\nline 1 is"
    assert block.erased() == "\r\x1b[2K\x1b[1A\x1b[2K"
    assert block.erased() == ""
