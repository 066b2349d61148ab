"""The form of a request to a worker: a value that crosses the process border as a JSON object.

Its fields stand under their own names, beside the task's name under ``task`` or a command's under
``do``; ``requests`` has the table of them.
"""

from __future__ import annotations

import typing
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Generic, TypeVar

from cnnbench.codec import decode, encode

Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True)
class Request(Generic[Answer]):
    """A task for a worker of its own, answered by an ``Answer``."""

    key: ClassVar[str] = "task"
    task: ClassVar[str]

    def __init_subclass__(cls, task: str = "") -> None:
        """Name the task."""
        super().__init_subclass__()
        cls.task = task

    @property
    def message(self) -> dict[str, Any]:
        """The message that is sent, with ``None`` fields too, because older workers expect them."""
        said = {item.name: encode(getattr(self, item.name)) for item in fields(self)}
        return {self.key: self.task, **said}

    @classmethod
    def read(cls, data: Any) -> Answer:
        """Read an answer.

        Raises:
            SchemaError: it is not of the declared type.
        """
        (kind,) = typing.get_args(cls.__orig_bases__[0])  # type: ignore[attr-defined]
        found: Answer = decode(kind, data, f"answer to '{cls.task}'")
        return found


@dataclass(frozen=True, kw_only=True)
class Command(Request[Answer]):
    """A message to a worker after its task."""

    key: ClassVar[str] = "do"
