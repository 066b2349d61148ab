"""The random number generators that a network or its inputs may draw from.

They are torch's, that of the CUDA device in use, Python's and NumPy's.
"""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator


def seed_everything(seed: int) -> None:
    """Seed every generator."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


def states() -> list[Any]:
    """Where the generators stand."""
    kind, keys, *rest = np.random.get_state()
    found = [torch.get_rng_state(), random.getstate(), (kind, np.asarray(keys).tobytes(), *rest)]
    # A device that has not been touched has drawn nothing, and asking would start it.
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        found.append(torch.cuda.get_rng_state())
    return found


def equal(before: list[Any], after: list[Any]) -> bool:
    """Whether nothing was drawn between two states."""
    return all(
        torch.equal(a, b) if isinstance(a, Tensor) else a == b
        for a, b in zip(before, after, strict=True)
    )


@contextlib.contextmanager
def left_alone() -> Iterator[None]:
    """Put every generator back to where it stood: the numbers drawn within are not the caller's."""
    cpu, own, numpys = torch.get_rng_state(), random.getstate(), np.random.get_state()
    started = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = torch.cuda.get_rng_state_all() if started else []
    try:
        yield
    finally:
        torch.set_rng_state(cpu)
        random.setstate(own)
        np.random.set_state(numpys)
        if devices:
            torch.cuda.set_rng_state_all(devices)
