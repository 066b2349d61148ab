"""Describes the environment of a measurement: the host's part and torch's part."""

from __future__ import annotations

import functools
import operator
import re
from typing import Any

import torch
import torchvision

from cnnbench import deployment, machine
from cnnbench.environment import Environment
from cnnbench.version import VERSION
from cnnbench.worker import modes, nvml


def describe() -> Environment:
    """The environment of this process; starts the CUDA driver, so never call it before a fork."""
    hard = machine.hard_facts() | {"torch": _torch(), "gpus": _gpus()}
    soft = machine.soft_facts() | {"cnnbench": VERSION, "flags": modes.flags()}
    soft |= {"runtimes": deployment.versions()}
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
