"""A convolution layer as a value: its shape, its counts, its names.

``ConvProblem.text`` is one line; what has its usual value is left out::

    n8c64h56w56-k64-3x3-s2-p1-d2-g32-bn-relu-bf16-channels_last
    └ input ───┘└K┘└RxS┘└ stride, padding, dilation, groups ┘└ unit ┘└ dtype, memory format

A transposed convolution has ``-t`` after its dilation, ``-t1`` with output padding 1. A *unit* is a
convolution with what networks have after it: batch norm, an activation. In its place ``-bwd_d`` and
``-bwd_w`` are the backward passes: the gradient of the input, of the weights; shapes and sizes stay
those of the forward pass. A pair of different values is written ``s2x1`` (vertical, horizontal).
The defaults are stride 1, padding 0, dilation 1, one group, nothing after it, forward, ``fp32``,
``contiguous``; read, a batch left out is 1.

As a workload the same layer is split over a spec: ``conv:k64-3x3-s2-p1`` is the architecture, the
input its sample shape and batch, dtype and memory format its mode. Knows nothing of how a
convolution is computed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cnnbench.conv import existence, geometry
from cnnbench.conv.existence import pair_text
from cnnbench.errors import UsageError
from cnnbench.spec import LAYER_PREFIX, Mode, Phase, Workload, is_layer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Bytes of an element. The names are those of ``spec.WORDS``; fp64 is what others are checked with.
DTYPES = {"fp32": 4, "bf16": 2, "fp16": 2, "fp64": 8}
MEMORY_FORMATS = ("contiguous", "channels_last")

# What may follow a convolution, as users say the whole -> the operators, in the order they run.
UNITS: Mapping[str, tuple[str, ...]] = {
    "conv": (), "conv+relu": ("relu",), "conv+bn": ("bn",), "conv+bn+relu": ("bn", "relu"),
}  # fmt: skip

# Which pass of a convolution, as users say it -> the suffix of a layer's text.
DIRECTIONS: Mapping[str, str] = {
    "forward": "", "backward_data": "bwd_d", "backward_weights": "bwd_w",
}  # fmt: skip

# What a precision makes of weights and inputs; autocast casts inside the layer.
_DTYPE_OF = {
    "tf32": "fp32", "tf32=cudnn": "fp32", "amp=bf16": "fp32", "amp=fp16": "fp32", "int8": "fp32",
}  # fmt: skip

Pair = tuple[int, int]


@dataclass(frozen=True)
class ConvProblem:
    """One two-dimensional convolution (cross-correlation), or the transposed of one.

    It has a bias unless a norm follows it, or a backward pass is measured.

    Attributes:
        n, c, h, w: batch, channels, height and width of the input.
        k, r, s: output channels, height and width of the kernel.
        stride, padding, dilation: vertical and horizontal; padding is added on both sides.
        groups: number of independent parts that C and K are cut into.
        dtype: of input, weights and output; a key of ``DTYPES``.
        memory_format: ``contiguous`` (NCHW) or ``channels_last`` (NHWC), of input and output.
        post_ops: what follows within the same unit; a value of ``UNITS``.
        transposed: the transposed convolution of the same kernel, stride and padding.
        output_padding: of a transposed one: rows and columns that the output has more, below and on
            the right.
        direction: the pass that is computed; a value of ``DIRECTIONS``.

    Raises:
        UsageError: no such layer can exist; the message names the numbers.
    """

    n: int
    c: int
    h: int
    w: int
    k: int
    r: int
    s: int
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    dtype: str = "fp32"
    memory_format: str = "contiguous"
    post_ops: tuple[str, ...] = ()
    transposed: bool = False
    output_padding: Pair = (0, 0)
    direction: str = ""

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise UsageError(f"convolution: dtype '{self.dtype}' is none of {', '.join(DTYPES)}")
        if self.memory_format not in MEMORY_FORMATS:
            raise UsageError(
                f"convolution: memory format '{self.memory_format}' is none of"
                f" {', '.join(MEMORY_FORMATS)}"
            )
        if self.post_ops not in UNITS.values():
            raise UsageError(
                f"convolution: {'+'.join(('conv', *self.post_ops))} is none of {', '.join(UNITS)}"
            )
        if self.direction not in DIRECTIONS.values():
            raise UsageError(f"convolution: '{self.direction}' is none of bwd_d, bwd_w")
        existence.check(self)

    @property
    def extent(self) -> Pair:
        """Height and width that the kernel covers, dilation included."""
        return (self.r - 1) * self.dilation[0] + 1, (self.s - 1) * self.dilation[1] + 1

    @property
    def padded(self) -> Pair:
        """Height and width of the input with its padding."""
        return self.h + 2 * self.padding[0], self.w + 2 * self.padding[1]

    @property
    def p(self) -> int:
        """Height of the output."""
        return self._outputs(0)

    @property
    def q(self) -> int:
        """Width of the output."""
        return self._outputs(1)

    def _outputs(self, axis: int) -> int:
        extent, stride, size = self.extent[axis], self.stride[axis], (self.h, self.w)[axis]
        if not self.transposed:
            return (self.padded[axis] - extent) // stride + 1
        return (size - 1) * stride - 2 * self.padding[axis] + extent + self.output_padding[axis]

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """N, C, H, W."""
        return self.n, self.c, self.h, self.w

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """K, C/g, R, S; of a transposed convolution C, K/g, R, S."""
        if self.transposed:
            return self.c, self.k // self.groups, self.r, self.s
        return self.k, self.c // self.groups, self.r, self.s

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        """N, K, P, Q."""
        return self.n, self.k, self.p, self.q

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the definition, for the batch; padding counts, bias does not.

        Either backward pass has as many as the forward pass. A transposed convolution multiplies
        every input with a whole kernel, also where padding cuts the result off.
        """
        if self.transposed:
            return self.n * self.h * self.w * self.k * self.taps
        return self.n * self.k * self.p * self.q * self.taps

    @property
    def taps(self) -> int:
        """Products summed for one output: C/g x R x S; of a transposed convolution at most."""
        return self.c // self.groups * self.r * self.s

    @property
    def summed(self) -> int:
        """Products summed for one element of what is computed, at most."""
        if self.direction == "bwd_w":
            return self.n * (self.h * self.w if self.transposed else self.p * self.q)
        return self.adjoint.taps if self.direction else self.taps

    @property
    def adjoint(self) -> ConvProblem:
        """The layer from gradients of the output to those of the input, with the same weights.

        That of a convolution is a transposed one and the other way round. Where a transposed one
        has an output padding of a stride or more, its output is larger than the input was.
        """
        rest = [
            0 if self.transposed else (size - extent) % stride
            for size, extent, stride in zip(self.padded, self.extent, self.stride, strict=True)
        ]
        return replace(
            self, c=self.k, h=self.p, w=self.q, k=self.c, direction="",
            transposed=not self.transposed, output_padding=(rest[0], rest[1]),
        )  # fmt: skip

    @property
    def normed(self) -> bool:
        """Whether a batch norm follows, which takes the place of the bias."""
        return "bn" in self.post_ops

    @property
    def activated(self) -> bool:
        """Whether it ends in an activation."""
        return "relu" in self.post_ops

    @property
    def params(self) -> int:
        """Weights and biases; with a norm, weights and its scales and shifts."""
        if self.direction:
            return self.k * self.taps
        return self.k * self.taps + (2 * self.k if self.normed else self.k)

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return DTYPES[self.dtype]

    @property
    def input_bytes(self) -> int:
        """Bytes of the whole input."""
        return self.itemsize * self.n * self.c * self.h * self.w

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights, without the bias."""
        return self.itemsize * self.k * self.taps

    @property
    def output_bytes(self) -> int:
        """Bytes of the output."""
        return self.itemsize * self.n * self.k * self.p * self.q

    @property
    def compulsory_bytes(self) -> int:
        """Bytes that every implementation must read and write: input, weights, bias, output.

        Of the input only what the kernel touches: a 1x1 kernel with stride 2 reads a quarter. A
        norm can be folded into weights and bias, and an activation be applied on the way. Backward,
        the gradient of the output is read, and that of the weights or the whole input is written.
        """
        if self.direction == "bwd_d":
            return self.output_bytes + self.weight_bytes + self.input_bytes
        touched = self.n * self.c * self.rows_read * self.columns_read
        bias = 0 if self.direction else self.k
        return self.itemsize * (touched + self.k * self.taps + bias) + self.output_bytes

    @property
    def rows_read(self) -> int:
        """Rows of the input that the kernel touches; none if all of it falls on padding."""
        return len(set(self.products(0)))

    @property
    def columns_read(self) -> int:
        """Columns of the input that the kernel touches."""
        return len(set(self.products(1)))

    def products(self, axis: int) -> Iterator[int]:
        """The inputs along an axis that are multiplied, once for each tap and output."""
        reads = geometry.scattered if self.transposed else geometry.gathered
        size, outputs, kernel = ((self.h, self.p, self.r), (self.w, self.q, self.s))[axis]
        return reads(
            size, outputs, kernel, self.stride[axis], self.padding[axis], self.dilation[axis]
        )

    @property
    def layer(self) -> str:
        """The layer without its input: ``k64-3x3-s2-p1``."""
        words = [f"k{self.k}", f"{self.r}x{self.s}"]
        for letter, pair, usual in (
            ("s", self.stride, (1, 1)), ("p", self.padding, (0, 0)), ("d", self.dilation, (1, 1)),
        ):  # fmt: skip
            words += [letter + pair_text(pair)] if pair != usual else []
        if self.transposed:
            more = self.output_padding
            words.append("t" + (pair_text(more) if more != (0, 0) else ""))
        words += [f"g{self.groups}"] if self.groups != 1 else []
        words += [self.direction] if self.direction else []
        return "-".join([*words, *self.post_ops])

    @property
    def text(self) -> str:
        """One line that ``parse`` reads back."""
        words = [f"n{self.n}c{self.c}h{self.h}w{self.w}", self.layer]
        words += [self.dtype] if self.dtype != "fp32" else []
        words += [self.memory_format] if self.memory_format != "contiguous" else []
        return "-".join(words)

    @classmethod
    def parse(cls, text: str) -> ConvProblem:
        """Read ``text``.

        Raises:
            UsageError: not of this form, or no such layer can exist.
        """
        match = _TEXT.fullmatch(text.strip())
        if match is None:
            raise UsageError(
                f"'{text}' is not a convolution; one looks like n1c64h56w56-k64-3x3-s2-p1-bf16"
            )
        n, c, h, w = (int(match[name] or 1) for name in ("n", "c", "h", "w"))
        dtype, memory_format = match["dtype"] or "fp32", match["format"] or "contiguous"
        return _of_layer(match, (n, c, h, w), dtype, memory_format)

    @property
    def architecture(self) -> str:
        """The architecture of a workload for the layer: ``conv:k64-3x3-s2-p1``."""
        return LAYER_PREFIX + self.layer

    @property
    def mode(self) -> Mode:
        """The mode that stands for dtype and memory format; everything else as by default."""
        return Mode(memory_format=self.memory_format, precision=self.dtype)

    def workload(self, phase: Phase = "inference") -> Workload:
        """The layer as a workload."""
        return Workload(self.architecture, self.n, (self.c, self.h, self.w), phase)


def is_conv(architecture: str) -> bool:
    """Whether a workload's architecture is a single convolution (or a substitute for one)."""
    return is_layer(architecture)


