"""Weights that let the picture through: seeded, without training, from a pass over pictures.

Freshly initialised networks mostly answer alike for every picture: normalisation layers do not know
the statistics of what they get, other layers shrink it, last layers start at zero. What such an
output says of a fault is little. One pass over structured pictures puts that right, layer by layer
as the data reaches it:

* a batch normalisation takes the mean and variance of its input (as training would);
* a convolution or linear layer is scaled to unit variance over its outputs and its bias centred on
  them (layer-sequential unit variance, Mishkin and Matas 2016, arXiv:1511.06422);
* both get a bias of one standard deviation on top. A rectifier in the middle of its input's
  distribution makes deep networks chaotic: every layer widens small differences by a factor of
  1.21 (Yang et al. 2019, arXiv:1902.08129); one that passes most of it does so by 1.06;
* what starts at zero or nearly so (last layers, residual branches, layer scales) is started.

The result is a set of small arrays that name a tensor and what is done to it, so that it is made
once per workload and put into every process's network in no time.
"""

from __future__ import annotations

import contextlib
import math
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from cnnbench import analysis
from cnnbench.worker import modes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import numpy.typing as npt

    from cnnbench.worker.inputs import Given

    Arrays = Mapping[str, npt.NDArray[Any]]

# Pictures that a network is calibrated on.
PICTURES = 8
# How far activations are moved into the linear part of what follows, in standard deviations.
_SHIFT = 1.0
# A variance below this share of the mean square would only amplify rounding.
_LEAST_VARIANCE = 0.02
# Constants between zero and this are layer scales and the like that start a branch at nothing.
_TINY = 0.1
_STARTED = 0.3

_CONTRACTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.modules.conv._ConvTransposeNd)  # noqa: SLF001
_STOCK = {nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear,
          nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d}  # fmt: skip


def calibrate(module: nn.Module, given: Given, *, contractions: bool = True) -> Arrays:
    """Calibrate a network in place, and say how.

    Args:
        module: in float32 or float64 on the CPU; its training mode is left as it was.
        given: what it is called with, about ``PICTURES`` samples.
        contractions: scale convolutions and linear layers too, not only normalisations.

    Returns:
        What ``apply`` needs to do the same to another copy of the untouched network.
    """
    return _Calibration(module, contractions=contractions).run(given)


def apply(module: nn.Module, arrays: Arrays) -> None:
    """Do to a network what was done to its copy.

    What the network does not have is passed over: another revision of it may differ.
    """
    with torch.no_grad():
        for key, array in arrays.items():
            action, _, name = key.partition(" ")
            tensor = _tensor(module, name)
            if tensor is not None and array.shape in {(), tuple(tensor.shape)}:
                _ACTIONS[action](tensor, array, name)


def save(path: Path, arrays: Arrays) -> None:
    """Keep a calibration as plain arrays (``.npz``, nothing pickled)."""
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def load(module: nn.Module, path: Path) -> None:
    """Calibrate a network as a kept calibration says; its training mode is left as it was."""
    with np.load(path, allow_pickle=False) as arrays, _evaluating(module):
        apply(module, {key: arrays[key] for key in arrays.files})


@contextlib.contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """In inference mode, in which no look at a weight changes the network (spectral norm)."""
    training = getattr(module, "training", False)  # frozen TorchScript has no such attribute
    analysis.set_training(module, training=False)
    try:
        yield
    finally:
        if training:
            module.train()


def _tensor(module: nn.Module, name: str) -> Tensor | None:
    path, _, last = name.rpartition(".")
    try:
        part = module.get_submodule(path)
    except AttributeError:
        return None
    return _own(part, last)


def _own(part: nn.Module, field: str) -> Tensor | None:
    """A tensor that a layer holds, not one that it computes (weight and spectral normalisation).

    To compute it may change the layer: in training mode spectral normalisation iterates.
    """
    found = part._parameters.get(field)  # noqa: SLF001 - an attribute may be computed
    return part._buffers.get(field) if found is None else found  # noqa: SLF001


def _draw(tensor: Tensor, scale: npt.NDArray[Any], name: str) -> None:
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    tensor.copy_(torch.randn(tensor.shape, generator=generator) * float(scale))


# What can be done to a tensor: the first word of a key -> how.
_ACTIONS: dict[str, Callable[[Tensor, Any, str], object]] = {
    "set": lambda tensor, array, _: tensor.copy_(torch.from_numpy(array)),
    "fill": lambda tensor, array, _: tensor.fill_(float(array)),
    "scale": lambda tensor, array, _: tensor.mul_(float(array)),
    "draw": _draw,
}


