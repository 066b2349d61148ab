"""Models of timm by name and glob: a worker says which they are, as only workers import timm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench.catalogue import TIMM, is_glob
from cnnbench.errors import UsageError, WorkerError
from cnnbench.requests import ListTimm
from cnnbench.runner.inquiry import ask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.catalogue import CatalogueEntry
    from cnnbench.runner.executor import AnyPool

# All of timm is built on the meta device in less.
_SECONDS = 1200.0


def chosen(pool: AnyPool, models: Sequence[str]) -> tuple[str, ...]:
    """Names in which timm's globs are replaced by what they select, each once.

    Raises:
        UsageError: a glob selects nothing, or timm is not installed.
    """
    found = [
        [entry.name for entry in listed(pool, name)]
        if name.startswith(TIMM) and is_glob(name)
        else [name]
        for name in models
    ]
    return tuple(dict.fromkeys(name for names in found for name in names))


def listed(pool: AnyPool, pattern: str, *, built: bool = False) -> tuple[CatalogueEntry, ...]:
    """Models of timm that a name or glob selects; with their parameters if they are to be built.

    Raises:
        UsageError: there is none, or timm is not installed.
    """
    try:
        return ask(pool, ListTimm(pattern=pattern, built=built), _SECONDS)
    except WorkerError as error:
        if error.kind != "unsupported":
            raise
        raise UsageError(str(error)) from error
