"""A grid cut into shards, so that several machines of one kind measure a part each.

Deterministic: every machine that is asked for the same grid cuts it in the same way, with nothing
said between them. What is compared with each other stays together, and every shard is expected to
take about as long.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cnnbench.spec import Spec

_MOST = 999_999
_WRITTEN = re.compile(r"([1-9]\d{0,5})/([1-9]\d{0,5})", flags=re.ASCII)  # up to it


@dataclass(frozen=True)
class Shard:
    """One of several parts of a grid.

    Attributes:
        number: which one, from 1.
        count: of all.
    """

    number: int
    count: int

    @property
    def text(self) -> str:
        """``2/8``; ``read`` reads it back."""
        return f"{self.number}/{self.count}"


def read(text: str) -> Shard:
    """A shard as it is written.

    Raises:
        UsageError: it is none.
    """
    match = _WRITTEN.fullmatch(text)
    if match is None or int(match[1]) > int(match[2]):
        raise UsageError(
            f"'{text}' is no shard; the second of eight is 2/8, and there are at most {_MOST:,}"
        )
    return Shard(int(match[1]), int(match[2]))


def cut(specs: Sequence[Spec], seconds: Callable[[Spec], float], count: int) -> list[list[Spec]]:
    """Specs in shards, each in the order of the specs; some are empty where groups are few.

    The longest group first, each to the shard that has least to do: no shard takes more than 4/3 of
    the time that the best cut would (Graham 1969, Bounds on multiprocessing timing anomalies).

    Args:
        specs: groups of which each is together.
        seconds: roughly, for a spec; the same wherever it is asked.
        count: of shards.
    """
    groups: dict[object, list[Spec]] = {}
    for spec in specs:
        groups.setdefault((spec.workload.group, spec.device), []).append(spec)
    # Exact sums, so that the order of a grid, which rounds others, cannot change the cut.
    expected = [(math.fsum(map(seconds, some)), some) for some in groups.values()]
    shares, loads = [set[str]() for _ in range(count)], [0.0] * count
    for length, some in sorted(expected, key=lambda one: (-one[0], min(s.id for s in one[1]))):
        place = loads.index(min(loads))
        loads[place] += length
        shares[place] |= {spec.id for spec in some}
    return [[spec for spec in specs if spec.id in share] for share in shares]


def grid(names: Iterable[str]) -> str:
    """A name for the whole grid, by which its shards are known to belong together."""
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:12]


# Between the shards of a run that holds several.
_AND = ","


def together(texts: Iterable[str]) -> str:
    """Several shards of one grid as a run that holds them all has them: ``1/8,3/8``."""
    found = {one for text in texts for one in held(text)}
    return _AND.join(one.text for one in sorted(found, key=lambda one: one.number))


def held(text: str) -> list[Shard]:
    """The shards that a run holds, as ``together`` writes them; empty for a run that is none."""
    return [read(one) for one in text.split(_AND)] if text else []


def first(text: str) -> int:
    """The number of the first shard in a run; 0 for a run that is none."""
    return held(text)[0].number if text else 0


def gone(known: Iterable[tuple[str, str]]) -> list[Shard]:
    """The shards that are missing of grids of which there are shards.

    Args:
        known: as for ``missing``.
    """
    there: dict[tuple[str, int], set[int]] = {}
    for text, name in known:
        for shard in held(text):
            there.setdefault((name, shard.count), set()).add(shard.number)
    return [
        Shard(one, count)
        for (_, count), numbers in there.items()
        for one in range(1, count + 1)
        if one not in numbers
    ]


def missing(known: Iterable[tuple[str, str]]) -> list[str]:
    """What is missing of grids of which there are shards, a line each.

    Args:
        known: shards and name of their grid, of every run that is a shard or holds some.
    """
    by_grid: dict[str, list[tuple[str, str]]] = {}
    for text, name in known:
        by_grid.setdefault(name, []).append((text, name))
    lines = []
    for some in by_grid.values():
        absent = [one.text for one in gone(some)]
        if absent:
            word = "shard" if len(absent) == 1 else "shards"
            lines.append(f"{word} {', '.join(absent)} of this grid not among these runs")
    return lines
