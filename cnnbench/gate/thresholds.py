"""Thresholds as users write them: on the command line, or in a TOML file.

A threshold is written ``latency=5%``, or for some models and modes
``'resnet*:latency=3%'``, ``'resnet*/compile*:latency=8%'``. In TOML it stands under
``[tool.cnnbench.check]`` of pyproject.toml, or ``[check]`` of a file of its own::

    [tool.cnnbench.check]
    latency = "5%"
    params = 0

    [[tool.cnnbench.check.where]]
    model = "resnet*"
    mode = "compile*"
    latency = "8%"

Later ones win: the defaults, the file, its ``where`` tables in order, the command line.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cnnbench import files, metrics
from cnnbench.errors import UnknownName, UsageError
from cnnbench.gate import facets, noise
from cnnbench.gate.changes import measured
from cnnbench.gate.judging import Threshold

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

# In place of a limit: what the noise of a benchmark allows (``noise.automatic``).
AUTO = "auto"
_DEFAULTS = ("latency=5%", "peak_memory=2%", "params=0", "macs=0", "output=0", "outputs=0",
              "values=0")  # fmt: skip

_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")


def names() -> list[str]:
    """Everything that can have a threshold."""
    rated = [one.name for one in metrics.METRICS]
    return [*rated, *(one.name for one in facets.FACETS), "structure"]


def parse(text: str, origin: str = "--threshold") -> Threshold:
    """Read ``[MODEL[/MODE]:]METRIC=LIMIT``.

    Raises:
        UsageError: it does not parse; the message says where.
        UnknownName: there is no such metric.
    """
    left, equals, limit = text.strip().rpartition("=")
    if not equals:
        raise UsageError(f"{origin} '{text}': needs the form latency=5%")
    where, _, metric = left.rpartition(":")
    model, _, mode = where.partition("/")
    return threshold(metric.strip(), limit, f"{origin} '{text}'", model.strip(), mode.strip())


def threshold(metric: str, limit: Any, origin: str, model: str = "", mode: str = "") -> Threshold:
    """A threshold of a metric and a limit as it was written.

    Raises:
        UsageError: the limit is invalid; the message begins with ``origin``.
        UnknownName: there is no such metric.
    """
    if metric not in names():
        raise UnknownName("metric", metric, names(), f"(in {origin})")
    if str(limit).strip() == AUTO:
        if metric != "latency":
            raise UsageError(f"{origin}: only latency can be {AUTO}; give {metric} a limit")
        return Threshold(metric, noise.USUAL, model or "*", mode or "*", auto=True)
    return Threshold(metric, _limit(metric, limit, origin), model or "*", mode or "*")


def _limit(metric: str, limit: Any, origin: str) -> float | None:
    text = str(limit).strip() if not isinstance(limit, bool) else str(limit)
    if text == "off":
        return None
    percent = _PERCENT.fullmatch(text)
    if metric not in {one.name for one in metrics.METRICS}:
        if not text.isdecimal():
            raise UsageError(f"{origin}: '{text}' is not a number of differences such as 0")
        return float(text)
    if percent is None and text != "0":
        auto = f", or {AUTO}" if metric == "latency" else ""
        raise UsageError(f"{origin}: '{text}' is not a share such as 5%, or 0, or off{auto}")
    value = float(percent[1]) / 100 if percent is not None else 0.0
    if value == 0 and measured(metrics.metric(metric)):
        raise UsageError(f"{origin}: no {metric} is ever exactly the same; use more than 0")
    return value


def defaults() -> list[Threshold]:
    """The default thresholds."""
    return [replace(parse(text, "default"), asked=False) for text in _DEFAULTS]


def in_force(file: Path | None, words: Iterable[str], folder: Path) -> list[Threshold]:
    """All thresholds, in order: defaults, file, command line.

    Args:
        file: a TOML file, or ``None`` for pyproject.toml in ``folder`` if there is one.
        words: of the command line.
        folder: where to look.

    Raises:
        UsageError: a threshold does not parse; the message says where.
    """
    own = folder / "pyproject.toml"
    chosen = file if file is not None else own if own.is_file() else None
    found = [] if chosen is None else from_toml(chosen, required=file is not None)
    return [*defaults(), *found, *(parse(word) for word in words)]


def from_toml(path: Path, *, required: bool = True) -> list[Threshold]:
    """The thresholds of a TOML file.

    Raises:
        UsageError: it cannot be read, or a threshold does not parse; the message says where.
    """
    try:
        data = tomllib.loads(files.read_text(path))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path}: not TOML: {error}") from error
    except RecursionError:
        raise UsageError(f"{path}: not thresholds: nested too deeply") from None
    for keys in (("tool", "cnnbench", "check"), ("check",)):
        table = _inner(data, keys)
        if table is not None:
            return _of_table(table, f"{path}: {'.'.join(keys)}")
    if required:
        raise UsageError(f"{path}: has neither [tool.cnnbench.check] nor [check]")
    return []


def _inner(data: Any, keys: Sequence[str]) -> Any:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data


def _of_table(table: Any, place: str, *, nested: bool = False) -> list[Threshold]:
    if not isinstance(table, dict):
        raise UsageError(f'{place}: expected a table of thresholds such as latency = "5%"')
    globs = {key: table[key] for key in ("model", "mode") if nested and key in table}
    wrong = [key for key, value in globs.items() if not isinstance(value, str)]
    if wrong:
        raise UsageError(f"{place}.{wrong[0]}: expected a name or glob in quotes")
    found = [
        threshold(key, limit, f"{place}.{key}", **globs)
        for key, limit in table.items()
        if key not in globs and (nested or key != "where")
    ]
    where = [] if nested else table.get("where", [])
    if not isinstance(where, list):
        raise UsageError(f"{place}.where: write it in double brackets: [[…where]]")
    for number, inner in enumerate(where):
        found += _of_table(inner, f"{place}.where[{number}]", nested=True)
    return found
