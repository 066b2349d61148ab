"""Real workers: processes started here, spoken to in JSON over sockets, and never left behind.

A pool is a starter and the workers it forks. If the starter dies, the pool starts another; if
forking is unsafe here, every worker is a fresh process.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cnnbench import quiet
from cnnbench.channel import Channel, ChannelClosed, pair
from cnnbench.errors import WorkerDied, WorkerError, WorkerRaised, WorkerTimeout
from cnnbench.runner.endings import asserted, ending
from cnnbench.runner.first_answer import first_answer
from cnnbench.runner.halt import Halted
from cnnbench.runner.origin import Origin, environment

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cnnbench.channel import Message
    from cnnbench.quiet import CoreUse
    from cnnbench.runner.halt import Halt

# Importing torch and torchvision takes 3 to 7 s here, cold up to a minute on a slow disk; several
# starters share the disk and the cores, with everybody else on them.
_START_SECONDS = 600.0
_LATE = f"torch was not imported within {_START_SECONDS:g} s; is the machine very busy?"
_NO_REASON = "it gave no reason"
_TAIL_LENGTH = 2000


class StarterDied(WorkerError):
    """The starter went away, and every worker with it: not the fault of the spec at hand alone."""

    kind = "died"


class Worker:
    """One worker process, seen from outside."""

    def __init__(self, pool: Pool, channel: Channel, pid: int, log: Path, extra: Message) -> None:
        self._pool = pool
        self._extra = extra
        self._channel = channel
        self._pid = pid
        self._log = log
        self._open = True
        self._status: int | None = None
        self.phase = "start"
        self.kept: Any = None

    def ask(self, message: Message, timeout: float) -> Any:
        """Send a message and wait for its result.

        Args:
            message: a request or command.
            timeout: seconds for the answer; progress within does not extend it.

        Raises:
            WorkerTimeout, WorkerDied, WorkerRaised: and the worker is gone.
        """
        if "task" in message:
            message = message | {"log": str(self._log)} | self._extra
        try:
            self._channel.send(message)
            return self._await(time.monotonic() + timeout)
        except TimeoutError:
            self.close(force=True)
            raise WorkerTimeout(f"no answer within {timeout:g} s; raise --timeout") from None
        except ChannelClosed:
            raise self._died() from None
        except WorkerError:
            self.close()
            raise

    def keep_on(self, core: int) -> None:
        """Let the process run on this core only.

        Its threads to come inherit that, so this is for a worker that has not been asked anything.
        """
        # Who is gone, or may not go there, is measured where it is.
        with contextlib.suppress(OSError):
            os.sched_setaffinity(self._pid, {core})

    def _await(self, deadline: float) -> Any:
        while True:
            if not self._channel.pending:
                self._pool.wait(self._channel, deadline - time.monotonic())
            answer = self._channel.receive(max(0.0, deadline - time.monotonic()))
            if "phase" in answer:
                self.phase = answer["phase"]
            elif "kept" in answer:
                self.kept = answer["kept"]
            elif "error" in answer:
                error = answer["error"]
                self.phase = error["phase"]
                message = error["message"] + asserted(error["message"], self.complaints())
                raise WorkerRaised(message, error["kind"], error["details"])
            else:
                return answer["result"]

    def _died(self) -> WorkerError:
        status = self.close()
        if status is None:
            return StarterDied("the process that supervises the workers was killed")
        error = WorkerDied(f"the worker process {ending(status)}")
        error.add_note(self.complaints())
        return error

    def complaints(self) -> str:
        """The end of what the process wrote to stderr."""
        try:
            return self._log.read_text(encoding="utf8", errors="replace")[-_TAIL_LENGTH:].strip()
        except OSError:
            return ""

    def close(self, *, force: bool = False) -> int | None:
        """End the worker; its exit status (negative: signal), or ``None`` if nobody can tell."""
        if self._open:
            self._open = False
            self._channel.close()
            self._status = self._pool.reap(self._pid, force=force)
        return self._status


class Pool:
    """Workers of one round. A context manager: when it ends, every process it started is gone."""

    def __init__(
        self, scratch: Path, origin: Origin | None = None, halt: Halt | None = None
    ) -> None:
        self._scratch = scratch
        self._origin = origin or Origin()
        self._halt = halt
        self._starter: subprocess.Popen[bytes] | None = None
        self._control: Channel | None = None
        self._spawned: dict[int, subprocess.Popen[bytes]] = {}
        self._ready = False
        self._spawning = False
        self._compiling = False
        self._count = 0

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    @property
    def origin(self) -> Origin:
        """Where the code of its workers comes from."""
        return self._origin

    def begin(self, *, compiling: bool = False) -> None:
        """Launch the starter without waiting for its imports; the first worker waits for them.

        Args:
            compiling: torch's compiler is one of them, where the starter has not begun yet.
        """
        self._compiling = self._compiling or compiling
        if self._starter is not None or self._spawning:
            return
        ours, theirs = pair()
        with theirs:
            self._starter = self._launch("starter", theirs, ["compiler"] * self._compiling)
        self._control, self._ready = ours, False

    def start(self, origin: Origin | None = None) -> Worker:
        """A new worker, waiting for its request.

        Args:
            origin: whose networks it imports, if not those of the pool's own; one that shares its
                starter.

        Raises:
            WorkerError: no worker can be started.
        """
        self.begin()
        self._await_starter()
        ours, theirs = pair()
        self._count += 1
        log = self._scratch / f"worker-{os.getpid()}-{id(self):x}-{self._count}.log"
        try:
            with theirs:
                pid = self._spawn(theirs) if self._spawning else self._fork(theirs)
        except WorkerError:
            ours.close()
            raise
        return Worker(self, ours, pid, log, (origin or self._origin).extra)

    def first_answer(self, order: str, timeout: float) -> Mapping[str, int]:
        """Nanoseconds of a process of its own, from its start to its first answer.

        Raises:
            WorkerTimeout, WorkerDied: there was none.
        """
        return first_answer(self._origin, self._scratch, order, timeout)

    def wait(self, channel: Channel, seconds: float) -> None:
        """Sleep until a worker has something to say.

        Raises:
            TimeoutError: it has not.
            StarterDied: the starter has gone, so nobody watches over the worker any more.
            Halted: another thread has ended the measurement, and every process here with it.
        """
        others = [one for one in (self._control, self._halt) if one is not None]
        ready, _, _ = select.select({channel, *others}, [], [], max(0.0, seconds))
        if not ready:
            raise TimeoutError
        if self._halt in ready:
            self._end()
            raise Halted
        if channel not in ready:
            # The starter speaks only when it is asked: this is its end.
            self._end()
            raise StarterDied("the process that supervises the workers was killed")

    def reap(self, pid: int, *, force: bool) -> int | None:
        """Wait for a worker to end; ``None`` if the starter, which alone knows, is gone."""
        if pid in self._spawned:
            return _reap_spawned(self._spawned.pop(pid), force=force)
        if self._control is None:
            return None
        try:
            self._control.send({"do": "reap", "pid": pid, "force": force})
            status = self._told(self._control)["status"]
        except (ChannelClosed, TimeoutError):
            self._end()
            return None
        return int(status)

    def _told(self, control: Channel) -> Message:
        """The starter's answer."""
        if not control.pending:
            self.wait(control, _START_SECONDS)
        return control.receive(_START_SECONDS)

    def _await_starter(self) -> None:
        if self._control is None or self._ready:
            return
        try:
            ready = self._told(self._control)
        except (ChannelClosed, TimeoutError) as error:
            self._end()
            raise self._no_start(_LATE if isinstance(error, TimeoutError) else _NO_REASON) from None
        self._ready = True
        if ready["hazard"] is not None:
            self._end()
            self._spawning = True

    def _no_start(self, otherwise: str) -> WorkerError:
        try:
            text = (self._scratch / "starter.log").read_text(encoding="utf8", errors="replace")
        except OSError:
            text = ""
        last = text.strip().splitlines()[-1:] or [otherwise]
        return StarterDied(f"no worker process can be started: {last[0]}")

    def _fork(self, theirs: socket.socket) -> int:
        assert self._control is not None  # noqa: S101 - for the type checker
        try:
            self._control.send({"do": "fork"}, theirs.fileno())
            return int(self._told(self._control)["pid"])
        except (ChannelClosed, TimeoutError):
            self._end()
            raise StarterDied("the process that supervises the workers was killed") from None

    def _spawn(self, theirs: socket.socket) -> int:
        process = self._launch("child", theirs)
        self._spawned[process.pid] = process
        return process.pid

    def _launch(
        self, role: str, end: socket.socket, more: Sequence[str] = ()
    ) -> subprocess.Popen[bytes]:
        """Start ``python -m cnnbench.worker`` in a process group of its own.

        So that Ctrl-C is ours to handle.
        """
        # -P: a file beside the user's network that is called random.py or torch.py must not be
        # imported instead.
        python, number = self._origin.python, str(end.fileno())
        with (self._scratch / "starter.log").open("ab") as errors:
            return subprocess.Popen(  # noqa: S603 - an interpreter of the user's, our own module
                [python, "-P", "-m", "cnnbench.worker", role, number, *more],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=(end.fileno(),),
                start_new_session=True,
                cwd=self._origin.folder,
                env=environment(self._origin, self._scratch),
            )

    def _end(self) -> None:
        if self._control is not None:
            self._control.close()
        processes = [*self._spawned.values(), *([self._starter] if self._starter else [])]
        for process in processes:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._starter, self._control, self._spawned = None, None, {}


