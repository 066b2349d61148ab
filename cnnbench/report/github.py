"""A judgement for GitHub: annotations, a step summary and a comment, within GitHub's limits.

Limits as documented: 1 MiB for a step summary, ten annotations of a kind and step, 65,536
characters for a comment.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cnnbench.gate.rule import VERDICTS
from cnnbench.inert import inert
from cnnbench.report import pull_request
from cnnbench.report.reasons import details

if TYPE_CHECKING:
    from cnnbench.gate import Judged, Judgement

ANNOTATIONS = 10
SUMMARY_BYTES = 1 << 20
COMMENT_CHARACTERS = 65_536

_LEVELS = {
    "regression": "error",
    "failed": "error",
    "missing": "error",
    "inconclusive": "warning",
    "incomparable": "warning",
}


def annotate(judgement: Judgement) -> list[str]:
    """Workflow commands, the worst first; the last one counts those left out."""
    rows = [row for row in judgement.rows if row.verdict in _LEVELS]
    rows.sort(key=lambda row: VERDICTS.index(row.verdict))
    lines = [_annotation(row) for row in rows]
    if len(lines) <= ANNOTATIONS:
        return lines
    left = len(lines) - (ANNOTATIONS - 1)
    return [*lines[: ANNOTATIONS - 1], f"::warning title=cnnbench::and {left} more; see the table"]


def _annotation(judged: Judged) -> str:
    message = "\n".join(details(judged)) or judged.reason or judged.verdict
    title = f"{judged.verdict}: {judged.row.name}"
    return f"::{_LEVELS[judged.verdict]} title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    """Data, escaped as the runner's own toolkit does it."""
    return inert(text, keep="\n").replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


# What GitHub allows as the name of a job.
_JOB = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,99}")


def comment(judgement: Judgement, command: str, job: str = "") -> str:
    """Markdown for a comment, with a marker to find it again.

    Args:
        judgement: what is shown.
        command: that judged, such as ``check``.
        job: that writes it: two jobs that run the same command have a comment each.
    """
    where = f"{command}, job {job}" if _JOB.fullmatch(job) and "--" not in job else command
    return _page(judgement, command, COMMENT_CHARACTERS, where)


def step_summary(judgement: Judgement, command: str) -> str:
    """Markdown for ``$GITHUB_STEP_SUMMARY``."""
    return _page(judgement, command, SUMMARY_BYTES, command)


def _page(judgement: Judgement, command: str, limit: int, where: str) -> str:
    # By this line a job finds the comment that it wrote before, to edit instead of adding one.
    marker = f"<!-- cnnbench {where} -->\n"
    return marker + pull_request.page(judgement, command, limit - len(marker.encode()))
