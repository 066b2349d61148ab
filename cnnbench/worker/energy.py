"""Energy of calls, by the counters of the hardware: NVML's of a GPU, RAPL's of a CPU.

Both count everything that the package or board draws, for other processes too, so that the power
of an idle machine is measured beforehand and stated beside. NVML renews its counter at most every
100 ms and RAPL every millisecond; calls are therefore repeated for two seconds, of which that is
5 %.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cnnbench.worker.devices import Kind
    from cnnbench.worker.talk import Talk

SECONDS, IDLE_SECONDS = 2.0, 1.0
# The device is waited for this often, so that the window ends when its work does.
_BATCH_SECONDS = 0.05

POWERCAP = Path("/sys/class/powercap")


class Meter(Protocol):
    """A counter of energy.

    Attributes:
        source: its name, ``nvml`` or ``rapl``.
        reason: why it cannot be read; empty if it can.
    """

    source: str
    reason: str

    def read(self) -> Sequence[int]:
        """Its present values."""

    def joules(self, before: Sequence[int], after: Sequence[int]) -> float:
        """Between two readings, less than one wrap apart."""


@dataclass(frozen=True)
class _Zone:
    """One package: its counter in microjoules, which begins again at zero after ``most``."""

    counter: Path
    most: int


class Rapl:
    """The packages of the host's processors, all together.

    Only packages: their cores and memory are parts of them, and a platform holds them all.

    Args:
        root: of the kernel's power capping framework.
    """

    source = "rapl"

    def __init__(self, root: Path = POWERCAP) -> None:
        self._zones: list[_Zone] = []
        self.reason = "this machine has no RAPL counters"
        for folder in sorted(root.glob("intel-rapl:*")):
            try:
                if not _text(folder / "name").startswith("package"):
                    continue
                int(_text(folder / "energy_uj"))
                most = int(_text(folder / "max_energy_range_uj"))
            except (OSError, ValueError) as error:
                self._zones, self.reason = [], f"RAPL cannot be read: {error}"
                return
            self._zones.append(_Zone(folder / "energy_uj", most))
        if self._zones:
            self.reason = ""

    def read(self) -> list[int]:
        """Microjoules by package."""
        return [int(_text(zone.counter)) for zone in self._zones]

    def joules(self, before: Sequence[int], after: Sequence[int]) -> float:
        """The sum over packages; a counter may have wrapped once."""
        spent = (
            end - start if end >= start else end - start + zone.most
            for zone, start, end in zip(self._zones, before, after, strict=True)
        )
        return sum(spent) / 1e6


def _text(path: Path) -> str:
    return path.read_text(encoding="ascii").strip()


class Nvml:
    """A GPU, by its driver.

    Args:
        energy_mj: millijoules since the driver was loaded, or ``None``.
        reason: why there are none.
    """

    source = "nvml"

    def __init__(self, energy_mj: Callable[[], int | None], reason: str) -> None:
        self._energy_mj = energy_mj
        self.reason = reason
        if not reason and energy_mj() is None:
            self.reason = "the driver does not tell the energy of this GPU"

    def read(self) -> list[int]:
        """Millijoules; nothing if the driver does not answer this time."""
        found = self._energy_mj()
        return [] if found is None else [found]

    def joules(self, before: Sequence[int], after: Sequence[int]) -> float:
        """The counter has 64 bits and does not wrap; zero if it was not told at both ends."""
        return (after[0] - before[0]) / 1e3 if before and after else 0.0


def idle(meter: Meter, sleep: Callable[[float], None] = time.sleep) -> float | None:
    """Watts while this process sleeps; ``None`` if the counter cannot be read or stands still."""
    if meter.reason:
        return None
    began, before = time.perf_counter(), meter.read()
    sleep(IDLE_SECONDS)
    after, ended = meter.read(), time.perf_counter()
    joules = meter.joules(before, after)
    return joules / (ended - began) if joules > 0 else None


def of_calls(
    meter: Meter, call: Callable[[], Any], device: Kind, estimate: float, seconds: float = SECONDS
) -> dict[str, Any]:
    """Energy of calls in a row, for at least ``seconds``.

    Returns:
        ``joules``, ``calls``, ``seconds`` and ``source``; or ``missing``: why not.
    """
    if meter.reason:
        return {"missing": meter.reason}
    together = max(1, round(_BATCH_SECONDS / max(estimate, 1e-7)))
    device.synchronize()
    calls, began, before = 0, time.perf_counter(), meter.read()
    while time.perf_counter() - began < seconds:
        for _ in range(together):
            call()
        device.synchronize()
        calls += together
    after, ended = meter.read(), time.perf_counter()
    joules = meter.joules(before, after)
    if joules <= 0:
        return {"missing": f"the counter of {meter.source} did not move in {ended - began:.1f} s"}
    return {
        "joules": joules, "calls": calls, "seconds": ended - began, "source": meter.source,
    }  # fmt: skip


class Power:
    """What a worker measures of energy, if it is asked to: first the idle power, then calls.

    Args:
        device: where they run.
        talk: is told of the phases.
        asked: whether anything is measured at all.
    """

    def __init__(self, device: Kind, talk: Talk, *, asked: bool) -> None:
        self._device, self._talk = device, talk
        self._meter = device.meter() if asked else None
        if self._meter is not None:
            talk.enter("idle power")
            self._watts = idle(self._meter)

    def flags(self, call: Callable[[], Any], estimate: float) -> dict[str, Any]:
        """What a run keeps under ``energy``; a line under ``remarks`` if there is nothing."""
        if self._meter is None:
            return {}
        self._talk.enter("energy")
        found = of_calls(self._meter, call, self._device, estimate)
        if "missing" in found:
            return {"remarks": [f"energy not measured: {found['missing']}"]}
        return {"energy": found | {"idle_w": self._watts}}
