"""The interface between a session and what does the work.

Implementations: ``process`` (default), ``fake`` (tests, demonstrations).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from cnnbench.errors import UnknownName
from cnnbench.runner.fake import Fake
from cnnbench.runner.process import Processes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from cnnbench.channel import Message
    from cnnbench.quiet import CoreUse
    from cnnbench.runner.halt import Halt


class AnyWorker(Protocol):
    """Does one task."""

    phase: str
    # Its answer as far as it is known, where it has sent one before it is done.
    kept: Any

    def ask(self, message: Message, timeout: float) -> Any:
        """Send a message and wait for its result; raises a ``WorkerError``."""

    def keep_on(self, core: int) -> None:
        """Let it run on this core only; before it is asked anything."""

    def close(self, *, force: bool = False) -> int | None:
        """End the worker."""


class AnyPool(Protocol):
    """Starts workers that live in one round."""

    def begin(self, *, compiling: bool = False) -> None:
        """Begin what its first worker needs, without waiting for it.

        Args:
            compiling: some of its workers will need torch's compiler.
        """

    def start(self) -> AnyWorker:
        """A new worker, waiting for its request."""

    def first_answer(self, order: str, timeout: float) -> Mapping[str, int]:
        """Nanoseconds of a process that is no worker, from its start to its first answer, by part.

        Args:
            order: path of what a worker prepared for it.
            timeout: seconds.
        """


class Executor(Protocol):
    """Opens pools.

    Attributes:
        name: in the table.
        pretends: its numbers are made up.
    """

    name: str
    pretends: bool

    def open(self, scratch: Path) -> AbstractContextManager[AnyPool]:
        """A fresh pool; its processes end with the context."""

    def seeing(self, gpu: str, halt: Halt) -> Executor:
        """The same for one of several threads, until it is halted.

        Args:
            gpu: the only one that its workers see, as ``CUDA_VISIBLE_DEVICES`` has it; empty for
                all.
            halt: ends it, whatever it waits for.
        """

    def with_allocator(self, condition: str) -> Executor:
        """The same in a state of malloc, of ``allocator.CONDITIONS``."""

    def core_use(self) -> CoreUse | None:
        """How busy the cores are where it measures; ``None`` if that is not known."""

    def freest_core(self) -> int | None:
        """The core with the least work where it measures; ``None`` if workers choose their own."""

    def join(self, pool: AnyPool) -> AnyPool | None:
        """Its own workers from another executor's pool, or ``None`` if that is not possible."""


# One line per executor.
EXECUTORS: dict[str, Callable[[], Executor]] = {
    "process": Processes,
    "fake": Fake,
}


def executor(name: str) -> Executor:
    """The executor of that name.

    Raises:
        UnknownName: there is none.
    """
    if name not in EXECUTORS:
        raise UnknownName("executor", name, EXECUTORS)
    return EXECUTORS[name]()
