"""Processes that are no workers: their answer, and every way in which there is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cnnbench.errors import WorkerDied, WorkerTimeout
from cnnbench.runner import first_answer
from cnnbench.runner.origin import Origin

ANSWERS = """
import json, sys, time
from pathlib import Path
assert int(sys.argv[2]) <= time.monotonic_ns()
print("networks may print")
Path(sys.argv[1]).with_name("answer.json").write_text(json.dumps({"first_ns": 7}))
"""


def answer(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float = 60.0):
    path, order = tmp_path / "script.py", tmp_path / "order.json"
    path.write_text(script)
    order.write_text(json.dumps({}))
    monkeypatch.setattr(first_answer, "_SCRIPT", path)
    return first_answer.first_answer(Origin(), tmp_path, str(order), seconds)


def test_what_the_process_has_written_is_the_answer(tmp_path, monkeypatch, capfd) -> None:
    assert answer(ANSWERS, tmp_path, monkeypatch) == {"first_ns": 7}
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("raise ImportError('no such library')", "no first answer: ImportError: no such library"),
        ("raise SystemExit(3)", "no first answer: exited with status 3"),
        ("raise SystemExit", "no first answer: exited with status 0 without an answer"),
        ("import os; os.kill(os.getpid(), 9)", "no first answer: was killed by SIGKILL"),
    ],
)
def test_a_process_that_ends_without_one_says_why_in_a_line(
    tmp_path, monkeypatch, script: str, said: str
) -> None:
    (tmp_path / "answer.json").write_text('{"first_ns": 7}')  # of the process before it
    with pytest.raises(WorkerDied, match=said):
        answer(script, tmp_path, monkeypatch)


def test_one_that_does_not_end_is_killed(tmp_path, monkeypatch) -> None:
    with pytest.raises(WorkerTimeout, match=r"no first answer within 0\.2 s; raise --timeout"):
        answer("import time; time.sleep(600)", tmp_path, monkeypatch, 0.2)
