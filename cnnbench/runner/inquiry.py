"""Single questions to workers: one task each, in a process of its own, nothing timed."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from cnnbench.errors import SchemaError, WorkerError, WorkerRaised, WorkerTimeout
from cnnbench.requests import Describe
from cnnbench.scratch import scratch_directory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cnnbench.environment import Environment
    from cnnbench.messages import Answer, Request
    from cnnbench.runner.executor import AnyPool, AnyWorker, Executor

_DESCRIBE_SECONDS = 120.0


def tell(worker: AnyWorker, request: Request[Answer], timeout: float) -> Answer:
    """A worker's answer, of the type that the request declares.

    Raises:
        WorkerError: there is no answer; the error has the phase of the worker.
    """
    try:
        return request.read(worker.ask(request.message, timeout))
    except WorkerError as error:
        error.phase = worker.phase
        raise
    except SchemaError as error:
        unread = WorkerRaised(f"the worker's answer cannot be read: {error}")
        unread.phase = worker.phase
        raise unread from error


def ask(pool: AnyPool, request: Request[Answer], timeout: float) -> Answer:
    """One task in one new worker.

    Raises:
        WorkerError: it has no answer.
    """
    worker = pool.start()
    try:
        return tell(worker, request, timeout)
    finally:
        worker.close()


@contextmanager
def asking(who: Executor) -> Iterator[AnyPool]:
    """A pool for questions, with a scratch directory of its own."""
    with scratch_directory() as folder, who.open(folder) as pool:
        yield pool


def ask_each(
    pool: AnyPool, requests: Iterable[Request[Answer]], timeout: float
) -> Iterator[Answer | WorkerError]:
    """One worker per request; a worker that fails costs its own answer only."""
    for request in requests:
        try:
            yield ask(pool, request, timeout)
        except WorkerError as error:
            yield error


def describe(pool: AnyPool, *, runtimes: bool = False) -> Environment:
    """The environment that workers find.

    Args:
        pool: of the workers.
        runtimes: ask the deployment runtimes there, too.

    Raises:
        WorkerError: no worker can be started at all.
    """
    try:
        return ask(pool, Describe(runtimes=runtimes), _DESCRIBE_SECONDS)
    except WorkerTimeout:
        # No option gives it more time; a look at a machine takes a second.
        raise WorkerError(
            f"no description of this machine within {_DESCRIBE_SECONDS:g} s; is a device stuck?"
        ) from None
