r"""Table -> LaTeX with booktabs: ``\input`` it where ``\\usepackage{booktabs}`` is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench.inert import inert
from cnnbench.report import cells

if TYPE_CHECKING:
    from cnnbench.report.table import Table

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    # By its number, because babel makes the character itself a command in some languages.
    '"': r"\symbol{34}",
    # Two of either in a row would become one curly quotation mark.
    "'": "{'}",
    "`": "{`}",
    "µ": r"\ensuremath{\mu}",
    # A cell that begins with a bracket would be the optional argument of the \\ before it.
    "[": "{[}",
    "]": "{]}",
    # Two in a row would become a dash.
    "-": "{-}",
    **{character: f"\\{character}" for character in "#$%&_{}"},
}


def render(table: Table) -> str:
    """A ``tabular`` in booktabs' style; captions above it and notes below it are paragraphs."""
    columns = "".join("r" if cells.numeric(column) else "l" for column in table.columns)
    lines = [rf"{escape(caption)}\par" for caption in table.captions]
    if table.columns:
        lines += [rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}", r"\toprule"]
        lines += [_line([column.title for column in table.columns]), r"\midrule"]
        lines += [*_body(table), r"\bottomrule", r"\end{tabular}\par"]
    lines += [rf"{escape(note)}\par" for note in table.notes]
    return "\n".join(lines) + "\n"


def _body(table: Table) -> list[str]:
    body, lines = cells.texts(table), []
    for number, (heading, start, end) in enumerate(table.parts):
        if heading:
            lines += [r"\midrule"] if number else []
            title = rf"\emph{{{escape(heading)}}}"
            lines.append(rf"\multicolumn{{{len(table.columns)}}}{{@{{}}l}}{{{title}}} \\")
        lines += [_line(row) for row in body[start:end]]
    return lines


def _line(row: list[str]) -> str:
    return " & ".join(map(escape, row)) + r" \\"


def escape(text: str) -> str:
    """Text that LaTeX prints as it is: no command, no comment, no line break."""
    words = " ".join(inert(text).split())
    # A CI system would take a line that begins with two colons for a command.
    start = "{:}" if words.startswith("::") else ""
    return start + "".join(_SPECIAL.get(c, c) for c in words[bool(start) :])
