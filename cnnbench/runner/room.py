"""How much memory an ensemble may take, and how much each of its workers will need.

All workers of an ensemble are in memory at once: of the host, or of a CUDA device, where every
process has a context of its own and keeps what its caching allocator once got.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnbench import machine
from cnnbench.errors import WorkerError
from cnnbench.requests import AskRoom
from cnnbench.runner.inquiry import ask

if TYPE_CHECKING:
    from cnnbench.plan import Plan
    from cnnbench.record import Cost
    from cnnbench.runner.executor import AnyPool
    from cnnbench.runner.subject import Group, Subject

# What a worker needs beside the tensors of its network: its own pages of Python and torch; on a
# CUDA device, where the driver does not say it, the context and the libraries' kernels.
_PROCESS_BYTES = 200 << 20
_CONTEXT_BYTES = 600 << 20
# The share of the free memory that one ensemble may take.
_SHARE = 0.8
# What a caching allocator and the pools of CUDA graphs keep, over the peak of a step's tensors.
_KEPT = 1.5

ONE_PROCESS = (
    "the compute mode of the GPU lets one process at a time use it, so modes were not measured side"
    " by side; 'nvidia-smi -c DEFAULT', as root, lets them take turns"
)


@dataclass(frozen=True)
class Limits:
    """What bounds an ensemble.

    Attributes:
        room: bytes for all of its workers; ``None`` if unknown.
        process: bytes of a worker without tensors.
        kept: what a worker's tensors take, as a multiple of the peak of a step.
        one_process: workers cannot live side by side.
        note: why the room is not known.
    """

    room: int | None
    process: int = _PROCESS_BYTES
    kept: float = 1.0
    one_process: bool = False
    note: str = ""


def limits(group: Group, pool: AnyPool, plan: Plan) -> Limits:
    """The limits of a group's ensembles now."""
    device = group.subjects[0].spec.device
    if device.kind == "cpu":
        return _of_host(plan)
    try:
        found = ask(pool, AskRoom(device=device.text), plan.timeout)
    except WorkerError as error:
        return Limits(None, note=f"free memory of {device.text} not known: {error}")
    process = found.process_bytes or _CONTEXT_BYTES
    return Limits(round(_SHARE * found.free_bytes), process, _KEPT, found.one_process)


def _of_host(plan: Plan) -> Limits:
    available = None if plan.memory_limit is None else machine.memory_available()
    return Limits(None if available is None else round(_SHARE * available))


def needed(subject: Subject, cost: Cost | None, within: Limits) -> int:
    """Bytes that a subject's worker will need; all there is for one that had too little before."""
    if subject.crowded and within.room is not None:
        return within.room
    known = subject.memory
    if known is not None and known.cuda_reserved_bytes is not None:
        return max(known.cuda_process_bytes or 0, within.process + known.cuda_reserved_bytes)
    tensors = 0 if cost is None else cost.memory_peak_bytes or cost.param_bytes
    return within.process + round(within.kept * tensors)
