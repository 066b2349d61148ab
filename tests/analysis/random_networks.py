"""Random small networks of everything that moves positions, along one, two or three axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

SIZES = {1: 240, 2: 56, 3: 18}


class Call(nn.Module):
    """A function of the input and of some modules, with a name to report.

    Attributes:
        seamless: the same function where what wraps around is nothing, if it wraps around.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., torch.Tensor],
        *parts: nn.Module,
        seamless: Callable[..., torch.Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.name, self.function, self.parts = name, function, nn.ModuleList(parts)
        self.seamless = seamless

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x, *self.parts)

    def extra_repr(self) -> str:
        return self.name


class Resized(nn.Module):
    """Interpolation; ``size`` may be changed afterwards."""

    def __init__(self, to: dict[str, object], options: dict[str, object]) -> None:
        super().__init__()
        self.size, self.scale, self.options = to.get("size"), to.get("scale_factor"), options

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.interpolate(x, self.size, self.scale, **self.options)

    def extra_repr(self) -> str:
        return f"size={self.size}, scale={self.scale}, {self.options}"


@dataclass
class Drawn:
    """A network as far as it has been drawn."""

    random: random.Random
    axes: int
    channels: int

    def number(self, low: int, high: int) -> int:
        return self.random.randint(low, high)

    def each(self, low: int, high: int) -> tuple[int, ...]:
        """One number per axis."""
        return tuple(self.number(low, high) for _ in range(self.axes))

    def of(self, *kinds: type[nn.Module]) -> type[nn.Module]:
        return kinds[self.axes - 1]

    def one(self, *values: object) -> object:
        return self.random.choice(values)


def _convolution(net: Drawn) -> nn.Module:
    before, net.channels = net.channels, net.one(2, 4)
    groups = net.one(1, 1, 2) if before % 2 == 0 else 1
    kind = net.of(nn.Conv1d, nn.Conv2d, nn.Conv3d)
    kernel, dilation = net.each(1, 4), net.each(1, 2)
    mode = net.one("zeros", "zeros", "circular", "reflect", "replicate")
    return kind(before, net.channels, kernel, net.each(1, 3), net.each(0, 2), dilation, groups,
                padding_mode=mode)  # fmt: skip


def _depthwise(net: Drawn) -> nn.Module:
    kind = net.of(nn.Conv1d, nn.Conv2d, nn.Conv3d)
    return kind(net.channels, net.channels, net.each(1, 4), groups=net.channels)


