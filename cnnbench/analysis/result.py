"""One analysed workload: its totals, and rows of what was recorded."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cnnbench import cost_text
from cnnbench.analysis import layers
from cnnbench.analysis.passes import Recording
from cnnbench.cost_json import cost_to_json
from cnnbench.costs import METHOD, CostReport, CostTotals
from cnnbench.record import Cost

if TYPE_CHECKING:
    import pandas as pd

    from cnnbench.costs import LayerRow, OpRow


@dataclass(frozen=True, kw_only=True)
class Analysis(CostTotals):
    """Everything known of a module and its inputs without running it.

    Attributes:
        recording: of the phase's passes.
    """

    recording: Recording

    @cached_property
    def ops(self) -> tuple[OpRow, ...]:
        """Every operator of the phase in the order it ran, views included."""
        return layers.op_rows(self.recording)

    @cached_property
    def layers(self) -> tuple[LayerRow, ...]:
        """Every module in registration order, the network itself first."""
        return layers.layer_rows(self.recording)

    def frame(self, depth: int | None = None) -> pd.DataFrame:
        """A row per layer; the rows add up to the network at every depth, leaves by default."""
        import pandas as pd

        return pd.DataFrame(cost_text.records(self, self.layers, depth))

    def footer(self) -> str:
        """The sizes below torchinfo's table, and the predicted peak that they are not."""
        return "\n".join(cost_text.footer(self, self.layers))

    def __repr__(self) -> str:
        return cost_text.text(self, self.layers)

    def _repr_html_(self) -> str:
        return cost_text.as_html(self, self.layers)

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
            macs_per_item=self.macs_per_item,
            assumptions=self.assumptions,
        )

    def report(self, *, rows: bool = True) -> CostReport:
        """What of it can leave the process; ``rows`` adds layers and operators."""
        totals = CostTotals(**{item.name: getattr(self, item.name) for item in fields(CostTotals)})
        if not rows:
            return CostReport(totals)
        return CostReport(totals, self.layers, tuple(op for op in self.ops if op.kind != "view"))

    def to_json(self, *, rows: bool = True) -> dict[str, Any]:
        """Plain JSON types with stable names; ``rows`` adds ``layers`` and ``ops``."""
        return cost_to_json(self.report(rows=rows))
