"""An explanation as text: a few lines for a terminal, a table for a comment or for all of it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from cnnbench import units
from cnnbench.inert import inert
from cnnbench.report import markdown
from cnnbench.report.table import Column, Table

if TYPE_CHECKING:
    from cnnbench.gate.explanation import Explanation, NamedPart, Span

# Sentences of an explanation below the name of a spec, and letters of each: two lines of it.
LINES, _WIDTH = 5, 150
_NAMED = 3
_COLUMNS = (
    Column("part", "part"),
    Column("change", "change"),
    Column("of_total", "of the change", "fraction", detail=1),
    Column("why", "does differently"),
)


def lines(found: Explanation) -> list[str]:
    """What changed, in at most ``LINES`` short sentences; the last one says where all is."""
    if not found.pairs:
        return [_cut(f"not explained: {'; '.join(found.notes)}")]
    told = [_cut(_sentence(found, one)) for one in found.named[:_NAMED]]
    rest = _rest(found)
    if not told:
        told = [_cut(f"no module is clearly slower or faster ({_effort(found)})")]
        told += [_cut(line) for line in found.structure[:_NAMED]]
    elif rest:
        told.append(_cut(rest))
    return [*told, f"more: {command(found)}"] if found.where else told


def command(found: Explanation) -> str:
    """What shows all of it."""
    return f"cnnbench explain {shlex.quote(found.where)}"


def title(one: NamedPart) -> str:
    """What a named part is called."""
    name = one.name or "the network"
    if one.kind == "within":
        return f"all of {name} ({units.number(one.members, 'module')})"
    if one.kind == "class":
        return f"every {name} ({one.members})"
    if one.kind == "stage":
        return f"modules that return {name} ({one.members})"
    if one.kind == "outside":
        return f"{name} (outside of the network)"
    return name if one.name else f"{name} itself, without its modules"


def change(span: Span) -> str:
    """``+1.90 ms [+1.70, +2.10]``; ends in another unit have theirs."""
    if span.low is None or span.high is None:
        return signed(span.ns)
    point, *ends = map(signed, (span.ns, span.low, span.high))
    unit = f" {point.rpartition(' ')[2]}"
    if all(one.endswith(unit) for one in ends):
        ends = [one.removesuffix(unit) for one in ends]
    return f"{point} [{', '.join(ends)}]"


def signed(ns: float) -> str:
    """Nanoseconds with their sign."""
    return f"{'-' if ns < 0 else '+'}{units.seconds(abs(ns) / 1e9)}"


def why(one: NamedPart) -> str:
    """What a part does differently, in a line."""
    if one.state == "new":
        return f"new ({one.type})" if one.type else "new"
    if one.state == "gone":
        return f"gone ({one.type})" if one.type else "gone"
    was = [f"was {one.was}"] if one.was else []
    same = "same operators and kernels" if one.type else ""
    return "; ".join([*was, *one.reasons]) or same


def table(found: Explanation) -> Table:
    """All of it: a row per named part, then what is left; what is known beside it as notes."""
    rows = [
        (title(one), change(one.change), _share(found, one.change.ns), why(one) or None)
        for one in found.named
    ]
    if found.pairs:
        left = found.residual_ns
        rows.append(("not named", signed(left), _share(found, left), None))
    captions = [found.spec]
    if found.pairs:
        captions.append(f"{change(found.total)} of {units.seconds(found.step_ns / 1e9)} in a step")
        captions.append(f"{_effort(found)}; the intervals hold for all of them together")
    notes = [*found.notes, *(_clocks(found))]
    notes += [f"structure: {line}" for line in found.structure]
    columns = _COLUMNS if rows else ()
    return Table(columns, tuple(rows), tuple(captions), tuple(notes))


def comment(found: Explanation) -> str:
    """The same for a pull request, below what became of the spec."""
    if not found.pairs:
        return f"Not explained: {markdown.escape('; '.join(found.notes))}"
    whole = table(found)
    head = f"**Where the time went** ({markdown.escape(_effort(found))})"
    body = markdown.render(Table(whole.columns, whole.rows)).rstrip("\n")
    notes = "\n".join(f"- {markdown.escape(line)}" for line in whole.notes)
    return "\n\n".join(part for part in (head, body, notes) if part)


def _sentence(found: Explanation, one: NamedPart) -> str:
    reason = why(one)
    of = f" of {signed(found.total.ns)}" if one is found.named[0] else ""
    return f"{title(one)} {change(one.change)}{of}" + (f": {reason}" if reason else "")


def _rest(found: Explanation) -> str:
    more = len(found.named) - _NAMED
    parts = [units.number(more, "more part")] * (more > 0)
    left = found.residual_ns
    parts.append(f"not named: {signed(left)}")
    if found.overhead is not None and found.overhead > 0.05:
        parts.append(f"the clocks add {units.percent(found.overhead)}")
    return ", ".join(parts)


def _clocks(found: Explanation) -> list[str]:
    if found.overhead is None or found.clocked is None:
        return []
    return [
        f"with clocks a step takes {units.percent(found.overhead, sign=True)}; in these processes"
        f" the change without clocks is {change(found.clocked)}"
    ]


def _effort(found: Explanation) -> str:
    return (
        f"{units.number(found.parts, 'part')} compared in"
        f" {units.number(found.pairs, 'pair')} of processes, {units.duration(found.seconds)}"
    )


def _share(found: Explanation, ns: float) -> float | None:
    """The share of the total change; none of a change that may be zero."""
    low, high = found.total.low, found.total.high
    if low is None or high is None or low <= 0 <= high or not found.total.ns:
        return None
    return ns / found.total.ns


def _cut(text: str) -> str:
    plain = inert(text)
    return plain if len(plain) <= _WIDTH else f"{plain[: _WIDTH - 1]}…"
