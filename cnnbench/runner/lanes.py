"""Groups shared out among alike GPUs of a host: a session per GPU, side by side.

A thread per GPU, not an event loop. What measures (passes, ensembles, questions to workers) is one
straight line of questions and answers, which every command uses for one device; made asynchronous,
all of it would have to be, to gain nothing: a thread that waits for a worker sleeps in ``select``
without the interpreter's lock, and a runner computes next to nothing between two answers. And a
thread can be kept on the cores of its GPU, which every process it starts inherits: starters do not
import on the cores on which a neighbour is timed.

Threads share little: the tasks (``_Tasks``), who is where (``Board``), which specs are known
(``Known``), each behind a lock of its own. Everything else, records, progress, errors, goes through
one queue to the thread that called, which alone writes the run and speaks to the watcher. Each
thread takes one task after the other, so no GPU ever has two measurements at once, and a quick one
takes more. A group is never split, so no ratio is of two GPUs.
"""

from __future__ import annotations

import contextlib
import os
import time
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from cnnbench.errors import WorkerError
from cnnbench.record import UNFINISHED, Failure, with_failure
from cnnbench.requests import AskRoom
from cnnbench.runner.gpus import Lane
from cnnbench.runner.halt import Halt, Halted
from cnnbench.runner.halving import FULL, Known
from cnnbench.runner.inquiry import ask, asking
from cnnbench.runner.seat import Board, GpuSeat
from cnnbench.runner.session import Session
from cnnbench.runner.tasks import Tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from cnnbench.environment import Environment
    from cnnbench.plan import Plan
    from cnnbench.record import Record
    from cnnbench.runner.campaign import Job
    from cnnbench.runner.executor import Executor
    from cnnbench.runner.session import Again, Watcher
    from cnnbench.runner.tasks import LaneTask

# What a GPU may take to answer whether it is still there, with a start of its process.
_LOOK_SECONDS = 120.0
# What a thread may take to let go of its processes.
_JOIN_SECONDS = 60.0


class GpusLost(WorkerError):
    """No GPU is left to measure on."""


@runtime_checkable
class LaneWatcher(Protocol):
    """A watcher that shows what is done on each of several GPUs."""

    def working_on(self, where: str, what: str, done: int, total: int) -> None:
        """A step begins on a GPU; ``what`` is empty where nothing more will."""


@dataclass(frozen=True)
class _Gone:
    """A lane has ended: because nothing is left, its GPU is lost, or by an error of the program."""

    lane: Lane
    lost: str = ""
    error: BaseException | None = None


