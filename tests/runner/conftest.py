"""Executors that have the trouble that a test gives them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from cnnbench.errors import WorkerError
from cnnbench.record import Record
from cnnbench.runner.fake import FakeWorker
from cnnbench.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@dataclass
class Heard:
    """What a worker was asked: in which pool, of which spec, and what."""

    pool: int
    mode: str
    workload: str
    what: str
    turn: int | None = None
    batch: int = 1
    precisions: tuple[str, ...] = ()


@dataclass
class Trouble:
    """An executor that pretends, writes down what it is asked, and raises on demand."""

    raises: Callable[[Heard], Exception | None] = lambda heard: None
    on_start: Callable[[int], Exception | None] = lambda pool: None
    heard: list[Heard] = field(default_factory=list)
    pools: int = 0
    compiling: list[bool] = field(default_factory=list)
    wide: bool = False
    name: str = "trouble"
    pretends: bool = True

    def core_use(self) -> None:
        return None

    @contextmanager
    def open(self, scratch: Path) -> Iterator[Any]:
        del scratch
        self.pools += 1
        yield _Pool(self)


@dataclass
class _Pool:
    owner: Trouble

    def begin(self, *, compiling: bool = False) -> None:
        self.owner.compiling.append(compiling)

    def start(self) -> FakeWorker:
        error = self.owner.on_start(self.owner.pools)
        if error is not None:
            raise error
        return _Worker(self.owner)


class _Worker(FakeWorker):
    def __init__(self, owner: Trouble) -> None:
        super().__init__()
        self._owner = owner

    def ask(self, message: dict[str, Any], timeout: float) -> Any:
        if message.get("task") in {"describe", "resolve", "fits", "instrument", "room"}:
            return super().ask(message, timeout)
        spec = Spec.parse(message.get("spec") or self._request.spec)
        what = message.get("task") or message["do"]
        if self._owner.wide and message.get("float64"):
            what = "reference float64"
        heard = Heard(
            self._owner.pools,
            spec.mode.text,
            spec.workload.model,
            what,
            message.get("turn"),
            spec.workload.batch,
            tuple(message.get("precisions") or ()),
        )
        self._owner.heard.append(heard)
        error = self._owner.raises(heard)
        self.phase = what
        if isinstance(error, WorkerError):
            error.phase = what
        if error is not None:
            raise error
        return super().ask(message, timeout)


@dataclass
class Ear:
    """A watcher that remembers."""

    steps: list[tuple[str, int, int]] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    early: list[list[str]] = field(default_factory=list)

    def working(self, what: str, done: int, total: int) -> None:
        self.steps.append((what, done, total))

    def first(self, records: Sequence[Record]) -> None:
        self.early.append([one.id for one in records])

    def finished(self, record: Record) -> None:
        self.records.append(record)


@pytest.fixture
def ear() -> Ear:
    """A watcher that remembers."""
    return Ear()


def specs(*modes: str, models: tuple[str, ...] = ("lenet",)) -> list[Spec]:
    """Specs of networks in modes."""
    return [
        Spec.parse(f"{model}/inference-b1-3x32x32/{mode}/cpu-t1")
        for model in models
        for mode in modes
    ]
