"""Layer arithmetic by formula: output sizes, parameters, MACs, classic comparisons.

Pure functions of whole numbers; no torch. MACs are multiply-accumulates of one sample without
biases; ``bias_adds`` are additions of biases, and ``mult_adds`` their sum, which is what many
slides print.

Source of the formulas: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning",
arXiv:1603.07285.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import prod

from cnnbench.errors import UsageError


@dataclass(frozen=True)
class FormulaCost:
    """The cost of one layer for one sample.

    Attributes:
        name: what it is, for tables.
        output: channels and spatial sizes.
        params: weights and biases.
        macs: multiply-accumulates.
        bias_adds: additions of biases.
    """

    name: str
    output: tuple[int, ...]
    params: int
    macs: int
    bias_adds: int

    @property
    def mult_adds(self) -> int:
        """MACs plus bias additions."""
        return self.macs + self.bias_adds

    @property
    def flops(self) -> int:
        """Floating-point operations of the contraction: two per multiply-accumulate."""
        return 2 * self.macs


@dataclass(frozen=True)
class ShapeComparison:
    """Two stacks of layers that compute a feature map of the same shape."""

    title: str
    left: tuple[FormulaCost, ...]
    right: tuple[FormulaCost, ...]

    @property
    def macs(self) -> tuple[int, int]:
        """MACs of the two stacks."""
        return sum(layer.macs for layer in self.left), sum(layer.macs for layer in self.right)

    @property
    def params(self) -> tuple[int, int]:
        """Parameters of the two stacks."""
        return sum(layer.params for layer in self.left), sum(layer.params for layer in self.right)

    @property
    def macs_ratio(self) -> float:
        """MACs of the left stack divided by those of the right one."""
        left, right = self.macs
        return left / right if right else float("inf")

    @property
    def params_ratio(self) -> float:
        """Parameters of the left stack divided by those of the right one."""
        left, right = self.params
        return left / right if right else float("inf")


def _at_least(minimum: int, **values: int) -> None:
    for name, value in values.items():
        if value < minimum:
            raise UsageError(f"{name} must be at least {minimum}, not {value}")


def conv_output(
    size: int, kernel: int, *, stride: int = 1, padding: int = 0, dilation: int = 1
) -> int:
    """Output size of a convolution along one axis: ``floor((n + 2p - d(k-1) - 1) / s) + 1``.

    >>> conv_output(28, 5, padding=2)
    28

    Raises:
        UsageError: a value out of range, or a kernel that does not fit.
    """
    _at_least(1, size=size, kernel=kernel, stride=stride, dilation=dilation)
    _at_least(0, padding=padding)
    reach = dilation * (kernel - 1) + 1
    room = size + 2 * padding - reach
    if room < 0:
        raise UsageError(
            f"a kernel that reaches over {reach} does not fit into {size} + 2*{padding}; "
            "use a larger input or padding"
        )
    return room // stride + 1


def pool_output(
    size: int,
    kernel: int,
    *,
    stride: int | None = None,
    padding: int = 0,
    dilation: int = 1,
    ceil: bool = False,
) -> int:
    """Output size of pooling along one axis; the stride defaults to the kernel.

    With ``ceil`` a last window that starts inside the input or its left padding counts (torch's
    ``ceil_mode``).

    Raises:
        UsageError: a value out of range, padding above half the kernel, or a kernel that does not
            fit.
    """
    step = kernel if stride is None else stride
    if padding > kernel // 2:
        raise UsageError(f"padding {padding} is more than half of kernel {kernel}")
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    if ceil and -step < span < 0 < min(size, kernel, step, dilation):
        return 1  # one window that ends outside
    floored = conv_output(size, kernel, stride=step, padding=padding, dilation=dilation)
    rest = span % step
    starts_inside = floored * step < size + padding
    return floored + 1 if ceil and rest and starts_inside else floored


def same_padding(kernel: int, dilation: int = 1) -> int:
    """Padding that keeps the size at stride 1.

    Raises:
        UsageError: an even reach, which no symmetric padding keeps.
    """
    _at_least(1, kernel=kernel, dilation=dilation)
    reach = dilation * (kernel - 1)
    if reach % 2:
        raise UsageError(f"no symmetric padding keeps the size with kernel {kernel}")
    return reach // 2


def conv(
    channels: int,
    size: tuple[int, ...],
    out_channels: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = True,
    name: str = "",
) -> FormulaCost:
    """A convolution of one sample: ``numel(out) Cin/g prod(k)`` MACs.

    Args:
        channels: of the input.
        size: its spatial sizes; their number is the number of axes.
        out_channels: of the output.
        kernel: one size for every axis, like all that follow.
        stride: between two windows.
        padding: on either side.
        dilation: between two taps.
        groups: that divide both numbers of channels.
        bias: whether every output channel adds one.
        name: for tables; made up from the rest otherwise.

    Raises:
        UsageError: a value out of range, or channels that groups do not divide.
    """
    _at_least(1, channels=channels, out_channels=out_channels, groups=groups)
    if channels % groups or out_channels % groups:
        raise UsageError(
            f"{groups} groups do not divide both {channels} input channels and"
            f" {out_channels} output channels"
        )
    spatial = tuple(
        conv_output(n, kernel, stride=stride, padding=padding, dilation=dilation) for n in size
    )
    per_result = channels // groups * kernel ** len(size)
    positions = out_channels * prod(spatial)
    return FormulaCost(
        name or f"conv {'x'.join([str(kernel)] * len(size))}, {channels} to {out_channels}",
        (out_channels, *spatial),
        out_channels * per_result + (out_channels if bias else 0),
        positions * per_result,
        positions if bias else 0,
    )


def linear(features: int, out_features: int, *, bias: bool = True, name: str = "") -> FormulaCost:
    """A fully connected layer of one sample.

    Raises:
        UsageError: a value below 1.
    """
    _at_least(1, features=features, out_features=out_features)
    weights = features * out_features
    adds = out_features if bias else 0
    label = name or f"fc, {features} to {out_features}"
    return FormulaCost(label, (out_features,), weights + adds, weights, adds)


def pool(
    channels: int,
    size: tuple[int, ...],
    kernel: int,
    *,
    stride: int | None = None,
    padding: int = 0,
) -> FormulaCost:
    """Pooling: no parameters and no multiply-accumulates, only a shape."""
    spatial = tuple(pool_output(n, kernel, stride=stride, padding=padding) for n in size)
    return FormulaCost(f"pool {kernel}", (channels, *spatial), 0, 0, 0)


def bottleneck(
    channels: int,
    size: tuple[int, ...],
    out_channels: int,
    kernel: int,
    width: int,
    *,
    bias: bool = True,
) -> ShapeComparison:
    """A ``kernel`` convolution directly, against one after a 1x1 bottleneck of ``width`` maps.

    Source: Szegedy et al., "Going Deeper with Convolutions", arXiv:1409.4842, section 4.
    """
    padding = same_padding(kernel)
    direct = conv(channels, size, out_channels, kernel, padding=padding, bias=bias)
    first = conv(channels, size, width, 1, bias=bias)
    second = conv(width, size, out_channels, kernel, padding=padding, bias=bias)
    return ShapeComparison(
        f"direct against a 1x1 bottleneck of {width}", (direct,), (first, second)
    )


def stacked_small_kernels(
    channels: int, size: tuple[int, ...], *, kernel: int = 7, small: int = 3, bias: bool = True
) -> ShapeComparison:
    """One large kernel against as many small ones as cover the same receptive field.

    Source: Simonyan and Zisserman, arXiv:1409.1556, section 2.3: three 3x3 against one 7x7 of equal
    width.

    Raises:
        UsageError: small kernels do not add up to the large one.
    """
    if small < 2 or (kernel - 1) % (small - 1):
        raise UsageError(f"kernels of {small} do not stack to a receptive field of {kernel}")
    count = (kernel - 1) // (small - 1)
    large = conv(channels, size, channels, kernel, padding=same_padding(kernel), bias=bias)
    little = conv(channels, size, channels, small, padding=same_padding(small), bias=bias)
    return ShapeComparison(f"one {kernel}x{kernel} against {count} of {small}x{small}", (large,),
                      (little,) * count)  # fmt: skip


def separable(
    channels: int, size: tuple[int, ...], out_channels: int, kernel: int, *, bias: bool = True
) -> ShapeComparison:
    """A convolution against depthwise plus 1x1 (Howard et al., arXiv:1704.04861, section 3.1)."""
    padding = same_padding(kernel)
    direct = conv(channels, size, out_channels, kernel, padding=padding, bias=bias)
    depthwise = conv(channels, size, channels, kernel, padding=padding, groups=channels, bias=bias)
    pointwise = conv(channels, size, out_channels, 1, bias=bias)
    return ShapeComparison("direct against depthwise separable", (direct,), (depthwise, pointwise))


def fc_as_conv(
    channels: int, size: tuple[int, ...], out_features: int, *, bias: bool = True
) -> ShapeComparison:
    """A fully connected layer on a flattened map, against a 1x1 convolution that keeps the map."""
    full = linear(channels * prod(size), out_features, bias=bias)
    return ShapeComparison(
        "fully connected against 1x1 convolution",
        (full,),
        (conv(channels, size, out_features, 1, bias=bias),),
    )


def fc_head_against_global_pooling(
    channels: int,
    size: tuple[int, ...],
    classes: int,
    hidden: tuple[int, ...] = (),
    *,
    bias: bool = True,
) -> ShapeComparison:
    """Fully connected layers on the flattened map, against global average pooling and one layer.

    Source: Lin, Chen, Yan, "Network In Network", arXiv:1312.4400, section 3.2.
    """
    widths = (channels * prod(size), *hidden, classes)
    pairs = pairwise(widths)
    layers = tuple(linear(taken, given, bias=bias) for taken, given in pairs)
    gap = FormulaCost("global average pooling", (channels,), 0, 0, 0)
    return ShapeComparison(
        "fully connected head against global average pooling",
        layers,
        (gap, linear(channels, classes, bias=bias)),
    )
