"""Where the code of workers comes from."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cnnbench.channel import Message


@dataclass(frozen=True)
class Origin:
    """The source of the code of workers.

    Attributes:
        python: their interpreter.
        package: folder that holds the ``cnnbench`` they run; ``None`` for this very one.
        networks: folders that come first where they import networks from.
        folder: their working directory; ``None`` for this process's own.
        variables: environment variables in place of this process's own.

    Networks are imported, and the folder entered, by each worker after it was forked; the rest is
    the starter's.
    """

    python: str = sys.executable
    package: str | None = None
    networks: tuple[str, ...] = ()
    folder: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def extra(self) -> Message:
        """The extra fields of every request to such a worker."""
        told: Message = {"networks": list(self.networks), "folder": self.folder}
        return {key: value for key, value in told.items() if value}

    def shares_starter(self, other: Origin) -> bool:
        """Whether one starter can fork workers of both."""
        mine, theirs = ((one.python, one.package, dict(one.variables)) for one in (self, other))
        return mine == theirs
