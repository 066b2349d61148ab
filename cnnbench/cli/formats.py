"""Which format is meant: by its name, by --json, or by the suffix of the file it is written to."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cnnbench.cli import spelling
from cnnbench.errors import UnknownName, UsageError
from cnnbench.report import FORMATS, PAGES

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path


def chosen(
    asked: str | None, usual: str | None, known: Collection[str], output: Path | None, what: str
) -> str:
    """The format of a command's text.

    Args:
        asked: by --format or --json; ``None`` if neither was written.
        usual: of the command; ``None`` where it has to be asked for.
        known: those of the command.
        output: the file; ``None`` for standard output.
        what: the word for them in an error message.

    Raises:
        UnknownName: the command has no such format.
        UsageError: the file is named after another one, or the terminal could not show it.
    """
    suffix = _suffix(output, known) if FORMATS.keys() & set(known) else None
    kind = spelling.kind(asked) if asked is not None else suffix or usual or ""
    if kind not in known:
        raise UnknownName(what, kind, known)
    if suffix not in {None, kind}:
        raise UsageError(f"{output} is named after {suffix}, but {kind} is asked for; keep one")
    if kind in PAGES and output is None and sys.stdout.isatty():
        raise UsageError(f"{kind} is no text for a terminal; give a file: -o report.{kind}")
    return kind


def _suffix(output: Path | None, known: Collection[str]) -> str | None:
    """The format that a file is named after; other suffixes say nothing."""
    kind = spelling.kind(output.suffix.lower().removeprefix(".")) if output is not None else ""
    return kind if kind in FORMATS or kind in PAGES or kind in known else None
