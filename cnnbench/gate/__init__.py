"""The entrance to the gate: two sides -> changes -> verdicts -> the end of the command.

``changes`` pairs stored records by spec id, ``side_by_side`` takes what was measured just now;
neither knows thresholds. ``judging`` gives verdicts, ``conclusion`` exit codes.
"""

from __future__ import annotations

from cnnbench.gate.changes import Acceptance, Change, Comparison, Row, Side, compare, side_of
from cnnbench.gate.conclusion import conclude
from cnnbench.gate.judging import Judged, Judgement, MetricVerdict, Threshold, judge

__all__ = [
    "Acceptance",
    "Change",
    "Comparison",
    "Judged",
    "Judgement",
    "MetricVerdict",
    "Row",
    "Side",
    "Threshold",
    "compare",
    "conclude",
    "judge",
    "side_of",
]
