"""Moves the tensors of a step to other memory, so that no result depends on where they were.

The physical pages of the weights make a network slower or faster for as long as its process lives:
by up to 30 % for resnet18 in a virtual machine. Longer measurements do not average that out, but
other pages do. Curtsinger and Berger (STABILIZER, ASPLOS 2013) move code, stack and heap for the
same reason.

Works on the CPU only, and moves only tensors: code, generated kernels and constants of a compiler
stay.
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
    """The memory of the tensors of a step.

    Args:
        step: one that has been called before; its parameters, buffers, inputs and optimizer state
            move.
    """

    def __init__(self, step: Step) -> None:
        self._step = step
        self._tensors = _movable(step.resident())
        self.moves = 0

    def move(self) -> None:
        """Move every tensor to other pages, and call once, so that activations get pages too.

        Values, addresses of Python objects and compiled code stay the same. If memory does not
        suffice for both copies of a tensor at once, the tensors stay where they are.
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
    """Each dense tensor once, without views of others, which would no longer be views."""
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
    """Make malloc return free memory, so that later allocations get other pages."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
