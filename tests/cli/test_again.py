"""The command that was typed, with what is most likely to give an answer."""

from __future__ import annotations

import json
import random
import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from cnnbench.cli import again, main
from cnnbench.runner.fake import Fake, FakeWorker
from tests.made import flat

if TYPE_CHECKING:
    from pathlib import Path

    from cnnbench.slices import Slice


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are kept below the current directory."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretended workers whose threads wait for half of the time, if there are several."""
    calm = FakeWorker._slice

    def waits(self: FakeWorker, turn: int) -> Slice:
        found, several = calm(self, turn), self._spec.threads > 1
        factor = random.Random(f"{self._who.label}{self._measured.round}").uniform(1, 2)
        ns = tuple(round(one * (factor if several else 1)) for one in found.ns)
        return replace(found, ns=ns, cpu_ns=sum(ns), run_delay_ns=sum(ns) // 2 * several,
                       threads_delay_ns=sum(ns) * several)  # fmt: skip

    monkeypatch.setattr(FakeWorker, "_slice", waits)


def call(*words: str) -> click.testing.Result:
    return CliRunner().invoke(main, ["ab", "lenet", "lenet", "--executor", "fake", *words])


@pytest.mark.usefixtures("crowded")
def test_by_default_one_thread_answers_where_several_wait(monkeypatch) -> None:
    monkeypatch.setattr("cnnbench.machine.usable_cores", lambda: 2)
    result = call()

    assert result.exit_code == 0, result.output
    assert "1 unchanged" in result.output
    assert "its 2 threads waited for cores for 50.0 % of the time, so one thread" in flat(
        result.output
    )
    assert "going on with one thread on one core" in result.output


@pytest.mark.usefixtures("crowded")
def test_threads_that_were_asked_for_stay_and_the_remedy_names_one() -> None:
    result = call("--threads=2", "--json", "--out", "kept", "--strict")

    assert result.exit_code == 4
    (row,) = (one for one in json.loads(result.stdout) if one["metric"] == "latency")
    assert (row["verdict"], row["cause"], row["threads"]) == ("inconclusive", "waiting", 2)
    words = "cnnbench ab lenet lenet --executor fake --json --strict --threads 1"
    assert row["remedy"] == words
    retried = CliRunner().invoke(main, shlex.split(words)[1:])
    assert retried.exit_code == 0, retried.output


def test_the_remedy_of_a_noisy_comparison_can_be_pasted(monkeypatch) -> None:
    noisy = Fake.__init__

    def shaken(self: Fake, label: str = "", slowdown: float = 0.0, noise: float = 0.3) -> None:
        noisy(self, label, slowdown, noise)

    monkeypatch.setattr(Fake, "__init__", shaken)
    result = call("--threads", "1", "--threshold", "5%", "--strict")

    assert result.exit_code == 4, result.output
    said = flat(result.output)
    remedy = re.search(r"most likely to give an answer: (cnnbench ab .*?--\w+ \d+[\w.%]*)", said)
    assert remedy is not None, said
    assert "--executor fake" in remedy[1]
    retried = CliRunner().invoke(main, shlex.split(remedy[1])[1:])
    assert retried.exit_code in {0, 4}, retried.output


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["a", "--budget", "4s", "b"], ["a", "b"]),
        (["a", "--budget=4s", "--budget", "5s"], ["a"]),
        (["a", "--wait", "10m"], ["a", "--wait", "10m"]),
    ],
)
def test_an_option_and_its_value_are_taken_out(words: list[str], left: list[str]) -> None:
    command = main.get_command(click.Context(main), "ab")
    assert command is not None
    (budget,) = (one for one in command.params if one.name == "budget")

    assert again._without(words, budget) == left


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["--wait", "5m", "a"], ["a"]),
        (["a", "--wait", "--json"], ["a", "--json"]),
        (["a", "--wait"], ["a"]),
    ],
)
def test_an_option_that_need_not_have_a_value(words: list[str], left: list[str]) -> None:
    command = main.get_command(click.Context(main), "ab")
    assert command is not None
    (wait,) = (one for one in command.params if one.name == "wait")

    assert again._without(words, wait) == left
