"""Implementations of convolutions, and substitutes for them, as data, without torch.

The tables are in ``conv/implementations.json``, written from the code by
``python -m cnnbench.implementations``; a test writes it again and compares. Whether one of them
applies to a layer, only a worker can say.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib import resources
from typing import Any

from cnnbench.errors import UnknownName

# What an output of a convolution sums over beside its own channel and place: the channels of its
# group, all channels, the places around it.
MIXING = ("group", "channels", "neighbors")
# What is missing of it -> what that means.
_LACKING = {
    ("group", "channels"): "mixes no channels",
    ("channels",): "mixes channels only within groups",
    ("neighbors",): "sees no neighbors",
}


@dataclass(frozen=True)
class ImplementationEntry:
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


@dataclass(frozen=True)
class SubstituteEntry:
    """One substitute for a layer.

    Attributes:
        name: what stands behind the tilde: ``conv:k64-3x3-p1~NAME``.
        meaning: one line.
        source: paper and place.
        same_function: it computes the layer itself if it is given its weights.
        mixing: what an output sums over, of ``MIXING``.
    """

    name: str
    meaning: str
    source: str
    same_function: bool
    mixing: tuple[str, ...]

    @property
    def mixes(self) -> frozenset[str]:
        """``mixing`` as a set."""
        return frozenset(self.mixing)

    @property
    def lacks(self) -> str:
        """What it does not mix; empty if nothing."""
        missing = tuple(word for word in MIXING if word not in self.mixing)
        return _LACKING[missing] if missing else ""


@functools.cache
def _tables() -> dict[str, list[dict[str, Any]]]:
    text = (
        resources.files("cnnbench.conv")
        .joinpath("implementations.json")
        .read_text(encoding="utf-8")
    )
    tables: dict[str, list[dict[str, Any]]] = json.loads(text)
    return tables


@functools.cache
def substitutes() -> tuple[SubstituteEntry, ...]:
    """Every substitute, in the order of lists."""
    return tuple(
        SubstituteEntry(**{**row, "mixing": tuple(row["mixing"])})
        for row in _tables()["substitutes"]
    )


# What a lecture calls a substitute -> its name.
_ALSO = {"1x1": "pointwise", "separable": "depthwise_separable"}


def substitute(name: str) -> SubstituteEntry:
    """The substitute of a name.

    Raises:
        UnknownName: there is none; the message suggests the closest names.
    """
    rows = {row.name: row for row in substitutes()}
    found = rows.get(_ALSO.get(name, name))
    if found is None:
        raise UnknownName("substitute", name, [*rows, *_ALSO])
    return found


@functools.cache
def entries() -> tuple[ImplementationEntry, ...]:
    """Every implementation, in the order of lists."""
    tuples = ("kinds", "dtypes", "exact", "flags")
    rows = _tables()["implementations"]
    return tuple(
        ImplementationEntry(**{**row, **{name: tuple(row[name]) for name in tuples}})
        for row in rows
    )


def entry(name: str) -> ImplementationEntry:
    """The implementation of a name.

    Raises:
        UnknownName: there is none; the message suggests the closest names.
    """
    rows = {row.name: row for row in entries()}
    if name not in rows:
        raise UnknownName("implementation", name, rows)
    return rows[name]
