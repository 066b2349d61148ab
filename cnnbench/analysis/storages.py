"""Which elements of which storage an operator saw, and what is known: views share elements."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor, nn

from cnnbench.analysis.assembled import written
from cnnbench.analysis.reach import NotFollowed
from cnnbench.analysis.tracked import Tracked, unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import UntypedStorage


class Seen(NamedTuple):
    """A tensor as an operator saw it."""

    key: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int

    def plain(self) -> Seen:
        """The same without the strides of axes of size 1, which say nothing."""
        if 1 not in self.shape:
            return self
        pairs = zip(self.shape, self.strides, strict=True)
        return self._replace(strides=tuple(stride if size > 1 else 0 for size, stride in pairs))


# What a named tuple does itself, in half the time.
_new: Callable[..., Seen] = tuple.__new__


def seen(tensor: Tensor, storage: UntypedStorage | None = None) -> Seen:
    """A tensor, whose storage may be at hand already."""
    storage = tensor.untyped_storage() if storage is None else storage
    key = storage._cdata  # noqa: SLF001
    return _new(Seen, (key, tensor.shape, tensor.stride(), tensor.storage_offset()))


_ATOMS = frozenset({int, float, bool, type(None)})


class TakenTensors:
    """What operators took: keys of storages, and bytes of the elements that were addressed."""

    __slots__ = ("keys", "nbytes")

    def __init__(self) -> None:
        self.keys: list[int] = []
        self.nbytes = 0

    def each(self, arguments: Iterable[Any]) -> list[Any]:
        """Note the tensors among arguments, one list deep; returns each as what was seen."""
        found: list[Any] = []
        for item in arguments:
            kind = type(item)
            if kind is Tensor or kind is nn.Parameter:
                found.append(self._one(item))
            elif kind is list or kind is tuple:
                # Sizes, strides and paddings are most of them.
                numbers = item and type(item[0]) is int
                found.append(list(item) if numbers else self.each(item))
            elif kind in _ATOMS or not isinstance(item, Tensor):
                found.append(item)
            else:
                found.append(self._one(item))
        return found

    def _one(self, tensor: Tensor) -> Seen:
        storage = tensor.untyped_storage()
        key = storage._cdata  # noqa: SLF001
        self.keys.append(key)
        # An expanded tensor addresses more elements than it has.
        own, held = tensor.nbytes, storage.nbytes()
        self.nbytes += own if own < held else held
        return _new(Seen, (key, tensor.shape, tensor.stride(), tensor.storage_offset()))


class Storage:
    """What is known of the views of one storage; the first one is the whole."""

    def __init__(self, whole: Seen, tracked: Tracked | None) -> None:
        self.whole = whole.plain()
        self.views: dict[Seen, Tracked | None] = {self.whole: tracked}
        self.axes = len(tracked.reaches) if tracked is not None else 0

    def read(self, view: Seen) -> Tracked | None:
        """What a view reads; ``None`` is a constant."""
        view = view.plain()
        if view in self.views or not self.axes:
            return self.views.get(view)
        return unknown(view.shape, self.axes)

    def written(self, view: Seen, tracked: Tracked | None) -> Storage:
        """After elements were written through a view; other views are forgotten."""
        view = view.plain()
        if self.read(view) is tracked:
            return self
        if view == self.whole:
            return Storage(view, tracked)
        axes = len(tracked.reaches) if tracked is not None else self.axes
        changed: Tracked | None = unknown(self.whole.shape, axes)
        # Views that were reshaped or resized in place are of no box; a count must not fail of it.
        with contextlib.suppress(IndexError, ValueError, NotFollowed):
            box, part = view, tracked
            for dim in _selected(self.whole, view):
                box = _inserted(box, self.whole, dim)
                part = part.inserted(dim) if part is not None else None
            starts = _starts(self.whole, box)
            if starts is not None:
                changed = written(self.views[self.whole], self.whole.shape, part, box.shape, starts)
        result = Storage(self.whole, changed)
        result.views[view] = tracked
        return result


def _selected(whole: Seen, view: Seen) -> list[int]:
    """Axes of the whole that a view does not have, because it is at one place of them."""
    kept = list(view.strides)
    gone = []
    for dim, stride in enumerate(whole.strides):
        if kept and kept[0] == stride:
            kept.pop(0)
        else:
            gone.append(dim)
    return gone if len(gone) == len(whole.shape) - len(view.shape) else []


def _inserted(view: Seen, whole: Seen, dim: int) -> Seen:
    shape = (*view.shape[:dim], 1, *view.shape[dim:])
    strides = (*view.strides[:dim], whole.strides[dim], *view.strides[dim:])
    return view._replace(shape=shape, strides=strides)


def _starts(whole: Seen, view: Seen) -> list[int] | None:
    """Where a view begins that is a box of the whole; ``None`` if it is something else."""
    axes = list(zip(view.shape, view.strides, whole.strides, strict=False))
    if len(view.shape) != len(whole.shape) or any(n > 1 and a != b for n, a, b in axes):
        return None
    starts, rest = [0] * len(axes), view.offset - whole.offset
    for dim in sorted(range(len(axes)), key=lambda dim: -whole.strides[dim]):
        if whole.shape[dim] > 1 and whole.strides[dim]:
            starts[dim], rest = divmod(rest, whole.strides[dim])
    inside = all(
        0 <= start <= size - part
        for start, size, part in zip(starts, whole.shape, view.shape, strict=True)
    )
    return starts if inside and not rest else None
