"""Real workers: processes started here, spoken to in JSON over sockets, and never left behind.

A crew is a starter and the workers it forks. If the starter dies, the crew starts another; if
forking is unsafe here, every worker is a fresh process.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnbench.channel import Channel, ChannelClosed, pair
from cnnbench.errors import WorkerDied, WorkerError, WorkerRaised, WorkerTimeout

if TYPE_CHECKING:
    import socket

    from cnnbench.channel import Message

# Importing torch and torchvision takes 3 to 7 s here, cold up to a minute on a slow disk.
_START_SECONDS = 180.0
_TAIL_LENGTH = 2000


class StarterDied(WorkerError):
    """The starter went away, and every worker with it: not the fault of the spec at hand alone."""

    kind = "died"


class Worker:
    """One worker process, seen from outside."""

    def __init__(self, crew: Crew, channel: Channel, pid: int, log: Path) -> None:
        self._crew = crew
        self._channel = channel
        self._pid = pid
        self._log = log
        self._open = True
        self._status: int | None = None
        self.phase = "start"

    def ask(self, message: Message, timeout: float) -> Any:
        """Send a message and wait for its result.

        Args:
            message: a request or command.
            timeout: seconds for the answer; progress within does not extend it.

        Raises:
            WorkerTimeout, WorkerDied, WorkerRaised: and the worker is gone.
        """
        if "task" in message:
            message = message | {"log": str(self._log)}
        try:
            self._channel.send(message)
            return self._await(time.monotonic() + timeout)
        except TimeoutError:
            self.close(force=True)
            error = WorkerTimeout(f"no answer within {timeout:g} s; raise --timeout")
            raise self._marked(error) from None
        except ChannelClosed:
            raise self._marked(self._died()) from None
        except WorkerError as error:
            self.close()
            raise self._marked(error) from None

    def _await(self, deadline: float) -> Any:
        while True:
            if not self._channel.pending:
                self._crew.wait(self._channel, deadline - time.monotonic())
            answer = self._channel.receive(max(0.0, deadline - time.monotonic()))
            if "phase" in answer:
                self.phase = answer["phase"]
            elif "error" in answer:
                error = answer["error"]
                self.phase = error["phase"]
                raise WorkerRaised(error["message"], error["kind"], error["details"])
            else:
                return answer["result"]

    def _marked(self, error: WorkerError) -> WorkerError:
        error.phase = self.phase
        return error

    def _died(self) -> WorkerError:
        status = self.close()
        if status is None:
            return StarterDied("the process that supervises the workers was killed")
        error = WorkerDied(f"the worker process {_ending(status)}")
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
            self._status = self._crew.reap(self._pid, force=force)
        return self._status


def _ending(status: int) -> str:
    if status >= 0:
        return f"exited with status {status} without an answer"
    name = signal.Signals(-status).name
    hint = "; out of memory?" if name == "SIGKILL" else ""
    return f"was killed by {name}{hint}"


class Crew:
    """Workers of one round. A context manager: when it ends, every process it started is gone."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._starter: subprocess.Popen[bytes] | None = None
        self._control: Channel | None = None
        self._spawned: dict[int, subprocess.Popen[bytes]] = {}
        self._spawning = False
        self._count = 0

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def start(self) -> Worker:
        """A new worker, waiting for its request.

        Raises:
            WorkerError: no worker can be started.
        """
        if self._starter is None and not self._spawning:
            self._start_starter()
        ours, theirs = pair()
        self._count += 1
        log = self._scratch / f"worker-{os.getpid()}-{id(self):x}-{self._count}.log"
        with theirs:
            pid = self._spawn(theirs) if self._spawning else self._fork(theirs)
        return Worker(self, ours, pid, log)

    def wait(self, channel: Channel, seconds: float) -> None:
        """Sleep until a worker has something to say.

        Raises:
            TimeoutError: it has not.
            StarterDied: the starter has gone, so nobody watches over the worker any more.
        """
        control = [] if self._control is None else [self._control]
        ready, _, _ = select.select([channel, *control], [], [], max(0.0, seconds))
        if not ready:
            raise TimeoutError
        if channel not in ready:
            # The starter speaks only when it is asked: this is its end.
            self._end()
            raise StarterDied("the process that supervises the workers was killed")

    def reap(self, pid: int, *, force: bool) -> int | None:
        """Wait for a worker to end; ``None`` if the starter, who alone could tell, is gone."""
        if pid in self._spawned:
            return _reap_spawned(self._spawned.pop(pid), force=force)
        if self._control is None:
            return None
        try:
            self._control.send({"do": "reap", "pid": pid, "force": force})
            status = self._control.receive(_START_SECONDS)["status"]
        except (ChannelClosed, TimeoutError):
            self._end()
            return None
        return int(status)

    def _start_starter(self) -> None:
        ours, theirs = pair()
        with theirs:
            self._starter = _launch("starter", theirs, self._scratch / "starter.log")
        self._control = ours
        try:
            ready = ours.receive(_START_SECONDS)
        except (ChannelClosed, TimeoutError):
            self._end()
            raise self._no_start() from None
        if ready["hazard"] is not None:
            self._end()
            self._spawning = True

    def _no_start(self) -> WorkerError:
        try:
            text = (self._scratch / "starter.log").read_text(encoding="utf8", errors="replace")
        except OSError:
            text = ""
        last = text.strip().splitlines()[-1:] or ["it wrote nothing"]
        return StarterDied(f"no worker process can be started: {last[0]}")

    def _fork(self, theirs: socket.socket) -> int:
        assert self._control is not None  # noqa: S101 - for the type checker
        try:
            self._control.send({"do": "fork"}, theirs.fileno())
            return int(self._control.receive(_START_SECONDS)["pid"])
        except (ChannelClosed, TimeoutError):
            self._end()
            raise StarterDied("the process that supervises the workers was killed") from None

    def _spawn(self, theirs: socket.socket) -> int:
        process = _launch("child", theirs, self._scratch / "starter.log")
        self._spawned[process.pid] = process
        return process.pid

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


def _launch(role: str, end: socket.socket, log: Path) -> subprocess.Popen[bytes]:
    """Start ``python -m cnnbench.worker`` in a process group of its own.

    So that Ctrl-C is ours to handle.
    """
    # -P: a file beside the user's network that is called random.py or torch.py must not be imported
    # instead.
    command = [sys.executable, "-P", "-m", "cnnbench.worker", role, str(end.fileno())]
    with log.open("ab") as errors:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            pass_fds=(end.fileno(),),
            start_new_session=True,
            env=_environment(),
        )


def _environment() -> dict[str, str]:
    """The environment of this process, with this very package importable."""
    root = str(Path(__file__).resolve().parents[2])
    if root == sysconfig.get_path("purelib"):
        return dict(os.environ)
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


class Processes:
    """The executor that measures for real."""

    name = "process"

    def open(self, scratch: Path) -> Crew:
        """A fresh crew that keeps its logs in a scratch directory."""
        return Crew(scratch)
