"""A judgement for GitHub: annotations, a step summary and a comment, within GitHub's limits.

Limits as documented: 1 MiB for a step summary, ten annotations of a kind and step, 65,536
characters for a comment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench.report import markdown
from cnnbench.report.comparison import counts, sentence, summary

if TYPE_CHECKING:
    from cnnbench.gate import Judged, Judgement

ANNOTATIONS = 10
SUMMARY_BYTES = 1 << 20
COMMENT_CHARACTERS = 65_536

# By which a job finds the comment that it wrote before, to edit instead of adding one.
MARKER = "<!-- cnnbench check -->"

_LEVELS = {
    "regression": "error",
    "failed": "error",
    "missing": "error",
    "inconclusive": "warning",
    "incomparable": "warning",
}


def annotate(judgement: Judgement) -> list[str]:
    """Workflow commands, the worst first; the last one says how many are left out."""
    rows = [row for row in judgement.rows if row.verdict in _LEVELS]
    rows.sort(key=lambda row: list(_LEVELS).index(row.verdict))
    lines = [_annotation(row) for row in rows]
    if len(lines) <= ANNOTATIONS:
        return lines
    left = len(lines) - (ANNOTATIONS - 1)
    return [*lines[: ANNOTATIONS - 1], f"::warning title=cnnbench::and {left} more; see the table"]


def _annotation(judged: Judged) -> str:
    lines = [sentence(one) for one in judged.findings if one.verdict == judged.verdict]
    message = "\n".join(lines) or f"{judged.row.spec}: {judged.reason}"
    title = f"{judged.verdict}: {judged.row.spec}"
    return f"::{_LEVELS[judged.verdict]} title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    """Escaped as the runner's own toolkit does it."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def comment(judgement: Judgement) -> str:
    """Markdown for a comment, with a marker to find it again."""
    return _cut(_page(judgement), COMMENT_CHARACTERS)


def step_summary(judgement: Judgement) -> str:
    """Markdown for ``$GITHUB_STEP_SUMMARY``."""
    return _cut(_page(judgement), SUMMARY_BYTES)


def _page(judgement: Judgement) -> str:
    head = f"{MARKER}\n### cnnbench check: {markdown.escape(counts(judgement))}\n\n"
    return head + markdown.render(summary([judgement]))


def _cut(text: str, limit: int) -> str:
    """At whole lines, so that no table row is half there; says that it was cut."""
    if len(text.encode()) <= limit:
        return text
    end = "\n\n(cut: too long for this place; see the job's log)\n"
    kept: list[str] = []
    room = limit - len(end.encode())
    for line in text.splitlines(keepends=True):
        room -= len(line.encode())
        if room < 0:
            break
        kept.append(line)
    return "".join(kept).rstrip("\n") + end
