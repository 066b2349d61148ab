"""From an architecture to a module, and whether it takes an input size.

The sizes that a network accepts are tested by running it on the meta device, without memory.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from cnnbench.architectures import variants
from cnnbench.architectures.meta import on_meta
from cnnbench.architectures.tasks import TASKS
from cnnbench.errors import Unsupported, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cnnbench.architectures.registry import Architecture

    # From a module to the positional and keyword arguments that give its lazy layers their shapes.
    Materialising = Callable[[nn.Module], tuple[tuple[Any, ...], Mapping[str, Any]]]

# Changes made to the finished network where its builder has no argument for them.
_GENERIC = {"num_classes": variants.with_classes, "in_channels": variants.with_in_channels}

# Selecting boxes depends on values, which the meta device does not have; these networks resize
# their input themselves and accept any size.
_NEEDS_VALUES = frozenset({"detection", "instance_segmentation", "keypoints"})


def _split(architecture: Architecture, arguments: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """Return the builder's arguments, and the changes to make to its result."""
    parameters = inspect.signature(architecture.build).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return arguments, {}
    own = {name: value for name, value in arguments.items() if name in parameters}
    other = {name: value for name, value in arguments.items() if name not in parameters}
    unknown = sorted(other.keys() - _GENERIC.keys())
    if unknown:
        raise UsageError(f"'{architecture.name}' takes no argument '{unknown[0]}'")
    return own, other


def _check_call(architecture: Architecture, arguments: dict[str, Any]) -> None:
    try:
        inspect.signature(architecture.build).bind(**arguments)
    except TypeError as error:
        raise UsageError(f"'{architecture.name}' cannot be called: {error}") from error


def build(
    architecture: Architecture, materialising: Materialising | None = None, /, **arguments: Any
) -> nn.Module:
    """Build the network with random weights.

    ``num_classes`` and ``in_channels`` work for every network: where the builder lacks them, the
    last or first layer is replaced. Lazy modules are materialised by what ``materialising`` says
    that they are called with; by default it is the architecture's own input.

    Raises:
        UsageError: the builder takes no such argument, or returns no ``nn.Module``.
        Unsupported: there is no layer to replace.
    """
    own, other = _split(architecture, arguments)
    _check_call(architecture, own)
    module = architecture.build(**own)
    if not isinstance(module, nn.Module):
        kind = type(module).__name__
        way = "; return its module()" if kind == "ExportedProgram" else ""
        raise UsageError(f"'{architecture.name}' returned {kind}, not a torch.nn.Module{way}")
    if variants.is_lazy(module):
        channels = own.get("in_channels", architecture.input[0])
        shape = (channels, *architecture.input[1:])
        given = materialising(module) if materialising else (inputs(architecture, shape), {})
        variants.materialise(module, *given)
    for name, value in other.items():
        _GENERIC[name](module, value)
    return module


def inputs(architecture: Architecture, shape: tuple[int, ...], batch: int = 1) -> tuple[Any, ...]:
    """Return seeded inputs of one inference, on the CPU."""
    generator = torch.Generator().manual_seed(0)
    # The caller may be in the middle of building on the meta device.
    with torch.device("cpu"):
        return TASKS[architecture.task].inputs(batch, shape, generator)


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(str(size) for size in shape)


def _failure(architecture: Architecture, shape: tuple[int, ...]) -> str | None:
    """Return why the network cannot run on one sample of this shape, or None if it can."""
    arguments = {} if shape[0] == architecture.input[0] else {"in_channels": shape[0]}
    module = on_meta(
        build, architecture, lambda _: (inputs(architecture, shape), {}), **arguments
    ).eval()
    tensors = [tensor.to("meta") for tensor in inputs(architecture, shape)]
    try:
        with torch.no_grad():
            module(*tensors)
    except (RuntimeError, ValueError, AssertionError, IndexError, TypeError) as error:
        return str(error).partition("\n")[0].rstrip(".") or type(error).__name__
    return None


def _square(architecture: Architecture, size: int) -> tuple[int, ...]:
    return (*architecture.input[:-2], size, size)


def smallest_size(architecture: Architecture) -> int:
    """Return the smallest height and width that the network accepts.

    From the catalogue or, for other networks, by bisection on the meta device.
    """
    if architecture.min_size is not None:
        return architecture.min_size
    low, high = 0, architecture.input[-1]
    while high - low > 1:
        middle = (low + high) // 2
        works = _failure(architecture, _square(architecture, middle)) is None
        low, high = (low, middle) if works else (middle, high)
    return high


def check_size(architecture: Architecture, shape: tuple[int, ...]) -> None:
    """Make sure that the network accepts one input sample of this shape (without the batch axis).

    Raises:
        Unsupported: it does not; the message names the smallest size that works.
    """
    if tuple(shape) == architecture.input:
        return
    if len(shape) != len(architecture.input):
        expected = _text(architecture.input)
        raise Unsupported(f"'{architecture.name}' takes {expected}, not {_text(shape)}")
    too_small = architecture.min_size is not None and min(shape[-2:]) < architecture.min_size
    reason = "too small" if too_small else None
    if not too_small and architecture.task not in _NEEDS_VALUES:
        reason = _failure(architecture, tuple(shape))
    if reason is not None:
        smallest = _text(_square(architecture, smallest_size(architecture)))
        raise Unsupported(
            f"'{architecture.name}' cannot take {_text(shape)} ({reason}); "
            f"the smallest that works is {smallest}"
        )
