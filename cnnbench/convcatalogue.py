"""The implementations of convolutions as data: what ``impl=`` can say, without importing torch.

The table is ``convs.json``, written by ``python -m cnnbench.convs`` from the code; a test writes it
again and compares. Whether an implementation applies to a layer, only a worker can say.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib import resources

from cnnbench.errors import UnknownName


@dataclass(frozen=True)
class Entry:
    """One implementation.

    Attributes:
        name: what ``impl=`` says.
        meaning: one line.
        source: paper or library.
        layout: the memory format it works in; empty for either.
        kinds: device kinds it exists on.
        dtypes: it takes.
        exact: dtypes in which sums of small integers come out bit-exact.
        flags: global flags that it consists of; such a one means something for whole networks too.
    """

    name: str
    meaning: str
    source: str
    layout: str
    kinds: tuple[str, ...]
    dtypes: tuple[str, ...]
    exact: tuple[str, ...]
    flags: tuple[str, ...]


@functools.cache
def entries() -> tuple[Entry, ...]:
    """Every implementation, in the order of lists."""
    text = resources.files("cnnbench").joinpath("convs.json").read_text(encoding="utf-8")
    tuples = ("kinds", "dtypes", "exact", "flags")
    return tuple(
        Entry(**{**row, **{name: tuple(row[name]) for name in tuples}}) for row in json.loads(text)
    )


def entry(name: str) -> Entry:
    """The implementation of a name.

    Raises:
        UnknownName: there is none; the message offers the closest names.
    """
    rows = {row.name: row for row in entries()}
    if name not in rows:
        raise UnknownName("implementation", name, rows)
    return rows[name]
