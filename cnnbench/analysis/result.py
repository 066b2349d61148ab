"""One analysed workload: totals, rows, predicted memory and assumptions."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from cnnbench.analysis import layers
from cnnbench.analysis.passes import Recording
from cnnbench.analysis.values import (
    LayerRow,
    OpRow,
    Optimizer,
    Phase,
    Shape,
    Slope,
    Totals,
    TracedMemory,
)
from cnnbench.record import Cost

METHOD = "cnnbench.analysis"


@dataclass(frozen=True)
class Analysis:
    """Everything known about a module and its inputs without running it; totals of the whole batch.

    Attributes:
        name: class name of the module, or the caller's name for it.
        phase, optimizer: as requested.
        batch: samples in the input.
        input: shape of each input tensor.
        params, trainable_params: elements, each parameter once by identity.
        buffers: elements of all buffers.
        auxiliary_params: elements of parameters that the inference pass does not read.
        inference: one forward pass in inference form.
        forward, backward: a training step's passes; equal to ``inference`` and ``None`` for
            inference.
        memory: the predicted peak of the phase.
        uncounted: operators without a rule and how often they ran; non-empty means totals may be
            short.
        slopes: for data-dependent networks: the amount that each item adds. ``inference`` is then
            the static part.
        assumptions: sentences, in order of importance.
        real: whether operators ran on real tensors.
    """

    name: str
    phase: Phase
    optimizer: Optimizer
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
    uncounted: dict[str, int]
    slopes: tuple[Slope, ...]
    assumptions: tuple[str, ...]
    real: bool
    recording: Recording

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference pass."""
        return self.inference.macs

    @property
    def training_macs(self) -> int | None:
        """Multiply-accumulates of forward and backward, ``None`` for inference."""
        return self.forward.macs + self.backward.macs if self.backward is not None else None

    @cached_property
    def ops(self) -> tuple[OpRow, ...]:
        """Every operator of the phase in the order it ran, views included."""
        return layers.op_rows(self.recording)

    @cached_property
    def layers(self) -> tuple[LayerRow, ...]:
        """Every module in registration order, the network itself first."""
        return layers.layer_rows(self.recording)

    def cost(self) -> Cost:
        """The static facts that go into a record."""
        return Cost(
            params=self.params,
            trainable_params=self.trainable_params,
            buffers=self.buffers,
            param_bytes=self.memory.params,
            buffer_bytes=self.memory.buffers,
            input_bytes=self.memory.input,
            macs=self.macs,
            method=METHOD + (" (real tensors)" if self.real else ""),
            training_macs=self.training_macs,
            bias_adds=self.inference.bias_adds,
            elementwise_flops=dict(self.inference.elementwise),
            activation_peak_bytes=self.memory.activations,
            memory_peak_bytes=self.memory.peak,
            uncounted=dict(self.uncounted),
            auxiliary_params=self.auxiliary_params,
            macs_per_item={slope.layer: slope.macs for slope in self.slopes},
            assumptions=self.assumptions,
        )

    def to_json(self, *, rows: bool = True) -> dict[str, Any]:
        """Plain JSON types with stable names; ``rows`` adds ``layers`` and ``ops``."""
        per_sample = max(self.batch, 1)
        facts: dict[str, Any] = {
            "name": self.name,
            "phase": self.phase,
            "optimizer": self.optimizer,
            "batch": self.batch,
            "input": [list(shape) for shape in self.input],
            "params": self.params,
            "trainable_params": self.trainable_params,
            "auxiliary_params": self.auxiliary_params,
            "buffers": self.buffers,
            "macs": self.macs,
            "flops": self.inference.flops,
            "mult_adds": self.inference.mult_adds,
            "bias_adds": self.inference.bias_adds,
            "elementwise_flops": dict(self.inference.elementwise),
            "macs_per_sample": self.macs // per_sample,
            "training_macs": self.training_macs,
            "read_bytes": self.inference.read_bytes,
            "written_bytes": self.inference.written_bytes,
            "arithmetic_intensity": self.inference.arithmetic_intensity,
            "activation_peak_bytes": self.memory.activations,
            "memory_peak_bytes": self.memory.peak,
            "memory": asdict(self.memory),
            "uncounted": dict(self.uncounted),
            "complete": not self.uncounted,
            "macs_per_item": {slope.layer: slope.macs for slope in self.slopes},
            "assumptions": list(self.assumptions),
            "method": METHOD,
            "real": self.real,
        }
        if rows:
            facts["layers"] = [_layer_json(row, self.macs) for row in self.layers]
            facts["ops"] = [_op_json(row) for row in self.ops if row.kind != "view"]
        plain: dict[str, Any] = _plain(facts)
        return plain


def _plain(value: Any) -> Any:
    """Tuples as the lists that JSON makes of them."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value


def _layer_json(row: LayerRow, macs: int) -> dict[str, Any]:
    facts = asdict(row)
    facts.update(_totals_json(facts.pop("totals"), row.totals))
    facts["backward_macs"] = row.backward.macs
    facts["share"] = row.totals.macs / macs if macs else 0.0
    del facts["backward"]
    return facts


def _totals_json(plain: dict[str, Any], totals: Totals) -> dict[str, Any]:
    elementwise = plain.pop("elementwise")
    return {
        **plain,
        "flops": totals.flops,
        "mult_adds": totals.mult_adds,
        "elementwise_flops": elementwise,
        "arithmetic_intensity": totals.arithmetic_intensity,
    }


def _op_json(row: OpRow) -> dict[str, Any]:
    facts = asdict(row)
    facts["flops"] = 2 * row.macs
    facts["mult_adds"] = row.macs + row.bias_adds
    facts["arithmetic_intensity"] = row.arithmetic_intensity
    return facts
