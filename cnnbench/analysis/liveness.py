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
        # Storages that a kernel does not have, and what kernels keep by number.
        self._void: set[int] = set()
        self._kernels: dict[int, int] = {}

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

    def unseen(self, keys: Iterable[int]) -> list[int]:
        """Those of storages that were neither declared nor born: made without an operator."""
        alive, resident = self._alive, self._resident
        return [key for key in keys if key not in alive and key not in resident]

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

    def mark(self) -> int:
        """The present moment, for ``fused``, ``unrolled`` and ``above``."""
        return len(self._events)

    def fused(self, since: int, nbytes: int) -> None:
        """Note that one kernel did everything since a moment, and what it held meanwhile.

        What was born and died since then never existed; what is alive are its results.
        """
        self._merge(since, len(self._events), nbytes)

    def _merge(self, since: int, until: int, nbytes: int, *ends: tuple[int, int, int]) -> None:
        """One kernel in place of events: what it held, what it lets go of, then its results."""
        events = self._events[since:until]
        born = {number for _, number, change in events if change > 0}
        inside = {number for _, number, change in events if change < 0 and number in born}
        kept = [event for event in events if event[1] not in inside]
        first = events[0][0] if events else self.now
        self._events[since:until] = [
            (first, _SCRATCH, nbytes), (first, _SCRATCH, -nbytes), *ends, *kept
        ]  # fmt: skip

    def unrolled(self, since: int, results: Iterable[Tensor], nbytes: int, kept: int) -> int:
        """The same of a kernel that keeps memory of its own for backward, instead of tensors.

        Returns:
            What ``returned`` is to be told once backward is over.
        """
        known = self.numbers(results)
        born = {number for _, number, change in self._events[since:] if change > 0}
        self._void |= born - known
        self.fused(since, nbytes)
        number = self._births
        self._births += 1
        self._kernels[number] = kept
        self._events.append((self.now, number, kept))
        return number

    def returned(
        self, number: int, first: int, last: int, nbytes: int, results: frozenset[int]
    ) -> None:
        """Note that operators from ``first`` to ``last`` were one kernel's backward.

        It needs the ``results`` of its forward call, so that they die no earlier.
        """
        places = [i for i, event in enumerate(self._events) if first <= event[0] <= last]
        since, until = (places[0], places[-1] + 1) if places else (len(self._events),) * 2
        early = [event for event in self._events[:since] if event[1] in results and event[2] < 0]
        ends = [(first, number, -self._kernels.pop(number))]
        ends += [(first, one, change) for _, one, change in early]
        self._merge(since, until, nbytes, *ends)
        for event in early:
            self._events.remove(event)

    def numbers(self, tensors: Iterable[Tensor]) -> frozenset[int]:
        """The numbers of these tensors' storages, for ``peaks(without=…)``."""
        keys = (tensor.untyped_storage()._cdata for tensor in tensors)  # noqa: SLF001
        return frozenset(self._alive[key].number for key in keys if key in self._alive)

    def alive_bytes(self) -> int:
        """Bytes alive now, residents apart."""
        lives = self._alive.values()
        own = sum(life.nbytes for life in lives if life.number not in self._void)
        return own + sum(self._kernels.values())

    def above(self, since: int) -> int:
        """The most that was alive at once since a moment, beyond what was alive then."""
        total = highest = 0
        for _, _, change in self._events[since:]:
            total += change
            highest = max(highest, total)
        return highest

    def peaks(self, without: frozenset[int] = frozenset()) -> tuple[Peak, Peak]:
        """Highest sum over time of some storages, without and with libraries' scratch."""
        total, highest, where = 0, 0, 0
        held, worst, worst_where = 0, 0, 0
        for op, number, change in self._events:
            if number == _SCRATCH:
                held += change
            elif number not in without and number not in self._void:
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
