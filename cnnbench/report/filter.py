"""Which rows: a small language of conditions, read by a parser of our own.

::

    filter    = condition { space condition }          all of them must hold
    condition = column operator value { "," value }    any of the values
    operator  = "=" | "!=" | "~" | "!~" | "<" | "<=" | ">" | ">="
    value     = bare word | 'quoted' | "quoted"

``=`` compares whole values, ``~`` finds a text anywhere in one, letter case aside. Numbers take the
units that tables show: ``latency<5ms``, ``params>=25M``, ``cpu_peak_bytes<1GiB``, ``speedup>1.2x``.
Times and sizes need one, because nobody who writes ``latency<20`` means seconds, or with
``memory<200`` bytes.
A lone ``-`` is what was not measured; no comparison of size holds for that.

Knows columns and values, not records; nothing is ever evaluated.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from cnnbench.errors import UnknownName, UsageError
from cnnbench.stats import Estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from cnnbench.report.table import Column, Value

_NAME = re.compile(r"[A-Za-z_][\w:=.+-]*?(?=!=|!~|<=|>=|=|~|<|>|\s|$)")
_OPERATOR = re.compile(r"!=|!~|<=|>=|=|~|<|>")
_BARE = re.compile(r"[^\s,'\"]+")
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(\D*)")
NOTHING = "-"

_SIZES: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

_PREFIXES = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_BINARY = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
# A letter alone: a power of two, as in every option that takes a size.
_ALONE = {unit[0]: factor for unit, factor in _BINARY.items()}
# Kind of a column -> units that its numbers may carry.
_UNITS: Mapping[str, Mapping[str, float]] = {
    "seconds": {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0},
    "bytes": {"B": 1, **_BINARY, **{f"{p}B": f for p, f in _PREFIXES.items()}, **_ALONE},
    "count": _PREFIXES,
    "whole": _PREFIXES,
    "rate": _PREFIXES,
    "fraction": {"%": 0.01},
    "ratio": {"x": 1.0},
}
# Kind of a column whose numbers mean nothing without a unit -> what they are, and a usual unit.
_NEEDED: Mapping[str, tuple[str, str]] = {"seconds": ("a time", "ms"), "bytes": ("a size", "MB")}


@dataclass(frozen=True)
class Condition:
    """One condition on one column.

    Attributes:
        column: its stable name.
        symbol: the operator.
        values: any of which may fit; a number for columns of numbers, ``None`` for what was not
            measured.
    """

    column: str
    symbol: str
    values: tuple[str | float | None, ...]

    def holds(self, value: Value | Estimate | tuple[str, ...]) -> bool:
        """Whether a value of the column fits; where there are several, any, or none if negated."""
        if isinstance(value, tuple):
            every = all if self.symbol.startswith("!") else any
            return every(self.holds(one) for one in value or (None,))
        if isinstance(value, Estimate):
            value = value.point
        if self.symbol in _SIZES:
            compare = _SIZES[self.symbol]
            return isinstance(value, (int, float)) and any(
                isinstance(one, float) and compare(value, one) for one in self.values
            )
        fits = any(self._fits(value, one) for one in self.values)
        return fits != self.symbol.startswith("!")

    def nearest(self, values: Iterable[Value | Estimate]) -> Value:
        """The value that comes nearest to fitting; ``None`` if none can be compared."""
        points = [one.point if isinstance(one, Estimate) else one for one in values]
        wanted = self.values[0]
        if isinstance(wanted, float):
            numbers = [one for one in points if isinstance(one, (int, float))]
            return min(numbers, key=lambda one: abs(one - wanted), default=None)
        texts = list(dict.fromkeys(one for one in points if isinstance(one, str) and one))
        if wanted is None or not texts:
            return None
        within = [one for one in texts if wanted.casefold() in one.casefold()]
        return next(iter(within or get_close_matches(wanted, texts, n=1, cutoff=0.0)), None)

    def _fits(self, value: Value, wanted: str | float | None) -> bool:
        if wanted is None or value is None or value == "":
            return wanted is None and value in {None, ""}
        if isinstance(wanted, float):
            # Beyond the digits that tables carry two numbers are one.
            return isinstance(value, (int, float)) and abs(value - wanted) <= 1e-9 * abs(wanted)
        if "~" in self.symbol:
            return wanted.casefold() in str(value).casefold()
        return str(value) == wanted


class _Reader:
    """A place in a filter's text."""

    def __init__(self, text: str, columns: Mapping[str, Column]) -> None:
        self.text = text
        self.at = 0
        self.columns = columns

    def fail(self, what: str) -> UsageError:
        # The place is shown in the line itself, so that it survives being one line.
        place = f"{self.text[: self.at]}»{self.text[self.at :]}"
        return UsageError(f"filter, at character {self.at + 1}: {what}, in: {place}")

    def take(self, pattern: re.Pattern[str]) -> str | None:
        found = pattern.match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        return found[0]

    def space(self) -> bool:
        before = self.at
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return self.at > before or self.at == len(self.text)

    def condition(self) -> Condition:
        start = self.at
        name = self.take(_NAME)
        if name is None:
            raise self.fail("expected a column")
        if name not in self.columns:
            self.at = start
            raise self.fail(str(UnknownName("column", name, self.columns)))
        column = self.columns[name]
        self.space()
        symbol = self.take(_OPERATOR)
        if symbol is None:
            raise self.fail(f"expected one of = != ~ !~ < <= > >= after '{name}'")
        self._suits(column, symbol)
        self.space()
        said = f"{name}{symbol}"
        values = [self.value(column, symbol, said)]
        while self.take(re.compile(",")):
            values.append(self.value(column, symbol, said))
        return Condition(column.name, symbol, tuple(values))

    def _suits(self, column: Column, symbol: str) -> None:
        if column.kind == "text" and symbol in _SIZES:
            raise self.fail(f"'{column.name}' is text; use = != ~ !~")
        if column.kind != "text" and "~" in symbol:
            raise self.fail(f"'{column.name}' is a number; use = != < <= > >=")

    def value(self, column: Column, symbol: str, said: str) -> str | float | None:
        start = self.at
        quote = self.text[start : start + 1]
        if quote in {"'", '"'} and quote:
            return self._typed(self._quoted(quote), column, start, said)
        bare = self.take(_BARE)
        if bare is None:
            raise self.fail("expected a value")
        if bare == NOTHING and symbol in {"=", "!="}:
            return None
        return self._typed(bare, column, start, said)

    def _quoted(self, quote: str) -> str:
        end = self.text.find(quote, self.at + 1)
        if end < 0:
            raise self.fail(f"the quotation mark {quote} is never closed")
        inner = self.text[self.at + 1 : end]
        self.at = end + 1
        return inner

    def _typed(self, text: str, column: Column, start: int, said: str) -> str | float:
        if column.kind == "text":
            return text
        # What a heading counts in per cent is stored so, and may be typed as the table shows it.
        percents = column.kind == "number" and column.title.endswith(" %")
        value = quantity(text.removesuffix("%") if percents else text, column.kind)
        if value is None:
            self.at = start
            what, unit = _NEEDED.get(column.kind, ("", ""))
            if what and quantity(f"{text}{unit}", column.kind) is not None:
                raise self.fail(f"{what} needs a unit, such as {said}{text}{unit}")
            units = _UNITS.get(column.kind, {})
            known = f" with one of {' '.join(units)}" if units else ""
            raise self.fail(f"'{text}' is not a number{known} to compare '{column.name}' with")
        return value


def quantity(text: str, kind: str) -> float | None:
    """A number of a kind of column with its unit; ``None`` if it is none.

    >>> quantity("20ms", "seconds"), quantity("20", "seconds"), quantity("1.5GiB", "bytes")
    (0.02, None, 1610612736.0)
    """
    units = _UNITS.get(kind, {})
    found = _NUMBER.fullmatch(text.strip())
    if found is None or (found[2] and found[2] not in units):
        return None
    if kind in _NEEDED and not found[2] and float(found[1]):
        return None
    return float(found[1]) * units.get(found[2], 1.0)


def parse(text: str, columns: Mapping[str, Column]) -> tuple[Condition, ...]:
    """Read a filter.

    Args:
        text: in the language above; empty text has no conditions.
        columns: what a name in it stands for.

    Raises:
        UsageError: not a filter; the message shows where.
    """
    reader, found = _Reader(text, columns), []
    reader.space()
    while reader.at < len(text):
        found.append(reader.condition())
        if not reader.space():
            raise reader.fail("expected a space between two conditions")
    return tuple(found)
