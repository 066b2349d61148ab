"""Two stored measurements -> what changed -> what to think of it.

``changes`` pairs records by spec id and knows no thresholds; ``judging`` knows thresholds and gives
verdicts. Neither reads files or knows of exit codes.
"""

from __future__ import annotations

from cnnbench.gate.changes import Change, Comparison, Row, Side, compare, side_of
from cnnbench.gate.judging import Judged, Judgement, MetricVerdict, Threshold, judge

__all__ = [
    "Change",
    "Comparison",
    "Judged",
    "Judgement",
    "MetricVerdict",
    "Row",
    "Side",
    "Threshold",
    "compare",
    "judge",
    "side_of",
]
