"""Run directories: ``manifest.json``, ``environment.json`` and ``records.jsonl``.

A run is written once and only ever added to: one write per group of records, flushed to disk, so
that a kill at any byte loses nothing that was reported. Only its end drops superseded records and
puts the others into the order of the manifest, by a new file in place of the old. A torn last line
is skipped when reading and closed off when resuming. Everything is JSON; nothing is evaluated.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from cnnbench import files, record_lines
from cnnbench.codec import decode, encode
from cnnbench.environment import Environment
from cnnbench.errors import SchemaError, StoreError
from cnnbench.prediction.kept import PREDICTIONS
from cnnbench.record import Record, lean, to_json
from cnnbench.version import VERSION

if TYPE_CHECKING:
    from types import TracebackType

MANIFEST, ENVIRONMENT, RECORDS = "manifest.json", "environment.json", "records.jsonl"
_SCHEMA, _HOLDS = 1, ("other files", "another run")


@dataclass(frozen=True)
class Manifest:
    """The plan of a run.

    Attributes:
        run: the run's name, unique across machines, so that runs merge by copying.
        created: UTC, ISO 8601.
        specs: ids of the whole grid, in order.
        plan: the sampling plan.
        executor: who measured.
        version: of cnnbench.
        assumed: architectures whose input is only a guess.
        revision: git commit of the user's repository that was measured, where that is known.
        dirty: it had changes that were not committed, or the run was gone on with by other code.
        shared: several GPUs share the work.
        shard: which part of a grid it is (``2/8``), and ``grid``: a name for the whole of it.
    """

    run: str
    created: str
    specs: tuple[str, ...]
    plan: Mapping[str, Any]
    executor: str = "process"
    version: str = VERSION
    schema: int = _SCHEMA
    assumed: tuple[str, ...] = ()
    revision: str | None = None
    dirty: bool | None = None
    shared: bool = False
    shard: str = ""
    grid: str = ""


@dataclass(frozen=True)
class StoredRun:
    """A run as read back.

    Attributes:
        path: its directory.
        records: one per spec; of several for one spec the last counts.
        problems: lines for people about what could not be read.
    """

    path: Path
    manifest: Manifest
    environment: Environment
    records: tuple[Record, ...]
    problems: tuple[str, ...] = field(default=())

    @property
    def missing(self) -> tuple[str, ...]:
        """Ids of the grid that have no record yet."""
        present = {record.id for record in self.records}
        return tuple(name for name in self.manifest.specs if name not in present)

    @property
    def unfinished(self) -> tuple[str, ...]:
        """Ids of the specs that the run was to measure further rounds of."""
        return tuple(record.id for record in self.records if record.unfinished)

    @property
    def failed(self) -> tuple[str, ...]:
        """Ids of the specs whose record is a failure."""
        return tuple(record.id for record in self.records if record.failure is not None)


def new_run_name() -> str:
    """UTC time and a random suffix: sorts by time, never collides."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def manifest(run: str, specs: Sequence[str], plan: object, executor: str) -> Manifest:
    """The manifest of a run that begins now."""
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return Manifest(run, created, tuple(specs), encode(plan), executor)


