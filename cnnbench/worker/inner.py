"""What the layers inside a network answer: where a fault is too small to show in its output.

A lost channel of one layer among hundreds moves the output by less than rounding to 16 bits does;
in that layer's own answer it is plain to see. So beside the outputs every convolution, linear layer
and batch normalisation leaves a signature: of each channel one number per sample, a projection on
random signs, which keeps its scale and notices shifts and permutations (Achlioptas 2003, "Database-
friendly random projections").

Layers can be listened to where the step calls them one by one, so not inside compiled code.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from cnnbench.worker import outputs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from cnnbench.spec import Spec

# Layer -> its signatures, one row per sample, one column per channel.
Signatures = dict[str, Tensor]

# Samples of a batch that are looked at; faults of the others show in the output.
_ROWS = 2
# Ends the names of layers that are called once for all regions; and how far exchanged regions, of
# many, may move their norms in any case.
REGIONS = ", over all regions"
_EXCHANGED = 0.05
# Of a sketch.
_SUMS, _ROWS_OF_SUMS = 32, 256
_CONTRACTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.modules.conv._ConvTransposeNd)  # noqa: SLF001
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
# Whoever listens inside these keeps them from taking their fast path.
_FUSED = (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerEncoder)


def audible(spec: Spec) -> bool:
    """Whether the layers of a step of this spec are those of the plain network, called as such."""
    mode, workload = spec.mode, spec.workload
    plain = mode.compiler == "eager" and not mode.implementation
    return plain and workload.phase == "inference" and not workload.is_layer


class LayerListener:
    """Takes the signatures of layers while it is entered, of the calls that it is told to.

    Args:
        module: the network.
        samples: in a call, where the network chooses regions by sorting scores: a layer with
            another number of rows answers for regions, in an order that rounding may change.

    Attributes:
        listening: whether the present call counts.
    """

    def __init__(self, module: nn.Module, samples: int | None = None) -> None:
        self._module = module
        self._samples = samples
        self._handles: list[Any] = []
        self._heard: dict[str, list[Tensor]] = {}
        self.listening = False

    def __enter__(self) -> LayerListener:
        self._handles = [
            part.register_forward_hook(functools.partial(self._look, name))
            for name, part in _layers(self._module, "")
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _look(self, name: str, part: nn.Module, _inputs: Any, output: Any) -> None:
        if not self.listening or not outputs.has_values(output) or not output.is_floating_point():
            return
        last = isinstance(part, nn.Linear)
        if output.dim() >= 2 and output.numel():
            values = (output.movedim(-1, 1) if last else output).detach()
            if self._samples is None or len(values) == self._samples:
                self._heard.setdefault(name, []).append(_signature(values[:_ROWS]))
            else:
                self._heard.setdefault(name + REGIONS, []).append(_norms(values))

    def signatures(self) -> Signatures:
        """Those of every layer that answered."""
        return {
            name: torch.cat([one.cpu() for one in heard])
            for name, heard in self._heard.items()
            if len({one.shape[1] for one in heard}) == 1
        }


def _layers(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    if isinstance(module, _FUSED):
        return
    if isinstance(module, (*_CONTRACTIONS, *_NORMS)):
        yield name, module
    for child, part in module.named_children():
        yield from _layers(part, f"{name}.{child}" if name else child)


def _signature(values: Tensor) -> Tensor:
    """(N, C, …) -> (N, C)."""
    flat = values.flatten(2) if values.dim() > 2 else values.unsqueeze(2)
    # In float64 nothing rounds it, whatever autocast or ``rounding`` does to the network.
    signs = _signs(flat.shape[2]).to(flat.device)
    return flat.double() @ signs / math.sqrt(flat.shape[2])


def _norms(values: Tensor) -> Tensor:
    """(N, C, …) -> (1, C): the root mean square of each channel, whatever the order of rows."""
    axes = [axis for axis in range(values.dim()) if axis != 1]
    return values.double().square().mean(axes).sqrt()[None]


@functools.lru_cache(maxsize=64)
def _signs(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randint(0, 2, (count,), generator=generator).double() * 2 - 1


def sketch(values: Tensor) -> Tensor:
    """(32,): sums of the values with random signs, which have about their norm together.

    Charikar, Chen, Farach-Colton 2002, "Finding frequent items in data streams"; few enough numbers
    to keep, and enough of them that their distance from others is that of the values.
    """
    flat = values.flatten()
    block = _SUMS * _ROWS_OF_SUMS
    blocks = nn.functional.pad(flat, (0, -flat.numel() % block)).view(-1, _ROWS_OF_SUMS, _SUMS)
    # Signs of blocks and of rows in them: one for every value would be too many to keep.
    sums = _signs(_ROWS_OF_SUMS).to(flat) @ blocks
    return _signs(len(sums)).to(flat) @ sums


def worst_channels(got: Signatures, usual: Signatures) -> dict[str, float]:
    """By how much the worst channel of each layer is off, over the layer's root mean square."""
    return {
        name: _worst(got[name], expected)
        for name, expected in usual.items()
        if name in got and got[name].shape == expected.shape
    }


