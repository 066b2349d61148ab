"""The device that was asked for: whether it is here, what it may take, what has no effect on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench import machine, units
from cnnbench.asking import AllGpus
from cnnbench.errors import Unsupported, UsageError
from cnnbench.runner import gpus
from cnnbench.runner.gpus import GpuShare, Host
from cnnbench.spec import Device

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from cnnbench.environment import Environment
    from cnnbench.plan import Plan
    from cnnbench.spec import Spec

# The share of the free memory that one worker may take before it gets an error instead of a
# swapping machine.
_MEMORY_SHARE = 0.9


def here(asked: Device | None, environment: Environment) -> Device:
    """The device that was asked for, or the best one available.

    Raises:
        Unsupported: this machine has no such device.
    """
    present = environment.hard.get("gpus") or []
    if asked is None:
        return Device("cuda", 0) if present else Device("cpu")
    if asked.kind == "cuda" and not environment.hard.get("fake") and asked.index >= len(present):
        found = units.number(len(present), "CUDA device") if present else "no CUDA device"
        raise Unsupported(f"--device {asked.text}: torch finds {found} here; use --device cpu")
    return of_specs(asked)


def of_specs(asked: Device) -> Device:
    """The device that specs name: the one that a worker sees, where several share the work."""
    return Device(asked.kind, asked.index)


def refuse_idle_options(plan: Plan, device: Device) -> None:
    """Refuse what a plan says that has no effect on the device."""
    given = {
        "--cudnn-benchmark": plan.cudnn_benchmark,
        "--nvtx": plan.nvtx,
    }
    refuse_idle([name for name, chosen in given.items() if chosen], device)


def refuse_idle(given: Sequence[str], device: Device) -> None:
    """Refuse options that mean something on CUDA devices only.

    Raises:
        UsageError: there is one, and the device is none.
    """
    idle = " and ".join(given)
    if idle and device.kind != "cuda":
        raise UsageError(f"{idle}: only for CUDA devices, but this is {device.text}; drop it")


def refuse_shared(asked: Device | None) -> None:
    """Refuse all GPUs where one thing is measured after the other on one device.

    Raises:
        UsageError: they are what was asked for.
    """
    if isinstance(asked, AllGpus):
        raise UsageError(
            f"--device {asked.text}: only run and conv share work among GPUs; this takes one, such"
            " as --device cuda:0"
        )


def memory_limit(device: Device) -> int | None:
    """Bytes that one worker may take on this machine, ``None`` for no limit."""
    available = machine.memory_available()
    # A CUDA process maps far more than it uses, so a limit on its mappings would mean nothing.
    if available is None or device.kind != "cpu":
        return None
    return round(_MEMORY_SHARE * available)


def shared(
    asked: Device | None,
    environment: Environment,
    specs: Sequence[Spec],
    like: Mapping[str, Any] | None = None,
) -> GpuShare | None:
    """The GPUs that share the work, if that was asked for; see ``gpus``.

    Args:
        asked: the device.
        environment: as a worker described it.
        specs: that are to be measured.
        like: the kind of GPU that a run was begun on.

    Raises:
        Unsupported: the GPUs are of several kinds.
    """
    if not isinstance(asked, AllGpus):
        return None
    # What is pretended takes no cores.
    host = Host() if environment.hard.get("fake") else Host.here()
    return gpus.share(gpus.found(environment, like), host, specs)
