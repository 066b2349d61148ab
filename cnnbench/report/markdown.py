"""Table -> GitHub-flavoured Markdown."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from cnnbench.report import cells

if TYPE_CHECKING:
    from cnnbench.report.table import Table

# Everything that Markdown or the HTML inside it would take for more than text.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&])")


def render(table: Table) -> str:
    """A pipe table; captions above it, notes below as a list."""
    header = [escape(column.title) for column in table.columns]
    rule = ["--:" if cells.numeric(column) else ":--" for column in table.columns]
    body = [[escape(cell) for cell in row] for row in cells.texts(table)]
    lines = [line for caption in table.captions for line in (escape(caption), "")]
    lines += [_line(header), _line(rule), *map(_line, body)]
    if table.notes:
        lines += ["", *(f"- {escape(note)}" for note in table.notes)]
    return "\n".join(lines) + "\n"


def _line(row: list[str]) -> str:
    return f"| {' | '.join(row)} |"


def escape(text: str) -> str:
    """Text that stands in a cell as it is: no markup, no pipe, no line break."""
    words = " ".join(text.split())
    printable = "".join(c for c in words if unicodedata.category(c)[0] != "C")
    return _SPECIAL.sub(_entity, printable)


def _entity(match: re.Match[str]) -> str:
    # An underscore inside a word is plain text in GitHub's dialect; leaving it keeps names readable
    # in the source.
    character = match[1]
    if character in "_~[]":
        before = match.string[match.start() - 1 : match.start()]
        after = match.string[match.end() : match.end() + 1]
        inside = before.isalnum() and after.isalnum()
        if (character == "_" and inside) or (character in "[]" and after != "("):
            return character
    return {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(character, f"\\{character}")