class _Calibration:
    """One pass over a network with a hook on every layer that is to be calibrated."""

    def __init__(self, module: nn.Module, *, contractions: bool) -> None:
        self._module = module
        self._names = {id(part): name for name, part in module.named_modules()}
        self._contractions = contractions
        self._done: set[int] = set()
        self._arrays: dict[str, npt.NDArray[Any]] = {}
        self._last: nn.Module | None = None

    def run(self, given: Given) -> Arrays:
        with torch.no_grad(), modes.nothing_compiled(), _evaluating(self._module):
            self._start_branches()
            handles = [self._hook(part) for part in self._module.modules()]
            try:
                given.to(self._module)
                self._centre_last()
            finally:
                for handle in handles:
                    if handle is not None:
                        handle.remove()
        return self._arrays

    def _hook(self, part: nn.Module) -> Any:
        if isinstance(part, torch.jit.ScriptModule):  # takes no hooks
            return None
        if _is_norm(part):
            return part.register_forward_pre_hook(self._norm)
        if self._contractions and isinstance(part, _CONTRACTIONS):
            return part.register_forward_hook(self._contraction)
        return None

    def _do(self, action: str, part: nn.Module, field: str, value: Any) -> None:
        """Change a tensor of a layer, and remember it."""
        path = self._names[id(part)]
        name = f"{path}.{field}" if path else field
        wide = getattr(part, field).dtype is torch.float64
        array = np.asarray(value, dtype=np.float64 if wide else np.float32)
        self._arrays[f"{action} {name}"] = array
        apply(self._module, {f"{action} {name}": array})

    def _start_branches(self) -> None:
        for part in self._module.modules():
            for field, tensor in part.named_parameters(recurse=False):
                if not tensor.numel() or not tensor.is_floating_point() or tensor.is_meta:
                    continue
                low, high = float(tensor.min()), float(tensor.max())
                if field == "bias" or low != high or abs(low) >= _TINY:
                    continue
                if _is_norm(part) or isinstance(part, (nn.GroupNorm, nn.LayerNorm)):
                    self._do("fill", part, field, 1.0)
                elif low or tensor.numel() == 1:
                    self._do("fill", part, field, _STARTED)

    def _norm(self, part: Any, given: tuple[Any, ...]) -> None:
        values = given[0]
        if id(part) in self._done or not _usable(values):
            return
        self._done.add(id(part))
        axes = [axis for axis in range(values.dim()) if axis != 1]
        wide = values.double()
        mean, square = wide.mean(axes), wide.square().mean(axes)
        variance = torch.maximum(square - mean.square(), _LEAST_VARIANCE * square)
        self._do("set", part, "running_mean", mean)
        self._do("set", part, "running_var", variance.clamp_min(1e-12))
        if part.bias is not None and self._contractions:
            self._do("fill", part, "bias", _SHIFT)

    def _contraction(self, part: Any, given: tuple[Any, ...], out: Any) -> Any:
        if id(part) in self._done or not _usable(out):
            return None
        self._done.add(id(part))
        weight = _own(part, "weight")
        if weight is not None and not float(weight.abs().max()):
            fan = part.weight[0].numel()
            self._do("draw", part, "weight", 1 / math.sqrt(fan))
            out = part.forward(*given)
        self._last = part
        axis = 1 if hasattr(part, "kernel_size") and out.dim() > 2 else out.dim() - 1
        axes = [one for one in range(out.dim()) if one != axis]
        wide = out.double()
        mean = wide.mean(axes)
        shape = [-1 if one == axis else 1 for one in range(out.dim())]
        deviation = float((wide - mean.view(shape)).square().mean().sqrt())
        if not math.isfinite(deviation) or deviation == 0:
            return None
        scale = 1.0 if weight is None else 1 / deviation
        if weight is not None:
            self._do("scale", part, "weight", scale)
        if part.bias is not None:
            self._do("set", part, "bias", (part.bias.double() - mean) * scale + _SHIFT)
        if type(part) not in _STOCK:  # what it does with its weights is its own business
            return part.forward(*given)
        moved = wide * scale
        return (moved if part.bias is None else moved - (mean * scale).view(shape) + _SHIFT).to(out)

    def _centre_last(self) -> None:
        """The last layer's output is the answer: nothing follows that would want a shift."""
        part: Any = self._last
        if part is not None and part.bias is not None:
            self._do("set", part, "bias", part.bias.double() - _SHIFT)


def _is_norm(part: nn.Module) -> bool:
    """Whether it normalises by statistics that it keeps, whatever its class."""
    return isinstance(getattr(part, "running_mean", None), Tensor) and isinstance(
        getattr(part, "running_var", None), Tensor
    )


def _usable(values: Any) -> bool:
    return isinstance(values, Tensor) and values.is_floating_point() and values.dim() > 1
