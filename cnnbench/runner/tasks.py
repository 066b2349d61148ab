"""What several GPUs have to do, cut into tasks, and who takes which.

Values in, choices out, but for the one thing that threads share: ``Tasks``. Starts nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Condition
from typing import TYPE_CHECKING

from cnnbench.runner.schedule import BATCH_SECONDS
from cnnbench.runner.subject import batches
from cnnbench.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence


# Tasks for each GPU, where there are groups enough: so that none has to wait long for the last.
_EACH = 2


@dataclass(frozen=True, eq=False)
class LaneTask:
    """What a GPU takes at once: batches of whole groups.

    Attributes:
        batches: of specs.
        home: UUID of the GPU on which it was begun; empty if it was on none.
    """

    batches: list[list[Spec]]
    home: str = ""

    @property
    def specs(self) -> list[Spec]:
        """All of its specs."""
        return [spec for batch in self.batches for spec in batch]


def cut(
    specs: Sequence[Spec],
    seconds: Callable[[Spec], float],
    lanes: int,
    homes: Mapping[str, str] | None = None,
    *,
    whole: bool = False,
) -> list[LaneTask]:
    """Specs as tasks, in the order of the specs.

    Args:
        specs: groups of which each is together.
        seconds: roughly, for a spec.
        lanes: how many GPUs are at work.
        homes: spec id -> UUID of the GPU on which it was begun.
        whole: as many tasks as GPUs, each about as long: with a budget, which a session shares out
            among all that it has.
    """
    limit = min(BATCH_SECONDS, sum(map(seconds, specs)) / (_EACH * max(lanes, 1)))
    of_group: dict[object, set[str]] = {}
    for spec in specs:
        place = (homes or {}).get(spec.id, "")
        of_group.setdefault((spec.workload.group, spec.device), set()).update({place} - {""})
    by_home: dict[str, list[Spec]] = {}
    for spec in specs:
        places = of_group[spec.workload.group, spec.device]
        by_home.setdefault(min(places) if len(places) == 1 else "", []).append(spec)
    found = [
        LaneTask([batch], place)
        for place, some in by_home.items()
        for batch in batches(some, seconds, limit)
    ]
    return _whole(found, seconds, lanes) if whole else found


def _whole(
    found: Sequence[LaneTask], seconds: Callable[[Spec], float], lanes: int
) -> list[LaneTask]:
    """The same in at most as many tasks as there are lanes and homes, about equally long."""
    shares: list[LaneTask] = []
    for task in sorted(found, key=lambda one: -sum(map(seconds, one.specs))):
        fitting = [one for one in shares if not task.home or one.home == task.home]
        if not fitting or (not task.home and len(shares) < lanes):
            shares.append(LaneTask([*task.batches], task.home))
        else:
            shortest = min(fitting, key=lambda one: sum(map(seconds, one.specs)))
            shortest.batches.extend(task.batches)
    return shares


def expected(
    tasks: Sequence[LaneTask], seconds: Callable[[LaneTask], float], lanes: int
) -> list[list[LaneTask]]:
    """Who would take which task if all took as long as expected: a list for each lane."""
    taken: list[list[LaneTask]] = [[] for _ in range(lanes)]
    for task in tasks:
        min(taken, key=lambda some: sum(map(seconds, some))).append(task)
    return taken


class Tasks:
    """The tasks that are left; each thread takes one after the other."""

    def __init__(self, tasks: Sequence[LaneTask], gpus: Collection[str]) -> None:
        self._changed = Condition()
        self._tasks = list(tasks)
        self._gpus = {*gpus}
        self._at_work: dict[str, LaneTask] = {}
        self._ended = False

    @property
    def left(self) -> bool:
        """Whether nobody has done everything."""
        with self._changed:
            return bool(self._tasks or self._at_work)

    def take(self, gpu: str) -> LaneTask | None:
        """A task for a GPU, first one that it began; ``None`` if nothing is left for it.

        A thread without a task waits while others work, because they may lose their GPU.
        """
        with self._changed:
            while not self._ended:
                own = [one for one in self._tasks if one.home == gpu]
                free = [one for one in self._tasks if one.home not in self._gpus]
                if own or free:
                    task = (own or free)[0]
                    self._tasks.remove(task)
                    self._at_work[gpu] = task
                    return task
                if not self._at_work and not self._tasks:
                    return None
                if not self._at_work and not self._gpus - {gpu}:
                    return None
                self._changed.wait()
            return None

    def done(self, gpu: str, left: Collection[str], *, lost: bool) -> None:
        """A task is done, but for the specs that are left where the GPU was lost."""
        with self._changed:
            task = self._at_work.pop(gpu)
            if lost:
                self._gpus.discard(gpu)
                again = [[one for one in some if one.id in {*left}] for some in task.batches]
                if any(again):
                    self._tasks.append(LaneTask([batch for batch in again if batch]))
            self._changed.notify_all()

    def end(self) -> None:
        """Nobody takes a task any more."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
