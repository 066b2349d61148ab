"""Whether the turns of one pair agree with each other, so that their median means something.

Log-ratios of turns in, a word out. A pair whose turns do not agree is measured again, a bounded
number of times. That selects pairs, and what is selected must not depend on the answer:

* It is even: base and head exchanged (every log-ratio negated) is judged the same. For identical
  code both are equally likely, so the pairs that are kept are distributed evenly around zero, as
  all of them were, and the rule's error stays what it is.
* It looks at differences between turns only: a slowdown, which moves all of them alike, is kept or
  measured again as identical code is. So no effect is favoured or hidden.

Knows nothing of records, processes or files.
"""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

# What is not agreed on: two levels that alternate, or the beginning and the end.
Disagreement = Literal["", "two levels", "first and second half"]

# With fewer turns there are no two groups of which each is more than a chance.
_FEWEST = 6
# Each group has at least this share of the turns; what is rarer, the median withstands.
_SHARE = 0.25
# So many standard errors are more than noise.
_CLEAR = 3.0


def disagreement(turns: Sequence[float], margin: float) -> Disagreement:
    """What the turns of a pair do not agree on; empty if they do.

    Args:
        turns: log-ratios, in order of time.
        margin: differences up to it do not matter for the verdict.
    """
    if len(turns) < _FEWEST:
        return ""
    if _two_levels(turns, margin):
        return "two levels"
    half = len(turns) // 2
    change, error = between(turns[:half], turns[-half:])
    return "first and second half" if abs(change) > max(margin, _CLEAR * error) else ""


def error(turns: Sequence[float]) -> float:
    """Standard error of the median of some turns; infinite of fewer than three."""
    if len(turns) < 3:
        return math.inf
    middle = statistics.median(turns)
    return _error([abs(turn - middle) for turn in turns], len(turns))


def _error(deviations: Sequence[float], count: int) -> float:
    """Standard error of a median of ``count`` values, by their median absolute deviation."""
    return 1.2533 * 1.4826 * statistics.median(deviations) / math.sqrt(count)


def drift(turns: Sequence[float]) -> tuple[float, float]:
    """How far the ratio moved from the first to the last third, and the error of that.

    What the machine does meanwhile happens to both sides and cancels; what is left is one side
    warming up for longer than the other.
    """
    third = len(turns) // 3
    return between(turns[:third], turns[-third:]) if third >= 2 else (0.0, math.inf)


def between(first: Sequence[float], last: Sequence[float]) -> tuple[float, float]:
    """The difference of the medians of two groups of equal size, and its standard error."""
    one, other = statistics.median(first), statistics.median(last)
    around = [abs(turn - one) for turn in first] + [abs(turn - other) for turn in last]
    return other - one, math.sqrt(2) * _error(around, len(first))


def _two_levels(turns: Sequence[float], margin: float) -> bool:
    """Whether a gap divides them that is wider than the margin and than either group."""
    values = sorted(turns)
    fewest = max(2, math.ceil(_SHARE * len(values)))
    for split in range(fewest, len(values) - fewest + 1):
        low, high = values[:split], values[split:]
        widest = max(low[-1] - low[0], high[-1] - high[0])
        if high[0] - low[-1] > max(margin, widest):
            return True
    return False
