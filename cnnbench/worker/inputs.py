"""What a network is called with: pictures made for its task, the same in every process.

Inputs are random but seeded. They are made on the CPU; ``modes`` moves them.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from cnnbench.architectures.tasks import TASKS
from cnnbench.worker import modes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from torch import nn

    from cnnbench.architectures.registry import Architecture
    from cnnbench.spec import Workload

# Batches of pictures that an output is checked on; a single layer is checked on one.
PICTURES = 4
# Seeds of pictures are far apart, so that none of one workload is one of its neighbour's.
_APART = 1_000_003


class Given(NamedTuple):
    """The arguments of one call; a pytree, as named tuples are.

    Attributes:
        args: the positional ones.
        kwargs: those by keyword.
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = {}

    @classmethod
    def of(cls, *args: Any, **kwargs: Any) -> Self:
        """What a call is written with."""
        return cls(args, kwargs)

    def to(self, function: Callable[..., Any]) -> Any:
        """What a function returns for them."""
        return function(*self.args, **self.kwargs)

    @property
    def tensors(self) -> list[Tensor]:
        """Every tensor in them, at any depth."""
        return tensors(self)


def tensors(value: Any) -> list[Tensor]:
    """The tensors in a nested value."""
    return [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor)]


def made(
    architecture: Architecture,
    workload: Workload,
    seed: int,
    number: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Given:
    """Seeded inputs on the CPU; for training also targets, if the task needs them.

    Args:
        architecture: its task says what goes in.
        workload: how many samples of which shape, for which phase.
        seed: of the random numbers.
        number: tells the pictures apart: 0 are those that are timed.
        dtype: of floating-point tensors for which nothing else is asked.
    """
    generator = torch.Generator().manual_seed((seed + _APART * number) % 2**63)
    task = TASKS[architecture.task]
    make = task.inputs
    if workload.phase != "inference" and task.training_inputs is not None:
        make = task.training_inputs
    found = Given(make(workload.batch, workload.input, generator))
    return found if dtype is torch.float32 else modes.cast(found, dtype, "cpu")


def others(
    architecture: Architecture, workload: Workload, seed: int, dtype: torch.dtype
) -> Iterator[Given]:
    """The pictures of the check beside those that are timed."""
    for number in range(1, PICTURES):
        yield made(architecture, workload, seed, number, dtype)


def dtype_for(module: nn.Module) -> torch.dtype:
    """The floating-point type that a module wants its inputs in: that of its first parameter."""
    return next(iter(modes.dtypes(module)), torch.float32)


def flipped(given: Given) -> Iterator[Given]:
    """Other pictures than those that are given, made of them: mirrored, upside down, both."""

    def flip(leaf: Any, axes: tuple[int, ...]) -> Any:
        return leaf.flip(axes) if isinstance(leaf, Tensor) and leaf.dim() > 2 else leaf

    for axes in ((-1,), (-2,), (-1, -2)):
        yield pytree.tree_map(functools.partial(flip, axes=axes), given)
