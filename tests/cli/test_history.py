from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from cnnbench import store
from cnnbench.plan import Plan
from tests import made
from tests.report.test_times import waiting

TIMES = [10, 10.1, 9.9, 10, 10.1, 12, 12.1, 11.9, 12, 12]


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
    assert "step of +20.0 % at night-5 (2026-01-06T00:00:00+00:00), p = 0.0" in said
    assert "|" in "".join(done.stdout.splitlines()[4:6])
    assert done.stdout.count(made.EAGER) == 2


def test_every_point_for_machines(cnnbench_cli, nightly) -> None:
    objects = json.loads(cnnbench_cli("history", nightly, "--json").stdout)
    text = cnnbench_cli("history", nightly, "--points", "--format", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))

    assert len(objects) == len(rows) == 20
    first = [one for one in objects if one["spec"] == made.EAGER]
    assert [one["value"] for one in first] == pytest.approx([time / 1000 for time in TIMES])
    assert [one["step"] is not None for one in first] == [False] * 5 + [True] + [False] * 4


def test_a_page_with_every_series_drawn(cnnbench_cli, nightly, tmp_path) -> None:
    out = tmp_path / "history.html"
    done = cnnbench_cli("history", nightly, "--format", "html", "-o", out)
    text = out.read_text()

    assert done.exit_code == 0
    assert text.count("step of +20.0 % at night-5") == 2
    assert re.findall(r'<div class="plot" id="([^"]*)"', text) == ["plot-series-0", "plot-series-1"]
    assert text.count('<p class="side">latency, ms</p>') == 2
    assert "default-src 'none'" in text


def test_runs_can_be_named_one_by_one(cnnbench_cli, nightly) -> None:
    done = cnnbench_cli("history", nightly / "0", nightly / "1", "--metric", "params", "--json")

    assert {one["run"] for one in json.loads(done.stdout)} == {"night-0", "night-1"}


def test_too_few_runs_say_so(cnnbench_cli, nightly) -> None:
    done = cnnbench_cli("history", nightly / "0", nightly / "1")

    assert "2 series with fewer than 8 runs, too few to detect a step change" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gone"], "gone is neither a run directory nor contains any"),
        (["nightly", "--model", "vgg*"], "no run of 10 has latency of a model like 'vgg*'"),
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
