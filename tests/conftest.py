"""Fixtures by meaning. Nothing here imports torch."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from hypothesis import settings

import cnnbench
from cnnbench.cli import main
from cnnbench.facts import Check
from tests import made

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    from cnnbench.api import Results
    from cnnbench.record import Record

ROOT = Path(__file__).resolve().parents[1]

# Tests of the torch side: they import torch as they are collected. Single tests elsewhere that need
# it are marked where they stand; without torch, neither kind runs.
TORCH_SIDE = (
    "analysis",
    "architectures",
    "faults",
    "implementations",
    "pretended",
    "worker",
    "test_inprocess.py",
)
TORCH_INSTALLED = importlib.util.find_spec("torch") is not None
collect_ignore = [] if TORCH_INSTALLED else list(TORCH_SIDE)

# A shared machine stalls now and then; how long an example takes says nothing about it.
settings.register_profile("cnnbench", deadline=None, max_examples=60)
settings.load_profile("cnnbench")


# What a shell starts in the background is born deaf to Ctrl-C, and so is all that it starts; tests
# that press Ctrl-C need processes that hear it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--overwrite", action="store_true", help="write tests/golden/ anew")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.relative_to(ROOT / "tests").parts[0] in TORCH_SIDE:
            item.add_marker(pytest.mark.torch)
        if not TORCH_INSTALLED and item.get_closest_marker("torch"):
            item.add_marker(pytest.mark.skip(reason="needs torch"))


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with a file of tests/golden/, or write that with --overwrite."""

    def compare(name: str, text: str) -> None:
        path = ROOT / "tests" / "golden" / name
        if request.config.getoption("--overwrite"):
            path.write_bytes(text.encode())
        assert text == path.read_bytes().decode()

    return compare


@pytest.fixture
def cnnbench_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command line in this process, in an empty directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)

    def call(*words: str | Path) -> Result:
        return CliRunner().invoke(main, [str(word) for word in words])

    return call


@dataclass(frozen=True)
class Finished:
    """A process that has ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def cnnbench_process(tmp_path: Path) -> Callable[..., Finished]:
    """The command line, or other Python code, in a process of its own."""

    def call(*words: str | Path, code: str | None = None) -> Finished:
        how = ["-m", "cnnbench"] if code is None else ["-c", code]
        done = subprocess.run(
            [sys.executable, *how, *map(str, words)],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def fake_run(tmp_path: Path) -> Results:
    """Two networks in two modes and two batches, by the executor that pretends."""
    return cnnbench.run(
        "lenet,alexnet", "eager,channels_last", batch=(1, 8), threads=2, out=tmp_path / "run",
        executor="fake",
    )  # fmt: skip


@pytest.fixture
def eager() -> Record:
    """The baseline: 10 ms in every slice of three rounds."""
    return made.record(made.EAGER, [[10, 10, 10]] * 3)


@pytest.fixture
def same() -> Record:
    """As fast as the baseline, measured beside it."""
    return made.record(made.CHANNELS_LAST, [[10, 10, 10]] * 3)


@pytest.fixture
def twice_as_fast() -> Record:
    """Half the baseline's time, measured beside it."""
    return made.record(made.CHANNELS_LAST, [[5, 5, 5]] * 3)


@pytest.fixture
def noisy() -> Record:
    """Twice as fast on average, but every round says something else."""
    return made.record(made.CHANNELS_LAST, [[2.5] * 3, [5] * 3, [10] * 3])


@pytest.fixture
def elsewhere() -> Record:
    """Half the baseline's time, but measured at another moment."""
    return made.record(made.CHANNELS_LAST, [[5, 5, 5]] * 3, ensemble="other")


@pytest.fixture
def failed() -> Record:
    """Raised in its first call."""
    return made.failed(made.BF16)


@pytest.fixture
def wrong() -> Record:
    """Fast, and its output is wrong."""
    check = Check("wrong", 0.5, 0.5, 0.25, "relative error 0.5")
    return made.record(made.BF16, [[1, 1, 1]] * 3, check=check)