class Writer:
    """Appends records to a run; a context manager that holds the run's lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = files.appending(path / RECORDS)
        except OSError as error:
            raise StoreError(f"{path / RECORDS}: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise StoreError(
                f"{path}: another cnnbench is writing to this run; wait until it has ended"
            ) from None
        self._close_torn_line()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._file)

    def append(self, records: Iterable[Record]) -> None:
        """Add records with one write, flushed to disk.

        Raises:
            StoreError: the disk does not take it.
        """
        lines = [json.dumps(to_json(record), separators=(",", ":")) for record in records]
        data = "".join(line + "\n" for line in lines).encode()
        try:
            _write_all(self._file, data)
            os.fsync(self._file)
        except OSError as error:
            raise StoreError(f"{self.path / RECORDS}: {error.strerror}") from error

    def replan(self, instead: Mapping[str, str], more: Iterable[str] = ()) -> None:
        """Write into the manifest which specs are measured in place of planned ones, and which too.

        Raises:
            StoreError: the disk does not take it.
        """
        what = _manifest(self.path)
        ids = tuple(dict.fromkeys([*(instead.get(one, one) for one in what.specs), *more]))
        if ids == what.specs:
            return
        try:
            write_whole(self.path / MANIFEST, encode(replace(what, specs=ids)))
        except OSError as error:
            raise StoreError(f"{self.path / MANIFEST}: {error.strerror}") from error

    def settle(self) -> None:
        """Leave the last record of each spec, in the order of the manifest; a writer's last act.

        By a new file in place of the old one, so that a kill leaves one of the two. Lines that
        cannot be read stay, at the end. Without room for the new file, the old one stays.
        """
        path, new = self.path / RECORDS, (self.path / RECORDS).with_suffix(".tmp")
        try:
            order = {name: rank for rank, name in enumerate(planned(self.path))}
            with path.open("rb") as file:
                lines = list(_lines(file))
                kept = _last_of_each(lines, order)
                if [place for place, _, _ in kept] == list(range(len(lines))):
                    return
                new.unlink(missing_ok=True)
                with new.open("xb") as left:
                    for _, start, length in kept:
                        file.seek(start)
                        left.write(file.read(length))
                    left.flush()
                    os.fsync(left.fileno())
            new.replace(path)
        except OSError:
            new.unlink(missing_ok=True)

    def _close_torn_line(self) -> None:
        """End a line that a killed writer left open.

        So that the next record starts a line of its own.
        """
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            _write_all(self._file, b"\n")


def _lines(file: BinaryIO) -> Iterator[tuple[str | None, int, int]]:
    """The id on each line, where the line starts, and its length in bytes."""
    start = 0
    for line in file:
        yield _name_on(line), start, len(line)
        start += len(line)


def _last_of_each(
    lines: Sequence[tuple[str | None, int, int]], order: Mapping[str, int]
) -> list[tuple[int, int, int]]:
    """Place, start and length of the lines to keep, in order."""
    last = {name: place for place, (name, _, _) in enumerate(lines)}
    kept = [
        (order.get(name or "", len(order)), place, start, length)
        for place, (name, start, length) in enumerate(lines)
        if name is None or last[name] == place
    ]
    return [(place, start, length) for _, place, start, length in sorted(kept)]


def _name_on(line: bytes) -> str | None:
    """The id of the record on a line; ``None`` where there is no whole one."""
    try:
        # A line with NaN may be unreadable as a record, and must not stand for those before it.
        name = json.loads(line, parse_constant=int)["id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return name if isinstance(name, str) else None


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def create(path: Path, what: Manifest, environment: Environment) -> Writer:
    """Begin a run in a directory that is new or empty.

    Raises:
        StoreError: the directory holds something, or cannot be made.
    """
    refuse_full(path)
    try:
        write_whole(path / ENVIRONMENT, encode(environment))
        write_whole(path / MANIFEST, encode(what))
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    return Writer(path)


def refuse_full(path: Path) -> None:
    """Make a directory, or make sure that it is empty.

    Raises:
        StoreError: it holds something, or cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        full = any(path.iterdir())
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    if full:
        run = (path / MANIFEST).exists()
        hint = f"continue it with {going_on(path)}, or" if run else "so"
        raise StoreError(f"{path} holds {_HOLDS[run]}; {hint} choose another --out")


def going_on(path: Path) -> str:
    """The command that goes on with a run."""
    command = "choose" if (path / PREDICTIONS).exists() else "run"
    return f"cnnbench {command} --resume {shlex.quote(str(path))}"


def write_whole(path: Path, data: Any) -> None:
    """Write a JSON file so that a reader finds all of it or none."""
    files.replace(path, f"{json.dumps(data, indent=1, sort_keys=True)}\n".encode())


def read(path: Path, *, reports: bool = False) -> StoredRun:
    """Read a run, complete or not.

    Args:
        path: its directory.
        reports: leave out what no report looks at, see ``record.lean``.

    Raises:
        StoreError: not a run directory, or not one that this version can read.
    """
    what = _manifest(path)
    found = _read_whole(path / ENVIRONMENT, path)
    environment = decode(Environment, found, str(path / ENVIRONMENT))
    records, problems = record_lines.read(path / RECORDS, lean if reports else None)
    return StoredRun(path, what, environment, records, problems)


def planned(path: Path) -> tuple[str, ...]:
    """The ids of a run's whole grid.

    Raises:
        StoreError: not a run directory.
    """
    return _manifest(path).specs


def _manifest(path: Path) -> Manifest:
    what = decode(Manifest, _read_whole(path / MANIFEST, path), str(path / MANIFEST))
    if what.schema != _SCHEMA:
        raise SchemaError(f"{path / MANIFEST}: schema {what.schema} is not known to this version")
    return what


def _read_whole(path: Path, run: Path) -> Any:
    try:
        return json.loads(files.read_text(path))
    except FileNotFoundError:
        raise StoreError(f"{run} is not a cnnbench run: it has no {path.name}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{path}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return str(error.strerror)
    return "not valid JSON; is it a complete file of cnnbench?"
