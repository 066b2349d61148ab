"""What runs of other checks say, read again."""

from __future__ import annotations

from typing import Any

from bench.device.place import Place, records
from cnnbench import metrics


def predicted_memory(place: Place) -> dict[str, Any]:
    """The peak that static analysis predicts and the allocator's, by batch."""
    rows = {}
    for one in records(place.run_of("launch_bound")):
        if one.cost is not None and one.memory is not None:
            rows[str(one.spec.workload.batch)] = {
                "predicted": one.cost.memory_peak_bytes,
                "requested": one.memory.cuda_requested_bytes,
                "allocated": one.memory.cuda_allocated_bytes,
                "workspace": one.memory.cuda_workspace_bytes,
            }
    return {"rows": rows}


def roof(place: Place) -> dict[str, Any]:
    """How near the layers of the lab came to the probed ceilings."""
    found = [(one, metrics.roof(one)) for one in records(place.run_of("lab"))]
    return {
        "shares": {
            one.id: {"share": roof.share, "binds": roof.binds} for one, roof in found if roof
        },
        "ceilings": [
            {name: rate / 1e12 for name, rate in some.flops_per_s.items()}
            for one, _ in found[:1]
            for some in one.ceilings
        ],
    }
