"""``--explain`` and ``cnnbench explain`` through the command line, with made-up numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cnnbench.errors import WorkerRaised
from cnnbench.runner.fake import FakeWorker
from tests import made

if TYPE_CHECKING:
    from click.testing import Result

SPEC = "lenet/inference-b1-3x32x32/eager/cpu-t1"
SLOWER = ("--fake-slowdown", "0.1")


@pytest.fixture
def ab(cnnbench_cli: Callable[..., Result]) -> Callable[..., Result]:
    """``cnnbench ab`` of lenet with made-up numbers, kept in ``o``."""
    words = ("--executor", "fake", "--threads", "1", "--models", "lenet", "--out", "o")
    return lambda *more: cnnbench_cli("ab", "eager", "eager", *words, *more)


def test_a_confirmed_regression_is_explained_by_itself(ab) -> None:
    result = ab(*SLOWER)

    assert result.exit_code == 1
    assert "\n  conv +6" in result.stdout
    assert "same operators and kernels" in result.stdout
    assert "more: cnnbench explain o" in result.stdout
    assert f"cnnbench: {SPEC}: explaining, pair 1" in result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_it_can_be_forbidden(ab) -> None:
    result = ab(*SLOWER, "--no-explain")

    assert result.exit_code == 1
    assert "explain" not in result.stdout + result.stderr
    assert not Path("o/explanations.json").exists()


def test_what_is_unchanged_is_explained_only_where_asked_and_names_nothing(ab) -> None:
    result = ab("--explain")

    assert result.exit_code == 0, result.stderr
    (found,) = json.loads(Path("o/explanations.json").read_text())["explanations"]
    assert (found["named"], found["parts"], found["pairs"]) == ([], 5, 10)
    assert found["spec"] == SPEC


def test_it_stands_in_json_and_in_the_comment(ab) -> None:
    result = ab(*SLOWER, "--json", "--markdown", "ab.md", "--junit", "ab.xml")

    (row,) = (row for row in json.loads(result.stdout) if row["metric"] == "latency")
    assert row["explanation"].startswith("conv +")
    comment = Path("ab.md").read_text()
    assert "**Where the time went**" in comment
    assert "| conv " in comment
    assert "conv +" in Path("ab.xml").read_text()


def test_all_of_it_is_shown_by_a_command_of_its_own(ab, cnnbench_cli) -> None:
    ab(*SLOWER)
    text, data = cnnbench_cli("explain", "o"), cnnbench_cli("explain", "o", "--json")

    assert (text.exit_code, data.exit_code) == (0, 0)
    assert "the intervals hold for all of them together" in made.flat(text.stdout)
    assert "not named" in text.stdout
    (found,) = json.loads(data.stdout)
    assert [one["name"] for one in found["named"]] == ["conv"]
    assert found["named"][0]["change"]["low"] > 0


def test_a_directory_without_an_explanation_is_refused_with_the_remedy(ab, cnnbench_cli) -> None:
    ab()
    result = cnnbench_cli("explain", "o")

    assert result.exit_code == 2
    assert "o has no explanations.json; 'cnnbench ab --explain' writes it" in result.stderr


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"explanations": [{"spec": 1}]}', "\x00"])
def test_a_broken_file_is_one_clear_line(cnnbench_cli, tmp_path: Path, text: str) -> None:
    (tmp_path / "explanations.json").write_text(text)
    result = cnnbench_cli("explain", tmp_path)

    assert result.exit_code == 2
    assert "explanations.json" in result.stderr
    assert "Traceback" not in result.stderr


def test_compiled_code_says_that_its_modules_cannot_be_told(cnnbench_cli) -> None:
    result = cnnbench_cli(
        "ab", "eager", "compile", "--executor", "fake", "--threads", "1", "--models", "lenet",
        "--explain",
    )  # fmt: skip

    assert result.exit_code == 0, result.stderr
    assert "not explained: modules cannot be timed: mode compile" in made.flat(result.stdout)


def test_a_side_that_has_no_clocks_leaves_the_verdict_as_it_is(ab, monkeypatch) -> None:
    ask = FakeWorker.ask

    def older(self, message, timeout):
        if message.get("task") in {"clock_modules", "module_facts"}:
            raise WorkerRaised("no task 'clock_modules' (is this worker of another revision?)")
        return ask(self, message, timeout)

    monkeypatch.setattr(FakeWorker, "ask", older)
    result = ab(*SLOWER)

    assert result.exit_code == 1
    assert "not explained: modules cannot be timed: no task 'clock_modules'" in made.flat(
        result.stdout
    )


def test_a_stored_run_cannot_be_explained(cnnbench_cli) -> None:
    result = cnnbench_cli("check", "--baseline", "base", "--explain", "--structure-only")
    stored = cnnbench_cli("check", "--baseline", "base", "--explain", "run")

    assert (result.exit_code, stored.exit_code) == (2, 2)
    assert "--structure-only times nothing" in result.stderr
    assert "run is measured already; drop --explain" in stored.stderr
