"""What NVIDIA's driver reports of a device and of this process, through the optional ``pynvml``.

Everything here may be missing: the package, the driver's permission, a value. Then a reason takes
its place, never a guess. Knows nothing of torch but the device's UUID, by which the driver finds
the same device whatever ``CUDA_VISIBLE_DEVICES`` numbers it.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# Reasons for a lowered clock (nvml.h, nvmlClocksEventReasons).
_REASONS = {
    0x1: "idle",
    0x2: "application_clocks",
    0x4: "power_cap",
    0x8: "hardware_slowdown",
    0x10: "sync_boost",
    0x20: "thermal_software",
    0x40: "thermal_hardware",
    0x80: "power_brake",
    0x100: "display_clocks",
}

# Compute modes (nvml.h): one thread or process may have a context; 0 is any number, 2 none.
_EXCLUSIVE = (1, 3)

# The driver samples every sixth of a second to every second.
_LOOK_BACK_US = 1_000_000

_GRAPHICS_CLOCK, _MEMORY_CLOCK, _TEMPERATURE = 0, 2, 0


class Driver:
    """The driver's view of one device.

    Attributes:
        reason: why it cannot be asked; empty if it can.
    """

    def __init__(self, uuid: str) -> None:
        self.reason = ""
        self._nvml: Any = None
        self._device: Any = None
        # What clocks and temperature are asked of: for an instance (MIG), the GPU around it.
        self._board: Any = None
        try:
            import pynvml

            pynvml.nvmlInit()
            self._device = _handle(pynvml, uuid)
            self._board = _board(pynvml, self._device)
            self._nvml = pynvml
        except ImportError:
            self.reason = "pynvml is not installed (pip install 'cnnbench[gpu]')"
        except Exception as error:  # noqa: BLE001 - its errors have no common base of ours to name
            self.reason = f"the driver cannot be asked: {error}"

    def state(self) -> dict[str, Any]:
        """Clocks in MHz, temperature in degrees Celsius, reasons for a lower clock, other users.

        The clocks are those of this moment, so call it right after the work.
        """
        if self._nvml is None:
            return {}
        ask: dict[str, Callable[[], Any]] = {
            "sm_mhz": lambda: self._nvml.nvmlDeviceGetClockInfo(self._board, _GRAPHICS_CLOCK),
            "memory_mhz": lambda: self._nvml.nvmlDeviceGetClockInfo(self._board, _MEMORY_CLOCK),
            "temperature_c": lambda: self._nvml.nvmlDeviceGetTemperature(self._board, _TEMPERATURE),
            "throttle": self._throttle,
            "others_busy": self._others_busy,
        }
        answers = {name: self._answer(question) for name, question in ask.items()}
        return {name: answer for name, answer in answers.items() if answer is not None}

    def _throttle(self) -> list[str]:
        # Called "throttle reasons" before driver 535.
        question = getattr(self._nvml, "nvmlDeviceGetCurrentClocksEventReasons", None)
        question = question or self._nvml.nvmlDeviceGetCurrentClocksThrottleReasons
        mask = int(question(self._board))
        return [name for bit, name in _REASONS.items() if mask & bit]

    def _others_busy(self) -> float | None:
        """The share of the last second that processes but our own kept the device busy.

        ``None`` if the driver shows no process that we know, as in some containers: which are our
        own is not known then.
        """
        since = time.time_ns() // 1000 - _LOOK_BACK_US
        found = self._nvml.nvmlDeviceGetProcessUtilization(self._board, since)
        busy: dict[int, list[int]] = {}
        for one in found:
            busy.setdefault(one.pid, []).append(one.smUtil)
        shares = {pid: statistics.fmean(some) / 100 for pid, some in busy.items()}
        ours = {pid for pid in shares if _is_ours(pid)}
        return sum(share for pid, share in shares.items() if pid not in ours) if ours else None

    def energy_mj(self) -> int | None:
        """Millijoules that the GPU has drawn since its driver was loaded; of the whole GPU only."""
        if self._nvml is None or self._board is not self._device:
            return None
        found = self._answer(lambda: self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._board))
        return None if found is None else int(found)

    def one_process(self) -> bool:
        """Whether only one process at a time may use the device; not, if it cannot be asked."""
        if self._nvml is None:
            return False
        mode = self._answer(lambda: self._nvml.nvmlDeviceGetComputeMode(self._board))
        return mode in _EXCLUSIVE

    def process_bytes(self) -> int | None:
        """Memory of this process on the device, with its context and libraries.

        ``None`` if unknown: a container may hide which process is which.
        """
        if self._nvml is None:
            return None
        found = self._answer(lambda: self._nvml.nvmlDeviceGetComputeRunningProcesses(self._device))
        own = [one.usedGpuMemory for one in found or () if one.pid == os.getpid()]
        return own[0] if own and own[0] is not None else None

    def _answer(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except Exception:  # noqa: BLE001 - "not supported" is an exception, of a class of its own
            return None


def _is_ours(pid: int) -> bool:
    """Whether a process is this one or a worker beside it: of the same starter, or parent."""
    try:
        if os.getsid(pid) == os.getsid(0):
            return True
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf8", errors="replace")
    except OSError:
        return False
    # The name before it may hold anything, parentheses too.
    return int(status.rpartition(")")[2].split()[1]) == os.getppid()


# NVML's prefixes, which torch leaves out: of a GPU, and of an instance that is a part of one.
_PREFIXES = ("GPU-", "MIG-")


def _handle(nvml: Any, uuid: str) -> Any:
    """NVML's handle of the device that torch names by this UUID.

    Raises:
        Exception: of NVML's, which says why there is none.
    """
    names = [uuid] if uuid.startswith(_PREFIXES) else [f"{prefix}{uuid}" for prefix in _PREFIXES]
    for name in names[:-1]:
        with contextlib.suppress(Exception):
            return nvml.nvmlDeviceGetHandleByUUID(name)
    return nvml.nvmlDeviceGetHandleByUUID(names[-1])


def _board(nvml: Any, device: Any) -> Any:
    """The GPU of an instance; any other device itself."""
    try:
        return nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(device)
    except Exception:  # noqa: BLE001 - no instance, or an NVML that knows of none
        return device


def driver_version() -> str | None:
    """The version of NVIDIA's driver, by itself; ``None`` if it cannot be asked."""
    try:
        import pynvml

        pynvml.nvmlInit()
        said = pynvml.nvmlSystemGetDriverVersion()
    except Exception:  # noqa: BLE001 - no package, no driver, no permission
        return None
    return said.decode() if isinstance(said, bytes) else str(said)