def _worst(got: Tensor, usual: Tensor) -> float:
    scale = float(usual.square().mean().sqrt())
    gap = float((got - usual).square().mean(0).sqrt().max())
    found = gap / scale if scale else gap
    return math.inf if math.isnan(found) else found


def keep(path: Path, usual: Signatures, explained: Mapping[str, Mapping[str, float]]) -> None:
    """Leave the signatures of fp32 eager, and how far rounding alone moves each layer's.

    Args:
        path: of the reference's arrays; these lie beside it, nothing pickled.
        usual: signatures.
        explained: precision -> layer -> as ``worst_channels``.
    """
    arrays: dict[str, Any] = {f"usual {name}": one.numpy() for name, one in usual.items()}
    for precision, layers in explained.items():
        arrays |= {f"{precision} {name}": np.asarray(one) for name, one in layers.items()}
    with _beside(path).open("wb") as file:
        np.savez(file, **arrays)


@dataclass(frozen=True)
class Worst:
    """The layer that is off by most of what rounding explains.

    Attributes:
        times: as far off as explained; zero where no layer could be judged.
        layer: its name.
        error: how far off its worst channel is, over the layer's root mean square.
        explained: by rounding.
        every: whether every layer of the reference could be judged.
    """

    times: float = 0.0
    layer: str = ""
    error: float = 0.0
    explained: float = 0.0
    every: bool = False


def worst(got: Signatures, path: Path, precision: str, least: float, most: float) -> Worst:
    """Judge the layers of a step.

    Args:
        got: their signatures.
        path: of the reference's arrays.
        precision: of the step.
        least: that rounding explains at least.
        most: of which more would hide any fault, so that such a layer is not judged.
    """
    if not got:
        return Worst()
    usual, explained = _kept(path, precision)
    errors = worst_channels(got, usual)
    known = {
        name: max(explained[name], least, _EXCHANGED if name.endswith(REGIONS) else 0.0)
        for name in errors
        if explained.get(name, math.inf) <= most
    }
    if not known:
        return Worst()
    name = max(known, key=lambda one: errors[one] / known[one])
    times = errors[name] / known[name]
    return Worst(times, name, errors[name], known[name], known.keys() == usual.keys())


def _kept(path: Path, precision: str) -> tuple[Signatures, dict[str, float]]:
    if not _beside(path).is_file():
        return {}, {}
    with np.load(_beside(path), allow_pickle=False) as arrays:
        split = [(key, *key.split(" ", 1)) for key in arrays.files]
        usual = {
            name: torch.from_numpy(arrays[key]) for key, what, name in split if what == "usual"
        }
        explained = {name: float(arrays[key]) for key, what, name in split if what == precision}
    return usual, explained


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.stem}-inner.npz")
