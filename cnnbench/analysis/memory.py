"""The predicted peak of a phase: residents, optimizer and what the trace kept alive.

The steady state is predicted: from the second training step on, optimizer state is resident while
forward and backward run, and gradients are freed before forward (``zero_grad(set_to_none=True)``,
torch's default).

``peak`` holds tensors only and is the same on every device; ``scratch`` is what kernels of a CPU
with oneDNN hold inside, on top of it (see ``scratch`` and ``fused``). What the optimizer holds is
told by ``optimizers``. Not included: GPU workspaces, library caches, thread-local workspaces, the
allocator's rounding and fragmentation, the process itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench.costs import TracedMemory

if TYPE_CHECKING:
    from cnnbench.analysis.optimizers import Held
    from cnnbench.analysis.passes import Recording


def predict(recording: Recording, optimizer: Held | None) -> TracedMemory:
    """Combine the parts of a recording, and what an optimizer holds if something was trained."""
    params, buffers, inputs = recording.resident
    state = optimizer.state if optimizer else 0
    step = recording.at_end + optimizer.step if optimizer else 0
    peak = max(recording.peak.nbytes, step)
    layer, op = _place(recording, recording.peak.op)
    if step > recording.peak.nbytes:
        layer, op = "", "optimizer step"
    activation_layer, activation_op = _place(recording, recording.activation_peak.op)
    return TracedMemory(
        params=params,
        buffers=buffers,
        input=inputs,
        gradients=recording.gradients,
        optimizer_state=state,
        activations=recording.activation_peak.nbytes,
        scratch=max(recording.peak_with_scratch.nbytes - peak, 0),
        peak=params + buffers + inputs + state + peak,
        layer=layer,
        op=op,
        activation_layer=activation_layer,
        activation_op=activation_op,
        saved=recording.saved,
    )


def _place(recording: Recording, op: int) -> tuple[str, str]:
    if op >= len(recording.rows):
        return "", ""
    row = recording.rows[op]
    return recording.stack.names[row.layer], row.plan.operator
