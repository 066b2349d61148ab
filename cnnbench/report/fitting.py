"""Which columns of a table stand side by side in a line of limited width.

Texts in, numbers out: knows nothing of what a column means.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

GAP = 2
# The detail of a column that was asked for by name.
STAYS = -1
# A number stays beside its unit: a space that is none for ``textwrap`` stands between them.
_UNIT, _TIED = re.compile(r"(?<=\d) (?=%|[nµm]?s\b|[KMGT]?i?B\b)"), "\N{NO-BREAK SPACE}"
# A first column is never narrower than this; a longer name gets a line of its own.
_NAME = 20
# Sentences in a column are wrapped within this width, or more where there is room.
_PROSE = 30


@dataclass(frozen=True)
class Fitting:
    """What is shown of a table.

    Attributes:
        kept: indices of columns, in order.
        widths: of those.
        constant: indices of columns left out that say the same in every row.
        left_out: indices of the other columns left out.
    """

    kept: tuple[int, ...]
    widths: tuple[int, ...]
    constant: tuple[int, ...] = ()
    left_out: tuple[int, ...] = ()


def fit(
    header: Sequence[str],
    body: Sequence[Sequence[str]],
    details: Sequence[int],
    width: int | None,
) -> Fitting:
    """Leave out columns until a line fits: those that say the same everywhere, then details.

    Sentences are made narrower before.

    Args:
        header: a title per column; the first column always stays.
        body: rows of texts.
        details: per column; the largest goes first, of equals the last; negative ones stay.
        width: of a line; ``None`` for any.
    """
    natural = [max(map(len, column)) for column in zip(header, *body, strict=True)]
    same = {i for i in range(1, len(header)) if len(body) > 1 and len({r[i] for r in body}) == 1}
    kept = list(range(len(header)))
    needed = [
        min(n, max(_PROSE, len(header[i]))) if i and _prose(i, body) else n
        for i, n in enumerate(natural)
    ]
    optional = [i for i in kept[1:] if details[i] >= 0]
    while width is not None and optional and _room(kept, needed, width) < least(natural[0]):
        last = max(optional, key=lambda i: (i in same, details[i], i))
        kept.remove(last)
        optional.remove(last)
    widths = [natural[i] for i in kept] if width is None else _widths(kept, natural, needed, width)
    widths[:1] = [max(one, len(header[0])) for one in widths[:1]]
    gone = [i for i in range(len(header)) if i not in kept]
    return Fitting(
        tuple(kept),
        tuple(widths),
        tuple(i for i in gone if i in same),
        tuple(i for i in gone if i not in same),
    )


def _widths(
    kept: Sequence[int], natural: Sequence[int], needed: Sequence[int], width: int
) -> list[int]:
    """What each column needs, and what is left to the first ones that would use more."""
    found = [least(natural[0]) if i == 0 else needed[i] for i in kept]
    spare = width - sum(found) - GAP * (len(found) - 1)
    for place, index in enumerate(kept):
        more = max(0, min(natural[index] - found[place], spare))
        found[place] += more
        spare -= more
    return found


def _prose(index: int, body: Sequence[Sequence[str]]) -> bool:
    """Whether a column holds sentences, which may be wrapped."""
    return any(row[index].count(" ") > 3 for row in body)


def least(natural: int) -> int:
    """The width that a first column needs at least."""
    return min(natural, _NAME)


def _room(kept: Sequence[int], natural: Sequence[int], width: int) -> int:
    """What the other columns leave for the first."""
    return width - sum(natural[i] + GAP for i in kept[1:])


def wrapped(text: str, width: int | None, hang: int = 2) -> list[str]:
    """A sentence in lines that end between words; what goes on is indented by ``hang`` more.

    A command at its end stays in one piece, to be copied.
    """
    if width is None or len(text) <= width:
        return [text]
    indent = " " * (len(text) - len(text.lstrip(" ")))
    before, colon, command = text.strip().partition(": cnnbench ")
    further = indent + " " * hang
    lines = textwrap.wrap(
        _UNIT.sub(_TIED, before + colon[:1]), width, break_long_words=False,
        initial_indent=indent, subsequent_indent=further, break_on_hyphens=False,
    )  # fmt: skip
    found = [line.replace(_TIED, " ") for line in lines]
    return [*found, f"{further}cnnbench {command}"] if command else found
