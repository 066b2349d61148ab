"""What the analyser reports: frozen rows per operator and per layer, and the predicted memory.

Values only: knows nothing of tracing, tables or text. Sizes are bytes, counts are counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Phase = Literal["inference", "training", "finetune"]
Optimizer = Literal["sgd", "momentum", "adam", "adamw", "rmsprop"]
Direction = Literal["forward", "backward"]
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """The receptive field of one output position, in input pixels per spatial axis.

    Attributes:
        size: extent per axis, padding ignored; ``None`` after an operation that reads everything.
        stride: input pixels between two neighbouring output positions (below 1 after upsampling).

    Source: Araujo, Norris, Sim, "Computing Receptive Fields of Convolutional Neural Networks",
    Distill 2019.
    """

    size: tuple[float, ...] | None
    stride: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class OpRow:
    """One executed operator.

    Attributes:
        name: the operator with its overload, ``aten.convolution.default``.
        layer: path of the innermost module that ran it; ``""`` is the network itself.
        direction: of the pass it belongs to.
        kind: a key of ``rules.KINDS``.
        macs: multiply-accumulates, if it is a contraction.
        bias_adds: additions of a bias.
        elementwise_flops: FLOPs of anything that is not a contraction.
        read_bytes: elements addressed by its tensor arguments, in bytes, before any cache.
        written_bytes: the same for results; views write nothing.
        output: shape of the first result.
        counted: whether a rule knows this operator.
        field: receptive field of its result, where it can be followed.
    """

    name: str
    layer: str
    direction: Direction
    kind: str
    macs: int
    bias_adds: int
    elementwise_flops: int
    read_bytes: int
    written_bytes: int
    output: Shape
    counted: bool = True
    field: Field | None = None

    @property
    def arithmetic_intensity(self) -> float | None:
        """FLOPs per byte moved; ``None`` where nothing moves."""
        moved = self.read_bytes + self.written_bytes
        flops = 2 * self.macs + self.bias_adds + self.elementwise_flops
        return flops / moved if moved else None


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over operators. ``elementwise`` maps a class of ``rules.KINDS`` to its FLOPs."""

    calls: int = 0
    macs: int = 0
    bias_adds: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    elementwise: Mapping[str, int] = field(default_factory=dict)

    @property
    def flops(self) -> int:
        """FLOPs of the contractions: two per multiply-accumulate."""
        return 2 * self.macs

    @property
    def mult_adds(self) -> int:
        """MACs plus bias additions: what torchinfo and many lectures print."""
        return self.macs + self.bias_adds

    @property
    def elementwise_flops(self) -> int:
        """All FLOPs outside contractions and biases."""
        return sum(self.elementwise.values())

    @property
    def arithmetic_intensity(self) -> float | None:
        """FLOPs per byte moved, every operator from and to memory."""
        moved = self.read_bytes + self.written_bytes
        flops = self.flops + self.bias_adds + self.elementwise_flops
        return flops / moved if moved else None


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One module of the network with everything that ran inside it.

    Attributes:
        name: its path, ``layer1.0.conv1``; ``""`` is the network itself.
        type: class name.
        depth: 0 for the network itself.
        leaf: whether it has no children.
        calls: how often it was called; zero is a module that did not run.
        input, output: shapes of the first tensor of its last call.
        kernel, stride, padding, dilation, groups: its geometry, where it has one.
        params, trainable_params: elements of parameters inside it, each counted once by identity.
        own_params: elements of parameters that belong to it and not to its children.
        shared_params: those of ``params`` that an earlier module also owns.
        buffers: elements of buffers inside it.
        totals: forward operators inside it, children included.
        backward: backward operators of it, children included.
        activation_bytes: bytes of its results (first to last tensor of the output) at its last
            call.
        field: receptive field at its output.
    """

    name: str
    type: str
    depth: int
    leaf: bool
    calls: int
    input: Shape | None
    output: Shape | None
    kernel: Shape | None
    stride: Shape | None
    padding: Shape | str | None
    dilation: Shape | None
    groups: int | None
    params: int
    trainable_params: int
    own_params: int
    shared_params: int
    buffers: int
    totals: Totals
    backward: Totals
    activation_bytes: int
    field: Field | None


@dataclass(frozen=True, slots=True)
class TracedMemory:
    """The predicted peak and what it consists of, in bytes.

    Attributes:
        params, buffers, input: resident all the time.
        gradients: of trainable parameters, all of them.
        optimizer_state: resident in the steady state, from the second step on.
        activations: peak of everything else that the passes keep alive, without library scratch.
        scratch: modelled amount by which oneDNN raises the peak on a CPU; to be added to ``peak``.
        peak: highest sum at any moment, all parts but scratch together.
        layer, op: where the peak occurs.
        activation_layer, activation_op: where the activation peak occurs.
        saved: activations alive when the forward pass ends (the result, and what backward needs).
    """

    params: int
    buffers: int
    input: int
    gradients: int
    optimizer_state: int
    activations: int
    scratch: int
    peak: int
    layer: str
    op: str
    activation_layer: str
    activation_op: str
    saved: int


@dataclass(frozen=True, slots=True)
class Slope:
    """The amount that each data-dependent item (a proposal, a detection) adds in one layer."""

    layer: str
    macs: int
