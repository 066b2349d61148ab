"""Variants of a network: other numbers of classes or channels, no auxiliary heads.

Each function changes a finished module in place, using only its structure. It works for networks of
torchvision, timm and users, and raises where it cannot.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer
from torch.nn.parameter import is_lazy as lazy
from torch.utils import _pytree as pytree

from cnnbench.errors import Unsupported

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d

# The attributes under which auxiliary heads live: torchvision's GoogLeNet, Inception v3 and
# segmentation models, and GoogLeNet here.
AUXILIARY = ("aux1", "aux2", "AuxLogits", "aux_classifier", "after_4a", "after_4d")


def _replace(module: nn.Module, path: str, layer: nn.Module) -> None:
    """Replace the layer at ``path`` by another, on the same device and in the same type."""
    parent, _, name = path.rpartition(".")
    old = module.get_submodule(path)
    weight = cast("nn.Parameter", old.weight)
    setattr(module.get_submodule(parent), name, layer.to(weight.device, weight.dtype))


def is_auxiliary(path: str) -> bool:
    """Whether a path leads into an auxiliary head."""
    return any(part in AUXILIARY for part in path.split("."))


def _layers(module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> Iterator[str]:
    """Yield the paths of layers of these kinds, in order of registration."""
    return (path for path, layer in module.named_modules() if isinstance(layer, kinds))


def head(module: nn.Module) -> str:
    """Return the path of the classifier: the last linear layer, or, without one, convolution.

    Raises:
        Unsupported: there is neither.
    """
    for kinds in ((nn.Linear,), _CONVOLUTIONS):
        paths = [path for path in _layers(module, kinds) if path and not is_auxiliary(path)]
        if paths:
            return paths[-1]
    raise Unsupported(
        f"{type(module).__name__} has no last layer whose number of classes could be changed"
    )


def first(module: nn.Module) -> str:
    """Return the path of the first convolution or, without one, linear layer; empty without."""
    kinds: tuple[tuple[type[nn.Module], ...], ...] = (_CONVOLUTIONS, (nn.Linear,))
    return next((path for some in kinds for path in _layers(module, some)), "")


def _resized(layer: nn.Module, num_classes: int) -> nn.Module:
    bias = layer.bias is not None
    if isinstance(layer, nn.Linear):
        return nn.Linear(layer.in_features, num_classes, bias=bias)
    return _convolution_like(cast("Convolution", layer), out_channels=num_classes)


def _convolution_like(layer: Convolution, **changes: Any) -> nn.Module:
    fields = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation")
    arguments = {field: getattr(layer, field) for field in (*fields, "groups", "padding_mode")}
    return type(layer)(**{**arguments, **changes}, bias=layer.bias is not None)


def with_classes(module: nn.Module, num_classes: int) -> nn.Module:
    """Give the network another number of classes: a new last layer, in auxiliary heads as well.

    Raises:
        Unsupported: there is no layer to replace.
    """
    for path in heads(module):
        _replace(module, path, _resized(module.get_submodule(path), num_classes))
    return module


def with_in_channels(module: nn.Module, in_channels: int) -> nn.Module:
    """Give the network another number of input channels: a new first convolution or linear layer.

    Raises:
        Unsupported: there is no such layer, or it has groups.
    """
    path = next(_layers(module, _CONVOLUTIONS), "")
    if not path:
        raise Unsupported(f"{type(module).__name__} has no first convolution to replace")
    layer = cast("Convolution", module.get_submodule(path))
    if layer.groups > 1:
        raise Unsupported(f"the first convolution of {type(module).__name__} has groups")
    _replace(module, path, _convolution_like(layer, in_channels=in_channels))
    return module


def heads(module: nn.Module) -> list[str]:
    """Return the path of the classifier and of the last layer of each auxiliary head."""
    found = [head(module)]
    for path, child in module.named_modules():
        if path.rpartition(".")[2] in AUXILIARY:
            found.append(f"{path}.{head(child)}")
    return found


def without_auxiliary(module: nn.Module) -> nn.Module:
    """Remove auxiliary heads, made for training; torchvision's segmentation always runs them."""
    for path, _ in list(module.named_modules()):
        parent, _, name = path.rpartition(".")
        if name in AUXILIARY:
            setattr(module.get_submodule(parent), name, None)
    if hasattr(module, "aux_logits"):
        setattr(module, "aux_logits", False)  # noqa: B010  no attribute of nn.Module's
    return module


def is_lazy(module: nn.Module) -> bool:
    """Whether some layer still needs an input to determine its shape."""
    return any(lazy(tensor) for tensor in (*module.parameters(), *module.buffers()))


def copy_of_lazy(module: nn.Module) -> nn.Module:
    """A copy of a module with lazy layers, whose buffers ``copy.deepcopy`` alone refuses."""
    empty: Any = UninitializedBuffer  # whose annotations lack its arguments
    memo: dict[int, Any] = {
        id(one): empty(device=one.device, dtype=one.dtype) for one in module.buffers() if lazy(one)
    }
    return copy.deepcopy(module, memo)


def materialise(
    module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any] | None = None
) -> nn.Module:
    """Give lazy layers their shapes by one forward pass in inference mode."""
    tensors = (*module.parameters(), *module.buffers())
    device = next(tensor.device for tensor in tensors)
    training = module.training
    given = pytree.tree_map_only(Tensor, lambda one: one.to(device), (tuple(args), kwargs or {}))
    with torch.no_grad():
        module.eval()(*given[0], **given[1])
    return module.train(training)
