"""``run --cluster``: what it says, keeps and refuses, on a pretended cluster."""

from __future__ import annotations

import json
import socket
import sys
from types import ModuleType

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
    alone = [cnnbench_cli("report", run.path, "--format", "json") for run in runs]
    # No ratio is of two environments: together they are what each is alone.
    assert json.loads(cnnbench_cli("report", "out", "--format", "json").stdout) == [
        row for one in alone for row in json.loads(one.stdout)
    ]
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


def test_an_address_where_nothing_listens_is_refused_before_ray_is_asked(
    cnnbench_cli, monkeypatch, tmp_path
) -> None:
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"127.0.0.1:{server.getsockname()[1]}"

    done = cnnbench_cli(*GRID[:-1], place, "--out", "out")

    assert done.exit_code == 2
    assert f"--cluster {place}: no Ray cluster can be reached there" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--shard 1/2", "--wait 1s", "--budget 9s"])
def test_what_is_of_one_host_is_refused(cnnbench_cli, option: str) -> None:
    done = cnnbench_cli(*GRID, *option.split())

    assert done.exit_code == 2
    assert f"drop {option.split()[0]}" in made.flat(done.stderr)


LAYERS = ("conv", "--suite", "smoke", "--impl", "im2col", "--device", "cpu", "--executor", "fake",
          "--cluster", "pretended:1")  # fmt: skip


def test_the_lab_is_measured_over_hosts_a_layer_on_one(cnnbench_cli, monkeypatch, tmp_path) -> None:
    cluster = PretendedCluster({"a": Host(), "b": Host("B")})
    meet(monkeypatch, cluster)

    done = cnnbench_cli(*LAYERS, "--out", "out")

    assert done.exit_code == 0, done.output
    runs = [one for one in directory.runs(tmp_path / "out") if one.records]
    assert len(runs) == 2
    layers = [{one.spec.workload.group for one in run.records} for run in runs]
    assert not layers[0] & layers[1]
    for run in runs:
        assert {one.id for one in run.records} == {*run.manifest.specs}
        assert "budget" not in run.manifest.plan
        assert f"kept in out/{run.path.name}: records.jsonl, report.csv" in done.stderr
        assert (run.path / "report.md").exists()
    shown = cnnbench_cli("report", "out", "--lab", "--format", "json")
    rows = json.loads(shown.stdout)["rows"]
    assert sum(one["status"] == "ok" for one in rows) > 8
    assert {one["environment"] for one in rows} == {run.path.name for run in runs}


def test_a_network_of_the_lab_is_taken_apart_once_for_every_kind(
    cnnbench_cli, monkeypatch, tmp_path
) -> None:
    asked = ("conv", "lenet", "--impl", "im2col", *LAYERS[5:], "--on", "each", "--out", "out")
    kinds = {"a": Host(), "b": Host("B")}
    meet(monkeypatch, PretendedCluster(kinds, dies_at("b", 6)))
    assert cnnbench_cli(*asked).exit_code == 3
    meet(monkeypatch, PretendedCluster(kinds))

    done = cnnbench_cli("run", "--resume", "out")

    assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / "layers.json").exists()
    for run in directory.runs(tmp_path / "out"):
        assert run.missing == run.unfinished == ()
        shown = json.loads(cnnbench_cli("report", run.path, "--lab", "--format", "json").stdout)
        assert [one["model"] for one in shown["networks"]] == ["lenet"]


@pytest.mark.parametrize("option", ["--wait 1s", "--budget 9s", "--apply"])
def test_what_is_of_one_host_is_refused_in_the_lab_too(cnnbench_cli, option: str) -> None:
    done = cnnbench_cli("conv", "lenet", *LAYERS[3:], *option.split())

    assert done.exit_code == 2
    assert f"drop {option.split()[0]}" in made.flat(done.stderr)


def test_a_dry_run_of_the_lab_asks_no_cluster(cnnbench_cli, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)

    done = cnnbench_cli(*LAYERS, "--dry-run")

    assert done.exit_code == 0, done.output
    assert "very roughly, by the number of alike hosts: 1: " in done.stdout


def test_layers_of_unlike_environments_are_in_no_ratio(cnnbench_cli, monkeypatch, tmp_path) -> None:
    """With ``each`` both have every row; a ratio of one is over the default of the same one."""
    meet(monkeypatch, PretendedCluster({"a": Host(), "b": Host("B")}))
    cnnbench_cli(*LAYERS, "--on", "each", "--out", "out")
    runs = directory.runs(tmp_path / "out")

    both = cnnbench_cli("report", "out", "--lab", "--format", "json")
    alone = [cnnbench_cli("report", run.path, "--lab", "--format", "json") for run in runs]
    told = cnnbench_cli("report", "out", "--lab")

    rows = [row for one in alone for row in json.loads(one.stdout)["rows"]]
    assert json.loads(both.stdout)["rows"] == rows
    assert {row["environment"] for row in rows} == {run.path.name for run in runs}
    assert told.stdout.count("Recommendations and their gains") == 2