class Lanes:
    """Measures tasks on several GPUs at once."""

    def __init__(
        self,
        executor: Executor,
        plan: Plan,
        environment: Environment,
        watcher: Watcher,
        macs: Mapping[str, int] | None = None,
        kept: Mapping[str, Record] | None = None,
    ) -> None:
        """As ``Session``; what was ``kept`` goes on where it was measured, or begins anew."""
        self._executor = executor
        self._plan = plan
        self._environment = environment
        self._watcher = watcher
        self._macs = macs
        self._kept = kept or {}
        self._halt: Halt
        self._board = Board()
        self._said: SimpleQueue[_Gone | list[Record] | Callable[[], None]] = SimpleQueue()
        self._units: dict[LaneTask, tuple[int, int]] = {}
        self._began = time.monotonic()

    def run(self, lanes: Sequence[Lane], work: Sequence[LaneTask]) -> Generator[list[Record]]:
        """Records as ``Session.run`` gives them, of all GPUs; closing it ends everything.

        Raises:
            GpusLost: every GPU is, before everything was measured.
        """
        self._halt = Halt()
        tasks = Tasks(work, [lane.gpu.uuid for lane in lanes])
        known = Known(spec.id for task in work for spec in task.specs)
        self._units = {task: (0, len(task.specs) * (self._plan.rounds + 1)) for task in work}
        self._began = time.monotonic()
        threads = [
            Thread(target=self._serve, args=(lane, tasks, known), name=lane.gpu.text, daemon=True)
            for lane in lanes
        ]
        try:
            for thread in threads:
                thread.start()
            lost = yield from self._listen(len(threads))
        finally:
            self._halt.wish()
            tasks.end()
            for thread in threads:
                if thread.is_alive():  # Ctrl-C may come before all of them have begun
                    thread.join(_JOIN_SECONDS)
            if not any(thread.is_alive() for thread in threads):
                self._halt.close()
        if tasks.left:
            raise GpusLost(f"no GPU answers any more ({'; '.join(lost)})")

    def _listen(self, lanes: int) -> Generator[list[Record], None, list[str]]:
        """What the threads say, in the order in which they say it, until the last has ended."""
        lost: list[str] = []
        while lanes:
            said = self._said.get()
            if isinstance(said, list):
                yield said
            elif not isinstance(said, _Gone):
                said()
            else:
                lanes -= 1
                if said.error is not None:
                    raise said.error
                if said.lost:
                    lost.append(f"{said.lane.gpu.text}: {said.lost}")
                self._show(said.lane, "lost" if said.lost else "")
        return lost

    def _serve(self, lane: Lane, tasks: Tasks, known: Known) -> None:
        """A thread: one task after the other on one GPU, while there are any and it answers."""
        lost, error = "", None
        try:
            _stay_on(lane.cores)
            executor = self._executor.seeing(lane.gpu.visible, self._halt)
            while not lost and (task := tasks.take(lane.gpu.uuid)) is not None:
                left, lost = _Visit(self, lane, executor, task, known).measured()
                tasks.done(lane.gpu.uuid, left, lost=bool(lost))
        except Halted:
            pass
        except BaseException as caught:  # noqa: BLE001 - raised again where the run is waited for
            error = caught
        self._said.put(_Gone(lane, lost, error))

    def session(self, executor: Executor, lane: Lane, watcher: Watcher, known: Known) -> Session:
        """The session that measures one task."""
        plan, uuid = self._plan, lane.gpu.uuid
        if plan.budget is not None:
            passed = time.monotonic() - self._began
            plan = replace(plan, budget=max(plan.budget - passed, 1.0))
        kept = {name: one for name, one in self._kept.items() if home(one) == uuid}
        seat = GpuSeat(self._board, lane)
        return Session(
            executor, plan, self._environment, watcher, self._macs, kept, seat=seat, known=known
        )

    @property
    def seconds(self) -> float:
        """That a worker may take for a step."""
        return self._plan.timeout

    def say(self, said: list[Record] | Callable[[], None]) -> None:
        """Hand records over, or have something done by the thread that waits for them.

        Raises:
            Halted: it waits no more.
        """
        self._halt.obey()
        self._said.put(said)

    def working(self, lane: Lane, task: LaneTask, what: str, done: int, total: int) -> None:
        """A step begins; called where the watcher is."""
        self._units[task] = done, total
        self._show(lane, what)

    def first(self, records: Sequence[Record]) -> None:
        """A first answer; called where the watcher is."""
        if hasattr(self._watcher, "first"):  # some users' have it not yet
            self._watcher.first(records)

    def finished(self, record: Record) -> None:
        """A row is complete; called where the watcher is."""
        self._watcher.finished(record)

    def _show(self, lane: Lane, what: str) -> None:
        done = sum(behind for behind, _ in self._units.values())
        total = sum(whole for _, whole in self._units.values())
        if self._plan.budget is not None:
            done = round(time.monotonic() - self._began)
            total = max(done, round(self._plan.budget))
        if isinstance(self._watcher, LaneWatcher):
            self._watcher.working_on(lane.gpu.text, what, done, total)
        elif what:
            self._watcher.working(f"{lane.gpu.text}: {what}", done, total)


