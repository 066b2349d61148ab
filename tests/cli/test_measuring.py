"""Ctrl-C, which every command that measures a run answers in the same way."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from cnnbench.cli.measuring import interruptible
from cnnbench.cli.progress import Progress
from cnnbench.errors import Interrupted
from cnnbench.runner.fake import FakeWorker

FAKE = ("--executor", "fake", "--quiet")


def interrupt_at(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    """Ctrl-C when a worker is asked for something."""
    real = FakeWorker.ask

    def ask(self: FakeWorker, message: dict[str, Any], timeout: float) -> Any:
        if wanted in json.dumps(message):
            raise KeyboardInterrupt
        return real(self, message, timeout)

    monkeypatch.setattr(FakeWorker, "ask", ask)


@pytest.mark.parametrize(
    "words",
    [
        ("run", "--models", "lenet"),
        ("conv", "--suite", "smoke"),
        ("advise", "lenet"),
        ("check", "--baseline", "baseline.json"),
    ],
)
def test_ctrl_c_says_how_to_go_on(cnnbench_cli, monkeypatch, words: tuple[str, ...]) -> None:
    if words[0] == "check":
        cnnbench_cli("run", "--models", "lenet", "--out", "old", *FAKE)
        cnnbench_cli("baseline", "save", "old")
    with monkeypatch.context() as patch:
        interrupt_at(patch, '"measure"')
        done = cnnbench_cli(*words, "--out", "here", *FAKE)

    assert done.exit_code == 130, done.output
    assert done.stderr.splitlines()[-1] == (
        "cnnbench: interrupted; continue with: cnnbench run --resume here"
    )
    assert cnnbench_cli("run", "--resume", "here", "--quiet").exit_code == 0


def test_how_to_go_on_says_in_which_state_of_malloc(cnnbench_cli, monkeypatch) -> None:
    words = ("run", "--models", "lenet", "--allocator", "system", "--out", "here", *FAKE)
    with monkeypatch.context() as patch:
        interrupt_at(patch, '"measure"')
        done = cnnbench_cli(*words)

    assert done.stderr.splitlines()[-1] == (
        "cnnbench: interrupted; continue with: cnnbench run --resume here --allocator system"
    )


def test_an_interrupted_resumption_goes_on_with_the_same_command(
    cnnbench_cli, tmp_path, monkeypatch
) -> None:
    words = ("--models", "fake:raises,fake:a,fake:b", *FAKE)
    assert cnnbench_cli("run", *words, "--out", "old one").exit_code == 3
    command = (
        "run",
        "--resume",
        "old one",
        "--retry-failed",
        "--budget",
        "60",
        "--allow",
        "fake:*",
    )
    with monkeypatch.context() as patch:
        interrupt_at(patch, "fake:raises")
        done = cnnbench_cli(*command, "--quiet")

    assert done.exit_code == 130, done.output
    assert done.stderr.splitlines()[-1].rpartition("cnnbench ")[2] == shlex.join(command)


def test_a_run_that_has_not_begun_cannot_be_resumed(tmp_path) -> None:
    with (
        pytest.raises(Interrupted, match=r"^interrupted$"),
        interruptible(Progress(total=1, quiet=True), tmp_path / "run"),
    ):
        raise KeyboardInterrupt
