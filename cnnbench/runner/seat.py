"""Who measures what on which GPU, and when: what a record says of its neighbours.

A session by itself has a plain ``Seat``, which knows nothing. Sessions beside each other have a
``GpuSeat`` each, at one ``Board``.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING

from cnnbench.facts import OnGpu

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cnnbench.runner.gpus import Lane
    from cnnbench.spec import Spec


class Seat:
    """The place of a session that has no other beside it."""

    def titled(self, spec: Spec) -> str:
        """The workload of a spec and its device, for people."""
        return f"{spec.workload.group.id} on {spec.device.text}"

    @contextmanager
    def taken(self, workload: str) -> Iterator[None]:
        """While the workload is being worked on, in whatever pass."""
        del workload
        yield

    def now(self) -> datetime:
        """The time."""
        return datetime.now(UTC)

    def since(self, began: datetime) -> OnGpu | None:
        """What a run says of its place, from then to now; nothing here."""
        del began
        return None


@dataclass
class _Visit:
    """A workload on a GPU, from when to when; ``None`` while it is there."""

    gpu: int
    workload: str
    began: datetime
    ended: datetime | None = None


class Board:
    """What is on every GPU now and was before; all threads write on it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._visits: list[_Visit] = []

    def enter(self, gpu: int, workload: str, now: datetime) -> _Visit:
        """A workload comes to a GPU."""
        visit = _Visit(gpu, workload, now)
        with self._lock:
            self._visits.append(visit)
        return visit

    def leave(self, visit: _Visit, now: datetime) -> None:
        """It goes; what ended before everything that is still there began is of no more use."""
        with self._lock:
            visit.ended = now
            oldest = min((one.began for one in self._visits if one.ended is None), default=now)
            self._visits = [one for one in self._visits if (one.ended or now) >= oldest]

    def beside(self, gpu: int, began: datetime) -> dict[str, tuple[str, ...]]:
        """The workloads on other GPUs at any moment since then, by the number of the GPU."""
        found: dict[str, dict[str, None]] = {}
        with self._lock:
            for one in self._visits:
                if one.gpu != gpu and (one.ended is None or one.ended > began):
                    found.setdefault(str(one.gpu), {})[one.workload] = None
        return {name: tuple(some) for name, some in sorted(found.items())}


class GpuSeat(Seat):
    """The place of a session on one of several GPUs."""

    def __init__(self, board: Board, lane: Lane) -> None:
        self._board = board
        self._lane = lane

    def titled(self, spec: Spec) -> str:
        """The workload; which GPU it is is said with every step."""
        return spec.workload.group.id

    @contextmanager
    def taken(self, workload: str) -> Iterator[None]:
        """While the workload is being worked on, others have it as a neighbour."""
        visit = self._board.enter(self._lane.gpu.index, workload, self.now())
        try:
            yield
        finally:
            self._board.leave(visit, self.now())

    def since(self, began: datetime) -> OnGpu:
        """The GPU, its cores, and what was on the others from then to now."""
        gpu = self._lane.gpu
        return OnGpu(
            index=gpu.index,
            uuid=gpu.uuid,
            cores=self._lane.cores,
            began=began.isoformat(timespec="microseconds"),
            ended=self.now().isoformat(timespec="microseconds"),
            neighbours=self._board.beside(gpu.index, began),
        )
