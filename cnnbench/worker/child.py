"""One worker process.

Serves one task and ends. Anything that happens inside becomes a message or the end of the process.
"""

from __future__ import annotations

import faulthandler
import os
import resource
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from cnnbench.channel import ChannelClosed
from cnnbench.errors import CnnbenchError
from cnnbench.requests import Resolve, SpecRequest, parse
from cnnbench.worker.devices import is_out_of_memory
from cnnbench.worker.memory import status_bytes
from cnnbench.worker.saying import said
from cnnbench.worker.talk import Talk
from cnnbench.worker.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.channel import Channel, Message

_MESSAGE_LENGTH = 500
_DETAILS_LENGTH = 4000


def serve(channel: Channel) -> None:
    """Take one request, do its task, answer; report an exception instead of raising it."""
    talk = Talk(channel)
    own = os.getpid()
    try:
        message = channel.receive()
        _prepare_process(message)
        request = parse(message)
        if isinstance(request, (SpecRequest, Resolve)) and request.memory_limit is not None:
            _limit_memory(request.memory_limit)
        TASKS[type(request)](request, talk)
    except ChannelClosed:
        return
    except BaseException as error:  # noqa: BLE001 - a model may raise anything, SystemExit too
        if os.getpid() != own:  # a process that the model forked
            return
        _report(channel, talk.phase, error)


def _prepare_process(message: Message) -> None:
    """What a message says of the process and not of the task; see ``runner.origin.Origin``."""
    _redirect(message.get("log") or os.devnull)
    faulthandler.enable()
    if "folder" in message:
        os.chdir(message["folder"])
    _find_networks_here(message.get("networks", ()))
    _die_first()


def _find_networks_here(first: Sequence[str]) -> None:
    """Allow the user's networks to be imported from the current directory.

    Last on the path, so that a file beside them never shadows a library. Folders that come first
    are those of a revision, whose networks must not be those that are installed; the libraries are
    imported already.
    """
    sys.path[:0] = first
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)


def _redirect(log: str) -> None:
    """Discard what the model prints, and send its error output to a log."""
    null = os.open(os.devnull, os.O_RDWR)
    errors = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for target, source in ((0, null), (1, null), (2, errors)):
        os.dup2(source, target)
    os.close(null)
    os.close(errors)


def _die_first() -> None:
    """Ask the kernel to kill this process first when memory runs out.

    The process that supervises it survives.
    """
    try:
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    except OSError:
        return


def _limit_memory(limit: int) -> None:
    """Allow a number of bytes beyond what the process has now.

    Allocating more raises a MemoryError instead of making the machine swap.
    """
    now = status_bytes("VmData") or 0
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = now + limit
    resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard < 0 else min(wanted, hard), hard))


def _details(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))[-_DETAILS_LENGTH:]
    except Exception:  # noqa: BLE001 - it is the user's class
        return ""


def _report(channel: Channel, phase: str, error: BaseException) -> None:
    message, own = said(error), isinstance(error, CnnbenchError)
    kind = "out_of_memory" if is_out_of_memory(error) else "unsupported" if own else "error"
    details = _details(error)
    try:
        channel.send(
            {
                "error": {
                    "phase": phase,
                    "kind": kind,
                    "message": message[:_MESSAGE_LENGTH],
                    "details": details,
                }
            }
        )
    except ChannelClosed:
        return
