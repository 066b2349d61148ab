"""Colours of plots, for every plotting library."""

from __future__ import annotations

import math

# Told apart by people who see red and green alike, on white and on black (after Okabe and Ito).
_COLOURS = ("#1f88c9", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#8c6bb1")
# Reads on white and on black.
GREY = "#7a7a7a"


def colour(index: int | None) -> str:
    """The colour of a group; neutral ones come from the other end of the list, ``None`` is grey."""
    return GREY if index is None else _COLOURS[index % len(_COLOURS)]


# Ends of the scale and its middle: orange is slower, blue is faster, near white is the same.
_SLOW, _SAME, _FAST = (179, 88, 6), (245, 245, 245), (33, 102, 172)


def strength(ratio: float) -> float:
    """The strength of a colour, from -1 (four times slower) over 0 to 1 (four times faster)."""
    return max(-1.0, min(1.0, math.log(ratio) / math.log(4))) if ratio > 0 else -1.0


def shade(ratio: float) -> str:
    """The colour of a ratio."""
    much = strength(ratio)
    end = _FAST if much > 0 else _SLOW
    mixed = [round(m + (e - m) * abs(much)) for m, e in zip(_SAME, end, strict=True)]
    return "#" + "".join(f"{one:02x}" for one in mixed)


def ink(ratio: float) -> str:
    """The colour of text upon it."""
    return "#ffffff" if abs(strength(ratio)) > 0.65 else "#111111"
