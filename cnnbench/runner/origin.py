"""Where the code of workers comes from, and the variables that their processes start with."""

from __future__ import annotations

import contextlib
import os
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cnnbench import allocator

if TYPE_CHECKING:
    from cnnbench.channel import Message

_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Origin:
    """The source of the code of workers.

    Attributes:
        python: their interpreter.
        package: folder that holds the ``cnnbench`` they run; ``None`` for this very one.
        networks: folders that come first where they import networks from.
        folder: their working directory; ``None`` for this process's own.
        variables: environment variables in place of this process's own.
        allocator: the state of malloc, of ``allocator.CONDITIONS``; ``None``: what was asked for.

    Networks are imported, and the folder entered, by each worker after it was forked; the rest is
    the starter's.
    """

    python: str = sys.executable
    package: str | None = None
    networks: tuple[str, ...] = ()
    folder: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    allocator: str | None = None

    @property
    def extra(self) -> Message:
        """The extra fields of every request to such a worker."""
        told: Message = {"networks": list(self.networks), "folder": self.folder}
        return {key: value for key, value in told.items() if value}

    def shares_starter(self, other: Origin) -> bool:
        """Whether one starter can fork workers of both."""
        mine, theirs = (
            (one.python, one.package, dict(one.variables), one.allocator) for one in (self, other)
        )
        return mine == theirs


def environment(origin: Origin, scratch: Path) -> dict[str, str]:
    """The environment of this process, with the right ``cnnbench`` importable."""
    variables = os.environ | origin.variables
    variables |= allocator.variables(variables, origin.allocator)
    root = origin.package or str(_PACKAGE.parent)
    if origin.python != sys.executable and origin.package is None:
        root = _alone(scratch)
    elif root == sysconfig.get_path("purelib"):
        return variables
    paths = [root, *filter(None, [variables.get("PYTHONPATH")])]
    return variables | {"PYTHONPATH": os.pathsep.join(paths)}


def _alone(scratch: Path) -> str:
    """A folder with this package and nothing else.

    Another interpreter must not find what is installed beside it, least of all its torch.
    """
    folder = scratch / "package"
    folder.mkdir(exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (folder / _PACKAGE.name).symlink_to(_PACKAGE)
    return str(folder)