def _reap_spawned(process: subprocess.Popen[bytes], *, force: bool) -> int:
    with contextlib.suppress(subprocess.TimeoutExpired):
        if not force:
            return process.wait(2.0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


class Processes:
    """The executor that measures for real."""

    name = "process"
    pretends = False

    def __init__(self, origin: Origin | None = None, halt: Halt | None = None) -> None:
        self._origin = origin
        self._halt = halt

    def open(self, scratch: Path) -> Pool:
        """A fresh pool that keeps its logs in a scratch directory."""
        return Pool(scratch, self._origin, self._halt)

    def seeing(self, gpu: str, halt: Halt) -> Processes:
        """The same for a thread of its own, which ``halt`` ends.

        Workers that see a single GPU cannot use another, whatever a network or a library does.
        """
        origin = self._origin or Origin()
        if gpu:
            origin = replace(origin, variables={**origin.variables, "CUDA_VISIBLE_DEVICES": gpu})
        return Processes(origin, halt)

    def with_allocator(self, condition: str) -> Processes:
        """The same, whose starters begin in a state of malloc; its workers share no other's."""
        return Processes(replace(self._origin or Origin(), allocator=condition), self._halt)

    def core_use(self) -> CoreUse | None:
        """The use of the cores of this machine, now."""
        return quiet.read()

    def freest_core(self) -> int | None:
        """The core of this machine with the least work, now."""
        return quiet.freest_core()

    def join(self, pool: object) -> Guests | None:
        """Workers of this executor from another's pool; ``None`` if they need a starter of theirs.

        One import instead of two; and forks of one starter share the pages that libraries and
        interpreter lie in, so that these do not differ between them.
        """
        own = self._origin or Origin()
        if isinstance(pool, Pool) and pool.origin.shares_starter(own):
            return Guests(pool, own)
        return None


class Guests:
    """Workers of one origin, forked by the starter of another's pool."""

    def __init__(self, pool: Pool, origin: Origin) -> None:
        self._pool = pool
        self._origin = origin

    def begin(self, *, compiling: bool = False) -> None:
        """As ``Pool.begin``."""
        self._pool.begin(compiling=compiling)

    def start(self) -> Worker:
        """A new worker, waiting for its request; as ``Pool.start``."""
        return self._pool.start(self._origin)

    def first_answer(self, order: str, timeout: float) -> Mapping[str, int]:
        """As ``Pool.first_answer``."""
        return self._pool.first_answer(order, timeout)
