"""``run --cluster``: what it says, keeps and refuses, on a pretended cluster."""

from __future__ import annotations

import json
import sys

import pytest

from cnnbench.runner.cluster import directory
from tests import made
from tests.runner.cluster.pretended import Host, PretendedCluster
from tests.runner.cluster.test_handing import dies_at, meet

GRID = ("run", "lenet", "alexnet", "vgg11", "--modes", "eager,channels_last", "--device", "cpu",
        "--rounds", "2", "--executor", "fake", "--cluster", "pretended:1")  # fmt: skip


def test_a_run_over_hosts_is_shown_and_kept(cnnbench_cli, monkeypatch, tmp_path) -> None:
    meet(monkeypatch, PretendedCluster({"a": Host(), "b": Host(change={"refused": "no torch"})}))

    done = cnnbench_cli(*GRID, "--out", "out")

    assert done.exit_code == 0, done.output
    (run,) = directory.runs(tmp_path / "out")
    assert "cnnbench: b: not used: no torch" in done.stderr
    assert "a: vgg11/inference-b1-3x224x224 on cpu" in done.stderr
    assert f"kept in out/{run.path.name}: records.jsonl, report.csv, report.md" in done.stderr
    assert "vgg11" in done.stdout
    assert len(run.records) == 6
    for place in ("out", run.path):
        report = cnnbench_cli("report", place, "--format", "json")
        assert len(json.loads(report.stdout)) == 6


def test_each_kind_has_tables_of_its_own(cnnbench_cli, monkeypatch, tmp_path) -> None:
    meet(monkeypatch, PretendedCluster({"a": Host(), "b": Host("B")}))

    done = cnnbench_cli(*GRID, "--on", "each", "--out", "out", "--json")

    assert done.exit_code == 0, done.output
    assert len(json.loads(done.stdout)) == 12
    runs = directory.runs(tmp_path / "out")
    assert [len(run.records) for run in runs] == [6, 6]
    assert directory.read(tmp_path / "out").on == "each"


def test_a_run_over_hosts_is_resumed(cnnbench_cli, monkeypatch, tmp_path) -> None:
    meet(monkeypatch, PretendedCluster({"a": Host()}, dies_at("a", 6)))
    wrong = cnnbench_cli(*GRID, "--out", "out", "-q")
    assert wrong.exit_code == 3
    assert "continue with: cnnbench run --resume out" in made.flat(wrong.stderr)
    seen: list[str] = []
    cluster = PretendedCluster({"a": Host()})
    meet(monkeypatch, cluster)
    monkeypatch.setattr(
        "cnnbench.runner.cluster.on_ray.RayHosts", lambda address: seen.append(address) or cluster
    )

    done = cnnbench_cli("run", "--resume", "out", "--cluster", "elsewhere:1", "--json")

    assert done.exit_code == 0, done.output
    assert seen == ["elsewhere:1"]
    assert len(json.loads(done.stdout)) == 6
    again = cnnbench_cli("run", "--resume", "out")
    assert "out" in again.stderr
    assert "is complete; nothing was measured" in again.stderr
    for option in ("--budget", "--wait"):
        line = cnnbench_cli("run", "--resume", "out", option, "9s")
        assert line.exit_code == 2
        assert f"out is a run over many hosts; drop {option}" in line.stderr


def test_ctrl_c_says_how_to_go_on(cnnbench_cli, monkeypatch) -> None:
    def pressed(name: str, cluster: PretendedCluster) -> str:
        if len(cluster.heard) == 4:
            raise KeyboardInterrupt
        return ""

    cluster = PretendedCluster({"a": Host()}, pressed)
    meet(monkeypatch, cluster)

    done = cnnbench_cli(*GRID, "--out", "out", "-q")

    assert done.exit_code == 130
    assert "interrupted; continue with: cnnbench run --resume out" in done.stderr
    assert cluster.closed


def test_failed_rows_of_any_host_are_said_in_the_end(cnnbench_cli, monkeypatch) -> None:
    meet(monkeypatch, PretendedCluster({"a": Host(), "b": Host()}))

    done = cnnbench_cli("run", "lenet", "fake:raises", "--modes", "eager", *GRID[6:])

    assert done.exit_code == 3
    assert "1 of 2 specs failed" in made.flat(done.stderr)


def test_a_dry_run_asks_no_cluster(cnnbench_cli, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)

    done = cnnbench_cli(*GRID, "--dry-run")

    assert done.exit_code == 0, done.output
    assert "6 specs" in done.stdout
    assert "very roughly, by the number of alike hosts: 1: " in done.stdout


def test_without_ray_it_is_said_what_to_install_and_nothing_is_left(
    cnnbench_cli, monkeypatch, tmp_path
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)

    done = cnnbench_cli(*GRID, "--out", "out")

    assert done.exit_code == 2
    said = "--cluster needs ray; install it with: pip install 'cnnbench[ray]'"
    assert done.stderr.strip().endswith(said)
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--shard 1/2", "--wait 1s", "--budget 9s"])
def test_what_is_of_one_host_is_refused(cnnbench_cli, option: str) -> None:
    done = cnnbench_cli(*GRID, *option.split())

    assert done.exit_code == 2
    assert f"drop {option.split()[0]}" in made.flat(done.stderr)
