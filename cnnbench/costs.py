"""What static analysis reports of a network: totals, rows per operator and layer, predicted memory.

Values only: knows nothing of tracing, tables or text. Sizes are bytes, counts are counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from cnnbench.errors import UsageError
from cnnbench.spec import Mode

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Field:
    """The receptive field of one element, in input pixels per spatial axis.

    Attributes:
        size: the largest extent that one element depends on, borders ignored; ``None`` for an axis
            of which it depends on everything, and as a whole if that is so of all axes.
        stride: input pixels between two neighbouring elements: below 1 after upsampling, negative
            after a flip; ``None`` for an axis along which elements have no places.
        centre: the middle of what the first element depends on; pixel 0 is the first.
        known: whether it could be followed; without, nothing else is said.

    Source: Araujo et al., "Computing Receptive Fields of Convolutional Neural Networks", 2019.
    """

    size: tuple[float | None, ...] | None
    stride: tuple[float | None, ...] | None
    centre: tuple[float | None, ...] | None = None
    known: bool = True


EVERYTHING = Field(None, None)
NOT_KNOWN = Field(None, None, known=False)


@dataclass(frozen=True)
class OpRow:
    """One executed operator.

    Attributes:
        name: the operator with its overload, ``aten.convolution.default``.
        layer: path of the innermost module that ran it; ``""`` is the network itself.
        direction: of the pass it belongs to, ``forward`` or ``backward``.
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
    direction: str
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


@dataclass(frozen=True)
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
        """FLOPs of the contractions, two per multiply-accumulate."""
        return 2 * self.macs

    @property
    def mult_adds(self) -> int:
        """MACs plus bias additions, as torchinfo and many lectures print."""
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


@dataclass(frozen=True)
class LayerRow:
    """One module of the network with everything that ran inside it.

    A module that several parents share has a row under each parent that calls it.

    Attributes:
        name: its path, ``layer1.0.conv1``; ``""`` is the network itself.
        type: class name.
        depth: 0 for the network itself.
        leaf: whether it has no children.
        calls: how often it was called in the forward pass; zero is a module that did not run, or
            whose parent used its parameters without calling it.
        input, output: shapes of the first tensor of its last call.
        kernel, stride, padding, dilation, groups: its geometry, where it has one.
        params, trainable_params: elements of parameters inside it, each counted once by identity.
        own_params: elements of parameters that belong to it and not to its children; those that an
            earlier row owns too are left out, so that all rows add up.
        shared_params: those of ``params`` that an earlier module outside of it also owns.
        buffers: elements of buffers inside it.
        totals: forward operators inside it, children included.
        backward: backward operators of it, children included.
        activation_bytes: bytes of its results (first to last tensor) at its last call.
        field: receptive field at its output.
        own, own_backward: what of its operators did not run inside of its children.
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
    own: Totals = Totals()
    own_backward: Totals = Totals()

    def share(self, macs: int) -> float:
        """Its part of a network's multiply-accumulates."""
        return self.totals.macs / macs if macs else 0.0


def adding_up(layers: Sequence[LayerRow], depth: int | None = None) -> list[LayerRow]:
    """Rows of disjoint parts that add up to the network: what tables of layers show.

    These are leaves, without children, or with a depth modules down to it. What a module above them
    did itself stands in a row of its own, ``PATH (own)``. ``params`` are without those that an
    earlier row has.
    """
    rows = []
    for row in layers:
        if row.depth == depth or (row.leaf and (depth is None or row.depth < depth)):
            rows.append(replace(row, params=row.params - row.shared_params))
        elif depth is None or row.depth < depth:
            rows.append(_without_children(row))
    return [
        row for row in rows if row.calls or row.params or row.totals.calls or row.backward.calls
    ]


def _without_children(row: LayerRow) -> LayerRow:
    """Nothing is left of most modules; their calls are not what keeps a row in a table."""
    busy = row.own_params or row.own.calls or row.own_backward.calls
    return replace(
        row,
        name=f"{row.name} (own)".strip(),
        calls=row.calls if busy else 0,
        params=row.own_params,
        totals=row.own,
        backward=row.own_backward,
        activation_bytes=0,
        field=None,
    )


