"""Places -> run directories -> runs, each read when it is asked for.

So that a thousand runs can be one table in the memory of a few: what is found is known at once,
what is in it only where somebody looks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

from cnnbench import store
from cnnbench.errors import StoreError, UsageError
from cnnbench.store import StoredRun

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cnnbench.record import Record


def places(asked: Iterable[str | Path]) -> list[Path]:
    """Run directories, each once and as it was first spelled; none of their files is read.

    Args:
        asked: run directories, directories that hold some at any depth, such as a campaign of many
            hosts, and patterns (``results/2026-*``; ``**`` stands for any depth) of both.

    Raises:
        StoreError: at one of these places is no run.
        UsageError: a name is empty, which would mean the current folder.
    """
    found: dict[Path, Path] = {}
    for one in asked:
        if one == "":
            raise UsageError("the name of a run is empty; is a variable not set?")
        inner = _inside(Path(one))
        if not inner and _PATTERN.intersection(str(one)):
            inner = [path for match in _matching(Path(one)) for path in _inside(match)]
            if not inner:
                raise StoreError(f"no run matches '{one}'")
        if not inner:
            if not Path(one).exists():
                raise StoreError(f"{one} does not exist")
            raise StoreError(
                f"{one} is not a cnnbench run: it has no {store.MANIFEST}, and contains none"
            )
        for path in inner:
            found.setdefault(path.resolve(), path)
    return list(found.values())


# What a place needs to be a pattern.
_PATTERN = frozenset("*?[")


def _matching(pattern: Path) -> list[Path]:
    top = Path(pattern.anchor)
    return sorted(top.glob(str(pattern.relative_to(top))))


def _inside(place: Path) -> list[Path]:
    """The place if it is a run; or the runs below it."""
    if (place / store.MANIFEST).exists():
        return [place]
    return sorted(path.parent for path in place.rglob(store.MANIFEST)) if place.is_dir() else []


class LazyRuns(Sequence[StoredRun]):
    """Runs in order, each read when it is first asked for, and kept from then on."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self.paths = tuple(paths)
        self._kept: dict[int, StoredRun] = {}

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, index: int) -> StoredRun: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[StoredRun, ...]: ...
    def __getitem__(self, index: int | slice) -> StoredRun | tuple[StoredRun, ...]:
        """The run, or the runs.

        Raises:
            IndexError: there are fewer.
            StoreError: one cannot be read.
        """
        if isinstance(index, slice):
            return tuple(self[one] for one in range(len(self))[index])
        number = range(len(self))[index]
        if number not in self._kept:
            self._kept[number] = store.read(self.paths[number])
        return self._kept[number]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(self.paths)

    def __repr__(self) -> str:
        return f"LazyRuns({len(self)} runs, {len(self._kept)} read)"

    def passing(self, *, reports: bool = False) -> Iterator[StoredRun]:
        """One run after another; what is read for it is not kept.

        Args:
            reports: without what no report looks at, see ``store.read``.

        Raises:
            StoreError: one cannot be read; when it is reached.
        """
        for number, path in enumerate(self.paths):
            yield self._kept.get(number) or store.read(path, reports=reports)


def passing(runs: Sequence[StoredRun], *, reports: bool = False) -> Iterator[StoredRun]:
    """One run after another, of those in memory or of those that are not read yet."""
    return runs.passing(reports=reports) if isinstance(runs, LazyRuns) else iter(runs)


class Copies:
    """Tells records that came before: copied with their run, or merged beside their parts.

    They would count twice in every figure that is made of many records. Two measurements are never
    of one ensemble and round and equal in their nanoseconds too, whatever their second and their
    names: the two sides of a comparison share those.
    """

    def __init__(self) -> None:
        self._seen: set[tuple[object, ...]] = set()

    def has(self, record: Record) -> bool:
        """Whether it was asked about before."""
        runs = [(one.ensemble, one.round, one.build_ns, one.slices.sampled_ns)
                for one in record.runs]  # fmt: skip
        alone = "" if runs else record.measured_at
        key = record.id, record.environment, record.failure, alone, *runs
        if key in self._seen:
            return True
        self._seen.add(key)
        return False

    def have_all(self, run: StoredRun) -> bool:
        """Whether every record of a run was asked about before; not of a run without any."""
        found = [self.has(record) for record in run.records]
        return bool(found) and all(found)
