"""Describes the environment of a measurement: the host's part and torch's part."""

from __future__ import annotations

import functools
import operator
import re
from typing import Any

import torch
import torchvision

from cnnbench import machine
from cnnbench.environment import Environment
from cnnbench.version import VERSION
from cnnbench.worker import modes, nvml


def describe() -> Environment:
    """The environment of this process; starts the CUDA driver, so never call it before a fork."""
    hard = machine.hard_facts() | {"torch": _torch(), "gpus": _gpus()}
    soft = machine.soft_facts() | {"cnnbench": VERSION, "flags": modes.flags()}
    if hard["gpus"]:
        soft["gpu_places"] = [_place(index) for index in range(len(hard["gpus"]))]
    return Environment(hard=hard, soft=soft)


def _torch() -> dict[str, Any]:
    return {
        "version": torch.__version__,
        "git": torch.version.git_version,
        "torchvision": torchvision.__version__,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "onednn": torch.backends.mkldnn.is_available(),  # type: ignore[no-untyped-call]
        "mkl": torch.backends.mkl.is_available(),  # type: ignore[no-untyped-call]
        "openmp": torch.backends.openmp.is_available(),  # type: ignore[no-untyped-call]
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if torch.cuda.is_available() else None,  # type: ignore[no-untyped-call]
    }


def _gpus() -> list[dict[str, Any]]:
    if not torch.cuda.is_available():
        return []
    return [_gpu(index) for index in range(torch.cuda.device_count())]


def _gpu(index: int) -> dict[str, Any]:
    facts = torch.cuda.get_device_properties(index)
    pick = operator.attrgetter("name", "major", "minor", "multi_processor_count", "total_memory")
    name, major, minor, processors, memory = pick(facts)
    return {
        "name": name,
        "compute_capability": f"{major}.{minor}",
        "multiprocessors": processors,
        "memory_bytes": memory,
        "driver": _driver(),
    }


def _place(index: int) -> dict[str, Any]:
    """Which GPU it is, and which cores of the host are next to it: another one computes as fast."""
    facts: Any = torch.cuda.get_device_properties(index)
    place = [getattr(facts, f"pci_{part}_id", None) for part in ("domain", "bus", "device")]
    domain, bus, device = (one or 0 for one in place)
    near = () if None in place else machine.cores_near(f"{domain:04x}:{bus:02x}:{device:02x}.0")
    return {"uuid": str(getattr(facts, "uuid", "")), "cores_near": list(near)}


# ``NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.54.03  Tue Jun ...``; the open module's line
# has other words before the number.
_VERSION = re.compile(r"^NVRM version:.*?\s(\d+\.\d+(?:\.\d+)?)\s", flags=re.MULTILINE)


@functools.cache
def _driver() -> str | None:
    """The NVIDIA driver's version: as it says itself, or as its kernel module states it."""
    return nvml.driver_version() or module_version(
        machine.read_text("/proc/driver/nvidia/version") or ""
    )


def module_version(text: str) -> str | None:
    """The version in what the kernel module says of itself, if there is one."""
    found = _VERSION.search(f"{text} ")
    return None if found is None else found[1]
