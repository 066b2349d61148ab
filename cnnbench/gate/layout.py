"""JSON laid out so that a review in git reads well: a line per fact, per part and per round."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def text(data: dict[str, Any], head: Sequence[str], entry: Sequence[str]) -> str:
    """The text of a baseline file.

    Args:
        data: its content as plain JSON types.
        head: fields that stand first.
        entry: fields of a spec, in their order.
    """
    data = data | {"specs": _lean(data["specs"])}
    first = {name: data.pop(name) for name in head}
    return "\n".join(_object({**first, **data}, 0, _DEPTHS, entry)) + "\n"


def _lean(data: Any) -> Any:
    """The data without empty fields, which reading restores."""
    if isinstance(data, dict):
        parts = {key: _lean(value) for key, value in data.items()}
        return {key: value for key, value in parts.items() if value not in ({}, [], "")}
    return data


# How deep each part is spread over lines; below that it is one line.
_DEPTHS = {"hard": 2, "soft": 2, "source": 2, "plan": 2, "specs": 3}


def _object(
    data: Mapping[str, Any], indent: int, depths: Mapping[str, int], first: Sequence[str]
) -> Iterable[str]:
    yield "{"
    pad = " " * (indent + 1)
    for number, (key, value) in enumerate(data.items()):
        comma = "," if number < len(data) - 1 else ""
        lines = list(_value(value, indent + 1, depths.get(key, 1), first))
        yield f"{pad}{json.dumps(key)}: {lines[0]}" + ("" if len(lines) > 1 else comma)
        if len(lines) > 1:
            yield from lines[1:-1]
            yield lines[-1] + comma
    yield " " * indent + "}"


def _value(value: Any, indent: int, depth: int, first: Sequence[str]) -> Iterable[str]:
    if isinstance(value, dict) and value and depth > 1:
        inner = {key: value[key] for key in _ordered(value, first)}
        yield from _object(inner, indent, dict.fromkeys(inner, depth - 1), first)
    elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        pad = " " * (indent + 1)
        ends = [","] * (len(value) - 1) + [""]
        yield "["
        yield from (f"{pad}{_line(one)}{end}" for one, end in zip(value, ends, strict=True))
        yield " " * indent + "]"
    else:
        yield _line(value)


def _ordered(value: Mapping[str, Any], first: Sequence[str]) -> list[str]:
    """Fields of an entry in their own order, everything else by name."""
    return list(value) if set(value) <= set(first) else sorted(value)


def _line(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