def of_workload(workload: Workload, mode: Mode | None = None) -> ConvProblem:
    """The convolution that a workload in a mode is, or is a substitute for.

    Under autocast dtype is that of the tensors, fp32.

    Raises:
        UsageError: the architecture is no convolution, or no such layer can exist.
    """
    mode = mode or Mode()
    name = workload.group.architecture
    match = _LAYER.fullmatch(name.removeprefix(LAYER_PREFIX)) if workload.is_layer else None
    if match is None:
        raise UsageError(f"'{name}' is not a convolution layer; one looks like conv:k64-3x3-s2-p1")
    if len(workload.input) != 3:
        raise UsageError(f"'{name}' needs an input CxHxW, not {workload.shape_text}")
    c, h, w = workload.input
    dtype = _DTYPE_OF.get(mode.precision, mode.precision)
    return _of_layer(match, (workload.batch, c, h, w), dtype, mode.memory_format)


_PAIR = r"(?P<{0}>\d+(?:x\d+)?)"
_LAYER_FORM = (
    r"k(?P<k>\d+)-(?P<r>\d+)x(?P<s>\d+)"
    rf"(?:-s{_PAIR.format('stride')})?(?:-p{_PAIR.format('padding')})?"
    rf"(?:-d{_PAIR.format('dilation')})?(?P<transposed>-t(?P<more>\d+(?:x\d+)?)?)?"
    r"(?:-g(?P<g>\d+))?(?:-(?P<direction>bwd_[dw]))?(?P<post>(?:-bn)?(?:-relu)?)"
)
_LAYER = re.compile(_LAYER_FORM, re.ASCII)
_TEXT = re.compile(
    rf"(?:n(?P<n>\d+))?c(?P<c>\d+)h(?P<h>\d+)w(?P<w>\d+)-{_LAYER_FORM}"
    rf"(?:-(?P<dtype>{'|'.join(DTYPES)}))?(?:-(?P<format>{'|'.join(MEMORY_FORMATS)}))?",
    re.ASCII,
)


def _of_layer(
    match: re.Match[str], shape: tuple[int, int, int, int], dtype: str, memory_format: str
) -> ConvProblem:
    n, c, h, w = shape
    return ConvProblem(
        n, c, h, w, int(match["k"]), int(match["r"]), int(match["s"]),
        stride=_read_pair(match["stride"] or "1"),
        padding=_read_pair(match["padding"] or "0"),
        dilation=_read_pair(match["dilation"] or "1"),
        groups=int(match["g"] or 1),
        dtype=dtype,
        memory_format=memory_format,
        post_ops=tuple(match["post"].split("-")[1:]),
        transposed=match["transposed"] is not None,
        output_padding=_read_pair(match["more"] or "0"),
        direction=match["direction"] or "",
    )  # fmt: skip


def _read_pair(text: str) -> Pair:
    first, _, second = text.partition("x")
    return int(first), int(second or first)
