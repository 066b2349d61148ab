"""Where a command's text goes: the terminal or a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cnnbench.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path


def write(text: str, output: Path | None) -> None:
    """Print, or write a whole file.

    Raises:
        StoreError: the file cannot be written.
    """
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf8", newline="")
    except OSError as error:
        raise StoreError(f"{output}: {error.strerror}") from error
