from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cnnbench import store
from cnnbench.cli.signals import heard

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def started(folder: Path, *words: str, before: str = "") -> subprocess.Popen[bytes]:
    (folder / "tmp").mkdir(exist_ok=True)
    # Whoever runs the tests under nohup has them ignore SIGHUP.
    before = before or "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)"
    code = f"{before}\nfrom cnnbench.cli import main; main({list(words)!r}, prog_name='cnnbench')"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "tmp")},
    )  # fmt: skip


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


# Much for the executor that pretends: it is at work for a long time.
MUCH = ("run", "--models", "lenet,alexnet", "--executor", "fake", "--quiet", "--batch",
        ",".join(map(str, range(1, 200))), "--out", "run")  # fmt: skip


@pytest.mark.parametrize("sent", SIGNALS, ids=lambda one: one.name)
def test_a_signal_keeps_what_was_measured_and_says_how_to_go_on(tmp_path: Path, sent: int) -> None:
    process = started(tmp_path, *MUCH)
    records = tmp_path / "run" / store.RECORDS
    wait_for(lambda: records.exists() and records.stat().st_size)
    process.send_signal(sent)
    _, said = process.communicate(timeout=60)

    assert process.returncode == 128 + sent
    assert said.decode().splitlines()[-1] == (
        "cnnbench: interrupted; continue with: cnnbench run --resume run"
    )
    assert store.read(tmp_path / "run").records
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_second_signal_does_not_break_the_clearing_up(tmp_path: Path) -> None:
    process = started(tmp_path, *MUCH)
    wait_for((tmp_path / "run" / store.RECORDS).exists)
    for sent in (signal.SIGTERM, signal.SIGHUP, signal.SIGTERM):
        process.send_signal(sent)
        time.sleep(0.002)
    process.communicate(timeout=60)

    assert process.returncode in {128 + signal.SIGTERM, 128 + signal.SIGHUP}
    assert list((tmp_path / "tmp").iterdir()) == []


def test_what_nohup_ignores_stays_ignored(tmp_path: Path) -> None:
    before = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    process = started(tmp_path, *MUCH[:7], "1,2", *MUCH[8:], before=before)
    wait_for((tmp_path / "run" / store.MANIFEST).exists)
    process.send_signal(signal.SIGHUP)
    _, said = process.communicate(timeout=60)

    assert process.returncode == 0, said


def test_handlers_of_others_are_left_alone() -> None:
    def theirs(*_: object) -> None: ...

    before = signal.signal(signal.SIGTERM, theirs)
    hangup = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with heard() as found:
            assert signal.getsignal(signal.SIGTERM) is theirs
            assert signal.getsignal(signal.SIGHUP) == found.interrupt
        assert signal.getsignal(signal.SIGTERM) is theirs
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGHUP, hangup)
