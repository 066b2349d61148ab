"""The errors of cnnbench, and the exit code of each.

::

    CnnbenchError                  1 line for the user, an exit code, never a traceback
    ├── UsageError            2    the request itself is wrong
    │   ├── UnknownName       2    a name that is in no table; suggests the closest ones
    │   ├── Unsupported       2    valid, but not possible here (no CUDA, no such device)
    │   └── StoreError        2    a run directory or record that cannot be used
    │       └── SchemaError   2    a record of a schema this version does not know
    ├── Regressed             1    the gate: a change for the worse beyond its threshold
    ├── SomeFailed            3    some specs have no number; their rows say why
    ├── Inconclusive          4    the machine is too noisy to decide (with --strict)
    ├── Incomparable          5    different environments, or a baseline file that does not fit
    ├── WorkerError           3    a worker failed; a runner turns it into a failed record
    │   ├── WorkerDied        3    it ended early: exit code or signal
    │   ├── WorkerTimeout     3    it did not answer in time
    │   └── WorkerRaised      3    it answered with an exception
    └── Interrupted         130    Ctrl-C (another signal: 128 + its number); results are kept

An error message is one sentence: what is wrong, where, and how to fix it.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class CnnbenchError(Exception):
    """Base of all errors that this package raises on purpose."""

    exit_code = 1

    def _render_traceback_(self) -> list[str]:
        """What IPython shows of it: the line that is meant for people, and no traceback."""
        return [f"{type(self).__name__}: {self}"]


class UsageError(CnnbenchError):
    """The request itself is wrong."""

    exit_code = 2


class UnknownName(UsageError):
    """A name that is in no table.

    Args:
        kind: what was looked for ("model", "mode", "metric", …).
        name: what was asked for.
        known: the existing names; the closest are suggested, or all of them if they are few.
        hint: what stands behind, in brackets.
        meant: what is meant, if that is known from elsewhere.
    """

    _FEW = 12

    def __init__(
        self, kind: str, name: str, known: Iterable[str], hint: str = "", meant: str = ""
    ) -> None:
        lower = {one.lower(): one for one in known}
        found = difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.5)
        close = [meant] if meant else [lower[one] for one in found]
        told = not hint and len(lower) <= self._FEW
        few = "; it is one of " + ", ".join(lower.values()) if told else ""
        offer = f"; did you mean {', '.join(close)}?" if close else few
        super().__init__(f"unknown {kind} '{name}'{offer}{' ' + hint if hint else ''}")
        self.name = name
        self.closest = tuple(close)


class Unsupported(UsageError):
    """The request is valid, but not possible on this machine or for this model."""


class StoreError(UsageError):
    """A run directory or a record that cannot be used."""


class SchemaError(StoreError):
    """A record written by a schema this version does not know."""


class Regressed(CnnbenchError):
    """A change for the worse beyond its threshold."""

    exit_code = 1


class SomeFailed(CnnbenchError):
    """Some specs have no number."""

    exit_code = 3


class Inconclusive(CnnbenchError):
    """A verdict is inconclusive, and ``--strict`` was given."""

    exit_code = 4


class Incomparable(CnnbenchError):
    """Two things that are not comparable."""

    exit_code = 5


class WorkerError(CnnbenchError):
    """A worker failed.

    ``kind`` is a word for tables, the message a line for people, ``phase`` what it was doing.
    """

    exit_code = 3
    kind = "error"
    phase = "start"


class WorkerDied(WorkerError):
    """The process went away without an answer."""

    kind = "died"


class WorkerTimeout(WorkerError):
    """The process did not answer in time and was killed."""

    kind = "timeout"


class WorkerRaised(WorkerError):
    """The worker answered with an exception."""

    def __init__(self, message: str, kind: str = "error", traceback: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.traceback = traceback


class Interrupted(CnnbenchError):
    """The user pressed Ctrl-C, or a signal said the same."""

    exit_code = 130
