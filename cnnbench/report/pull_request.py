"""A judgement as the Markdown that a pull request shows: what is wrong first, the rest folded.

A line with the verdict, a table for each spec that is not simply fine, what to do if that was
meant. Below, folded, every spec and how it was measured.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING

from cnnbench import units
from cnnbench.gate.rule import VERDICTS
from cnnbench.report import explanation, markdown
from cnnbench.report.comparison import summary
from cnnbench.report.reasons import counts, details, in_numbers
from cnnbench.report.table import Column, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.gate import Acceptance, Judged, Judgement, MetricVerdict

_FINE = {"unchanged", "improvement", "added"}
# Specs with a table of their own; beyond that nobody scrolls.
_TABLES = 20
_CUT = "(cut to the size limit of GitHub; the log of the job has all of it)"
_COLUMNS = (
    Column("metric", "metric", "text"),
    Column("verdict", "verdict", "text"),
    Column("before", "before"),
    Column("after", "after"),
    Column("change", "change"),
    Column("limit", "limit", "fraction"),
)


def page(judgement: Judgement, command: str, limit: int = sys.maxsize) -> str:
    """Markdown of a judgement.

    Args:
        judgement: what is shown.
        command: that judged, such as ``check``.
        limit: bytes, at most; what is left out is cut at whole lines, so that no row is torn.
    """
    told = sorted(
        (one for one in judgement.rows if one.verdict not in _FINE),
        key=lambda one: VERDICTS.index(one.verdict),
    )
    parts = [f"### cnnbench {command}: {markdown.escape(counts(judgement))}"]
    parts += map(_spec, told[:_TABLES])
    if len(told) > _TABLES:
        parts.append(f"And {len(told) - _TABLES} more, in the table below.")
    remedy = judgement.comparison.remedy
    meant = [_if_meant(remedy)] if remedy is not None and judgement.count("regression") else []
    if judgement.again:
        meant.append(f"Most likely to give an answer:\n\n{_block(judgement.again)}")
    title = f"All {units.number(len(judgement.rows), 'spec')}, and how they were compared"
    body = markdown.render(summary([judgement]))
    whole = _joined(*parts, *meant, _folded(title, body))
    return whole if _size(whole) <= limit else _within(limit, parts, meant, title, body)


def _within(limit: int, parts: Sequence[str], meant: Sequence[str], title: str, body: str) -> str:
    """The page, cut: first what is folded, then what is not; the fold is closed in any case."""
    rest = (_CUT, *meant)
    shown = _lines("\n\n".join(parts), limit - _size(_joined("", *rest)))
    room = limit - _size(_joined(shown, *rest, _folded(title, "")))
    folded = _lines(body, room)
    return _joined(shown, *rest, *([_folded(title, folded)] if folded else []))


def _lines(text: str, room: int) -> str:
    """The first lines of a text that together have at most that many bytes."""
    ends = accumulate(map(_size, text.splitlines(keepends=True)))
    count = sum(end <= room for end in ends)
    return "".join(text.splitlines(keepends=True)[:count]).rstrip("\n")


def _joined(*parts: str) -> str:
    return "\n\n".join(parts) + "\n"


def _size(text: str) -> int:
    return len(text.encode())


def _spec(judged: Judged) -> str:
    """What became of a spec: a table of its metrics, then what changed in its structure."""
    title = f"**{judged.verdict}: {markdown.escape(judged.row.name)}**"
    numbers = [one for one in judged.findings if one.change is not None]
    numbers.sort(key=lambda one: VERDICTS.index(one.verdict))
    shown = {one.metric for one in numbers}
    told = replace(judged, row=replace(judged.row, explanation=None))
    lines = [one for one in details(told) if one.partition(":")[0] not in shown]
    if not numbers and not lines:
        lines = [judged.reason or judged.verdict]
    table = Table(_COLUMNS, tuple(map(_cells, numbers)) if numbers else ())
    reasons = [one.reason for one in numbers if one.reason]
    notes = [*dict.fromkeys(reasons), *lines]
    listed = "\n".join(f"- {markdown.escape(line)}" for line in notes)
    known = judged.row.explanation
    why = "" if known is None else explanation.comment(known)
    return "\n\n".join(filter(None, (title, _table(table), listed, why)))


def _table(table: Table) -> str:
    return markdown.render(table).rstrip("\n") if table.rows else ""


def _cells(finding: MetricVerdict) -> tuple[str | float | None, ...]:
    change = finding.change
    assert change is not None  # noqa: S101 - asked by the caller
    return (finding.metric, finding.verdict, *in_numbers(change), finding.limit)


def _if_meant(remedy: Acceptance) -> str:
    """The command in a block, whose button copies it; what is to be known of it behind it."""
    where = f"\n\n(where {markdown.escape(remedy.where)})" if remedy.where else ""
    return f"If this was meant:\n\n{_block(remedy.command)}{where}"


def _block(command: str) -> str:
    return f"```sh\n{markdown.plain(command)}\n```"


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{markdown.escape(title)}</summary>\n\n{body}\n</details>"