@dataclass(frozen=True)
class TracedMemory:
    """The predicted peak and what it consists of, in bytes.

    Attributes:
        params, buffers, input: resident all the time.
        gradients: of trainable parameters, all of them.
        optimizer_state: resident in the steady state, from the second step on.
        activations: peak of everything else that the passes keep alive, without library scratch.
        scratch: modelled amount by which what kernels hold inside raises the peak on a CPU; to be
            added to ``peak``.
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


@dataclass(frozen=True)
class Slope:
    """The amount that each data-dependent item (a proposal, a detection) adds in one layer."""

    layer: str
    macs: int


METHOD = "cnnbench.analysis"


def refuse_uncountable(mode: Mode) -> None:
    """Refuse a mode that says what no count of operators knows.

    Raises:
        UsageError: it names a compiler or an implementation of convolutions.
    """
    usual = Mode()
    precision = usual.precision if mode.precision == "int8" else mode.precision
    countable = replace(
        mode, compiler=usual.compiler, freezing=usual.freezing, implementation="",
        precision=precision,
    )  # fmt: skip
    if mode != countable:
        raise UsageError(
            f"mode '{mode.text}' cannot be counted: compilers and implementations decide what"
            f" they do when they run; count mode '{countable.text}'"
        )


@dataclass(frozen=True)
class CostTotals:
    """What a module and its inputs cost, known without running it; totals of the whole batch.

    Attributes:
        name: class name of the module, or the caller's name for it.
        phase, optimizer: as requested.
        batch: samples in the input.
        input: shape of each input tensor.
        params, trainable_params: elements, each parameter once by identity.
        buffers: elements of all buffers.
        auxiliary_params: elements of parameters that the inference pass does not read.
        inference: one forward pass in inference form.
        forward, backward: a training step's passes; ``inference`` and ``None`` for inference.
        memory: the predicted peak of the phase.
        uncounted: operators without a rule -> calls; if there are any, totals may be short.
        slopes: for data-dependent networks: the amount that each item adds. ``inference`` is then
            the static part.
        assumptions: sentences, in order of importance.
        real: whether operators ran on real tensors.
        depth: weighted layers (convolutions, products with weights) on the longest path.
        mode: the mode in which it was counted, as text.
        trained: which part a training step trains, in words; empty for inference, or if not told.
    """

    name: str
    phase: str
    optimizer: str
    batch: int
    input: tuple[Shape, ...]
    params: int
    trainable_params: int
    buffers: int
    auxiliary_params: int
    inference: Totals
    forward: Totals
    backward: Totals | None
    memory: TracedMemory
    uncounted: Mapping[str, int]
    slopes: tuple[Slope, ...]
    assumptions: tuple[str, ...]
    real: bool
    depth: int
    mode: str = "eager"
    trained: str = ""

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference pass."""
        return self.inference.macs

    @property
    def forward_macs(self) -> int | None:
        """Multiply-accumulates of a training step's forward pass, ``None`` for inference.

        More than ``macs`` where heads run in training only.
        """
        return self.forward.macs if self.backward is not None else None

    @property
    def training_macs(self) -> int | None:
        """Multiply-accumulates of forward and backward, ``None`` for inference."""
        return self.forward.macs + self.backward.macs if self.backward is not None else None

    @property
    def macs_per_item(self) -> dict[str, int]:
        """Layer -> what each data-dependent item adds there."""
        return {slope.layer: slope.macs for slope in self.slopes}


@dataclass(frozen=True)
class CrosscheckDifference:
    """One group of operators that two counters count differently, in MACs."""

    operators: str
    ours: int
    theirs: int
    reason: str


@dataclass(frozen=True)
class CrossCheck:
    """The result of one other tool.

    Attributes:
        tool: its name and version.
        ours, theirs: MACs of one inference pass; ``None`` where the peer cannot count the network.
        differences: by operator, empty where both agree everywhere.
        error: why the peer cannot count it.
    """

    tool: str
    ours: int | None = None
    theirs: int | None = None
    differences: tuple[CrosscheckDifference, ...] = ()
    error: str = ""

    @property
    def explained(self) -> bool:
        """Whether the differences add up to the whole gap."""
        gap = (self.ours or 0) - (self.theirs or 0)
        return gap == sum(d.ours - d.theirs for d in self.differences)


@dataclass(frozen=True)
class CostReport:
    """What a network costs, with the rows and cross-checks that were asked for.

    Attributes:
        totals: of the network.
        layers: every module in registration order, the network itself first.
        ops: every operator of the phase in the order it ran, views left out.
        crosschecks: what other counters say.
    """

    totals: CostTotals
    layers: tuple[LayerRow, ...] | None = None
    ops: tuple[OpRow, ...] | None = None
    crosschecks: tuple[CrossCheck, ...] | None = None

    @property
    def name(self) -> str:
        """The network's."""
        return self.totals.name


@dataclass(frozen=True)
class NotCounted:
    """A network without a report, and why."""

    name: str
    error: str
