"""The driver of the pretended device, through the functions of ``pynvml`` that are asked."""
# ruff: noqa: A002, N802, N803 - the names are the package's

from __future__ import annotations

import os
import time
from types import SimpleNamespace


class NVMLError(Exception):
    pass


def nvmlInit():
    return None


def nvmlSystemGetDriverVersion():
    return "580.65.06"


def nvmlDeviceGetHandleByUUID(uuid):
    if not uuid.startswith("GPU-"):
        raise NVMLError("Not Found")
    return uuid


def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(migDevice):
    raise NVMLError("Invalid Argument")


def nvmlDeviceGetClockInfo(handle, type):
    return {0: 1980, 2: 2619}[type]


def nvmlDeviceGetTemperature(handle, sensor):
    return 41


def nvmlDeviceGetCurrentClocksEventReasons(handle):
    return int(os.environ.get("PRETENDED_CUDA_THROTTLE", "0"))


def nvmlDeviceGetTotalEnergyConsumption(handle):
    return round(1e3 * 250 * time.monotonic())  # 250 W, in millijoules


def nvmlDeviceGetComputeMode(handle):
    return int(os.environ.get("PRETENDED_CUDA_MODE", "0"))


def nvmlDeviceGetComputeRunningProcesses(handle):
    return [SimpleNamespace(pid=os.getpid(), usedGpuMemory=600 << 20)]


def nvmlDeviceGetProcessUtilization(handle, timeStamp):
    return [SimpleNamespace(pid=os.getpid(), smUtil=80)]
