"""Lines of ``records.jsonl`` -> records; what cannot be read of them is said and left out.

A line is whole or damaged: a kill tears the one that is being written, an edit or a disk any. What
is newer than this version, or was never a record, is refused.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, BinaryIO

from cnnbench import files
from cnnbench.collector import uncollected
from cnnbench.errors import SchemaError, StoreError, UsageError
from cnnbench.record import from_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from cnnbench.record import Record

# How a record's line begins: a run that was killed in its first one is still a run.
_OPENING = b'{"id":'


def read(
    path: Path, change: Callable[[Record], Record] | None = None
) -> tuple[tuple[Record, ...], tuple[str, ...]]:
    """The last record of each spec, and what could not be read, in sentences.

    Args:
        path: of the lines; a file that is not there has none.
        change: done to every record as it is read.

    Raises:
        StoreError: the file cannot be read, or no line is a record.
        SchemaError: a record of a newer version, or one that does not fit.
    """
    try:
        with files.opened(path) as file, uncollected():
            return _parsed(path, _now(file), change)
    except FileNotFoundError:
        return (), ()
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error


def _now(file: BinaryIO) -> Iterator[bytes]:
    """The lines at this moment; one that is being written comes once, incomplete."""
    for line in file:
        yield line
        if not line.endswith(b"\n"):
            return


class _NoFigureError(ValueError):
    """A word of JSON's that is no number."""


def _parsed(
    path: Path, lines: Iterable[bytes], change: Callable[[Record], Record] | None
) -> tuple[tuple[Record, ...], tuple[str, ...]]:
    found: dict[str, Record] = {}
    problems, foreign = [], False
    for number, line in enumerate(lines, start=1):
        if not line.strip(b" \t\r\n\0"):
            continue
        place = f"{path}:{number}"
        try:
            record = _record(line, place)
        except _NoFigureError as error:
            problems.append(f"{place}: line skipped: {error} is no figure")
            continue
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
            begun = line.rstrip(b"\n")[: len(_OPENING)]
            foreign |= not _OPENING.startswith(begun)
            torn = not line.endswith(b"\n")
            what = "incomplete line skipped (the writer was killed here)"
            problems.append(f"{place}: {what if torn else 'damaged line skipped'}")
            continue
        found.pop(record.id, None)
        found[record.id] = record if change is None else change(record)
    if foreign and not found:
        raise StoreError(f"{path}: no line is a record; was it written by cnnbench?")
    return tuple(found.values()), tuple(problems)


def _record(line: bytes, place: str) -> Record:
    words: list[str] = []
    try:
        # NaN and infinities are no figures: what has one is not known, as older versions meant by
        # them; whether it may be unknown is seen when the record is made of it.
        return from_json(json.loads(line, parse_constant=words.append))
    except UsageError as error:
        if words and _fits(line):
            raise _NoFigureError(words[0]) from None
        raise SchemaError(f"{place}: {error}") from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except ValueError:
        # Python reads no number of more than some thousand digits.
        raise SchemaError(f"{place}: invalid number") from None


def _fits(line: bytes) -> bool:
    """Whether a line is a record but for what is no figure."""
    try:
        from_json(json.loads(line, parse_constant=lambda _: 0))
    except UsageError:
        return False
    return True
