"""What a shell is offered where a value is typed, asked for as a shell asks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cnnbench import catalogue, metrics
from cnnbench.cli import COMMANDS, main
from cnnbench.spec import WORDS

ROOT = Path(__file__).resolve().parents[2]


def offered(line: str) -> list[str]:
    """What bash is offered for the last word of a line."""
    words = line.split(" ")
    asked = {
        "_CNNBENCH_COMPLETE": "bash_complete", "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }  # fmt: skip
    done = CliRunner().invoke(main, [], env=asked, prog_name="cnnbench")
    assert done.exit_code == 0, done.output
    return [one.partition(",")[2] for one in done.stdout.splitlines()]


NAMES = [row.name for row in catalogue.entries()]


@pytest.mark.parametrize("command", ["run", "cost", "list", "profile", "advise", "conv"])
def test_models_are_offered_where_words_are_models(cnnbench_cli, command: str) -> None:
    del cnnbench_cli
    found = offered(f"cnnbench {command} vgg1")

    assert found == [name for name in NAMES if name.startswith("vgg1")]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("cnnbench run --models lenet,resnet1", "lenet,resnet18"),
        ("cnnbench ab main HEAD --models len", "lenet"),
        ("cnnbench baseline save --models len", "lenet"),
        ("cnnbench conv --from-model len", "lenet"),
        ("cnnbench run tag:mob", "tag:mobile"),
        ("cnnbench run family:VG", "family:VGG"),
        ("cnnbench run qui", "quick"),
        ("cnnbench run --modes eager,chan", "eager,channels_last"),
        ("cnnbench run --modes compile+chan", "compile+channels_last"),
        ("cnnbench run --modes al", "all"),
        ("cnnbench profile lenet --mode amp", "amp=bf16"),
        ("cnnbench run --phase tr", "training"),
        ("cnnbench run --device cu", "cuda"),
        ("cnnbench cost lenet --format mark", "markdown"),
        ("cnnbench report run --format ht", "html"),
        ("cnnbench report run --sort lat", "latency"),
        ("cnnbench report run --sort model,-lat", "model,-latency"),
        ("cnnbench report run --columns model,top", "model,top1"),
        ("cnnbench report run --group-by fam", "family"),
        ("cnnbench report run --pivot mo", "mode"),
        ("cnnbench report run --pivot mode --metric peak", "peak_memory"),
        ("cnnbench history runs --metric peak", "peak_memory"),
        ("cnnbench list --columns name,ta", "name,tag"),
        ("cnnbench list --sort ma", "macs"),
    ],
)
def test_a_value_is_offered(cnnbench_cli, line: str, found: str) -> None:
    del cnnbench_cli

    assert found in offered(line)


def test_all_modes_and_metrics_are_offered(cnnbench_cli) -> None:
    del cnnbench_cli

    assert offered("cnnbench run --modes ") == ["all", "deploy", *(word.text for word in WORDS)]
    assert offered("cnnbench report run --metric ") == [one.name for one in metrics.METRICS]


@pytest.mark.parametrize(
    "command", ["report", "compare", "check --baseline x", "history", "export"]
)
def test_run_directories_are_offered_here_and_in_results(
    cnnbench_cli, fake_run, tmp_path, command: str
) -> None:
    del cnnbench_cli, fake_run
    (tmp_path / "other").mkdir()
    (tmp_path / "results").mkdir()
    (tmp_path / "run").rename(tmp_path / "results" / "first")

    assert offered(f"cnnbench {command} ") == ["results/first"]
    assert offered(f"cnnbench {command} results/f") == ["results/first"]
    assert offered(f"cnnbench {command} oth") == ["other/"]
    assert offered(f"cnnbench {command} nowhere/") == [""]


def test_commands_are_offered_with_their_line_and_options_too(cnnbench_cli) -> None:
    del cnnbench_cli

    assert offered("cnnbench ") == [*COMMANDS]
    assert offered("cnnbench re") == ["report"]
    assert "--models" in offered("cnnbench run --m")
    assert "--model" not in offered("cnnbench run --m")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_line_of_the_documentation_prints_a_script(shell: str) -> None:
    told = (ROOT / "docs" / "commands.md").read_text(encoding="utf8")
    if shell == "bash" and not Path("/bin/bash").exists():
        pytest.skip("click asks bash which version it is")

    done = CliRunner().invoke(
        main, [], env={"_CNNBENCH_COMPLETE": f"{shell}_source"}, prog_name="cnnbench"
    )

    assert f"_CNNBENCH_COMPLETE={shell}_source cnnbench" in told
    assert (done.exit_code, "complete" in done.stdout) == (0, True)


@pytest.mark.parametrize(
    "line", ["cnnbench run res", "cnnbench report x --sort la", "cnnbench cost --mode ea"]
)
def test_completing_imports_nothing_heavy(tmp_path, line: str) -> None:
    code = """
import atexit, sys
from cnnbench.cli import main
heavy = {"torch", "pandas", "numpy", "bokeh"}
atexit.register(lambda: print("heavy:", sorted(heavy & set(sys.modules))))
main([], prog_name="cnnbench")
"""
    asked = {
        "PYTHONPATH": str(ROOT), "_CNNBENCH_COMPLETE": "bash_complete", "COMP_WORDS": line,
        "COMP_CWORD": str(line.count(" ")),
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=os.environ | asked,
                          capture_output=True, text=True, timeout=300, check=True)  # fmt: skip

    assert done.stdout.endswith("heavy: []\n")
    assert len(done.stdout.splitlines()) > 1
