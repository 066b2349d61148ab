"""Single questions to workers: one task each, in a process of its own, nothing timed."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnbench.codec import decode
from cnnbench.conv.layers import Extraction
from cnnbench.environment import Environment
from cnnbench.errors import WorkerError
from cnnbench.facts import Ceilings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cnnbench.channel import Message
    from cnnbench.runner.executor import AnyPool, AnyWorker, Executor
    from cnnbench.spec import Device

_DESCRIBE_SECONDS = 120.0
_CEILINGS_SECONDS = 300.0
_LAYERS_SECONDS = 300.0


def tell(worker: AnyWorker, message: Message, timeout: float) -> Any:
    """A worker's answer.

    Raises:
        WorkerError: there is none; it carries the phase that the worker was in.
    """
    try:
        return worker.ask(message, timeout)
    except WorkerError as error:
        error.phase = worker.phase
        raise


def ask(pool: AnyPool, message: Message, timeout: float) -> Any:
    """One task in one new worker.

    Raises:
        WorkerError: it has no answer.
    """
    worker = pool.start()
    try:
        return tell(worker, message, timeout)
    finally:
        worker.close()


@contextmanager
def asking(who: Executor) -> Iterator[AnyPool]:
    """A pool for questions, with a scratch directory of its own."""
    with tempfile.TemporaryDirectory(prefix="cnnbench-") as folder, who.open(Path(folder)) as pool:
        yield pool


def ask_each(
    pool: AnyPool, messages: Iterable[Message], timeout: float
) -> Iterator[Any | WorkerError]:
    """One worker per message; a worker that fails costs its own answer only."""
    for message in messages:
        try:
            yield ask(pool, message, timeout)
        except WorkerError as error:
            yield error


def describe(pool: AnyPool) -> Environment:
    """The environment that workers find.

    Raises:
        WorkerError: no worker can be started at all.
    """
    return decode(Environment, ask(pool, {"task": "describe"}, _DESCRIBE_SECONDS))


def ceilings(pool: AnyPool, device: Device, threads: int, *, quick: bool = True) -> Ceilings:
    """What the machine can do at most just now.

    Args:
        pool: starts the worker.
        device: where.
        threads: with so many CPU threads.
        quick: about a second instead of several.

    Raises:
        WorkerError: it could not be probed.
    """
    message = {"task": "ceilings", "device": device.text, "threads": threads, "quick": quick}
    return decode(Ceilings, ask(pool, message, _CEILINGS_SECONDS))


def layers(
    pool: AnyPool,
    name: str,
    *,
    shape: tuple[int, ...] | None = None,
    size: tuple[int, int] | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> Extraction:
    """The convolutions of a network, each once with its count.

    Args:
        pool: starts the worker.
        name: of the architecture.
        shape: of one sample in place of the architecture's own.
        size: height and width in place of the architecture's own.
        arguments: keyword arguments of the builder.

    Raises:
        WorkerError: it cannot be built or counted.
    """
    message = {
        "task": "layers", "name": name, "arguments": dict(arguments or {}),
        "shape": shape, "size": size,
    }  # fmt: skip
    return decode(Extraction, ask(pool, message, _LAYERS_SECONDS))


def applicability(pool: AnyPool, specs: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Of specs of single layers: why one cannot be (``reason``), or what it does.

    Raises:
        WorkerError: nobody answered.
    """
    message = {"task": "applicability", "specs": list(specs)}
    found: dict[str, dict[str, Any]] = ask(pool, message, _LAYERS_SECONDS)
    return found
