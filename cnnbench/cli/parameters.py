"""Types of options that several commands take."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from cnnbench import asking, recipes, shards
from cnnbench.errors import UsageError
from cnnbench.spec import Device

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


if TYPE_CHECKING:
    Parameter = click.ParamType[Any]
else:
    # The class takes a type argument only from click 8.4 on.
    Parameter = click.ParamType


class NamedPath(click.Path):
    """A file or folder, given to commands as a ``Path``."""

    def __init__(self, **kinds: bool) -> None:
        super().__init__(path_type=Path, **kinds)

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Refuse the empty word of an unset variable: it would mean the current folder."""
        if value == "":
            self.fail("the name is empty; is a variable of the shell not set?", param, ctx)
        return super().convert(value, param, ctx)


class Words(Parameter):
    """Comma-separated words."""

    name = "WORD,…"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, ...]:
        """Split at commas."""
        if isinstance(value, tuple):
            return value
        words = tuple(word.strip() for word in str(value).split(",") if word.strip())
        return words or self.fail("needs at least one word", param, ctx)


class Numbers(Parameter):
    """Comma-separated positive whole numbers; each once, unless repeats mean something."""

    name = "N,…"

    def __init__(self, *, repeats: bool = False) -> None:
        self._repeats = repeats

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        """Split at commas and read."""
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",")]
        if not all(part.isdecimal() and int(part) > 0 for part in parts):
            self.fail(f"'{value}' is not a list of positive numbers such as 1,8", param, ctx)
        numbers = tuple(map(int, parts))
        return numbers if self._repeats else tuple(dict.fromkeys(numbers))


class Shape(Parameter):
    """Numbers joined by x."""

    name = "NxN"

    def __init__(self, example: str, lengths: Iterable[int]) -> None:
        self._example = example
        self._lengths = tuple(lengths)

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        """Read ``224`` or ``3x224x224``."""
        if isinstance(value, tuple):
            return value
        try:
            return asking.shape(str(value), self._example, self._lengths)
        except UsageError as error:
            return self.fail(str(error), param, ctx)


