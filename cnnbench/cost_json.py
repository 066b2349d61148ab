"""Static cost as JSON: plain types under stable names, for ``cost --json`` and the Python API.

Knows nothing of how it was counted. The API's values live on the torch side, which may not import
the report, so this format stands beside the values and not among the report's.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from cnnbench.codec import encode
from cnnbench.costs import (
    METHOD,
    CostReport,
    CostTotals,
    CrossCheck,
    LayerRow,
    NotCounted,
    OpRow,
    Totals,
)


def cost_to_json(found: CostReport | NotCounted) -> dict[str, Any]:
    """A report, or why there is no report; what was not asked for is left out."""
    if isinstance(found, NotCounted):
        return asdict(found)
    facts = _totals(found.totals)
    if found.layers is not None:
        facts["layers"] = [encode(_layer(row, found.totals.macs)) for row in found.layers]
    if found.ops is not None:
        facts["ops"] = [encode(_op(row)) for row in found.ops]
    if found.crosschecks is not None:
        facts["crosschecks"] = [encode(_crosscheck(check)) for check in found.crosschecks]
    return facts


def _totals(one: CostTotals) -> dict[str, Any]:
    return {
        "name": one.name,
        "phase": one.phase,
        "optimizer": one.optimizer,
        "mode": one.mode,
        "batch": one.batch,
        "input": encode(one.input),
        "params": one.params,
        "trainable_params": one.trainable_params,
        "trained": one.trained or None,
        "auxiliary_params": one.auxiliary_params,
        "buffers": one.buffers,
        "macs": one.macs,
        "flops": one.inference.flops,
        "mult_adds": one.inference.mult_adds,
        "bias_adds": one.inference.bias_adds,
        "elementwise_flops": dict(one.inference.elementwise),
        "macs_per_sample": one.macs // max(one.batch, 1),
        "forward_macs": one.forward_macs,
        "training_macs": one.training_macs,
        "read_bytes": one.inference.read_bytes,
        "written_bytes": one.inference.written_bytes,
        "arithmetic_intensity": one.inference.arithmetic_intensity,
        "activation_peak_bytes": one.memory.activations,
        "memory_peak_bytes": one.memory.peak,
        "memory": asdict(one.memory),
        "uncounted": dict(one.uncounted),
        "complete": not one.uncounted,
        "macs_per_item": one.macs_per_item,
        "assumptions": list(one.assumptions),
        "method": METHOD,
        "real": one.real,
        "depth": one.depth,
    }


def _layer(row: LayerRow, macs: int) -> dict[str, Any]:
    """``macs`` are the whole network's; ``calls`` are the module's, ``operators`` those inside."""
    facts = asdict(row)
    for name in ("totals", "backward", "own", "own_backward"):
        del facts[name]
    return facts | _both(row.totals, row.backward) | {
        "own": _both(row.own, row.own_backward), "share": row.share(macs),
    }  # fmt: skip


def _both(forward: Totals, backward: Totals) -> dict[str, Any]:
    """Sums of the forward pass, and what of the backward pass is beside them in tables."""
    sums = _sums(forward)
    return {"operators": sums.pop("calls")} | sums | {
        "backward_macs": backward.macs,
        "backward_read_bytes": backward.read_bytes,
        "backward_written_bytes": backward.written_bytes,
    }  # fmt: skip


def _sums(totals: Totals) -> dict[str, Any]:
    plain = asdict(totals)
    elementwise = plain.pop("elementwise")
    return {
        **plain,
        "flops": totals.flops,
        "mult_adds": totals.mult_adds,
        "elementwise_flops": elementwise,
        "arithmetic_intensity": totals.arithmetic_intensity,
    }


def _op(row: OpRow) -> dict[str, Any]:
    return asdict(row) | {
        "flops": 2 * row.macs,
        "mult_adds": row.macs + row.bias_adds,
        "arithmetic_intensity": row.arithmetic_intensity,
    }


def _crosscheck(check: CrossCheck) -> dict[str, Any]:
    if check.error:
        return {"tool": check.tool, "error": check.error}
    plain = asdict(check)
    del plain["error"]
    return plain | {"explained": check.explained}
