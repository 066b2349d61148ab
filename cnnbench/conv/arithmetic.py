"""Layer arithmetic by formula: output sizes, parameters, MACs.

Pure functions of whole numbers; no torch. MACs are multiply-accumulates of one sample without
biases; ``bias_adds`` are additions of biases, and ``mult_adds`` their sum, which is what many
slides print.

Source of the formulas: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning",
arXiv:1603.07285.
"""

from __future__ import annotations

from dataclasses import dataclass
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


def _at_least(minimum: int, **values: int) -> None:
    for name, value in values.items():
        if value < minimum:
            raise UsageError(f"{name} must be at least {minimum}, not {value}")


def _check_groups(channels: int, out_channels: int, groups: int) -> None:
    _at_least(1, groups=groups)
    if channels % groups or out_channels % groups:
        raise UsageError(
            f"{groups} groups do not divide both {channels} input channels and"
            f" {out_channels} output channels"
        )


def _times(kernel: int, size: tuple[int, ...]) -> str:
    """A kernel of as many axes as a map: ``3x3``."""
    return "x".join([str(kernel)] * len(size))


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


def _named(
    kernel: int,
    size: tuple[int, ...],
    channels: int,
    out_channels: int,
    groups: int,
    *,
    kind: str = "conv",
) -> str:
    """A convolution as tables name it; groups are said, because its weights depend on them."""
    depthwise = kind == "conv" and groups == channels > 1
    text = (
        f"{'depthwise' if depthwise else kind} {_times(kernel, size)}, {channels} to {out_channels}"
    )
    return text if depthwise or groups == 1 else f"{text}, {groups} groups"


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
    _at_least(1, channels=channels, out_channels=out_channels)
    _check_groups(channels, out_channels, groups)
    spatial = tuple(
        conv_output(n, kernel, stride=stride, padding=padding, dilation=dilation) for n in size
    )
    per_result = channels // groups * kernel ** len(size)
    positions = out_channels * prod(spatial)
    return FormulaCost(
        name or _named(kernel, size, channels, out_channels, groups),
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
    ceil: bool = False,
) -> FormulaCost:
    """Pooling of every channel by itself: no parameters, no multiply-accumulates, only a shape.

    Raises:
        UsageError: as ``pool_output``.
    """
    spatial = tuple(pool_output(n, kernel, stride=stride, padding=padding, ceil=ceil) for n in size)
    return FormulaCost(f"pool {_times(kernel, size)}", (channels, *spatial), 0, 0, 0)


def transposed_output(
    size: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: int = 0,
    output_padding: int = 0,
    dilation: int = 1,
) -> int:
    """Output size of a transposed convolution: ``(n - 1) s - 2p + d(k - 1) + output_padding + 1``.

    The convolution of the same kernel, stride and padding turns the result back into ``size``.

    >>> transposed_output(14, 4, stride=2, padding=1)
    28

    Raises:
        UsageError: a value out of range, or nothing is left of the output.
    """
    _at_least(1, size=size, kernel=kernel, stride=stride, dilation=dilation)
    _at_least(0, padding=padding, output_padding=output_padding)
    if output_padding >= max(stride, dilation):
        raise UsageError(
            f"output padding {output_padding} must be smaller than stride {stride} or dilation"
            f" {dilation}"
        )
    found = (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1
    if found < 1:
        raise UsageError(f"padding {padding} leaves nothing of the output; use a smaller padding")
    return found


def transposed(
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
) -> FormulaCost:
    """A transposed convolution of one sample: ``numel(in) Cout/g prod(k)`` MACs.

    Every element of the input is multiplied with a whole kernel, also where padding cuts the result
    off. Arguments are those of ``conv``; ``output_padding`` is added to the output at one end.

    Raises:
        UsageError: a value out of range, or channels that groups do not divide.
    """
    _at_least(1, channels=channels, out_channels=out_channels)
    _check_groups(channels, out_channels, groups)
    spatial = tuple(
        transposed_output(n, kernel, stride=stride, padding=padding,
                          output_padding=output_padding, dilation=dilation)
        for n in size
    )  # fmt: skip
    per_input = out_channels // groups * kernel ** len(size)
    positions = out_channels * prod(spatial)
    return FormulaCost(
        _named(kernel, size, channels, out_channels, groups, kind="transposed"),
        (out_channels, *spatial),
        channels * per_input + (out_channels if bias else 0),
        channels * prod(size) * per_input,
        positions if bias else 0,
    )
