from __future__ import annotations

import json

import pytest

from cnnbench.cli.baseline import command
from tests import made


@pytest.fixture
def run(tmp_path, eager, twice_as_fast):
    return made.directory(tmp_path / "run", [eager, twice_as_fast])


def test_save_and_show(cnnbench_cli, run) -> None:
    saved = cnnbench_cli("baseline", "save", run, "-o", "b/baseline.json")
    shown = cnnbench_cli("baseline", "show", "b/baseline.json")

    assert (saved.exit_code, shown.exit_code) == (0, 0)
    assert "2 specs, 1 session" in saved.stderr
    assert "A Processor, 2 cores, torch 2.0, Python 3.11.0" in shown.stdout
    assert "5.00 ms" in shown.stdout


def test_show_as_json(cnnbench_cli, run) -> None:
    cnnbench_cli("baseline", "save", run)

    data = json.loads(cnnbench_cli("baseline", "show", "baseline.json", "--json").stdout)

    assert set(data["specs"]) == {made.EAGER, made.CHANNELS_LAST}


def test_what_is_there_is_not_overwritten_by_chance(cnnbench_cli, run) -> None:
    cnnbench_cli("baseline", "save", run)

    again = cnnbench_cli("baseline", "save", run)

    assert (again.exit_code, again.stderr.count("\n")) == (2, 1)
    assert "baseline update" in again.stderr
    assert cnnbench_cli("baseline", "save", run, "--force").exit_code == 0


def test_update_joins_sessions(cnnbench_cli, run, eager) -> None:
    cnnbench_cli("baseline", "save", run)
    other = made.directory(run.parent / "other", [eager])

    done = cnnbench_cli("baseline", "update", "baseline.json", other)

    assert (done.exit_code, "2 specs, 2 sessions" in done.stderr) == (0, True)
    data = json.loads(cnnbench_cli("baseline", "show", "baseline.json", "--json").stdout)
    assert len(data["specs"][made.EAGER]["rounds"]) == 6
    assert len(data["specs"][made.CHANNELS_LAST]["rounds"]) == 3


def test_update_with_replace_starts_anew(cnnbench_cli, run, eager) -> None:
    cnnbench_cli("baseline", "save", run)
    other = made.directory(run.parent / "other", [eager])

    cnnbench_cli("baseline", "update", "baseline.json", other, "--replace")

    data = json.loads(cnnbench_cli("baseline", "show", "baseline.json", "--json").stdout)
    assert len(data["specs"][made.EAGER]["rounds"]) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["save"], "needs either a run or --models"),
        (["save", "run", "--models", "lenet"], "needs either a run or --models"),
        (["save", "--models", "lenett"], "did you mean lenet"),
        (["save", "gone"], "gone is not a cnnbench run"),
        (["show", "gone.json"], "gone.json: No such file"),
        (["show", "run/manifest.json"], "not a baseline file; make one with"),
        (["update", "gone.json", "run"], "gone.json: No such file"),
    ],
)
def test_bad_input_is_one_line(cnnbench_cli, run, words, message) -> None:
    done = cnnbench_cli("baseline", *words)

    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr


def test_structure_alone_needs_no_run(cnnbench_cli, tmp_path) -> None:
    words = ["--models", "lenet,alexnet", "--device", "cpu", "--threads", "1"]
    saved = cnnbench_cli("baseline", "save", *words, "--executor", "fake")

    check = ["check", "--baseline", "baseline.json", "--structure-only", "--executor", "fake"]
    checked = cnnbench_cli(*check, "-t", "cost=0")

    assert (saved.exit_code, checked.exit_code) == (0, 0)
    assert "2 specs: 2 unchanged" in checked.stdout
    entry = json.loads((tmp_path / "baseline.json").read_text())["specs"]
    assert set(entry["lenet/inference-b1-3x32x32/eager/cpu-t1"]) == {
        "cost", "memory", "structure", "values",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["save", "show", "update"])
def test_every_subcommand_can_show_a_traceback(name: str) -> None:
    assert "debug" in {one.name for one in command.commands[name].params}


def structure(cnnbench_cli, models: str) -> None:
    words = ["--models", models, "--device", "cpu", "--threads", "1", "-o", "s.json"]
    assert cnnbench_cli("baseline", "save", *words, "--executor", "fake").exit_code == 0


def names(tmp_path, file: str = "s.json") -> list[str]:
    return [name.partition("/")[0] for name in json.loads((tmp_path / file).read_text())["specs"]]


def test_update_without_a_run_renews(cnnbench_cli, tmp_path) -> None:
    structure(cnnbench_cli, "lenet")
    before = (tmp_path / "s.json").read_text()
    (tmp_path / "s.json").write_text(before.replace('"params": ', '"params": 1'))
    check = ["check", "--baseline", "s.json", "--structure-only", "--executor", "fake"]
    assert cnnbench_cli(*check).exit_code == 1

    done = cnnbench_cli("baseline", "update", "s.json", "--executor", "fake")

    assert (done.exit_code, cnnbench_cli(*check).exit_code) == (0, 0)


def test_update_adds_models(cnnbench_cli, tmp_path) -> None:
    structure(cnnbench_cli, "lenet")
    words = ["--models", "alexnet", "--device", "cpu", "--threads", "1", "--executor", "fake"]

    done = cnnbench_cli("baseline", "update", "s.json", *words)

    assert (done.exit_code, names(tmp_path)) == (0, ["alexnet", "lenet"])


def test_update_renames_and_removes(cnnbench_cli, tmp_path, run, eager) -> None:
    cnnbench_cli("baseline", "save", run, "-o", "s.json")
    before = json.loads((tmp_path / "s.json").read_text())["specs"]

    done = cnnbench_cli("baseline", "update", "s.json", "--rename", "lenet=lenet5")

    after = json.loads((tmp_path / "s.json").read_text())["specs"]
    assert (done.exit_code, {*after}) == (0, {name.replace("lenet", "lenet5") for name in before})
    assert [*after.values()] == [*before.values()]
    gone = cnnbench_cli("baseline", "update", "s.json", "--remove", made.CHANNELS_LAST.replace(
        "lenet", "lenet5"))  # fmt: skip
    assert (gone.exit_code, len(names(tmp_path))) == (0, 1)


def test_a_baseline_file_of_the_first_schema_is_read(cnnbench_cli, tmp_path) -> None:
    structure(cnnbench_cli, "lenet")
    data = json.loads((tmp_path / "s.json").read_text()) | {"schema": 1}
    for entry in data["specs"].values():
        del entry["values"]
    (tmp_path / "s.json").write_text(json.dumps(data))
    check = ["check", "--baseline", "s.json", "--structure-only", "--executor", "fake"]

    told = made.flat(cnnbench_cli(*check).stdout)

    assert "trust, this adds them: cnnbench baseline update s.json" in told
    assert cnnbench_cli("baseline", "update", "s.json", "--executor", "fake").exit_code == 0
    assert "kept before" not in made.flat(cnnbench_cli(*check).stdout)


def test_other_networks_of_another_machine_do_not_replace_times(cnnbench_cli, run) -> None:
    cnnbench_cli("baseline", "save", run, "-o", "s.json")

    done = cnnbench_cli("baseline", "update", "s.json", "--executor", "fake")

    assert (done.exit_code, "--replace" in done.stderr) == (5, True)
