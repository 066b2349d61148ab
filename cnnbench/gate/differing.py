"""What a module does differently from its counterpart, exactly, in short lines for people.

The most telling comes first: another class or geometry, other kernels, another type or layout of
what it returns, other operators.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cnnbench.clocked import ModuleFacts

# Operators that are named of one module; the rest is counted.
_MOST = 3
# Operators that only take or describe memory: their number follows from the others'.
_QUIET = frozenset({
    "aten::empty", "aten::empty_like", "aten::empty_strided", "aten::resize_", "aten::as_strided",
    "aten::as_strided_", "aten::view", "aten::to", "aten::detach", "aten::slice", "aten::select",
    "aten::unsqueeze", "aten::expand", "aten::resolve_conj", "aten::resolve_neg",
    "aten::lift_fresh",
})  # fmt: skip


def of_one(base: ModuleFacts, head: ModuleFacts) -> tuple[str, ...]:
    """The differences of two modules that stand side by side."""
    lines = []
    if base.type != head.type:
        lines.append(f"{base.type} -> {head.type}")
    if base.geometry != head.geometry and base.type == head.type:
        lines.append(_geometry(base.geometry, head.geometry))
    lines += _kernels(base.kernels, head.kernels)
    if base.dtype != head.dtype and base.dtype and head.dtype:
        lines.append(f"parameters {base.dtype} -> {head.dtype}")
    if base.output != head.output and base.output and head.output:
        lines.append(_output(base.output, head.output))
    if base.calls != head.calls:
        lines.append(f"calls {base.calls} -> {head.calls}")
    return (*lines, *_operators(base, head))


def of_many(pairs: Sequence[tuple[ModuleFacts | None, ModuleFacts | None]]) -> tuple[str, ...]:
    """What several modules have in common to differ in, the most frequent first."""
    counts: Counter[str] = Counter()
    for base, head in pairs:
        if base is None or head is None:
            counts["new" if base is None else "gone"] += 1
        else:
            counts.update(of_one(base, head))
    return tuple(f"{line} (in {count})" for line, count in counts.most_common(_MOST))


def _geometry(base: str, head: str) -> str:
    """Only the arguments that changed; ``Conv2d`` has the first two without a name."""
    before, after = _arguments(base), _arguments(head)
    changed = [
        f"{name} {before.get(name, 'none')} -> {after.get(name, 'none')}"
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    ]
    return ", ".join(changed[:_MOST]) or f"{base} -> {head}"


def _arguments(text: str) -> dict[str, str]:
    parts: list[str] = []
    depth = 0
    for letter in text:
        if letter == "," and not depth:
            parts.append("")
            continue
        depth += (letter in "([{") - (letter in ")]}")
        parts = parts or [""]
        parts[-1] += letter
    found = {}
    for number, part in enumerate(one.strip() for one in parts):
        name, is_named, value = part.partition("=")
        found[name if is_named else f"argument {number + 1}"] = value if is_named else part
    return found


def _kernels(base: Mapping[str, int], head: Mapping[str, int]) -> list[str]:
    gone = {name: count - head.get(name, 0) for name, count in base.items()}
    come = {name: count - base.get(name, 0) for name, count in head.items()}
    gone = {name: count for name, count in gone.items() if count > 0}
    come = {name: count for name, count in come.items() if count > 0}
    lines = []
    for name in list(come):
        kind = name.split()[0]
        before = next((one for one in gone if one.split()[0] == kind and kind != "reorder"), None)
        if before is not None:
            lines.append(f"kernel {_short(before, name)} -> {_short(name, before)}")
            del gone[before], come[name]
    lines += [f"{count} more {_plain(name)}" for name, count in come.items()]
    return lines + [f"{count} fewer {_plain(name)}" for name, count in gone.items()]


def _short(name: str, other: str) -> str:
    """The words of a kernel's name that its counterpart does not have, or all."""
    words, others = name.split(), other.split()
    own = [word for word in words if word not in others]
    return " ".join(own or words[1:] or words)


def _plain(name: str) -> str:
    """A kernel as a thing that there can be more of: kind, implementation, types."""
    kind, *rest = name.split()
    return f"{kind} ({' '.join(rest)})" if rest else kind


def _output(base: str, head: str) -> str:
    return f"returns {base} -> {head}"


def _operators(base: ModuleFacts, head: ModuleFacts) -> list[str]:
    """Operators whose number changed; those that take longest first."""
    names = dict.fromkeys([*head.heaviest, *base.heaviest])
    changed = [
        (name, base.operators.get(name, 0), head.operators.get(name, 0))
        for name in names
        if name not in _QUIET and base.operators.get(name, 0) != head.operators.get(name, 0)
    ]
    if not changed:
        return []
    told = [f"{name} {before or 'none'} -> {after or 'none'}" for name, before, after in changed]
    more = f", and {len(told) - _MOST} more" if len(told) > _MOST else ""
    return [f"operators {', '.join(told[:_MOST])}{more}"]