class PictureCount(Parameter):
    """The number of pictures in an epoch."""

    name = "NAME|N"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Read the name of a data set, or a number."""
        try:
            return recipes.training_pictures(str(value))
        except UsageError as error:
            return self.fail(str(error), param, ctx)


class Percent(Parameter):
    """A share."""

    name = "PERCENT"

    def __init__(self, most: float = 1.0) -> None:
        self._most = most

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Read ``2%`` or ``0.02``."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)\s*(%?)", str(value).strip())
        share = float(match[1]) / (100 if match[2] else 1) if match is not None else 0.0
        if not 0 < share <= self._most:
            self.fail(f"'{value}' is not a share such as 2% or 0.02", param, ctx)
        return share


class KeyValue(Parameter):
    """``key=json``."""

    name = "KEY=JSON"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, Any]:
        """A key and a JSON value; a bare word is a string."""
        if isinstance(value, tuple):
            return value
        key, equals, text = str(value).partition("=")
        if not equals or not key.isidentifier():
            self.fail(f"'{value}' is not of the form width=32", param, ctx)
        try:
            return key, json.loads(text)
        except (ValueError, RecursionError):
            if re.fullmatch(r"[\w.\-]+", text):
                return key, text
            return self.fail(f"'{text}' is neither JSON nor a plain word", param, ctx)


# A figure in the units of a kind -> the words for it, and options that take one; of these the first
# that a command has is the one that was meant.
_KINDS: Mapping[re.Pattern[str], tuple[str, tuple[str, ...]]] = {
    re.compile(r"[\d.]+ ?([nuµm]?s|m|min|h)"): ("a time", ("--under", "--max-latency")),
    re.compile(r"[\d.]+ ?([kmgt]?i?b|[kmgt])", re.IGNORECASE): (
        "an amount of memory",
        ("--memory", "--memory-limit", "--limit"),
    ),
    re.compile(r"[\d.]+ ?%"): ("a percentage", ("--top1",)),
}


def _no_figure(value: Any, otherwise: str, param: Any, ctx: Any, kind: str = "") -> NoReturn:
    """Refuse a figure; one of another kind than its own is told the option that takes it.

    Raises:
        BadParameter: always.
    """
    text = str(value).strip()
    kinds = [told for pattern, told in _KINDS.items() if pattern.fullmatch(text)]
    own = {*param.opts} if param is not None else set()
    known = {name for one in ctx.command.params for name in one.opts} if ctx is not None else set()
    for what, options in kinds:
        place = next((one for one in options if one in known), None)
        if own & {*options} or place is None or what == kind:
            continue
        written = text.replace(" ", "")
        otherwise = f"'{text}' is {what}; give it as {place} {written}"
        break
    raise click.BadParameter(otherwise, ctx=ctx, param=param)


def _without_unit(value: Any) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?|\.\d+", str(value).strip()) is not None


class Bytes(Parameter):
    """A size in bytes, with its unit; K, M and G alone are powers of two."""

    name = "SIZE"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """Read ``512M``, ``2GiB`` or ``2GB``."""
        if isinstance(value, int):
            return value
        text = str(value).strip().lower()
        match = re.fullmatch(r"(\d+)\s*(b|[kmg](?:i?b)?)", text)
        if match is None or int(match[1]) == 0:
            needs = f"'{value}' needs a unit, such as {text}M"
            no = f"'{value}' is not a size such as 2G or 512M"
            _no_figure(value, needs if _without_unit(value) else no, param, ctx)
        unit = match[2]
        base = 1000 if unit in {"kb", "mb", "gb"} else 1024
        return int(match[1]) * int(base ** "bkmg".index(unit[0]))


class Quantity(Parameter):
    """A figure with its unit, as the filter of a report reads it."""

    def __init__(self, kind: str, name: str, example: str) -> None:
        self._kind = kind
        self._example = example
        self.name = name

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Read ``20ms`` or ``200MB``."""
        if isinstance(value, float):
            return value
        # Reports take a while to import; a help text needs none.
        from cnnbench.report.filter import quantity

        found = quantity(str(value), self._kind)
        if found is None or not 0 < found < math.inf:
            unit = self._example.lstrip("0123456789")
            needs = f"'{value}' needs a unit, such as {str(value).strip()}{unit}"
            no = f"'{value}' is no limit such as {self._example}"
            _no_figure(value, needs if _without_unit(value) else no, param, ctx)
        return found


class Accuracy(Parameter):
    """Percent of what is answered rightly."""

    name = "PERCENT"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Read ``75`` or ``75%``."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)\s*(%?)", str(value).strip())
        percent = float(match[1]) if match is not None else 0.0
        if match is not None and 0 < percent < 1 and not match[2]:
            self.fail(f"'{value}' is a share; in percent it is {100 * percent:g}", param, ctx)
        if not 0 < percent <= 100:
            _no_figure(value, f"'{value}' is no percentage such as 75", param, ctx)
        return percent


class OneOfShards(Parameter):
    """One of several parts of a grid."""

    name = "I/N"

    def convert(self, value: Any, param: Any, ctx: Any) -> shards.Shard:
        """Read ``2/8``."""
        if isinstance(value, shards.Shard):
            return value
        try:
            return shards.read(str(value).strip())
        except UsageError as error:
            self.fail(str(error), param, ctx)


class Seconds(Parameter):
    """A duration."""

    name = "TIME"

    _UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}  # noqa: RUF012 - never changed

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Read ``90``, ``90s``, ``5m`` or ``1h``."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", str(value).strip())
        if match is None or float(match[1]) == 0:
            no = f"'{value}' is not a time such as 90s or 5m"
            _no_figure(value, no, param, ctx, "a time")
        return float(match[1]) * self._UNITS[match[2]]


def once(ctx: click.Context, param: click.Parameter, given: tuple[Any, ...]) -> Any:
    """The value of an option that takes one, ``None`` if it was not given.

    Click itself would take the last of several and say nothing of the others.
    """
    if len({*given}) > 1:
        if isinstance(given[0], Device):
            raise click.BadParameter(asking.ONE_DEVICE.format(given[0].text), ctx, param)
        raise click.BadParameter("it is given twice; keep one", ctx, param)
    return given[-1] if given else None
