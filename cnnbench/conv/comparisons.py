"""Classic comparisons of layers by formula: two ways to a feature map, and what each costs.

Pure functions of whole numbers, one per comparison; no torch. What a single layer costs is the
business of ``arithmetic``.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import prod

from cnnbench.conv.arithmetic import FormulaCost, conv, linear, pool, same_padding, transposed
from cnnbench.errors import UsageError


@dataclass(frozen=True)
class ShapeComparison:
    """Two ways from one feature map, each in layers that add up."""

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


def zero_insertion(
    channels: int,
    size: tuple[int, ...],
    out_channels: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: int = 0,
    output_padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = True,
) -> ShapeComparison:
    """A transposed convolution against the plain one of its result: on a map with zeros between.

    ``stride - 1`` zeros stand between neighbours and ``d(k - 1) - p`` around the map, and the
    kernel is flipped. Both ways have the same weights; one of them multiplies zeros too.

    Source: Dumoulin and Visin, arXiv:1603.07285, chapter 4.
    """
    layer = transposed(channels, size, out_channels, kernel, stride=stride, padding=padding,
                       output_padding=output_padding, dilation=dilation, groups=groups,
                       bias=bias)  # fmt: skip
    around = 2 * (dilation * (kernel - 1) - padding)
    spread = tuple((n - 1) * stride + 1 + output_padding + around for n in size)
    zeros = FormulaCost("zeros between and around", (channels, *spread), 0, 0, 0)
    plain = conv(channels, spread, out_channels, kernel, dilation=dilation, groups=groups,
                 bias=bias)  # fmt: skip
    return ShapeComparison(
        "transposed convolution against a convolution on a map with zeros", (layer,), (zeros, plain)
    )


@dataclass(frozen=True)
class InceptionWidths:
    """Output channels of an inception block, in the order of the columns of the paper's table 1.

    Attributes:
        one: of the branch of 1x1 alone.
        reduce_three, three: of the 1x1 before the 3x3, and of the 3x3.
        reduce_five, five: the same for the 5x5.
        pool: of the 1x1 behind the max-pool.
    """

    one: int
    reduce_three: int
    three: int
    reduce_five: int
    five: int
    pool: int


def inception(
    channels: int, size: tuple[int, ...], widths: InceptionWidths, *, bias: bool = True
) -> ShapeComparison:
    """A naive inception block against one with 1x1 convolutions that reduce the channels.

    The naive block concatenates every channel of its pooled input, so its output is wider.

    Source: Szegedy et al., arXiv:1409.4842, figure 2 and table 1.
    """

    def branch(taken: int, given: int, kernel: int) -> FormulaCost:
        return conv(taken, size, given, kernel, padding=same_padding(kernel), bias=bias)

    pooled = pool(channels, size, 3, stride=1, padding=1)
    naive = (
        branch(channels, widths.one, 1),
        branch(channels, widths.three, 3),
        branch(channels, widths.five, 5),
        pooled,
    )
    reduced = (
        branch(channels, widths.one, 1),
        branch(channels, widths.reduce_three, 1),
        branch(widths.reduce_three, widths.three, 3),
        branch(channels, widths.reduce_five, 1),
        branch(widths.reduce_five, widths.five, 5),
        pooled,
        branch(channels, widths.pool, 1),
    )
    kept = widths.one + widths.three + widths.five
    return ShapeComparison(
        "naive inception block against one with 1x1 reductions",
        (*naive, _concatenated(kept + channels, size)),
        (*reduced, _concatenated(kept + widths.pool, size)),
    )


def _concatenated(channels: int, size: tuple[int, ...]) -> FormulaCost:
    return FormulaCost("concatenation", (channels, *size), 0, 0, 0)
