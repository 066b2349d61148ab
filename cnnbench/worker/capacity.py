"""Does a batch fit? One attempt in a separate worker.

After a process has once failed to get memory, its further answers cannot be trusted. On the CPU,
the limit was set on the process before the task began. On CUDA, it is the memory of the device, or
the share of it that torch's allocator may use.
"""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import torch

from cnnbench import machine
from cnnbench.facts import Fitted, Room
from cnnbench.spec import Device, Spec
from cnnbench.worker import build, compiling, memory, modes
from cnnbench.worker.devices import Cuda, open_device

if TYPE_CHECKING:
    from cnnbench.requests import AskRoom, TryBatch
    from cnnbench.worker.talk import Talk

# The optimiser's state is made at the end of the first step and lives through the second.
_PHASES = ("first call", "second call")

# Libraries report a lack of memory in different words (oneDNN: "could not create a primitive"). A
# process with this little left under its limit has failed for that reason.
_NOTHING_LEFT = 16 << 20


def try_batch(request: TryBatch, talk: Talk) -> None:
    """Build a spec and run two steps; any answer means that it fits."""
    spec = Spec.parse(request.spec)
    # A pool of compiling processes would use part of the memory that is being tested.
    compiling.compile_here(spec.mode)
    modes.set_flags(spec.mode, spec.threads, cudnn_benchmark=request.cudnn_benchmark)
    device = open_device(spec.device)
    _limit(spec.device, request.device_limit)
    talk.enter("build")
    step = build.built(spec, request.seed)
    for phase in _PHASES:
        talk.enter(phase)
        try:
            step.call()
            device.synchronize()
        except RuntimeError as error:
            left = _left()
            if left is not None and left < _NOTHING_LEFT:
                raise MemoryError(f"{error} ({left >> 20} MiB left under the limit)") from error
            raise
    talk.answer(Fitted(spec.workload.batch))


def room(request: AskRoom, talk: Talk) -> None:
    """What of a device's memory is free; on the CPU, of the host's."""
    talk.enter("memory of the device")
    device = open_device(Device.parse(request.device))
    if isinstance(device, Cuda):
        talk.answer(device.room())
    else:
        talk.answer(Room(machine.memory_available() or 0))


def _left() -> int | None:
    """Bytes that this process may still allocate; ``None`` without a limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    used = memory.status_bytes("VmData")
    return None if limit < 0 or used is None else limit - used


def _limit(device: Device, limit: int | None) -> None:
    """Limit torch's allocator on a CUDA device to a number of bytes."""
    if limit is None or device.kind != "cuda":
        return
    total = torch.cuda.get_device_properties(device.index).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, limit / total), device.index)
