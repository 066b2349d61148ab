"""A convolution as a product of matrices (im2col): how large they are, and what the copy costs.

Pure functions of whole numbers; no torch. How fast such a convolution is, is a matter of
``cnnbench conv``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from cnnbench.conv.arithmetic import conv


@dataclass(frozen=True)
class Matrix:
    """One of the matrices; ``bytes_each`` is the size of an element."""

    name: str
    rows: int
    columns: int
    bytes_each: int = 4

    @property
    def elements(self) -> int:
        """Rows times columns."""
        return self.rows * self.columns

    @property
    def bytes(self) -> int:
        """The memory of all elements, in bytes."""
        return self.elements * self.bytes_each


@dataclass(frozen=True)
class MatrixProduct:
    """The product that computes a convolution of one sample, once per group.

    Attributes:
        layer: name of the convolution.
        groups: how often it is computed, each time with other matrices of these sizes.
        weights: filters times the weights of one.
        patches: weights of a filter times positions; every window of the input as a column.
        output: filters times positions.
        input_elements: of the whole input, all groups.
    """

    layer: str
    groups: int
    weights: Matrix
    patches: Matrix
    output: Matrix
    input_elements: int

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """The two factors and their product."""
        return self.weights, self.patches, self.output

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all products, which are those of the convolution."""
        return self.groups * self.weights.rows * self.weights.columns * self.patches.columns

    @property
    def expansion(self) -> float:
        """How many times the elements of the input the patches hold."""
        return self.groups * self.patches.elements / self.input_elements


def as_product(
    channels: int,
    size: tuple[int, ...],
    out_channels: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
) -> MatrixProduct:
    """The product of a convolution; arguments are those of ``arithmetic.conv``.

    Source: Chellapilla, Puri and Simard, "High Performance Convolutional Neural Networks for
    Document Processing", 2006, section 3.

    Raises:
        UsageError: a value out of range, or channels that groups do not divide.
    """
    layer = conv(channels, size, out_channels, kernel, stride=stride, padding=padding,
                 dilation=dilation, groups=groups, bias=False)  # fmt: skip
    positions = prod(layer.output[1:])
    filters, taps = out_channels // groups, channels // groups * kernel ** len(size)
    return MatrixProduct(
        layer.name,
        groups,
        Matrix("weights", filters, taps),
        Matrix("patches", taps, positions),
        Matrix("output", filters, positions),
        channels * prod(size),
    )
