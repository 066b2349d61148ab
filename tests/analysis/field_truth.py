"""What receptive fields really are: the extent of float64 gradients of single elements."""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from cnnbench.analysis import analyze
from cnnbench.costs import Field
from tests.analysis.random_networks import Call
from tests.analysis.stretching import stretched

# Below this part of the largest gradient is rounding, as of a bilinear tap whose weight is zero.
ROUNDING = 1e-12


class _SpreadPool(nn.Module):
    """Reads what a maximum reads, and has a gradient at all of it."""

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, x):
        axes = x.dim() - 2
        size, step, margin, apart = (
            value if isinstance(value, tuple) else (value,) * axes
            for value in (
                self.pool.kernel_size, self.pool.stride, self.pool.padding, self.pool.dilation,
            )
        )  # fmt: skip
        convolution = (functional.conv1d, functional.conv2d, functional.conv3d)[axes - 1]
        weight = torch.ones(x.shape[1], 1, *size, dtype=x.dtype)
        return convolution(x, weight, None, step, margin, apart, x.shape[1])


def differentiable(network: nn.Module) -> nn.Module:
    """A twin in float64 whose weights are positive, whose maxima are sums, and without seams.

    What wraps around (circular padding, rotations) is nothing in the twin, because a seam is a
    border: no gradient says on which side of the picture a field continues. No field is cut off by
    a border, and no place beyond one is read.
    """
    twin = copy.deepcopy(network).double().eval()
    for child in twin.modules():
        if getattr(child, "padding_mode", "") == "circular":
            child.padding_mode = "zeros"
        if isinstance(child, Call) and child.seamless is not None:
            child.function = child.seamless
    for parent in list(twin.modules()):
        for name, child in list(parent.named_children()):
            if type(child) in (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d):
                setattr(parent, name, _SpreadPool(child))
    if type(twin) in (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d):
        twin = _SpreadPool(twin)
    generator = torch.Generator().manual_seed(0)
    for parameter in twin.parameters():
        with torch.no_grad():
            parameter.copy_(0.5 + torch.rand(parameter.shape, generator=generator))
            if parameter.dim() > 1:
                parameter /= parameter[0].numel()
    return twin


@dataclass(frozen=True)
class Truth:
    """Ends of what elements read along one axis, by channel and place, from ``first`` on."""

    first: int
    low: torch.Tensor
    high: torch.Tensor
    span: int

    @property
    def inner(self) -> torch.Tensor:
        """Which elements no border cuts off."""
        return (self.low > 0) & (self.high < self.span - 1) & (self.low <= self.high)

    @property
    def size(self) -> int:
        """The largest extent."""
        return int((self.high - self.low + 1).max())

    def centre(self, channel: int, place: int) -> float:
        """Of one element."""
        at = place - self.first
        return float(self.low[channel, at] + self.high[channel, at]) / 2


def _gradients(twin: nn.Module, one: torch.Tensor, picks: list[tuple[int, ...]]) -> torch.Tensor:
    """Absolute gradients of elements, summed over channels of the input; a sample for each."""
    samples = one.expand(len(picks), *one.shape[1:]).clone().requires_grad_()
    out = twin(samples)
    sum(out[(sample, *pick)] for sample, pick in enumerate(picks)).backward()
    return samples.grad.abs().sum(1)


