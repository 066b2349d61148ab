"""A figure on the command line: with its unit, and to the option that takes it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from cnnbench.cli.parameters import Accuracy, Bytes, Quantity
from tests import made


@pytest.fixture
def run(monkeypatch, tmp_path) -> str:
    monkeypatch.chdir(tmp_path)
    made.directory(Path("kept"), [made.record(made.EAGER, [[7.0] * 3] * 3)])
    return "kept"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("report kept --under 200MB", "'200MB' is an amount of memory; give it as --memory"),
        ("report kept --memory 20ms", "'20ms' is a time; give it as --under 20ms"),
        ("report kept --top1 20ms", "'20ms' is a time; give it as --under 20ms"),
        ("report kept --top1 512M", "'512M' is an amount of memory; give it as --memory"),
        ("report kept --under 75%", "'75%' is a percentage; give it as --top1 75%"),
        ("report kept --memory '75 %'", "'75 %' is a percentage; give it as --top1 75%"),
        ("run lenet --max-latency 200MB", "give it as --memory 200MB"),
        ("run lenet --memory-limit 20ms", "give it as --under 20ms"),
        ("run lenet --budget 2GiB", "give it as --memory 2GiB"),
        ("run lenet --timeout 80%", "give it as --top1 80%"),
        ("max-batch lenet --timeout 2G", "give it as --limit 2G"),
        ("max-batch lenet --limit 20ms", "'20ms' is not a size such as 2G"),
        ("report kept --memory 200", "'200' needs a unit, such as 200MB"),
        ("report kept --under 20", "'20' needs a unit, such as 20ms"),
        ("max-batch lenet --limit 200", "'200' needs a unit, such as 200M"),
        ("run lenet --memory-limit 200", "'200' needs a unit, such as 200M"),
        ("report kept --top1 0.75", "'0.75' is a share; in percent it is 75"),
        ("report kept --top1 175", "'175' is no percentage such as 75"),
        ("report kept --memory much", "'much' is no limit such as 200MB"),
    ],
)
def test_a_figure_without_its_unit_or_for_another_option_is_one_line(
    cnnbench_cli, run, line, said
) -> None:
    refused = cnnbench_cli(*shlex.split(line))

    assert (refused.exit_code, len(refused.stderr.splitlines())) == (2, 1)
    assert said in refused.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        ["--under", "200MB"],
        ["--under", "200M"],
        ["--memory", "20 ms"],
        ["--under", "75%"],
        ["--memory", "200"],
    ],
)
def test_doing_as_told_is_understood(cnnbench_cli, run, wrong) -> None:
    refused = cnnbench_cli("report", run, *wrong).stderr
    told = re.search(r"give it as (--\S+ \S+)|such as (\S+)", refused)

    assert told is not None
    right = (told[1] or f"{wrong[0]} {told[2]}").split()
    assert cnnbench_cli("report", run, *right).exit_code == 0


def test_a_size_is_the_same_wherever_it_is_asked_for() -> None:
    for text in ("200MB", "3MiB", "2GiB", "512B", "512M", "2G", "8K"):
        limit = Quantity("bytes", "SIZE", "200MB").convert(text, None, None)
        assert Bytes().convert(text, None, None) == limit
    assert Bytes().convert("512M", None, None) == 512 << 20
    assert [Accuracy().convert(text, None, None) for text in ("75 %", "75")] == [75, 75]
    with pytest.raises(click.BadParameter, match="no limit such as"):
        Quantity("bytes", "SIZE", "200MB").convert("20ms", None, None)
