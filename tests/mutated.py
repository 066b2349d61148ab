"""Plausible nonsense: JSON in which something was dropped, swapped, or made huge, seeded."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

NUMBERS: tuple[Any, ...] = (
    0, -1, 1, 2, 7, 299, 300, 10**6, 2**31, 2**53 + 1, 2**63 - 1, 2**64, -(2**63), 10**30, 10**400,
    0.0, -0.0, 0.5, -1.5, 5e-324, 1e-300, 1e-9, 1e18, 1e154, 1.7e308, -1e308,
    float("nan"), float("inf"), float("-inf"), True, False,
)  # fmt: skip
TEXTS = (
    "", " ", "nan", "-",
    "ok", "wrong", "None", "0", "1e999", "9" * 30, "\0", "\x1b[31m", "\ud800",
    "\u202e\u0416", "\u2028", "a\nb", "\U0001f980" * 3, "../..", "x" * 5000, "=1+1",
    "|`<b>&%$#_{}\\",
    "cpu-t2", "lenet/inference-b8-3x32x32/eager/cpu-t2", "lenet/training-b1-3x32x32/amp/cpu-t1",
    "2026-01-02T03:04:05", "2026-99-99T99:99:99+00:00", "0001-01-01T00:00:00+14:00",
)  # fmt: skip
JUNK: tuple[Any, ...] = (None, [], {}, [None], [[]], [{}], {"": None}, {"a": {"b": [1, "x", None]}})


def mutated(dice: random.Random, data: Any) -> tuple[Any, list[str]]:
    """A copy with one to four changes, and what they are."""
    holder, told = [copy.deepcopy(data)], []
    for _ in range(dice.choice([1, 1, 1, 2, 3, 4])):
        parent, key, path = _place(dice, holder)
        change = dice.choice(CHANGES)
        change(dice, parent, key, holder[0])
        told.append(f"{change.__name__.strip('_')} {path}")
    return holder[0], told


def _place(dice: random.Random, holder: list[Any]) -> tuple[Any, Any, str]:
    """A random value under the root, where every level is as likely to be the last one."""
    parent, key, path = holder, 0, ""
    while True:
        value = parent[key]
        if not isinstance(value, (dict, list)) or not value or (path and dice.random() < 0.15):
            return parent, key, path or "/"
        inner = list(value) if isinstance(value, dict) else range(len(value))
        parent, key = value, dice.choice(inner)
        path += f"/{str(key)[:40]}"


def _number(dice: random.Random, parent: Any, key: Any, root: Any) -> None:
    del root
    parent[key] = dice.choice(NUMBERS)


def _similar(dice: random.Random, parent: Any, key: Any, root: Any) -> None:
    """Another value of the same type, which a reader of types lets pass."""
    del root
    old = parent[key]
    if isinstance(old, bool):
        parent[key] = not old
    elif isinstance(old, str):
        parent[key] = dice.choice([*TEXTS, old[::-1], old + "x", old[: len(old) // 2]])
    elif isinstance(old, (int, float)):
        parent[key] = dice.choice([one for one in NUMBERS if type(one) is type(old)])
    elif isinstance(old, list) and old:
        old[:] = dice.choice([[], old[:1], old[1:], old * 2, [dice.choice(old)] * len(old)])
    elif isinstance(old, dict) and old:
        old[dice.choice(TEXTS)] = old[dice.choice(list(old))]


def _text(dice: random.Random, parent: Any, key: Any, root: Any) -> None:
    del root
    parent[key] = dice.choice(TEXTS)


def _junk(dice: random.Random, parent: Any, key: Any, root: Any) -> None:
    del root
    parent[key] = copy.deepcopy(dice.choice(JUNK))


def _dropped(dice: random.Random, parent: Any, key: Any, root: Any) -> None:
    del dice, root
    if len(parent) > 1:
        del parent[key]


def _every_number(dice: random.Random, parent: Any, key: Any, root: Any) -> None:
    """All numbers below become one and the same."""
    del root
    number = dice.choice(NUMBERS)
    parent[key] = _with_numbers(
        parent[key], lambda old: number if type(old) is type(number) else old
    )


def _with_numbers(data: Any, new: Callable[[Any], Any]) -> Any:
    if isinstance(data, dict):
        return {key: _with_numbers(value, new) for key, value in data.items()}
    if isinstance(data, list):
        return [_with_numbers(value, new) for value in data]
    return new(data)


def _moved(dice: random.Random, parent: Any, key: Any, root: Any) -> None:
    """What stands elsewhere."""
    other, there, _ = _place(dice, [root])
    parent[key] = copy.deepcopy(other[there])


CHANGES = (_number, _similar, _similar, _similar, _text, _junk, _dropped, _every_number, _moved)


def bytes_of(dice: random.Random, data: Any) -> bytes:
    """As JSON; now and then cut, or with a byte of something else in it."""
    text = json.dumps(data, ensure_ascii=dice.random() < 0.5)
    raw = bytearray(text.encode("utf8", "surrogatepass"))
    if dice.random() < 0.02 and raw:
        raw[dice.randrange(len(raw))] = dice.randrange(256)
    if dice.random() < 0.02:
        raw = raw[: dice.randrange(len(raw) + 1)]
    return bytes(raw)
