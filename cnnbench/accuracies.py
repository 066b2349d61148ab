"""Accuracies of networks outside of the catalogue, in the form of timm's ``results-imagenet.csv``.

A row is a model, the top-1 of its weights in percent and, optionally, the input size that it holds
for, the parameters in millions and the multiply-accumulates of a sample in thousand millions.
timm's package brings no such table; ``timm_accuracies.csv`` has these figures from its repository,
of October 2025. A file is data: a row names a network, and builds nothing by that.
"""

from __future__ import annotations

import csv
import functools
import math
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from cnnbench import files
from cnnbench.errors import StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MODEL, TOP1, SIZE, PARAMS, MACS = "model", "top1", "img_size", "param_count", "gmacs"
_TIMM = "timm_accuracies.csv"
# Published multiply-accumulates are rounded to hundredths of a thousand million.
_ROUNDED = 0.005
_THOUSANDS = re.compile(r"\d{1,3}(,\d{3})+(\.\d*)?")
# What no file of that kind needs.
_MOST_ROWS, _LONGEST_NAME, _LARGEST = 100_000, 200, 100_000


@dataclass(frozen=True)
class GivenAccuracy:
    """A row.

    Attributes:
        model: its name there; of a model of timm's without ``timm:``.
        top1: in percent.
        size: height and width that it holds for; ``None`` if the file does not say.
        params: parameters; ``None`` if the file does not say.
        macs: multiply-accumulates of a sample, at least; ``None`` if the file does not say.
    """

    model: str
    top1: float
    size: int | None = None
    params: int | None = None
    macs: int | None = None

    @property
    def architecture(self) -> str:
        """Its name without the tag of its weights."""
        return self.model.split(".", maxsplit=1)[0]


@functools.cache
def of_timm() -> tuple[GivenAccuracy, ...]:
    """What timm publishes of its pretrained weights: 1,556 of 900 networks, at one or two sizes."""
    text = resources.files("cnnbench").joinpath(_TIMM).read_text(encoding="utf8")
    return _rows(Path(_TIMM), csv.DictReader(text.splitlines(), strict=True))


def read(path: Path) -> tuple[GivenAccuracy, ...]:
    """The rows of a file, in order.

    Raises:
        StoreError: it cannot be read.
        UsageError: it is no such table, or a row of it is wrong.
    """
    try:
        text = files.read_text(path)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not text in UTF-8") from error
    try:
        return _rows(path, csv.DictReader(text.removeprefix("\ufeff").splitlines(), strict=True))
    except csv.Error as error:
        raise UsageError(f"{path}: no CSV: {error}") from error


def _rows(path: Path, lines: csv.DictReader[str]) -> tuple[GivenAccuracy, ...]:
    columns = lines.fieldnames or ()
    for name in (MODEL, TOP1):
        if name not in columns:
            raise UsageError(
                f"{path}: no column '{name}'; it needs {MODEL} and {TOP1}, and may have {SIZE},"
                f" {PARAMS} and {MACS}, as timm's results-imagenet.csv has them"
            )
    found: list[GivenAccuracy] = []
    for row in lines:
        if len(found) == _MOST_ROWS:
            raise UsageError(f"{path}: more than {_MOST_ROWS} rows")
        found.append(_row(f"{path}:{lines.line_num}", row))
    if not found:
        raise UsageError(f"{path}: no rows")
    if all(row.top1 <= 1 for row in found):
        raise UsageError(f"{path}: {TOP1} is in percent, and all of its values are at most 1")
    return tuple(found)


def _row(place: str, row: Mapping[str, str | None]) -> GivenAccuracy:
    name, top1 = (row[MODEL] or "").strip(), _number(row[TOP1])
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise UsageError(f"{place}: no name of a model")
    if top1 is None or not 0 < top1 <= 100:
        raise UsageError(f"{place}: {TOP1} is no percentage")
    size, params, macs = (_optional(place, row, key) for key in (SIZE, PARAMS, MACS))
    if size is not None and (size != int(size) or size > _LARGEST):
        raise UsageError(f"{place}: {SIZE} is no size")
    return GivenAccuracy(
        name, top1, None if size is None else int(size),
        None if params is None else round(params * 1e6),
        None if macs is None else max(0, round((macs - _ROUNDED) * 1e9)),
    )  # fmt: skip


def _optional(place: str, row: Mapping[str, str | None], key: str) -> float | None:
    text = (row.get(key) or "").strip()
    if not text:
        return None
    value = _number(text)
    if value is None or value <= 0:
        raise UsageError(f"{place}: {key} is no positive number")
    return value


def _number(text: str | None) -> float | None:
    """A finite number, which may have commas between thousands; not one for the decimal point."""
    text = (text or "").strip()
    if "," in text and not _THOUSANDS.fullmatch(text):
        return None
    try:
        value = float(text.replace(",", ""))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def best_of_each(rows: Iterable[GivenAccuracy]) -> tuple[GivenAccuracy, ...]:
    """The most accurate of rows that differ in their weights alone, which all take as long."""
    best: dict[tuple[str, int | None], GivenAccuracy] = {}
    for row in rows:
        known = best.get((row.architecture, row.size))
        if known is None or row.top1 > known.top1:
            best[row.architecture, row.size] = row
    return tuple(best.values())
