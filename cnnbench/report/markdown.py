"""Table -> GitHub-flavoured Markdown."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from cnnbench import units
from cnnbench.inert import inert
from cnnbench.report import cells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.report.table import Table

# Everything that Markdown or the HTML inside it would take for more than text.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&$])")


# Where a mention, a mail address, a bare address or the number of an issue begins.
_LINKED = re.compile(
    r"(?<!\w)@(?=\w)|@(?=[\w-]+(?:\.[\w-]+)+)|\b(?:https?|ftp|mailto|xmpp):(?=\S)|\bwww(?=\.)"
    r"|\\?#(?=\d)|\bGH(?=-\d)",
    flags=re.IGNORECASE,
)

# More rows than this are folded away group by group, so that a page of them can be scanned.
_FOLD = 50


def render(table: Table) -> str:
    """A pipe table; captions above it, notes below as a list; every group a table of its own."""
    lines = [line for caption in table.captions for line in (escape(caption), "")]
    body = [[escape(cell) for cell in row] for row in cells.texts(table)]
    for heading, start, end in table.parts if table.columns else ():
        lines += _part(table, heading, body[start:end], fold=len(body) > _FOLD)
    if table.notes:
        lines += ["", *map(_note, table.notes)]
    return "\n".join(lines).lstrip("\n") + "\n"


def _note(note: str) -> str:
    """An item of a list; of a list within one, if it is indented."""
    return f"{' ' * (len(note) - len(note.lstrip(' ')))}- {escape(note)}"


@dataclass(frozen=True)
class Illustration:
    """A picture in a document.

    Attributes:
        heading: of the part that begins with it; empty within one.
        reading: how to read that part.
        title: of the picture.
        address: of its file, relative to the document.
    """

    heading: str
    reading: str
    title: str
    address: str


def gallery(pictures: Sequence[Illustration]) -> str:
    """A heading, how to read it, and pictures, part after part."""
    lines = [] if pictures else ["", "No plots: they need more measurements than these runs have."]
    for one in pictures:
        if one.heading:
            lines += ["", f"## {escape(one.heading)}", "", escape(one.reading)]
        lines += ["", f"![{escape(one.title)}]({quote(one.address)})"]
    return "\n".join([*lines, ""])


def _part(table: Table, heading: str, body: list[list[str]], *, fold: bool) -> list[str]:
    header = [escape(column.title) for column in table.columns]
    rule = ["--:" if cells.numeric(column) else ":--" for column in table.columns]
    lines = [_line(header), _line(rule), *map(_line, body)]
    if not heading:
        return lines
    if not fold:
        return ["", f"**{escape(heading)}**", "", *lines]
    rows = units.number(len(body), "row")
    # Inside the tag there is no Markdown, so a backslash would show.
    summary = _unlinked(html.escape(plain(heading)))
    opening = f"<details><summary>{summary} ({rows})</summary>"
    return ["", opening, "", *lines, "", "</details>"]


def _line(row: list[str]) -> str:
    return f"| {' | '.join(row)} |"


def escape(text: str) -> str:
    """Text that stands in a cell as it is: no markup, no pipe, no line break, no link."""
    escaped = _unlinked(_SPECIAL.sub(_entity, plain(text)))
    # A CI system would take a line of its log that begins with two colons for a command.
    return f"&#58;{escaped[1:]}" if escaped.startswith("::") else escaped


def _unlinked(text: str) -> str:
    """Escaped text in which GitHub links and notifies nobody.

    It looks for names, addresses and numbers of issues in what is shown, so an entity or a
    backslash does not help; a comment, which is not shown, divides the text.
    """
    return _LINKED.sub(lambda found: f"{found[0]}<!-- -->", text)


def plain(text: str) -> str:
    """Text on one line without control characters."""
    return " ".join(inert(text).split())


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