def _transposed(net: Drawn) -> nn.Module:
    kind = net.of(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    before, net.channels = net.channels, 2
    return kind(before, 2, net.each(1, 5), net.each(1, 3), net.each(0, 1), dilation=net.each(1, 2))


def _average(net: Drawn) -> nn.Module:
    kernel = net.each(1, 3)
    kind = net.of(nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
    return kind(kernel, net.each(1, 3), tuple(net.number(0, k // 2) for k in kernel),
                ceil_mode=net.one(False, True))  # fmt: skip


def _maximum(net: Drawn) -> nn.Module:
    kernel = net.each(1, 3)
    kind = net.of(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
    return kind(
        kernel, net.each(1, 3), tuple(net.number(0, k // 2) for k in kernel), net.each(1, 2)
    )


def _power(net: Drawn) -> nn.Module:
    kernel = net.each(1, 3)
    kind = net.of(nn.LPPool1d, nn.LPPool2d, nn.LPPool3d)
    return kind(2, kernel if net.axes > 1 else kernel[0])


def _adaptive(net: Drawn) -> nn.Module:
    kind = net.of(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
    return kind(net.each(7, 11) if net.axes > 1 else net.number(7, 11))


def _resize(net: Drawn) -> nn.Module:
    modes = ["nearest", "nearest-exact", "area", ("linear", "bilinear", "trilinear")[net.axes - 1]]
    mode = net.one(*modes, *(["bicubic"] if net.axes == 2 else []))
    options = {"mode": mode}
    if "linear" in mode or mode == "bicubic":
        options["align_corners"] = net.one(False, False, True)
        if net.axes == 2:
            options["antialias"] = net.one(False, True)
    to = {"scale_factor": net.one(0.5, 1.5, 2.0)} if net.one(0, 1) else {"size": net.each(8, 24)}
    return Resized(to, options)


def _sliced(net: Drawn) -> nn.Module:
    begin, end, step = net.each(0, 3), net.each(0, 2), net.each(1, 3)
    cuts = [slice(a, -b or None, s) for a, b, s in zip(begin, end, step, strict=True)]
    return Call(f"{cuts}", lambda x: x[:, :, *cuts])


def _flipped(net: Drawn) -> nn.Module:
    dims = [dim + 2 for dim in range(net.axes) if net.number(0, 1)]
    return Call(f"flip {dims}", lambda x: x.flip(dims))


def _rolled(net: Drawn) -> nn.Module:
    by, dims = net.each(-3, 3), tuple(range(2, net.axes + 2))
    moved = [margin for shift in reversed(by) for margin in (shift, -shift)]
    return Call(f"roll {by}", lambda x: x.roll(by, dims),
                seamless=lambda x: functional.pad(x, moved))  # fmt: skip


def _padded(net: Drawn) -> nn.Module:
    mode = net.one("constant", "reflect", "replicate", "circular")
    margins = [net.number(-1 if mode == "constant" else 0, 2) for _ in range(2 * net.axes)]
    seamless = (lambda x: functional.pad(x, margins)) if mode == "circular" else None
    return Call(
        f"pad {margins} {mode}", lambda x: functional.pad(x, margins, mode), seamless=seamless
    )


def _shuffled(net: Drawn) -> nn.Module:
    if net.axes != 2 or net.channels % 4:
        return nn.ChannelShuffle(2) if net.channels % 2 == 0 else nn.Identity()
    net.channels //= 4
    return nn.PixelShuffle(2)


def _unshuffled(net: Drawn) -> nn.Module:
    if net.axes != 2 or net.channels > 4:
        return nn.Identity()
    net.channels *= 4
    return Call("unshuffle", lambda x: functional.pixel_unshuffle(
        x[..., : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2], 2))  # fmt: skip


def _same(net: Drawn, kernel: int) -> nn.Module:
    kind = net.of(nn.Conv1d, nn.Conv2d, nn.Conv3d)
    return kind(net.channels, net.channels, kernel, padding="same", dilation=net.number(1, 2))


def _residual(net: Drawn) -> nn.Module:
    return Call("x + f(x)", lambda x, f: x + f(x), _same(net, net.number(1, 4)))


def _branches(net: Drawn) -> nn.Module:
    parts = _same(net, 3), _same(net, 5)
    net.channels *= 2
    return Call("cat", lambda x, f, g: torch.cat([f(x), g(x)], 1), *parts)


def _halves(net: Drawn) -> nn.Module:
    if net.channels % 2:
        return nn.Identity()
    net.channels //= 2
    return Call("chunk", lambda x: x.chunk(2, 1)[1].clone())


def _gate(net: Drawn) -> nn.Module:
    dims = tuple(range(2, net.axes + 2))
    return Call("gate", lambda x: x * x.mean(dims, keepdim=True))


def _normed(net: Drawn) -> nn.Module:
    instance = net.of(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
    batch = net.of(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    kind = net.one(batch, batch, instance, lambda channels: nn.GroupNorm(1, channels))
    return kind(net.channels)


def _tokens(net: Drawn) -> nn.Module:
    def through(x, linear):
        tokens = linear(x.flatten(2).transpose(1, 2))
        return tokens.transpose(1, 2).reshape(x.shape).sigmoid()

    return Call("tokens", through, nn.Linear(net.channels, net.channels))


def _softened(net: Drawn) -> nn.Module:
    return net.one(nn.Sigmoid(), nn.Softplus(), nn.Softmax(1))


_LAYERS = (
    _convolution, _convolution, _convolution, _depthwise, _transposed, _average, _maximum, _power,
    _adaptive, _resize, _resize, _sliced, _flipped, _rolled, _padded, _shuffled, _unshuffled,
    _residual, _branches, _halves, _tokens, _softened, _gate, _normed,
)  # fmt: skip


def network(random: random.Random) -> tuple[nn.Module, int]:
    """A network and its axes: of one to six layers, with channels 4 at first."""
    net = Drawn(random, random.choice((1, 2, 2, 3)), 4)
    layers = [random.choice(_LAYERS)(net) for _ in range(net.number(1, 6))]
    return nn.Sequential(*layers), net.axes
