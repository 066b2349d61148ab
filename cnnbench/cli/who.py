"""Who measures, and in which state of malloc: options of every command that measures."""

from __future__ import annotations

import os
from typing import Any

import click

from cnnbench import allocator, machine
from cnnbench.errors import UsageError

_executor = click.option(
    "--executor", "who", default="process", hidden=True, help="process or fake."
)


def _inherited(ctx: click.Context, _param: object, value: str | None) -> None:
    """Tell it to every process that the command starts."""
    if value is None:
        return
    own = [name for name in os.environ if name.startswith(machine.ALLOCATOR)]
    if own:
        raise UsageError(f"--allocator {value}: {', '.join(own)} configures malloc; unset it first")
    before = os.environ.get(allocator.VARIABLE)
    os.environ[allocator.VARIABLE] = value

    def put_back() -> None:
        if before is None:
            os.environ.pop(allocator.VARIABLE, None)
        else:
            os.environ[allocator.VARIABLE] = before

    ctx.call_on_close(put_back)


_allocator = click.option(
    "--allocator",
    type=click.Choice(list(allocator.CONDITIONS)),
    expose_value=False,
    callback=_inherited,
    help="CPU memory between calls: freed blocks are kept for the next call, or as the C library"
    f" does it (system).  [default: {allocator.DEFAULT}; of max-batch, system]",
)


def again() -> tuple[str, ...]:
    """The words with which another command measures in the same state of malloc."""
    asked = allocator.asked()
    return () if asked is None else ("--allocator", asked)


def executor(command: Any) -> Any:
    """Who measures, and in which state of malloc."""
    return _allocator(_executor(command))
