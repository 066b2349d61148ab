"""Files are read if they are regular, and written whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from cnnbench import files


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@pytest.mark.parametrize("read", [files.opened, files.read_text, files.appending])
def test_a_pipe_and_a_device_are_refused_at_once(pipe: Path, tmp_path: Path, read) -> None:
    (tmp_path / "link").symlink_to("/dev/zero")

    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(OSError, match="not a regular file"):
            read(path)
    with pytest.raises(OSError, match=r"not a regular file|a link, which"):
        read(tmp_path / "link")
    with pytest.raises(IsADirectoryError):
        read(tmp_path)


def test_a_link_to_a_file_is_read_but_nothing_is_appended_through_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("é\r\n")
    (tmp_path / "link").symlink_to("file")

    assert files.read_text(tmp_path / "link") == "é\r\n"
    with pytest.raises(OSError, match="a link, which nothing is written through"):
        files.appending(tmp_path / "link")


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / "report.md").symlink_to("theirs")

    files.replace(tmp_path / "report.md", b"ours")

    assert (tmp_path / "theirs").read_text() == "theirs"
    assert (tmp_path / "report.md").read_text() == "ours"
    assert not (tmp_path / "report.md").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.md", "theirs"]


def test_a_file_keeps_its_mode_and_is_never_half_written(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "kept"
    path.write_text("before")
    path.chmod(0o640)

    files.replace(path, b"after")
    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="full"):
        files.replace(path, b"never")

    assert path.read_text() == "after"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]


def full(file: int) -> None:
    raise OSError(28, "full")


def test_a_new_file_has_the_usual_mode(tmp_path: Path) -> None:
    (tmp_path / "usual").write_text("")

    files.replace(tmp_path / "new", b"")

    assert (tmp_path / "new").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_file_that_the_user_names_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("before")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dangling").symlink_to("made")

    files.write_named(tmp_path / "link", b"after")
    files.write_named(tmp_path / "dangling", b"new")
    files.write_named(Path("/dev/null"), b"gone")

    assert ((tmp_path / "link").is_symlink(), (tmp_path / "file").read_text()) == (True, "after")
    assert (tmp_path / "made").read_text() == "new"
    assert Path("/dev/null").is_char_device()


def test_a_pipe_that_the_user_names_is_written(pipe: Path) -> None:
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    files.write_named(pipe, b"text")

    assert os.read(reader, 9) == b"text"
    os.close(reader)
