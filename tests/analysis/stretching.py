"""A network for a longer picture in which every window and every ratio of sizes stays the same.

Pooling and resizing to a size cut a map into windows whose widths take turns. In a small map, the
widest of them may only exist at a border, which cuts it off. In a longer one it also stands inside.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tests.analysis.random_networks import Resized

if TYPE_CHECKING:
    from collections.abc import Callable

ADAPTIVE = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
# Times the picture's own length, at which too much memory would be needed.
LONGEST = 10


class NoSuchSize(Exception):
    """A ratio of sizes would not be the same."""


def stretched(
    network: nn.Module, shape: tuple[int, ...], axis: int
) -> tuple[nn.Module, tuple[int, ...]] | None:
    """The network and its shape for a picture at least twice as long along a spatial axis."""
    sized = _sizes(network, shape, axis)
    if not sized:
        return None
    span = shape[axis + 2]
    for longer in range(2 * span, LONGEST * span + 1):
        wanted = (*shape[: axis + 2], longer, *shape[axis + 3 :])
        twin = copy.deepcopy(network).to("meta")
        handles = _hooked(twin, lambda module, name: _keep_ratio(module, sized[name], axis))
        try:
            with torch.no_grad():
                twin(torch.zeros(wanted, device="meta"))
        except (NoSuchSize, RuntimeError, ValueError):
            continue
        finally:
            for handle in handles:
                handle.remove()
        return _with_sizes_of(network, twin), wanted
    return None


def _hooked(network: nn.Module, watch: Callable[[nn.Module, str], Any]) -> list[Any]:
    """A hook per module that makes maps of a size."""
    return [
        handle
        for name, module in network.named_modules()
        if isinstance(module, (Resized, *ADAPTIVE))
        for handle in watch(module, name)
    ]


def _sizes(network: nn.Module, shape: tuple[int, ...], axis: int) -> dict[str, tuple[int, int]]:
    """Before and after each of them, along the axis."""
    found: dict[str, tuple[int, int]] = {}

    def note(module: nn.Module, name: str) -> list[Any]:
        def hook(_: Any, args: Any, out: torch.Tensor) -> None:
            found[name] = args[0].shape[axis + 2], out.shape[axis + 2]

        return [module.register_forward_hook(hook)]

    twin = copy.deepcopy(network).to("meta")
    handles = _hooked(twin, note)
    with torch.no_grad():
        twin(torch.zeros(shape, device="meta"))
    for handle in handles:
        handle.remove()
    return found


def _keep_ratio(module: nn.Module, sizes: tuple[int, int], axis: int) -> list[Any]:
    """Hooks that set the size before a call, and refuse another ratio after it."""
    name = "size" if isinstance(module, Resized) else "output_size"
    options = getattr(module, "options", {})
    # Aligned corners are a ratio of distances; a factor is kept as it is, but for areas.
    less = int(bool(options.get("align_corners")))
    free = getattr(module, "scale", None) is not None and options["mode"] != "area"

    def set_size(_: Any, args: Any) -> None:
        size = getattr(module, name)
        if size is None:
            return
        span, rest = divmod((args[0].shape[axis + 2] - less) * (sizes[1] - less),
                            (sizes[0] - less) or 1)  # fmt: skip
        if rest:
            raise NoSuchSize
        values = list(size) if isinstance(size, tuple) else [size]
        values[axis] = span + less
        setattr(module, name, tuple(values))

    def check(_: Any, args: Any, out: torch.Tensor) -> None:
        longer = args[0].shape[axis + 2] - less, out.shape[axis + 2] - less
        if not free and longer[0] * (sizes[1] - less) != longer[1] * (sizes[0] - less):
            raise NoSuchSize

    return [module.register_forward_pre_hook(set_size), module.register_forward_hook(check)]


def _with_sizes_of(network: nn.Module, twin: nn.Module) -> nn.Module:
    """The network, whose weights are real, with the sizes that were found on meta."""
    result = copy.deepcopy(network)
    found = dict(twin.named_modules())
    for name, module in result.named_modules():
        if isinstance(module, Resized):
            module.size = found[name].size
        elif isinstance(module, ADAPTIVE):
            module.output_size = found[name].output_size
    return result
