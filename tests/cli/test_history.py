from __future__ import annotations

import csv
import io
import json
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from cnnbench import store
from cnnbench.plan import Plan
from tests import made
from tests.report.test_times import waiting

TIMES = [10, 10.1, 9.9, 10, 10.1, 10, 9.9, 12, 12.1, 11.9, 12, 12]


@pytest.fixture
def measured(tmp_path: Path) -> Callable[..., Path]:
    """A repository with a commit per night, and a run of each; some are told otherwise."""

    def make(times: Sequence[float] = TIMES, **told: Mapping[int, object]) -> Path:
        repo = made.repository(tmp_path / "repo", {"net.py": "0\n", ".gitignore": "runs\n"})
        for number, time in enumerate(times):
            made.commit(repo, {"net.py": f"{number + 1}\n"})
            sha = subprocess.run(["git", "-C", str(repo), "rev-parse", "HEAD"], check=True,
                                 capture_output=True, text=True).stdout.strip()  # fmt: skip
            spec = "net:net/inference-b1-3x32x32/eager/cpu-t1"
            what = store.manifest(f"night-{number}", [spec], Plan(), "fake")
            fields: dict[str, object] = {
                "created": f"2026-01-{number + 1:02}T00:00:00+00:00",
                "revision": sha,
                "dirty": False,
            }
            fields |= {name: some[number] for name, some in told.items() if number in some}
            with store.create(repo / "runs" / f"{number}", replace(what, **fields),
                              made.ENVIRONMENT) as writer:  # fmt: skip
                writer.append([made.record(spec, [[time]] * 3)])
        return repo

    return make


def test_a_step_comes_with_the_command_that_finds_its_commit(
    cnnbench_cli, measured, monkeypatch
) -> None:
    repo = measured()
    monkeypatch.chdir(repo)
    done = cnnbench_cli("history", "runs")

    said = made.flat(done.stdout)
    assert re.search(r"between [0-9a-f]{7} \(run of 2026-01-07\) and [0-9a-f]{7} \(run of", said)
    (command,) = re.findall(r"^ +(cnnbench bisect .*)$", done.stdout, flags=re.MULTILINE)
    words = shlex.split(command)
    assert words[4:] == ["--models", "net:net", "--modes", "eager", "--input", "3x32x32",
                         "--phase", "inference", "--batch", "1", "--device", "cpu",
                         "--threads", "1"]  # fmt: skip
    # The commits around it are neighbours: pasted, it names the second.
    bad = subprocess.run(["git", "rev-parse", words[3]], check=True, capture_output=True,
                         text=True).stdout.strip()  # fmt: skip
    found = cnnbench_cli(*words[1:], "--executor", "fake", "--fake-culprit", words[3], "--json")
    assert found.exit_code == 0, found.stderr
    assert json.loads(found.stdout)["culprit"]["commit"] == bad


def test_what_is_not_compared_is_said(cnnbench_cli, measured, monkeypatch) -> None:
    repo = measured(
        dirty={6: True},
        revision={2: None, 3: "f" * 40},
        created={11: "2025-12-01T00:00:00+00:00"},
    )
    monkeypatch.chdir(repo)
    said = made.flat(cnnbench_cli("history", "runs").stdout)

    assert " with uncommitted changes (run of 2026-01-07) and" in said
    assert "1 run with uncommitted changes: not the code of a commit" in said
    assert "1 run without a known commit, in the order of time" in said
    assert "1 run of commits that are not among the first parents of HEAD" in said
    assert "in the order of commits, which is not the order in which they were measured" in said
    # From the last clean commit before it.
    shas = subprocess.run(["git", "log", "--format=%h", "--abbrev=12"], check=True,
                          capture_output=True, text=True).stdout.split()[::-1]  # fmt: skip
    assert f"cnnbench bisect {shas[6]} {shas[8]} " in said


@pytest.mark.parametrize(
    ("words", "times", "command"),
    [
        ((), TIMES, True),
        ((), [10, *TIMES[:9]], True),
        ((), TIMES[::-1], False),
        (("--metric", "throughput"), TIMES, True),
        (("--metric", "throughput"), TIMES[::-1], False),
        (("--metric", "cpu_time"), TIMES, False),
    ],
)
def test_only_what_got_worse_and_can_be_measured_in_pairs_is_bisected(
    cnnbench_cli, measured, monkeypatch, words, times, command: bool
) -> None:
    monkeypatch.chdir(measured(times))
    text = cnnbench_cli("history", "runs", *words).stdout

    assert ("cnnbench bisect" in text) == command
    young = "young: seen in the newest 2 runs only" in made.flat(text)
    assert young == (len(times) == 10)


def test_the_newest_run_alone_is_no_step_and_is_said(cnnbench_cli, measured, monkeypatch) -> None:
    monkeypatch.chdir(measured([*TIMES[:7], *TIMES[:4], 12]))
    said = made.flat(cnnbench_cli("history", "runs").stdout)

    assert "step of" not in said
    assert re.search(r"the newest run \([0-9a-f]{7} \(run of 2026-01-12\)\) is \+\d+\.\d % from",
                     said)  # fmt: skip


