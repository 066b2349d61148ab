"""The starter: imports torch once, then forks a worker per task.

So the cost of the import is paid once per round.

It never uses a device and never computes, because neither CUDA nor a thread pool survives a fork.
When its parent process ends, it kills its whole process group, so that no worker is left behind.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cnnbench import architectures
from cnnbench.channel import Channel, ChannelClosed
from cnnbench.worker.child import serve

if TYPE_CHECKING:
    from cnnbench.channel import Message

# The time that a worker gets to end by itself after it has closed its channel.
_GRACE_SECONDS = 2.0


def run(control: Channel) -> None:
    """Carry out commands until the control channel closes."""
    architectures.catalogue()
    # Imported modules are never freed, so no garbage collection in a worker needs to scan them.
    gc.collect()
    gc.freeze()
    control.send({"ready": os.getpid(), "hazard": fork_hazard()})
    while True:
        try:
            message = control.receive()
        except ChannelClosed:
            _end_group()
            return
        if message["do"] == "fork":
            control.send({"pid": _fork(control)})
        else:
            control.send({"status": _reap(message)})


def fork_hazard() -> str | None:
    """Why forking this process would be unsafe, or ``None``."""
    descriptors = Path("/proc/self/fd")
    if not descriptors.exists():
        return "this system has no /proc to tell whether forking is safe"
    if any("/dev/nvidia" in _target(link) for link in descriptors.iterdir()):
        return "importing has opened the CUDA driver, which does not survive a fork"
    return None


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def _fork(control: Channel) -> int:
    end = control.take_descriptor()
    pid = os.fork()
    if pid:
        os.close(end)
        return pid
    try:
        control.close()
        serve(Channel(socket.socket(fileno=end)))
    finally:
        # Skips the exit handlers inherited from the starter, which the starter itself runs.
        os._exit(0)


def _reap(message: Message) -> int:
    """Wait for a worker to end, kill it if needed; its exit code, negative for a signal."""
    pid = message["pid"]
    deadline = time.monotonic() + (0 if message["force"] else _GRACE_SECONDS)
    while True:
        try:
            done, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            return 0  # its status has been collected before
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= deadline:
            os.kill(pid, signal.SIGKILL)
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        time.sleep(0.005)


def _end_group() -> None:
    """Kill every process that descends from this one, if this is the leader of its own group."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