def truths(network: nn.Module, shape: tuple[int, ...], *, whole: bool = False) -> list[Truth]:
    """Per axis; of elements on the diagonal around the middle of the output, or on all of it."""
    twin = differentiable(network)
    generator = torch.Generator().manual_seed(1)
    one = 0.5 + torch.rand(shape, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        out = twin(one)
    axes = len(shape) - 2
    spatial = out.shape[2:] if out.dim() == len(shape) else (1,) * axes
    # Only from the middle half: the rest may be at a border or a seam of a map on the way.
    count = max(min((16, 8, 4)[axes - 1], min(spatial) // 2), 1) if not whole else max(spatial)
    firsts = [0 if whole else (size - count) // 2 for size in spatial]
    channels = sorted({0, 1 % out.shape[1], out.shape[1] - 1})
    picks = [
        (channel, *((f + place) % size for f, size in zip(firsts, spatial, strict=True)))
        for channel in channels
        for place in range(count)
    ]
    gradients = torch.cat(
        [_gradients(twin, one, picks[i : i + 64]) for i in range(0, len(picks), 64)]
    )
    largest = gradients.amax(dim=tuple(range(1, gradients.dim())), keepdim=True)
    read = gradients > ROUNDING * largest
    result = []
    for axis in range(axes):
        others = [dim for dim in range(1, axes + 1) if dim != axis + 1]
        line = read.any(dim=others) if others else read
        pixels = torch.arange(shape[axis + 2])
        low = torch.where(line, pixels, shape[axis + 2]).amin(1).reshape(len(channels), count)
        high = torch.where(line, pixels, -1).amax(1).reshape(len(channels), count)
        result.append(Truth(firsts[axis], low, high, shape[axis + 2]))
    return result


@dataclass(frozen=True)
class Verdict:
    """Right, everything, beyond the picture, not known, wrong, or does not run."""

    kind: str
    reason: str = ""


def judge(network: nn.Module, shape: tuple[int, ...]) -> Verdict:
    """Compare what the analysis says with the truth."""
    network.eval()
    try:
        with torch.no_grad():
            network(torch.ones(shape))
            out = differentiable(network)(torch.ones(shape, dtype=torch.float64))
    except (RuntimeError, ValueError, AssertionError):
        return Verdict("does not run")
    if 0 in out.shape or not out.isfinite().all():
        return Verdict("does not run")
    field = analyze(network, (torch.zeros(shape),)).layers[0].field
    if not field.known:
        return Verdict("not known")
    return _compared(network, shape, field)


def _compared(network: nn.Module, shape: tuple[int, ...], field: Field) -> Verdict:
    kinds, every = [], functools.cache(lambda: truths(network, shape, whole=True))
    for axis, truth in enumerate(truths(network, shape)):
        said = tuple(
            None if one is None else one[axis] for one in (field.size, field.stride, field.centre)
        )
        kind = _kind(said, truth)
        if kind == "wrong" and said[0] is not None and said[0] > truth.size:
            # The widest elements of a long period may be few.
            right = every()[axis].size == said[0]
            kind = "right" if right else _of_longer(network, shape, axis, said[0])
        if kind == "wrong":
            return Verdict(kind, f"axis {axis}: said {said}, is {truth.size} {truth}: {network}")
        kinds.append(kind)
    return Verdict(max(kinds, key=("right", "everything", "beyond the picture").index))


def _of_longer(network: nn.Module, shape: tuple[int, ...], axis: int, said: float) -> str:
    """The widest elements may only exist where a border cuts them off; so it is moved away."""
    longer = stretched(network, shape, axis)
    if longer is None:
        return "beyond the picture"
    return "right" if truths(*longer, whole=True)[axis].size == said else "wrong"


def _kind(said: tuple[float | None, ...], truth: Truth) -> str:
    size, stride, centre = said
    if size is None:
        # Strides may leave pixels over at the ends, of which there are few.
        return "everything" if truth.size >= 0.7 * truth.span else "wrong"
    if 2 * size >= truth.span or not (truth.inner | (truth.low > truth.high)).all():
        # No element is certain to be an interior one, in maps on the way, too.
        return "beyond the picture"
    if size != truth.size or stride is None:
        return "right" if size == truth.size else "wrong"
    # Within a period, which is not known here, elements are out of step by no more than this.
    step = 3 + abs(stride) + size / 2
    count = truth.low.shape[1]
    for place in range(truth.first, truth.first + count):
        if centre is None or not truth.inner[0, place - truth.first]:
            continue
        if abs(truth.centre(0, place) - centre - stride * place) > step:
            return "wrong"
    return "right"
