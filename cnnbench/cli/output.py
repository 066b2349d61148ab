"""Where a command's text goes: the terminal or a file, and whether in colour."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

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


def coloured(wish: str, output: Path | None) -> bool:
    """Whether to colour: as asked for, or automatically in a terminal that supports it.

    NO_COLOR (https://no-color.org) counts when it is set and not empty.
    """
    if wish != "auto":
        return wish == "always"
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return output is None and sys.stdout.isatty() and not plain
