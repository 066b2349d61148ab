"""When each storage is alive: the basis of every memory prediction.

A storage is born with the first result that uses it and dies when Python and autograd let go of it,
exactly as on a real device. Parameters, buffers and inputs are known beforehand and counted
elsewhere. Knows nothing of layers or operators but their running number.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor, UntypedStorage


_SCRATCH = -1


class _Life(weakref.ref["UntypedStorage"]):
    """A weak reference that knows its storage's key, number and size."""

    __slots__ = ("key", "nbytes", "number")

    key: int
    number: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Peak:
    """The highest sum of live bytes and the number of the operator during which it occurred."""

    nbytes: int
    op: int


class Liveness:
    """Births and deaths of storages in the order they happen."""

    def __init__(self) -> None:
        self.now = 0
        self._alive: dict[int, _Life] = {}
        self._resident: set[int] = set()
        self._kept: list[object] = []
        # (operator, storage number, signed bytes): replayed for any subset of storages
        self._events: list[tuple[int, int, int]] = []
        self._births = 0

    def resident(self, tensors: Iterable[Tensor]) -> int:
        """Declare storages that live all the time; returns their bytes, each once."""
        total = 0
        for tensor in tensors:
            storage = tensor.untyped_storage()
            if storage._cdata not in self._resident:  # noqa: SLF001
                self._resident.add(storage._cdata)  # noqa: SLF001
                self._kept.append(storage)
                total += storage.nbytes()
        return total

    def born(self, storage: UntypedStorage) -> None:
        """Note a result's storage; views of known ones are free."""
        key = storage._cdata  # noqa: SLF001
        if key in self._alive or key in self._resident:
            return
        life = _Life(storage, self._died)
        life.key = key
        life.number = self._births
        life.nbytes = storage.nbytes()
        self._births += 1
        self._alive[key] = life
        self._events.append((self.now, life.number, life.nbytes))

    def _died(self, life: weakref.ref[UntypedStorage]) -> None:
        if not isinstance(life, _Life):
            return
        if self._alive.get(life.key) is life:
            del self._alive[life.key]
        self._events.append((self.now, life.number, -life.nbytes))

    def scratch(self, nbytes: int) -> None:
        """Note memory that a library holds only during the current operator."""
        if nbytes:
            self._events.append((self.now, _SCRATCH, nbytes))
            self._events.append((self.now, _SCRATCH, -nbytes))

    def numbers(self, tensors: Iterable[Tensor]) -> frozenset[int]:
        """The numbers of these tensors' storages, for ``peaks(without=…)``."""
        keys = (tensor.untyped_storage()._cdata for tensor in tensors)  # noqa: SLF001
        return frozenset(self._alive[key].number for key in keys if key in self._alive)

    def alive_bytes(self) -> int:
        """Bytes alive now, residents apart."""
        return sum(life.nbytes for life in self._alive.values())

    def peaks(self, without: frozenset[int] = frozenset()) -> tuple[Peak, Peak]:
        """Highest sum over time of some storages, without and with libraries' scratch."""
        total, highest, where = 0, 0, 0
        held, worst, worst_where = 0, 0, 0
        for op, number, change in self._events:
            if number == _SCRATCH:
                held += change
            elif number not in without:
                total += change
                if total > highest:
                    highest, where = total, op
            if total + held > worst:
                worst, worst_where = total + held, op
        return Peak(highest, where), Peak(worst, worst_where)

    def close(self) -> None:
        """Forget the residents, so that the traced module can be freed."""
        self._kept.clear()
        self._alive.clear()
