from __future__ import annotations

import json
from pathlib import Path

import pytest

HEAD = '{"cnnbench_operators": 1, "environment": {"hard": {}}}'
FAKE = ("predict", "--executor", "fake", "--threads", "1", "--quiet")


@pytest.fixture
def table(cnnbench_cli) -> Path:
    """The table of the pretended machine, after a first prediction."""
    assert cnnbench_cli(*FAKE, "lenet").exit_code == 0
    (found,) = Path("results/operators").iterdir()
    return found


def _rows(result) -> list[dict]:
    return json.loads(result.stdout)["rows"]


def test_a_row_has_a_latency_within_its_interval(cnnbench_cli) -> None:
    result = cnnbench_cli(*FAKE, "lenet", "resnet18", "--json")

    assert result.exit_code == 0, result.output
    for row, name in zip(_rows(result), ("lenet", "resnet18"), strict=True):
        assert row["spec"].startswith(f"{name}/inference-b1-")
        found = row["prediction"]
        assert 0 < found["low"] < found["seconds"] < found["high"]


def test_the_table_says_what_the_model_was_fitted_on_and_where_it_is_kept(cnnbench_cli) -> None:
    text = cnnbench_cli(*FAKE, "lenet", "--wide").stdout

    assert "FAKE EXECUTOR" in text
    assert "eager, batch 1, 1 thread: predicted, not measured" in text
    assert "fitted on 12 measured networks of 12 families" in text
    assert "timed for this: 26 operators, and 12 networks to fit on" in text
    assert "kept in results/operators/" in text


def test_what_was_timed_is_not_timed_again(cnnbench_cli, table: Path) -> None:
    before = table.read_bytes()

    again = json.loads(cnnbench_cli(*FAKE, "lenet", "--json").stdout)
    other = json.loads(cnnbench_cli(*FAKE, "lenet", "--batch", "4", "--json").stdout)

    assert (again["operators"], again["networks"]) == (0, 0)
    assert (other["operators"], other["networks"]) == (2, 0)
    assert table.read_bytes().startswith(before)


def test_what_if_it_had_another_size_or_other_arguments(cnnbench_cli, table: Path) -> None:
    sized = _rows(cnnbench_cli(*FAKE, "lenet", "--size", "64", "--json"))
    wide = _rows(cnnbench_cli(*FAKE, "mobilenet_v2", "--model-arg", "width_mult=0.5", "--json"))
    known = cnnbench_cli(*FAKE, "lenet", "--size", "64", "--batch", "2", "--table", table)

    assert "-b1-3x64x64/" in sized[0]["spec"]
    assert wide[0]["spec"].startswith("mobilenet_v2?width_mult=0.5/")
    assert all(row["prediction"]["seconds"] > 0 for row in (*sized, *wide))
    assert known.exit_code == 0, known.output


def test_another_mode_is_fitted_by_itself(cnnbench_cli, table: Path) -> None:
    found = json.loads(cnnbench_cli(*FAKE, "lenet", "--mode", "channels_last", "--json").stdout)

    assert found["networks"] == 12
    assert all("/channels_last/" in name for name in found["fitted"]["errors"])


@pytest.mark.parametrize("mode", ["amp", "compile", "channels_last+bf16"])
def test_other_modes_are_refused_in_a_line(cnnbench_cli, mode: str) -> None:
    result = cnnbench_cli(*FAKE, "lenet", "--mode", mode)

    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert "is not predicted, because other operators run in it" in result.stderr


def test_a_table_predicts_alone_and_says_whose_it_is(cnnbench_cli, table: Path, tmp_path) -> None:
    lines = table.read_text(encoding="utf8").splitlines()
    head = json.loads(lines[0])
    head["environment"]["hard"] = {"cpu": "Another Processor", "cores_usable": 4}
    other = tmp_path / "other.jsonl"
    other.write_text("\n".join([json.dumps(head), *lines[1:]]), encoding="utf8")
    before = other.read_bytes()

    result = cnnbench_cli(*FAKE, "lenet", "vgg16", "--table", other, "--wide")

    assert result.exit_code == 0, result.output
    assert "Another Processor, 4 cores" in result.stdout
    assert "which is not this environment" in result.stdout
    # One operator of vgg16 is not in the table.
    assert "vgg16: operators that were not timed widen the interval" in result.stdout
    assert other.read_bytes() == before


def test_a_table_of_another_machine_is_not_added_to(cnnbench_cli, table: Path) -> None:
    lines = table.read_text(encoding="utf8").splitlines()
    head = json.loads(lines[0])
    head["environment"]["hard"] |= {"cpu": "Another Processor"}
    # Without its last line's end, which a writer would complete.
    table.write_text("\n".join([json.dumps(head), *lines[1:]]), encoding="utf8")
    before = table.read_bytes()

    for words in ((*FAKE, "lenet"), ("choose", "--under", "20ms", "--from", "resnet18", *FAKE[1:])):
        result = cnnbench_cli(*words)
        assert (result.exit_code, result.stdout) == (2, "")
        assert (
            f"cnnbench: {table}: timed in another environment (cpu); move it away, and predict from"
            " it by --table\n"
        ) in result.stderr
    assert table.read_bytes() == before

    moved = table.rename("moved.jsonl")
    assert cnnbench_cli(*FAKE, "lenet", "--table", moved).exit_code == 0


def test_lines_that_were_skipped_are_said_in_a_quiet_command_too(cnnbench_cli, table) -> None:
    cut = table.with_name("cut.jsonl")
    cut.write_text(table.read_text(encoding="utf8")[:-40], encoding="utf8")

    result = cnnbench_cli(*FAKE, "lenet", "--table", cut)

    assert "--quiet" in FAKE
    assert result.stderr.count("incomplete line skipped") == 1


def test_a_table_of_other_threads_predicts_nothing_and_says_why(cnnbench_cli, table: Path) -> None:
    result = cnnbench_cli(*FAKE[:-2], "2", "lenet", "--table", table, "--quiet")

    assert result.exit_code == 3
    assert "networks of 0 families are measured, and a prediction needs 4" in _joined(result)
    assert "1 of 1 network is not predicted" in result.stderr


def _joined(result) -> str:
    return " ".join(result.stdout.split())


def test_what_cannot_be_traced_is_a_row_beside_the_others(cnnbench_cli) -> None:
    result = cnnbench_cli(*FAKE, "lenet,fake:raises", "--json")

    good, bad = _rows(result)
    assert result.exit_code == 3
    assert good["prediction"] is not None
    assert "prediction" not in bad
    assert "ValueError: made up" in bad["why"]
    assert "1 of 2 networks are not predicted" in result.stderr


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "no operator table"),
        ('{"cnnbench_operators": 2}', "schema 2 is not known to this version"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_table_is_refused_in_a_line(
    cnnbench_cli, tmp_path: Path, text: str, part: str
) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(text)

    result = cnnbench_cli(*FAKE, "lenet", "--table", path)

    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert part in result.stderr


def test_a_directory_that_cannot_be_written_to_is_said(cnnbench_cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    result = cnnbench_cli(*FAKE, "lenet", "--tables", tmp_path / "file" / "tables")

    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
