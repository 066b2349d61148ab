"""Where a command's text goes: the terminal or a file, and whether in colour."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from cnnbench.cli.streams import read_by_nobody
from cnnbench.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

COLOUR = ("auto", "always", "never")


def write(text: str, output: Path | None, *, colour: bool = False) -> None:
    """Print, or write a whole file.

    Raises:
        StoreError: the file cannot be written.
    """
    # Half of a surrogate pair, which JSON may hold, has no encoding.
    text = text.encode("utf8", "replace").decode("utf8")
    if output is None:
        # click takes colours out where it sees no terminal, unless told.
        click.echo(text, nl=False, color=colour)
        return
    try:
        output.write_text(text, encoding="utf8", newline="")
    except OSError as error:
        raise StoreError(f"{output}: {error.strerror}") from error


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
