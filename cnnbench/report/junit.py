"""A judgement -> JUnit XML: a test case per spec, as CI systems read it.

A regression is a failure, a spec without a number an error, an inconclusive one is skipped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from cnnbench.inert import inert
from cnnbench.report.reasons import details

if TYPE_CHECKING:
    from cnnbench.gate import Judged, Judgement
    from cnnbench.gate.rule import Verdict

# Verdict -> element; what is not named passes.
_ELEMENTS: dict[Verdict, str] = {
    "regression": "failure",
    "failed": "error",
    "missing": "error",
    "inconclusive": "skipped",
    "incomparable": "skipped",
    "added": "skipped",
}


def render(judgement: Judgement, command: str) -> str:
    """One test suite, named after the command that judged."""
    counts = {
        name: sum(_ELEMENTS.get(row.verdict) == name for row in judgement.rows)
        for name in ("failure", "error", "skipped")
    }
    title = f"{judgement.comparison.new} against {judgement.comparison.old}"
    head = (
        f"<testsuite name={_attribute(f'cnnbench {command}')}"
        f" tests={_attribute(len(judgement.rows))}"
        f" failures={_attribute(counts['failure'])} errors={_attribute(counts['error'])}"
        f" skipped={_attribute(counts['skipped'])}>"
    )
    return "\n".join([
        '<?xml version="1.0" encoding="UTF-8"?>',
        f"<testsuites name={_attribute(title)}>",
        head,
        *map(_case, judgement.rows),
        "</testsuite>",
        "</testsuites>",
        "",
    ])  # fmt: skip


def _case(judged: Judged) -> str:
    model, _, rest = judged.row.name.partition("/")
    opening = f"<testcase classname={_attribute(model)} name={_attribute(rest)}"
    element = _ELEMENTS.get(judged.verdict)
    lines = details(judged)
    body = _text("\n".join(lines))
    if element is None:
        out = f"<system-out>{body}</system-out>" if body else ""
        return f"{opening}>{out}</testcase>"
    message = judged.reason or (lines[0] if lines else judged.verdict)
    attributes = f"message={_attribute(message)}"
    if element != "skipped":
        attributes += f" type={_attribute(judged.verdict)}"
    return f"{opening}><{element} {attributes}>{body}</{element}></testcase>"


def _attribute(value: object) -> str:
    return quoteattr(" ".join(inert(str(value)).split()))


def _text(value: str) -> str:
    # What XML 1.0 forbids is among what nobody shows.
    return escape(inert(value, keep="\n\t"))
