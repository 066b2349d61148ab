"""NVTX ranges, for NVIDIA's own profilers: phases, slices and modules by name on their timelines.

Only where they were asked for: pushing one takes the host a moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from cnnbench.requests import TakeSlice
from cnnbench.slices import Taken

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnbench.messages import Request
    from cnnbench.worker.talk import Talk


def push(name: str) -> None:
    """Open a range of this thread inside those that are open."""
    torch.cuda.nvtx.range_push(name)  # type: ignore[no-untyped-call]


def pop() -> None:
    """Close the range that was opened last."""
    torch.cuda.nvtx.range_pop()  # type: ignore[no-untyped-call]


def within(name: str, call: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
    """What a call returns or raises, in a range."""
    push(name)
    try:
        return call(*args, **keywords)
    finally:
        pop()


class Ranged:
    """A worker's side of the protocol whose phases are ranges, and in them its slices."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._in_phase = self._in_slice = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._talk, name)

    def enter(self, phase: str) -> None:
        """Report which phase begins; the range of the one before ends."""
        if self._in_phase:
            pop()
        push(f"cnnbench: {phase}")
        self._in_phase = True
        self._talk.enter(phase)

    def next(self) -> Request[Any]:
        """Wait for the next command; a slice begins with it."""
        command = self._talk.next()
        if isinstance(command, TakeSlice):
            # What ends the phase before must not end the slice.
            if self._talk.phase != "measure":
                self.enter("measure")
            push(f"cnnbench: slice {command.turn}")
            self._in_slice = True
        return command

    def answer(self, result: Any) -> None:
        """Send a result; a slice ends with it."""
        if self._in_slice and isinstance(result, Taken):
            pop()
            self._in_slice = False
        self._talk.answer(result)


def ranged(talk: Talk, *, asked: bool) -> Any:
    """The talk, with ranges if they were asked for."""
    return Ranged(talk) if asked else talk
