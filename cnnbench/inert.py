"""Texts from files, made harmless for what shows them: terminals, logs of CI systems, editors.

The one place that knows which characters are obeyed instead of shown: control characters, marks
that change the direction of writing, and everything else of Unicode's classes C, Zl and Zp.
"""

from __future__ import annotations

import re
import unicodedata

# Lines that GitHub's runner carries out: these at their start, after blanks; the older ones, and
# those of Azure and TeamCity, anywhere.
_COMMAND = re.compile(r"^([^\S\n]*:)(?=:)", flags=re.MULTILINE)
_HASHES = re.compile(r"#(?=#)")
_OLDER = re.compile(r"##(?=[a-z]*\[)")

# What a name in an error message is cut to, and a whole message.
_NAME, _MESSAGE = 120, 2000
_QUOTED = re.compile(rf"'[^'\s]{{{_NAME + 1},}}'")
_UNBROKEN = re.compile(rf"\S{{{4 * _NAME},}}")


def inert(text: str, keep: str = "") -> str:
    """The text without characters that are obeyed; those that separate words become blanks.

    Args:
        text: of anybody.
        keep: such characters that stay.
    """
    # Most texts are plain, and there are many.
    rest = text
    for one in keep:
        rest = rest.replace(one, "")
    if rest.isprintable():
        return text
    return "".join(c if _plain(c) or c in keep else " " if c.isspace() else "" for c in text)


def visible(text: str) -> str:
    r"""The text with escapes, as Python writes them, in place of what is obeyed."""
    if "##" in text:
        text = _OLDER.sub(r"\\x23#", text)
    if text.isprintable():
        return text
    return "".join(c if _plain(c) else c.encode("unicode_escape").decode() for c in text)


def lines(text: str) -> str:
    """Whole lines, none of which a CI system takes for a command."""
    if "::" in text:
        text = _COMMAND.sub(r"\1 ", text)
    return _OLDER.sub("## ", text) if "##" in text else text


def line(text: str) -> str:
    """The text as one line for people."""
    return lines(inert(text))


def encodable(text: str) -> str:
    """The text without halves of surrogate pairs, which JSON may hold and no encoding has."""
    return text.encode("utf8", "replace").decode("utf8")


def in_json(text: str) -> str:
    """JSON that says the same without what a log or a terminal obeys."""
    return _HASHES.sub(r"\\u0023", text).replace("\x7f", "\\u007f")


def shortened(message: str) -> str:
    """A message with long names cut in the middle, because only their makers need all of them."""
    message = _QUOTED.sub(lambda found: f"'{_cut(found[0][1:-1], _NAME)}'", message)
    return _cut(_UNBROKEN.sub(lambda found: _cut(found[0], _NAME), message), _MESSAGE)


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    end = most // 3
    return f"{text[: most - end - 1]}…{text[-end:]}"


def _plain(character: str) -> bool:
    kind = unicodedata.category(character)
    return kind[0] != "C" and kind not in {"Zl", "Zp"}
