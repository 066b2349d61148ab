from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cnnbench import scratch

ROOT = Path(__file__).resolve().parents[1]
# A process that makes a scratch directory, says where, and waits.
OWNER = """
from cnnbench.scratch import scratch_directory
with scratch_directory() as folder:
    (folder / "inner").mkdir()
    (folder / "inner" / "file").write_text("x")
    print(folder, flush=True)
    input()
"""


@pytest.fixture
def where(tmp_path, monkeypatch) -> Path:
    """A folder for temporary files, in which nothing has been swept yet."""
    monkeypatch.setattr(scratch.tempfile, "tempdir", str(tmp_path))
    scratch.sweep.cache_clear()
    return tmp_path


@pytest.fixture
def owner(where):
    """The directory of another process, which lives."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(where)},
    )  # fmt: skip
    with process:
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def test_a_directory_is_gone_when_its_context_ends(where) -> None:
    with scratch.scratch_directory() as folder:
        (folder / "file").write_text("x")
        assert folder.parent == where

    assert list(where.iterdir()) == []


def test_what_a_killed_process_left_is_removed_by_the_next(where, owner) -> None:
    process, folder = owner
    process.kill()
    process.wait()
    assert (folder / "inner" / "file").exists()

    with scratch.scratch_directory() as own:
        assert list(where.iterdir()) == [own]


def test_the_directory_of_a_living_process_stays(where, owner) -> None:
    _, folder = owner

    with scratch.scratch_directory():
        assert (folder / "inner" / "file").exists()


def test_a_directory_of_this_process_stays(where) -> None:
    with scratch.scratch_directory() as one:
        scratch.sweep.cache_clear()
        with scratch.scratch_directory():
            assert one.exists()


def test_what_another_user_left_stays(where, owner, monkeypatch) -> None:
    process, folder = owner
    process.kill()
    process.wait()
    monkeypatch.setattr(scratch.os, "geteuid", lambda: os.getuid() + 1)

    scratch.sweep(where)

    assert folder.exists()


def test_what_is_not_a_scratch_directory_of_cnnbench_stays(where) -> None:
    elsewhere = where / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / ".owner").touch()
    (where / "cnnbench-link").symlink_to(elsewhere)
    (where / "cnnbench-without-lock").mkdir()
    (where / "cnnbench-file").touch()

    scratch.sweep(where)

    assert len(list(where.iterdir())) == 4
    assert (elsewhere / ".owner").exists()
