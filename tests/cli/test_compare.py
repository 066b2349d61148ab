from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from tests import made
from tests.report.test_times import waiting


@pytest.fixture
def runs(tmp_path, eager, twice_as_fast):
    """Two runs of one ensemble: channels_last got twice as slow."""
    slower = made.record(made.CHANNELS_LAST, [[10, 10, 10]] * 3)
    return (
        made.directory(tmp_path / "a", [eager, twice_as_fast]),
        made.directory(tmp_path / "b", [eager, slower]),
    )


def test_two_runs_side_by_side(cnnbench_cli, runs) -> None:
    done = cnnbench_cli("compare", *runs)

    assert done.exit_code == 0
    assert "2 specs: 1 regression, 1 unchanged" in done.stdout
    assert "5.00 ms -> 10.0 ms, +100 %" in made.flat(done.stdout)


def test_a_threshold_makes_it_a_gate(cnnbench_cli, runs) -> None:
    fails = cnnbench_cli("compare", *runs, "--threshold", "latency=5%")
    passes = cnnbench_cli("compare", *runs, "-t", "latency=5%", "-t", "*/channels_last:latency=off")

    assert (fails.exit_code, fails.stderr) == (1, "cnnbench: 1 of 2 specs regressed\n")
    assert passes.exit_code == 0


@pytest.mark.parametrize("kind", ["table", "markdown", "csv", "json"])
def test_every_format_is_shown_and_written_alike(cnnbench_cli, runs, kind: str) -> None:
    shown = cnnbench_cli("compare", *runs, "--format", kind)
    written = cnnbench_cli("compare", *runs, "--format", kind, "-o", "out")

    assert (shown.exit_code, written.exit_code, written.stdout) == (0, 0, "")
    assert (runs[0].parent / "out").read_bytes() == shown.stdout_bytes


def test_html_is_one_page_that_shows_what_changed(cnnbench_cli, runs) -> None:
    done = cnnbench_cli("compare", *runs, "--format", "html", "-o", "compare.html")

    text = (runs[0].parent / "compare.html").read_text(encoding="utf8")
    changes = text.partition('<section id="changes">')[2].partition("</section>")[0]
    row = next(line for line in changes.splitlines() if "channels_last" in line)
    assert (done.exit_code, done.stdout) == (0, "")
    assert all(word in row for word in ("latency", "2.00x", "regression"))
    assert "2 specs: 1 regression, 1 unchanged" in text


def test_a_page_of_several_runs_says_which_run_changed(cnnbench_cli, runs) -> None:
    text = cnnbench_cli("compare", runs[0], runs[1], runs[0], "--format", "html").stdout

    assert f"<td>b: {made.CHANNELS_LAST}<td>latency<" in text
    assert f"<td>a: {made.CHANNELS_LAST}<td>latency<" in text


def test_a_page_can_be_a_gate(cnnbench_cli, runs) -> None:
    done = cnnbench_cli("compare", *runs, "--format=html", "-o", "x.html", "-t", "latency=5%")

    assert (done.exit_code, done.stderr) == (1, "cnnbench: 1 of 2 specs regressed\n")


def test_csv_and_json_hold_the_same_rows(cnnbench_cli, runs) -> None:
    rows = list(csv.DictReader(io.StringIO(cnnbench_cli("compare", *runs, "--format=csv").stdout)))
    objects = json.loads(cnnbench_cli("compare", *runs, "--json").stdout)

    assert [(r["spec"], r["metric"]) for r in rows] == [(o["spec"], o["metric"]) for o in objects]
    latency = next(o for o in objects if o["metric"] == "latency" and "channels" in o["spec"])
    assert (latency["verdict"], latency["how"], latency["pairs"]) == ("regression", "paired", 3)
    assert latency["ratio"] == pytest.approx(2)


def test_several_runs_are_each_compared_with_the_first(cnnbench_cli, runs) -> None:
    rows = json.loads(cnnbench_cli("compare", runs[0], runs[1], runs[0], "--json").stdout)

    assert list(dict.fromkeys(row["new_run"] for row in rows)) == ["b", "a"]
    assert {row["old_run"] for row in rows} == {"a"}


def test_stored_at_different_times_is_inconclusive_and_not_wrong(cnnbench_cli, tmp_path) -> None:
    paths = [
        made.directory(
            tmp_path / name, [made.record(made.EAGER, [[time]] * 3, ensemble=name)]
        )
        for name, time in (("a", 10), ("b", 11))
    ]  # fmt: skip

    done = cnnbench_cli("compare", *paths, "-t", "latency=5%", "--strict")

    assert done.exit_code == 4
    assert "smallest detectable change" in made.flat(done.stdout)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["A"], 2, "compare takes two or more runs"),
        (["A", "gone"], 2, "gone is not a cnnbench run"),
        (["A", "A", "-t", "latency"], 2, "--threshold 'latency': needs the form latency=5%"),
        (["A", "A", "-t", "latncy=5%"], 2, "did you mean latency"),
        (["A", "A", "--format", "cvs"], 2, "unknown format 'cvs'; did you mean csv"),
        (["A", "A", "--config", "gone.toml"], 2, "gone.toml: No such file"),
        (["A", "C"], 5, "have no spec in common"),
    ],
)
def test_bad_input_is_one_line(cnnbench_cli, runs, failed, words, code, message) -> None:
    other = made.directory(runs[0].parent / "c", [failed])
    places = {"A": runs[0], "C": other}

    done = cnnbench_cli("compare", *(places.get(word, word) for word in words))

    assert done.exit_code == code
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_comparing_imports_no_torch(cnnbench_process, runs) -> None:
    code = f"""
import sys
from cnnbench.cli import main
try:
    main(["compare", {str(runs[0])!r}, {str(runs[1])!r}])
except SystemExit as done:
    print(done.code, "torch" in sys.modules)
"""

    done = cnnbench_process(code=code)

    assert done.out.splitlines()[-1] == "0 False", done.err


def test_a_disturbed_row_is_shown_and_compared_as_in_the_table_of_its_run(
    cnnbench_cli, tmp_path
) -> None:
    name = made.EAGER.replace("cpu-t2", "cpu-t1")
    calm, busy = waiting(name, 0.0), waiting(name, 0.5)
    runs = tuple(replace(run, ensemble=f"later{run.round}") for run in busy.runs)
    old = made.directory(tmp_path / "a", [calm])
    new = made.directory(tmp_path / "b", [replace(busy, runs=runs)])

    text = cnnbench_cli("compare", old, new, "--threshold", "latency=80%").stdout
    data = json.loads(cnnbench_cli("compare", old, new, "--json").stdout)

    assert "10.0 ms*" in cnnbench_cli("report", new).stdout
    assert "10.0 ms*  10.0 ms*" in text
    assert "20.0 ms" not in text
    assert "1 row disturbed" in text
    assert "1 spec: 1 unchanged" in text
    (latency,) = [one for one in data if one["metric"] == "latency"]
    assert (latency["old"], latency["new"]) == (0.01, 0.02)


def test_a_latency_by_the_clock_beside_a_disturbed_one_says_so(cnnbench_cli, tmp_path) -> None:
    busy = waiting(made.EAGER, 0.5)
    runs = tuple(replace(run, ensemble=f"later{run.round}") for run in busy.runs)
    old = made.directory(tmp_path / "a", [waiting(made.EAGER, 0.0)])
    new = made.directory(tmp_path / "b", [replace(busy, runs=runs)])

    text = cnnbench_cli("compare", old, new).stdout

    assert "20.0 ms" in text
    assert "1 row disturbed: latencies by the clock" in text
