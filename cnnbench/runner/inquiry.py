"""Single questions to workers: one task each, in a process of its own, nothing timed."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnbench.errors import WorkerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cnnbench.channel import Message
    from cnnbench.runner.executor import AnyCrew, Executor


def ask(crew: AnyCrew, message: Message, timeout: float) -> Any:
    """One task in one new worker.

    Raises:
        WorkerError: it has no answer.
    """
    worker = crew.start()
    try:
        return worker.ask(message, timeout)
    finally:
        worker.close()


def ask_each(
    who: Executor, messages: Iterable[Message], timeout: float
) -> Iterator[Any | WorkerError]:
    """One crew, one worker per message; a worker that fails costs its own answer only."""
    with tempfile.TemporaryDirectory(prefix="cnnbench-") as folder, who.open(Path(folder)) as crew:
        for message in messages:
            try:
                yield ask(crew, message, timeout)
            except WorkerError as error:
                yield error
