"""The contenders of a choice, kept in its run directory: JSON lines, only ever added to.

The first line says what was asked for; every other is a contender, of which the last line about it
counts. A file is data wherever it comes from: a line that cannot be read is skipped and said, and
what a name in it may have built is decided elsewhere (``trust``).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cnnbench import files
from cnnbench.codec import decode, encode
from cnnbench.errors import SchemaError, StoreError, UsageError
from cnnbench.prediction.contenders import ChoiceLimits, Contender

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PREDICTIONS = "predictions.jsonl"
_SCHEMA = 1
_HEAD, _CONTENDER = "cnnbench_predictions", "contender"


@dataclass(frozen=True)
class KeptChoice:
    """What a run directory knows of a choice.

    Attributes:
        limits: what was asked for.
        contenders: by spec.
        unknown: names of networks without a published accuracy.
        elsewhere: networks whose accuracy is of another input size.
        problems: lines for people about what could not be read.
        count: how many contenders there were.
    """

    limits: ChoiceLimits
    contenders: Mapping[str, Contender]
    unknown: tuple[str, ...] = ()
    elsewhere: int = 0
    problems: tuple[str, ...] = ()
    count: int = 0


def read(folder: Path) -> KeptChoice | None:
    """What is kept in a run directory; ``None`` if it is no run of a choice.

    Raises:
        StoreError: the file cannot be read.
        SchemaError: it is of another version, or its first line is broken.
    """
    path = folder / PREDICTIONS
    try:
        with files.opened(path) as file:
            return _parsed(path, file)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error


def look(folder: Path) -> tuple[KeptChoice | None, tuple[str, ...]]:
    """The same for a report of the run, which shows the rest where that cannot be read.

    Returns:
        What is kept, and lines for people about what could not be read.
    """
    try:
        found = read(folder)
    except StoreError as error:
        return None, (str(error),)
    return found, () if found is None else found.problems


def _parsed(path: Path, lines: Iterable[bytes]) -> KeptChoice:
    head: KeptChoice | None = None
    found: dict[str, Contender] = {}
    problems = []
    for number, line in enumerate(lines, start=1):
        place = f"{path}:{number}"
        if head is None:
            head = _head(line, place)
            continue
        try:
            one = _contender(line)
        except (ValueError, RecursionError):
            problems.append(f"{place}: incomplete line skipped")
            continue
        except UsageError as error:
            problems.append(f"{place}: line skipped: {error}")
            continue
        found[one.spec] = one
    if head is None:
        raise SchemaError(f"{path}: empty")
    if (lost := head.count - len(found)) > 0:
        problems.append(
            f"{path}: {lost} of {head.count} networks are missing, so that nothing is certain of"
            " them; start a new choice"
        )
    return replace(head, contenders=found, problems=tuple(problems))


def _head(line: bytes, place: str) -> KeptChoice:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict) or _HEAD not in data:
        raise SchemaError(f"{place}: not what was predicted for a choice")
    if data[_HEAD] != _SCHEMA:
        raise SchemaError(f"{place}: schema {data[_HEAD]!r} is not known to this version")
    try:
        limits = decode(ChoiceLimits, data.get("limits"), "limits")
        unknown = decode(tuple[str, ...], data.get("unknown", []), "unknown")
        elsewhere = decode(int, data.get("elsewhere", 0), "elsewhere")
        count = decode(int, data.get("contenders", 0), "contenders")
    except UsageError as error:
        raise SchemaError(f"{place}: {error}") from None
    return KeptChoice(limits, {}, unknown, elsewhere, count=count)


def _contender(line: bytes) -> Contender:
    data = json.loads(line)
    if not isinstance(data, dict) or data.keys() != {_CONTENDER}:
        raise SchemaError("no contender")
    return decode(Contender, data[_CONTENDER], _CONTENDER)


def begin(
    folder: Path, limits: ChoiceLimits, unknown: Sequence[str], elsewhere: int, count: int = 0
) -> None:
    """Begin the file of a choice among ``count`` contenders.

    Raises:
        StoreError: it cannot be written.
    """
    told = {"limits": encode(limits), "unknown": list(unknown), "elsewhere": elsewhere,
            "contenders": count}  # fmt: skip
    _add(folder, [{_HEAD: _SCHEMA, **told}])


def keep(folder: Path, contenders: Iterable[Contender]) -> None:
    """Add contenders with one write, flushed to the disk.

    Raises:
        StoreError: it cannot be written.
    """
    _add(folder, [{_CONTENDER: encode(one)} for one in contenders])


def _add(folder: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Add lines of JSON, after one that a killed writer may have left open."""
    path = folder / PREDICTIONS
    data = "".join(json.dumps(one, separators=(",", ":")) + "\n" for one in lines).encode()
    try:
        file = files.appending(path)
        try:
            size = os.fstat(file).st_size
            if size and os.pread(file, 1, size - 1) != b"\n":
                data = b"\n" + data
            while data:
                data = data[os.write(file, data) :]
            os.fsync(file)
        finally:
            os.close(file)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