@pytest.fixture
def nightly(tmp_path) -> Path:
    for number, time in enumerate(TIMES):
        created = f"2026-01-{number + 1:02}T00:00:00+00:00"
        records = [made.record(name, [[time]] * 3) for name in (made.EAGER, made.CHANNELS_LAST)]
        what = replace(
            store.manifest(f"night-{number}", [one.id for one in records], Plan(), "fake"),
            created=created,
        )
        path = tmp_path / "nightly" / f"{number}"
        with store.create(path, what, made.ENVIRONMENT) as writer:
            writer.append(records)
    return tmp_path / "nightly"


def test_a_step_is_marked_in_table_and_picture(cnnbench_cli, nightly) -> None:
    done = cnnbench_cli("history", nightly, "--model", "len*", "--mode", "eager")

    assert done.exit_code == 0
    said = made.flat(done.stdout)
    assert re.search(
        r"step of \+20\.0 % \[\+1\d\.\d %, \+2\d\.\d %\] between night-6 \(2026-01-07\) and"
        r" night-7 \(2026-01-08\)",
        said,
    )
    assert "|" in "".join(done.stdout.splitlines()[4:6])
    assert done.stdout.count(made.EAGER) == 2


def test_every_point_for_machines(cnnbench_cli, nightly) -> None:
    objects = json.loads(cnnbench_cli("history", nightly, "--json").stdout)
    text = cnnbench_cli("history", nightly, "--points", "--format", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))

    assert len(objects) == len(rows) == 24
    first = [one for one in objects if one["spec"] == made.EAGER]
    assert [one["value"] for one in first] == pytest.approx([time / 1000 for time in TIMES])
    assert [one["step"] is not None for one in first] == [False] * 7 + [True] + [False] * 4
    assert (first[7]["young"], first[0]["young"]) == (False, None)
    assert 1.15 < first[7]["step_low"] < first[7]["step"] < first[7]["step_high"] < 1.25
    assert {one["revision"] for one in objects} == {None}


def test_a_page_with_every_series_drawn(cnnbench_cli, nightly, tmp_path) -> None:
    out = tmp_path / "history.html"
    done = cnnbench_cli("history", nightly, "--format", "html", "-o", out)
    text = out.read_text()

    assert done.exit_code == 0
    assert len(re.findall(r"step of \+20\.0 % \[.*?\] between night-6", text)) == 2
    assert re.findall(r'<div class="plot" id="([^"]*)"', text) == ["plot-series-0", "plot-series-1"]
    assert text.count('<p class="side">latency, ms</p>') == 2
    assert "default-src 'none'" in text


def test_runs_can_be_named_one_by_one(cnnbench_cli, nightly) -> None:
    done = cnnbench_cli("history", nightly / "0", nightly / "1", "--metric", "params", "--json")

    assert {one["run"] for one in json.loads(done.stdout)} == {"night-0", "night-1"}


def test_of_a_paired_comparison_the_head_is_a_run(cnnbench_cli, tmp_path) -> None:
    words = ("ab", "eager", "eager", "--models", "lenet", "--device", "cpu", "--executor", "fake")
    for name in ("one", "two"):
        assert cnnbench_cli(*words, "--out", tmp_path / "kept" / name).exit_code == 0
    (tmp_path / "kept" / "base").mkdir()

    for place in ([tmp_path / "kept"], [tmp_path / "kept" / "one", tmp_path / "kept" / "two"]):
        found = cnnbench_cli("history", *place, "--json")

        assert found.exit_code == 0, found.stderr
        assert [one["run"].rpartition("-")[2] for one in json.loads(found.stdout)] == ["head"] * 2
    # Who names a base gets it; and a run of the user's own may be called so.
    alone = cnnbench_cli("history", tmp_path / "kept" / "one" / "base", "--json")
    assert [one["run"].rpartition("-")[2] for one in json.loads(alone.stdout)] == ["base"]


def test_too_few_runs_say_so(cnnbench_cli, nightly) -> None:
    done = cnnbench_cli("history", nightly / "0", nightly / "1")

    said = "2 series with fewer than 10 runs, too few to detect a step change"
    assert said in made.flat(done.stdout)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gone"], "gone is neither a run directory nor contains any"),
        (["nightly", "--model", "vgg*"], "no run of 12 has latency of a model like 'vgg*'"),
        (["nightly", "--metric", "latncy"], "did you mean latency"),
        (["nightly", "--format", "cvs"], "did you mean csv"),
    ],
)
def test_bad_input_is_one_line(cnnbench_cli, nightly, words, message) -> None:
    done = cnnbench_cli("history", *words)

    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr


def test_a_disturbed_run_is_no_step_where_the_waiting_is_known(cnnbench_cli, tmp_path) -> None:
    name = made.EAGER.replace("cpu-t2", "cpu-t1")
    for number, share in enumerate([0.0, 0.5]):
        made.directory(tmp_path / "runs" / f"{number}", [waiting(name, share)])

    text = cnnbench_cli("history", "runs").stdout
    points = cnnbench_cli("history", "runs", "--points").stdout
    data = json.loads(cnnbench_cli("history", "runs", "--json").stdout)

    assert "10.0 ms*" in text
    assert "10.0 ms*" in points
    assert "20.0 ms" not in text + points
    assert "2 points in series with a disturbed one" in text
    assert [one["value"] for one in data] == [0.01, 0.02]
