"""The directory of a campaign on many hosts: what was asked for, and a run for each environment.

``cluster.json`` is written once. Beside it stands a run directory for each environment, named by
its fingerprint, so that what is in one run is comparable. Its manifest holds what the run was to
have: with ``each`` the whole grid; with ``any`` the groups that its hosts were handed, which is
decided as they are.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cnnbench import files, store
from cnnbench.codec import decode, encode
from cnnbench.errors import SchemaError, StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from cnnbench.environment import Environment
    from cnnbench.record import Record
    from cnnbench.store import Manifest, StoredRun, Writer

FILE = "cluster.json"
_SCHEMA = 1
ANY, EACH = "any", "each"


@dataclass(frozen=True)
class Spread:
    """What a campaign on many hosts was asked for.

    Attributes:
        address: of the cluster.
        on: ``any``: each spec once, wherever; ``each``: by every kind of environment.
        specs: ids of the whole grid, in order.
        plan: the sampling plan.
        executor: who measures.
        impossible: spec id -> why it cannot be measured.
        assumed: architectures whose input is only a guess.
        revision: git commit that it was begun with, where that is known, and whether that was
            ``dirty``.
        torch: the version of every host; empty for any.
    """

    address: str
    on: str
    specs: tuple[str, ...]
    plan: Mapping[str, Any]
    executor: str = "process"
    impossible: Mapping[str, str] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()
    revision: str | None = None
    dirty: bool | None = None
    torch: str = ""
    schema: int = _SCHEMA


def holds(path: Path) -> bool:
    """Whether a directory is that of a campaign on many hosts."""
    return (path / FILE).exists()


def read(path: Path) -> Spread:
    """What a campaign was asked for.

    Raises:
        StoreError: the file is none of these, or not one that this version can read.
    """
    try:
        data = json.loads(files.read_text(path / FILE))
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{path / FILE}: cannot be read ({error})") from error
    found = decode(Spread, data, str(path / FILE))
    if found.schema != _SCHEMA:
        raise SchemaError(f"{path / FILE}: schema {found.schema} is not known to this version")
    return found


def create(path: Path, what: Spread) -> None:
    """Begin a campaign in a directory that is new or empty.

    Raises:
        StoreError: the directory holds something, or cannot be made.
    """
    store.refuse_full(path)
    try:
        store.write_whole(path / FILE, encode(what))
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error


def places(path: Path) -> list[Path]:
    """The run directories of a campaign, by fingerprint."""
    return [one.parent for one in sorted(path.glob(f"*/{store.MANIFEST}"))]


def runs(path: Path) -> list[StoredRun]:
    """The runs of a campaign."""
    return [store.read(place) for place in places(path)]


class Runs:
    """The runs of a campaign while they are written; a context manager that holds all locks."""

    def __init__(self, path: Path, what: Spread) -> None:
        """Begin or go on.

        Raises:
            StoreError: another process writes there.
        """
        self.path = path
        self._what = what
        self._manifests: dict[str, Manifest] = {}
        self._writers: dict[str, Writer] = {}
        self._lock = os.open(path / FILE, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise StoreError(
                f"{path}: another cnnbench is writing to this run; wait until it has ended"
            ) from None

    def __enter__(self) -> Runs:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with ExitStack() as stack:
            stack.callback(os.close, self._lock)
            for writer in self._writers.values():
                stack.push(writer)

    def open(self, environment: Environment) -> None:
        """Make sure that there is a run of an environment.

        Raises:
            StoreError: it cannot be made or gone on with.
        """
        name = environment.fingerprint
        if name in self._writers:
            return
        place = self.path / name
        if not (place / store.MANIFEST).exists():
            # Begun by a process that was killed before there was anything to keep.
            shutil.rmtree(place, ignore_errors=True)
            specs = self._what.specs if self._what.on == EACH else ()
            made = replace(
                store.manifest(store.new_run_name(), specs, self._what.plan, self._what.executor),
                assumed=self._what.assumed, revision=self._what.revision, dirty=self._what.dirty,
            )  # fmt: skip
            self._writers[name] = store.create(place, made, environment)
            self._manifests[name] = made
        else:
            self._writers[name] = store.Writer(place)
            self._manifests[name] = store.read(place).manifest

    def expect(self, kind: str, ids: Collection[str]) -> None:
        """Have the manifest of a run hold more specs: those that its hosts are about to measure."""
        known = {*self._manifests[kind].specs, *ids}
        self._rewrite(kind, [name for name in self._what.specs if name in known])

    def append(self, kind: str, records: Iterable[Record]) -> None:
        """Add records to a run with one write, flushed to disk.

        Raises:
            StoreError: the disk does not take it.
        """
        self._writers[kind].append(records)

    def withdraw(self, kind: str, ids: Collection[str]) -> None:
        """Have a run hold nothing of some specs, of which others measure all or nobody any.

        The records go first, so that a kill between leaves specs that are missing.

        Raises:
            StoreError: the disk does not take it.
        """
        place = self.path / kind
        if kind in self._writers:
            self._writers.pop(kind).__exit__(None, None, None)
        else:
            self._manifests[kind] = store.read(place).manifest
        try:
            _drop(place / store.RECORDS, {*ids})
        except OSError as error:
            raise StoreError(f"{place / store.RECORDS}: {error.strerror}") from error
        left = [name for name in self._manifests[kind].specs if name not in {*ids}]
        self._rewrite(kind, left)
        self._writers[kind] = store.Writer(place)

    def settle(self) -> None:
        """Leave the last record of each spec in every run; the last that is done."""
        for place in places(self.path):
            if place.name not in self._writers:
                self._writers[place.name] = store.Writer(place)
        for writer in self._writers.values():
            writer.settle()

    def _rewrite(self, kind: str, specs: Sequence[str]) -> None:
        made = replace(self._manifests[kind], specs=tuple(specs))
        path = self.path / kind / store.MANIFEST
        try:
            store.write_whole(path, encode(made))
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}") from error
        self._manifests[kind] = made


def _drop(path: Path, ids: Collection[str]) -> None:
    """Leave out the lines of some specs, by a new file in place of the old."""
    with files.opened(path) as file:
        lines = file.readlines()
    kept = [line for line in lines if _id_on(line) not in ids]
    if len(kept) < len(lines):
        files.replace(path, b"".join(kept))


def _id_on(line: bytes) -> str | None:
    """The id of the record on a line; ``None`` where there is no whole one."""
    try:
        name = json.loads(line)["id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return name if isinstance(name, str) else None