class _Visit:
    """One task on one GPU; the watcher of its session."""

    def __init__(
        self, lanes: Lanes, lane: Lane, executor: Executor, task: LaneTask, known: Known
    ) -> None:
        self._lanes = lanes
        self._lane = lane
        self._executor = executor
        self._task = task
        self._session = lanes.session(executor, lane, self, known)
        self._seen: dict[str, Record] = {}
        self._told: set[str] = set()

    def measured(self) -> tuple[list[str], str]:
        """Measure the task.

        Returns:
            The ids of its specs that are to be measured elsewhere, and why the GPU is lost: both
            empty if it is not.
        """
        with closing(self._session.run(self._task.batches)) as session:
            for records in session:
                failed = [one for one in records if self._may_be_the_gpu(one)]
                lost = self._silent() if failed else ""
                found = [_of_lost(one, lost) for one in records] if lost else records
                self._seen |= {one.id: one for one in found}
                self._lanes.say(found)
                if lost:
                    for one in found:
                        self.finished(one)
                    return self._left(), lost
        return [], ""

    def _may_be_the_gpu(self, record: Record) -> bool:
        """Whether a row has failed just now, and not of its own."""
        before = self._seen.get(record.id)
        failed = record.failure is not None and not record.refused
        new = before is None or before.failure is None
        return failed and new and record.failure is not None and record.failure.kind != FULL

    def _silent(self) -> str:
        """Why the GPU gives no answer; empty if it gives one."""
        try:
            with asking(self._executor) as pool:
                ask(pool, AskRoom(device="cuda:0"), min(_LOOK_SECONDS, self._lanes.seconds))
        except WorkerError as error:
            gpu = self._lane.gpu
            return f"{gpu.text} ({gpu.uuid}) does not answer any more: {error}"
        return ""

    def _left(self) -> list[str]:
        """The specs of the task that were not measured to the end."""
        found = [(spec.id, self._seen.get(spec.id)) for spec in self._task.specs]
        return [name for name, one in found if one is None or one.unfinished]

    def working(self, what: str, done: int, total: int) -> None:
        """As a watcher."""
        self._lanes.say(partial(self._lanes.working, self._lane, self._task, what, done, total))

    def first(self, records: Sequence[Record]) -> None:
        """As a watcher."""
        self._lanes.say(partial(self._lanes.first, records))

    def finished(self, record: Record) -> None:
        """As a watcher; each row once."""
        if record.id not in self._told:
            self._told.add(record.id)
            self._lanes.say(partial(self._lanes.finished, record))


def measured_by(
    job: Job, watcher: Watcher, kept: Mapping[str, Record], again: Again | None = None
) -> Generator[list[Record]]:
    """What is measured of a job, group by group: by one session, or one on each of several GPUs.

    ``again`` is asked by one session alone.
    """
    given = (job.executor, job.plan, job.environment, watcher, job.macs, kept)
    if job.share is None:
        return Session(*given, again=again).run(job.work)
    homes = {name: home(one) for name, one in kept.items()}
    return Lanes(*given).run(job.share.lanes, job.tasks(len(job.share.lanes), homes))


def home(record: Record) -> str:
    """The UUID of the GPU that measured a record so far; empty if none did, or several."""
    found = {run.gpu.uuid if run.gpu is not None else "" for run in record.runs}
    return found.pop() if len(found) == 1 else ""


def _of_lost(record: Record, why: str) -> Record:
    """A row of the group that was at work when the GPU was lost: not to be gone on with elsewhere.

    Its rounds would be of two GPUs, and nobody knows whether it is what the GPU was lost by.
    """
    if record.failure is None and not record.unfinished:
        return record
    notes = tuple(note for note in record.notes if not note.startswith(UNFINISHED))
    failure = Failure("measure", "gpu_lost", f"measured to no end: {why}")
    return with_failure(replace(record, notes=(*notes, why)), failure)


def _stay_on(cores: Sequence[int]) -> None:
    """Keep this thread, and every process that it starts, on its GPU's cores."""
    if cores and hasattr(os, "sched_setaffinity"):
        # A core may have been taken from this process meanwhile.
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, cores)
