"""``cnnbench merge``: shards become a run, and what must not be one is refused."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from cnnbench import merging, store
from tests import made

GRID = ("run", "--executor", "fake", "--models", "resnet18,resnet50,lenet,vgg11,alexnet",
        "--modes", "eager,channels_last", "--device", "cpu", "--rounds", "2")  # fmt: skip


@pytest.fixture
def shards(cnnbench_cli, tmp_path: Path) -> list[Path]:
    places = [tmp_path / f"shard-{number}" for number in (1, 2, 3)]
    for number, place in enumerate(places, 1):
        assert cnnbench_cli(*GRID, "--shard", f"{number}/3", "--out", place).exit_code == 0
    return places


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_merged_run_has_every_record_and_reports_the_same_numbers(
    cnnbench_cli, shards: list[Path], tmp_path: Path
) -> None:
    done = cnnbench_cli("merge", *reversed(shards), "--out", "all")

    assert done.exit_code == 0, done.stderr
    assert done.stderr.endswith("all: 10 records of 3 runs\n")
    whole = store.read(tmp_path / "all")
    parts = [store.read(place) for place in shards]
    assert (whole.manifest.shard, whole.manifest.grid, whole.missing) == ("", "", ())
    assert whole.records == tuple(record for part in parts for record in part.records)
    assert [one.id for one in whole.records] == [*whole.manifest.specs]
    apart = rows(cnnbench_cli("report", *shards, "--format", "csv").stdout)
    together = rows(cnnbench_cli("report", "all", "--format", "csv").stdout)
    unlike = {"run", "created"}
    plain = [[{k: v for k, v in row.items() if k not in unlike} for row in some]
             for some in (apart, together)]  # fmt: skip
    assert sorted(plain[0], key=str) == sorted(plain[1], key=str)
    assert "shard" not in cnnbench_cli("report", "all").stdout


def test_a_missing_shard_is_named_until_it_is_there(cnnbench_cli, shards, tmp_path: Path) -> None:
    part = cnnbench_cli("merge", shards[2], shards[0], "--out", "part")

    assert part.exit_code == 0
    assert "shard 2/3 of this grid not among these runs" in part.stderr
    assert store.read(tmp_path / "part").manifest.shard == "1/3,3/3"
    assert "shard 2/3" in made.flat(cnnbench_cli("report", "part").stdout)
    assert "of this grid" not in cnnbench_cli("report", "part", shards[1]).stdout
    whole = cnnbench_cli("merge", "part", shards[1], "--out", "whole")
    assert "of this grid" not in whole.stderr
    assert len(store.read(tmp_path / "whole").records) == 10


def test_what_a_run_had_left_is_measured_in_the_merged_one(cnnbench_cli, shards, tmp_path) -> None:
    lines = (shards[0] / store.RECORDS).read_text().splitlines(keepends=True)
    (shards[0] / store.RECORDS).write_text("".join(lines[:-1]) + lines[-1][:50])

    done = cnnbench_cli("merge", *shards, "--out", "all")
    assert "1 spec not measured yet; cnnbench run --resume measures the rest" in done.stderr
    assert "incomplete line skipped" in done.stderr
    again = cnnbench_cli("run", "--resume", "all", "--json")

    assert again.exit_code == 0, again.stderr
    assert len(json.loads(again.stdout)) == 10
    assert store.read(tmp_path / "all").missing == ()


def test_only_what_is_whole_is_merged_where_that_is_asked_for(
    cnnbench_cli, shards: list[Path], tmp_path: Path
) -> None:
    lines = (shards[0] / store.RECORDS).read_text().splitlines(keepends=True)
    (shards[0] / store.RECORDS).write_text("".join(lines[:-1]) + lines[-1][:50])

    done = cnnbench_cli("merge", shards[0], shards[2], "--whole", "--out", "all")
    alone = cnnbench_cli("merge", shards[2], "--whole", "--out", "all")

    assert (done.exit_code, alone.exit_code) == (3, 3)
    assert not (tmp_path / "all").exists()
    absent, unfinished, why = done.stderr.splitlines()
    assert "shard 2/3 of this grid not among these runs; the command that made" in absent
    command = "1 spec not measured yet: cnnbench run --resume "
    assert unfinished == f"cnnbench: {command}{shards[0].resolve()}"
    assert why == (
        "cnnbench: not whole: shards 1,2 of 3 not measured to the end; nothing is merged"
    )
    assert "not whole: shards 1,2 of 3" in alone.stderr
    assert cnnbench_cli("run", "--resume", shards[0]).exit_code == 0
    whole = cnnbench_cli("merge", *shards, "--whole", "--out", "all")
    assert whole.exit_code == 0, whole.stderr
    assert len(store.read(tmp_path / "all").records) == 10


def test_of_a_merged_run_every_shard_may_be_the_one_that_is_not_whole(
    cnnbench_cli, shards: list[Path], tmp_path: Path
) -> None:
    lines = (shards[1] / store.RECORDS).read_text().splitlines(keepends=True)
    (shards[1] / store.RECORDS).write_text("".join(lines[:-1]) + lines[-1][:50])
    assert cnnbench_cli("merge", *shards[:2], "--out", "part").exit_code == 0

    done = cnnbench_cli("merge", "part", shards[2], "--whole", "--out", "all")

    assert done.exit_code == 3
    assert "not whole: shards 1,2 of 3 not measured to the end" in done.stderr
    assert cnnbench_cli("run", "--resume", "part").exit_code == 0
    assert cnnbench_cli("merge", "part", shards[2], "--whole", "--out", "all").exit_code == 0


def test_runs_that_are_no_shards_are_whole_when_they_are_finished(
    cnnbench_cli, tmp_path: Path, eager, twice_as_fast
) -> None:
    made.directory(tmp_path / "a", [eager])
    made.directory(tmp_path / "b", [], [twice_as_fast.id])

    done = cnnbench_cli("merge", "a", "b", "--whole", "--out", "all")
    made.directory(tmp_path / "c", [twice_as_fast])

    assert done.exit_code == 3
    assert "not whole: 1 run not measured to the end; nothing is merged" in done.stderr
    assert cnnbench_cli("merge", "a", "c", "--whole", "--out", "all").exit_code == 0


def edited(place: Path, name: str, change: dict[str, Any]) -> None:
    data = json.loads((place / name).read_text())
    for key, value in change.items():
        data[key] = data[key] | value if isinstance(value, dict) else value
    (place / name).write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("name", "change", "code", "said"),
    [
        (store.ENVIRONMENT, {"hard": {"cpu": "another"}}, 5, "come from different environments"),
        (store.MANIFEST, {"plan": {"slices": 99}}, 2, "unlike plans (slices); leave one out"),
        (store.MANIFEST, {"executor": "process"}, 5, "unlike executors"),
    ],
)
def test_runs_under_unlike_conditions_are_refused(
    cnnbench_cli, shards, name: str, change: dict[str, Any], code: int, said: str
) -> None:
    edited(shards[1], name, change)

    done = cnnbench_cli("merge", *shards, "--out", "all")

    assert done.exit_code == code
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not Path("all").exists()
    assert cnnbench_cli("report", *shards).exit_code == 0


def test_a_spec_in_two_runs_is_refused_and_one_run_given_twice_is_one(
    cnnbench_cli, shards: list[Path], tmp_path: Path
) -> None:
    cnnbench_cli(*GRID, "--shard", "1/3", "--out", "again")

    twice = cnnbench_cli("merge", shards[0], "again", "--out", "all")
    once = cnnbench_cli("merge", shards[0], shards[0], "--out", "one")

    assert twice.exit_code == 2
    assert "both hold" in twice.stderr
    assert "leave one out" in twice.stderr
    assert once.exit_code == 0
    assert len(store.read(tmp_path / "one").records) == len(store.read(shards[0]).records)


def test_a_full_directory_is_left_alone(cnnbench_cli, shards: list[Path]) -> None:
    before = (shards[1] / store.RECORDS).read_bytes()

    done = cnnbench_cli("merge", *shards, "--out", shards[1])

    assert done.exit_code == 2
    assert (shards[1] / store.RECORDS).read_bytes() == before


def test_limits_of_time_are_no_condition(shards: list[Path]) -> None:
    edited(shards[1], store.MANIFEST, {"plan": {"timeout": 5.0}})

    _, records = merging.merged(merging.read(shards), "x")

    assert len(records) == 10
