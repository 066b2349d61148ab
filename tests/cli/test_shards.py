"""``cnnbench run --shard``, and what becomes of its runs."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from cnnbench import store
from tests import made

GRID = ("run", "--executor", "fake", "--models", "resnet18,resnet50,lenet,vgg11,alexnet",
        "--modes", "eager,channels_last", "--device", "cpu", "--rounds", "2")  # fmt: skip


def test_shards_together_are_the_grid_and_a_report_joins_them(cnnbench_cli, tmp_path) -> None:
    whole = [one["spec"] for one in json.loads(
        cnnbench_cli(*GRID, "--dry-run", "--json").stdout)["specs"]]  # fmt: skip
    places = [tmp_path / f"shard-{number}" for number in (1, 2, 3)]
    for number, place in enumerate(places, 1):
        done = cnnbench_cli(*GRID, "--shard", f"{number}/3", "--out", place)
        assert done.exit_code == 0, done.stderr
    manifests = [store.read(place).manifest for place in places]
    text = cnnbench_cli("report", *places, "--format", "csv").stdout
    part = cnnbench_cli("report", places[0], places[2])

    assert sorted(name for one in manifests for name in one.specs) == sorted(whole)
    assert all(one.specs for one in manifests)
    assert [one.shard for one in manifests] == ["1/3", "2/3", "3/3"]
    assert len({one.grid for one in manifests}) == 1
    assert len(list(csv.DictReader(io.StringIO(text)))) == len(whole)
    assert "shard 2/3 of this grid not among these runs" in made.flat(part.stdout)
    assert "of this grid" not in cnnbench_cli("report", *places).stdout


def test_a_shard_is_resumed_as_what_it_is(cnnbench_cli, tmp_path) -> None:
    place = tmp_path / "one"
    cnnbench_cli(*GRID, "--shard", "1/2", "--out", place)
    before = store.read(place)
    lines = (place / store.RECORDS).read_text().splitlines(keepends=True)
    (place / store.RECORDS).write_text(lines[0])

    done = cnnbench_cli("run", "--resume", place)

    assert done.exit_code == 0, done.stderr
    assert {one.id for one in store.read(place).records} == {one.id for one in before.records}


def test_a_budget_is_for_the_specs_of_the_shard(cnnbench_cli, tmp_path) -> None:
    grid, plans = (*GRID, "--budget", "20s"), []
    for place in ("whole", "part"):
        more = ["--shard", "1/5"] * (place == "part")
        done = cnnbench_cli(*grid, *more, "--out", tmp_path / place)
        assert done.exit_code == 0, done.stderr
        plans.append(store.read(tmp_path / place).manifest.plan)

    whole, part = plans
    assert part["float64_macs"] == 5 * whole["float64_macs"]


def test_more_shards_than_networks_are_refused(cnnbench_cli, tmp_path: Path) -> None:
    done = cnnbench_cli(*GRID, "--shard", "1/9", "--out", tmp_path / "one")
    odd = cnnbench_cli(*GRID, "--shard", "3/2", "--out", tmp_path / "one")

    assert done.exit_code == odd.exit_code == 2
    assert "at most 5 shards of this grid; use --shard 1/5" in done.stderr
    assert "'3/2' is no shard; the second of eight is 2/8" in odd.stderr
