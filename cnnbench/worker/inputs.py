"""What a network is called with, the same in every process.

Pictures made for its task, tensors of the shapes and types that a user names, or what a function
of the user's returns. Inputs are random but seeded. They are made on the CPU; ``modes`` moves them.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from cnnbench.architectures import sources
from cnnbench.architectures.pictures import ShapesAlone, photographs, pictures
from cnnbench.architectures.tasks import TASKS
from cnnbench.asking import INPUT_FACTORY, INPUTS, REGIONS
from cnnbench.catalogue import without_regions
from cnnbench.errors import UsageError
from cnnbench.inputs import USUAL_LIMIT, read_all
from cnnbench.worker import images, modes, randomness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import nn

    from cnnbench.architectures.registry import Architecture
    from cnnbench.inputs import TypedInput
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
    def values(self) -> tuple[Any, ...]:
        """The positional ones, and those by keyword after them."""
        return (*self.args, *self.kwargs.values())

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
    *,
    values: bool = True,
) -> Given:
    """Seeded inputs, on the CPU with ``values``; for training also targets, if the task needs them.

    Args:
        architecture: its task says what goes in.
        workload: how many samples of which shape, for which phase.
        seed: of the random numbers.
        number: tells the pictures apart: 0 are those that are timed.
        dtype: of floating-point tensors for which nothing else is asked.
        values: draw pixels; otherwise pictures have shapes alone, on the meta device.
    """
    at = (seed + _APART * number) % 2**63
    generator = (torch.Generator() if values else ShapesAlone()).manual_seed(at)
    # The caller may be in the middle of building on the meta device.
    with torch.device("cpu"):
        if factory := workload.setting(INPUT_FACTORY, ""):
            return _returned(factory, workload.batch, at)
        if typed := workload.setting(INPUTS, ""):
            return _typed(read_all(typed), workload.batch, generator, dtype)
        # Calibration (number -1) is on seeded pictures whatever the user's are.
        if number >= 0 and images.given(workload):
            found = Given(images.inputs(workload, number))
        else:
            make = _of_task(architecture, workload)
            found = Given(make(workload.batch, workload.input, generator))
    return found if dtype is torch.float32 else modes.cast(found, dtype, None)


def _of_task(architecture: Architecture, workload: Workload) -> Callable[..., tuple[Any, ...]]:
    task = TASKS[architecture.task]
    if count := workload.setting(REGIONS, ""):
        if task.regions is None:
            raise UsageError(without_regions(architecture.name))
        return task.regions(int(count))
    if architecture.inputs is not None:
        return architecture.inputs
    if workload.phase != "inference" and task.training_inputs is not None:
        return task.training_inputs
    return task.inputs


def _typed(
    wanted: Sequence[TypedInput], batch: int, generator: torch.Generator, dtype: torch.dtype
) -> Given:
    made = [(one.name, _tensor(one, batch, generator, dtype)) for one in wanted]
    return Given(
        tuple(tensor for name, tensor in made if not name),
        {name: tensor for name, tensor in made if name},
    )


def _tensor(
    wanted: TypedInput, batch: int, generator: torch.Generator, dtype: torch.dtype
) -> Tensor:
    """Pictures or noise; whole numbers below a limit, and pictures of bytes."""
    kind: torch.dtype = getattr(torch, wanted.type) if wanted.type else dtype
    if kind.is_complex:
        real, imaginary = (pictures(batch, wanted.shape, generator) for _ in range(2))
        return torch.complex(real, imaginary)
    if kind.is_floating_point:
        return pictures(batch, wanted.shape, generator).to(kind)
    if kind is torch.uint8 and wanted.limit is None and len(wanted.shape) > 1:
        return (photographs(batch, wanted.shape, generator) * 255).to(kind)
    limit = wanted.limit or USUAL_LIMIT
    return torch.randint(limit, (batch, *wanted.shape), generator=generator).to(kind)


def _returned(factory: str, batch: int, seed: int) -> Given:
    """What a user's function makes; every generator is seeded, and ``seed`` given if it has one.

    Raises:
        UsageError: there is no such function, or it returns no tensor.
    """
    function = sources.attribute(factory)
    if not callable(function):
        raise UsageError(f"'{factory}' is of type {type(function).__name__}, not a function")
    takes = "seed" in inspect.signature(function).parameters

    def call(count: int) -> Given:
        with randomness.left_alone():
            randomness.seed_everything(seed)
            return _arranged(function(count, **({"seed": seed} if takes else {})))

    found = call(batch)
    if not found.tensors:
        raise UsageError(f"'{factory}' returned no tensor, but inputs of a network are wanted")
    # Samples are along the first axis, or the second, as of sequences; or a list has one for each.
    if batch > 1 and not any(batch in tensor.shape[:2] for tensor in found.tensors):
        _refuse_deaf(factory, lambda count: call(count).tensors, batch)
    return _detached(found)


def _refuse_deaf(factory: str, call: Callable[[int], list[Tensor]], batch: int) -> None:
    """Refuse a function that makes the same whatever batch it is asked for.

    Raises:
        UsageError: it does.
    """
    shapes, others = ([tuple(one.shape) for one in call(count)] for count in (batch, batch + 1))
    if shapes == others:
        listed = ", ".join(map(str, shapes))
        raise UsageError(
            f"'{factory}' was asked for a batch of {batch} and returned {listed}, as for any other;"
            " make as many samples as its first argument says"
        )


def _detached(given: Given) -> Given:
    """Without the graphs that made them, through which no step can go twice."""

    def leaf(tensor: Tensor) -> Tensor:
        return tensor if tensor.is_leaf else tensor.detach().requires_grad_(tensor.requires_grad)

    found: Given = pytree.tree_map_only(Tensor, leaf, given)
    return found


def _arranged(value: Any) -> Given:
    """A tuple is positional arguments, a dict keywords, ``(args, kwargs)`` both."""
    match value:
        case dict():
            return Given((), value)
        case (tuple() | list() as args, dict() as kwargs):
            return Given(tuple(args), kwargs)
        case tuple():
            return Given(value)
    return Given((value,))


def others(
    architecture: Architecture, workload: Workload, seed: int, dtype: torch.dtype
) -> Iterator[Given]:
    """The pictures of the check beside those that are timed, as far as they have their shapes."""
    first = made(architecture, workload, seed, 0, dtype, values=False)
    shapes = [one.shape for one in first.tensors]
    for number in range(1, PICTURES):
        found = made(architecture, workload, seed, number, dtype)
        if [one.shape for one in found.tensors] == shapes:
            yield found


def dtype_for(module: nn.Module) -> torch.dtype:
    """The floating-point type that a module wants its inputs in: that of its first parameter."""
    return next(iter(modes.dtypes(module)), torch.float32)


def flipped(given: Given) -> Iterator[Given]:
    """Other pictures than those that are given, made of them: mirrored, upside down, both."""

    def flip(leaf: Any, axes: tuple[int, ...]) -> Any:
        return leaf.flip(axes) if isinstance(leaf, Tensor) and leaf.dim() > 2 else leaf

    for axes in ((-1,), (-2,), (-1, -2)):
        yield pytree.tree_map(functools.partial(flip, axes=axes), given)
