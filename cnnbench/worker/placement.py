"""Moves what a step computes with to other memory, so that no figure hangs on where it lay.

Which physical pages weights got makes a network slower or faster for as long as its process lives:
by up to 30 %, seen with resnet18 in a virtual machine. Measuring for longer does not average that,
other pages do. Curtsinger and Berger (STABILIZER, ASPLOS 2013) move code, stack and heap for the
same reason.

On the CPU only, and only tensors: code, generated kernels and constants of a compiler stay.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.worker.build import Step


class Placement:
    """Where the tensors of a step lie.

    Args:
        step: that has been called before; its parameters, buffers, inputs and optimizer state move.
    """

    def __init__(self, step: Step) -> None:
        self._step = step
        self._tensors = _movable(step.resident())
        self.moves = 0

    def move(self) -> None:
        """Give every tensor other pages, and call once, so that activations have theirs.

        The values, addresses of Python objects and what has been compiled stay. Where memory does
        not suffice for both places of a tensor at once, they stay where they are.
        """
        if not self._tensors:
            return
        try:
            places = [tensor.data.clone() for tensor in self._tensors]
        except (MemoryError, RuntimeError):
            return
        for tensor, place in zip(self._tensors, places, strict=True):
            tensor.data = place
        del places
        _give_back()
        self._step.call()
        self.moves += 1


def _movable(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Each once; without views of others, which would no longer be views, and what is not dense."""
    own = {id(tensor): tensor for tensor in tensors if tensor.layout == torch.strided}
    shared = Counter(_storage(tensor) for tensor in own.values())
    return [one for one in own.values() if _plain(one) and shared[_storage(one)] == 1]


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _plain(tensor: Tensor) -> bool:
    if tensor.device.type != "cpu" or not tensor.numel():
        return False
    whole = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
    return whole and type(tensor.data) is Tensor


def _give_back() -> None:
    """Have malloc return what is free, so that what comes next gets other pages."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
