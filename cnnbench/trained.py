"""What a training step is to train, as users write it.

``head``, ``last=2`` (the head and the last two stages before it), ``all``, ``own`` (what the
network itself says), or names and globs of modules and parameters: ``conv1,layer4.*``. Which
parameters of a network these are is the business of ``architectures.training``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from cnnbench.errors import UsageError

AUTO: Final = "auto"
OWN: Final = "own"
HEAD: Final = "head"
ALL: Final = "all"
LAST: Final = "last=N"

# Whatever is none of these is a pattern. The first is the default.
WORDS = (AUTO, OWN, HEAD, LAST, ALL)

_ALONE = (AUTO, OWN, ALL)
_LAST = re.compile(r"last=([1-9][0-9]{0,5})")


@dataclass(frozen=True)
class Wanted:
    """A text as what it says.

    Attributes:
        word: ``AUTO``, ``OWN``, ``ALL`` or ``HEAD``; empty if there are patterns alone.
        stages: how many before the head are trained with it.
        patterns: names and globs of modules and parameters, to be trained as well.
    """

    word: str
    stages: int = 0
    patterns: tuple[str, ...] = ()


def parse(text: str) -> Wanted:
    """Read a text.

    Raises:
        UsageError: it is empty, a number of stages is none, or its parts exclude each other.
    """
    parts = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    if not all(parts):
        raise UsageError(f"a name is missing in '{text}'")
    if wrong := next((one for one in parts if "=" in one and not _LAST.fullmatch(one)), ""):
        raise UsageError(f"'{wrong}' is not of the form last=N with a positive whole number")
    words = [one for one in parts if one in {*_ALONE, HEAD} or _LAST.fullmatch(one)]
    if len(words) > 1:
        told = " and ".join(f"'{one}'" for one in words)
        raise UsageError(f"{told} exclude each other; give each by itself, for as many rows")
    if words and words[0] in _ALONE and len(parts) > 1:
        raise UsageError(f"'{words[0]}' stands alone; leave out '{_others(parts, words)}'")
    found = _LAST.fullmatch(words[0]) if words else None
    patterns = tuple(one for one in parts if one not in words)
    return Wanted(HEAD if found else "".join(words), int(found[1]) if found else 0, patterns)


def _others(parts: tuple[str, ...], words: list[str]) -> str:
    return ",".join(one for one in parts if one not in words)


def read(text: str) -> str:
    """The text in the form that ids keep: no blanks, nothing twice.

    Raises:
        UsageError: as ``parse``.
    """
    parse(text)
    return ",".join(dict.fromkeys(part.strip() for part in text.split(",")))
