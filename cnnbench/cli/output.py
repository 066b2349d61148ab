"""Where a command's text goes: the terminal or a file, and whether in colour."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

import click

from cnnbench import files
from cnnbench.cli.streams import read_by_nobody
from cnnbench.errors import StoreError
from cnnbench.inert import line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from cnnbench.report.table import Table

COLOUR = ("auto", "always", "never")


# Where the flag --wide is kept while a command runs.
WIDE = "cnnbench.wide"
# The width of a line where it is not a terminal's own.
_WIDTH = 80


def wide() -> bool:
    """Whether everything is to be shown, however long the lines become."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(WIDE))


def width(output: Path | None = None) -> int | None:
    """Characters in a line: the terminal's, or 80; ``None`` for any number with ``--wide``."""
    if wide():
        return None
    terminal = output is None and sys.stdout.isatty()
    return max(shutil.get_terminal_size().columns, 40) if terminal else _WIDTH


def shown(table: Table, kind: str = "table", output: Path | None = None) -> str:
    """A table in a format, as wide as lines may be."""
    # Reports take a while to import; a help text needs none.
    from cnnbench.report import render

    return render(table, kind, width(output))


def paragraph(text: str) -> str:
    """A sentence in lines that end between words."""
    from cnnbench.report.fitting import wrapped

    return "\n".join(wrapped(text, width()))


def write(text: str, output: Path | None, *, colour: bool = False) -> None:
    """Print, or write a whole file.

    Raises:
        StoreError: the file cannot be written.
    """
    if output is None:
        text = text.encode("utf8", "replace").decode("utf8")
        # click takes colours out where it sees no terminal, unless told.
        click.echo(text, nl=False, color=colour)
        return
    _written(files.write_named, output, text)


def write_parts(parts: Iterable[str], output: Path | None) -> None:
    """Print, or write a file, part after part, so that no more than one is held.

    Raises:
        StoreError: the file cannot be written.
    """
    if output is None:
        for part in parts:
            write(part, None)
        return
    with opened(output) as file:
        for part in parts:
            file.write(part.encode("utf8", "replace"))


def _refuse_own(output: Path) -> None:
    """Refuse to write a report of a run over its measurements."""
    # Most commands that print never read a run.
    from cnnbench import store
    from cnnbench.prediction.kept import PREDICTIONS

    parts = {store.MANIFEST, store.RECORDS, store.ENVIRONMENT, PREDICTIONS}
    if output.name in parts and (output.parent / store.MANIFEST).exists():
        raise StoreError(f"{output} is a part of the run there; choose another file")


@contextmanager
def opened(output: Path) -> Iterator[BinaryIO]:
    """The file that a user named, to be written part after part; whole or not at all.

    Raises:
        StoreError: it cannot be written.
    """
    _refuse_own(output)
    try:
        with files.writing_named(output) as file:
            yield file
    except OSError as error:
        raise StoreError(f"{output}: {error.strerror}") from error


def say(text: str) -> None:
    """Write a line for people to stderr, whatever a file may have contributed to it."""
    click.echo(line(text), err=True)


def command(text: str) -> None:
    """Give a command of ours to the CI system; on stderr, so that JSON on stdout stays whole."""
    click.echo(text, err=True)


def keep(text: str, path: Path) -> None:
    """Write a file of a run directory, never through a link that lies there.

    Raises:
        StoreError: it cannot be written.
    """
    _written(files.replace, path, text)


def write_picture(data: bytes, output: Path) -> None:
    """Write the file that a user named.

    Raises:
        StoreError: it cannot be written.
    """
    _written(files.write_named, output, data)


def _written(how: Callable[[Path, bytes], None], path: Path, data: str | bytes) -> None:
    if how is files.write_named:
        _refuse_own(path)
    try:
        # Half of a surrogate pair, which JSON may hold, has no encoding.
        how(path, data.encode("utf8", "replace") if isinstance(data, str) else data)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error


def also(text: str, output: Path | None = None) -> None:
    """Print, or write, what is kept in files or said by the exit code as well.

    A standard output that was closed from the start, as daemons close it, is no fault then.

    Raises:
        StoreError: the file cannot be written.
    """
    if output is not None or not read_by_nobody():
        write(text, output)


def coloured(wish: str, output: Path | None) -> bool:
    """Whether to colour: as asked for, or automatically in a terminal that supports it.

    NO_COLOR (https://no-color.org) counts when it is set and not empty.
    """
    if wish != "auto":
        return wish == "always"
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return output is None and sys.stdout.isatty() and not plain
