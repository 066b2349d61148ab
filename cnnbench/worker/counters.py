"""What happened on the machine while a slice was sampled: kernel counters and calibration probes.

The kernel's counters are read just before and just after a slice's samples, never between two clock
readings. Probes are small fixed pieces of work done after the samples: their time shows how fast
the machine was at that moment, whatever the network. A counter that the system does not have is
``None``. Judges nothing.
"""

from __future__ import annotations

import contextlib
import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_STAT = Path("/proc/stat")
_SCHEDSTAT = Path("/proc/thread-self/schedstat")
_THREADS = Path("/proc/self/task")

# Sizes that make each probe about 0.3 ms on one core of 2024: long beside the clock's resolution,
# short beside a slice.
_SIDE, _PRODUCTS, _LOOPS = 160, 4, 12_000


@dataclass(frozen=True)
class Counters:
    """The kernel's counters at one moment.

    Attributes:
        cpu_ns: CPU time of this process, all threads.
        run_delay_ns: time that this thread was runnable but not running.
        involuntary: involuntary context switches of this process.
        minor_faults: minor page faults of this process.
        steal_ns: time that the hypervisor took, summed over the machine's cores.
        busy_ns: time that the machine's cores worked, this process included, summed over them.
        threads_delay_ns: time that the living threads of this process were runnable but not
            running, summed over them.
    """

    cpu_ns: int
    run_delay_ns: int | None
    involuntary: int
    minor_faults: int
    steal_ns: int | None
    busy_ns: int | None
    threads_delay_ns: int | None = None

    @classmethod
    def read(cls) -> Counters:
        """Their present values."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        steal, busy = _machine()
        return cls(
            cpu_ns=time.process_time_ns(),
            run_delay_ns=_run_delay(),
            involuntary=usage.ru_nivcsw,
            minor_faults=usage.ru_minflt,
            steal_ns=steal,
            busy_ns=busy,
            threads_delay_ns=_threads_delay(),
        )

    def since(self, before: Counters) -> dict[str, int | None]:
        """What was counted from ``before`` until now, by the names of ``record.Slice``."""
        own = self.cpu_ns - before.cpu_ns
        busy = _difference(self.busy_ns, before.busy_ns)
        return {
            "cpu_ns": own,
            "run_delay_ns": _difference(self.run_delay_ns, before.run_delay_ns),
            # Less than nothing if a thread has ended meanwhile, and its waiting with it: unknown.
            "threads_delay_ns": _difference(self.threads_delay_ns, before.threads_delay_ns),
            "involuntary": self.involuntary - before.involuntary,
            "minor_faults": self.minor_faults - before.minor_faults,
            "steal_ns": _difference(self.steal_ns, before.steal_ns),
            # The machine is counted in ticks of 10 ms, but this process exactly.
            "others_ns": None if busy is None else max(0, busy - own),
        }


def _difference(after: int | None, before: int | None) -> int | None:
    """``None`` also for a counter that ran backwards, as steal does on some hosts."""
    return None if after is None or before is None or after < before else after - before


def _machine() -> tuple[int | None, int | None]:
    """Steal and busy time of all cores in nanoseconds; (None, None) where they are not counted."""
    try:
        with _STAT.open(encoding="ascii") as file:
            name, *ticks = file.readline().split()
        # Columns of proc_stat(5); guests are already part of user time.
        user, nice, system, _idle, _wait, irq, softirq, steal = map(int, ticks[:8])
        tick = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return None, None
    if name != "cpu":
        return None, None
    return steal * tick, (user + nice + system + irq + softirq) * tick


def _run_delay() -> int | None:
    try:
        return int(_SCHEDSTAT.read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return None


def _threads_delay() -> int | None:
    total = 0
    try:
        for thread in os.scandir(_THREADS):
            # One may end between its being listed and its being read.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                total += int(Path(thread.path, "schedstat").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return total


class Probes:
    """The fixed pieces of work; made and warmed once, so that a run of them allocates nothing."""

    def __init__(self) -> None:
        # A power of two: no sum of them rounds, and none is subnormal.
        self._factor = torch.full((_SIDE, _SIDE), 2.0**-8)
        self._product = torch.empty(_SIDE, _SIDE)
        self._work: Mapping[str, Callable[[], None]] = {
            "matmul": self._multiply,
            "python": _count,
        }
        for _ in range(3):
            self.run()

    def run(self) -> dict[str, int]:
        """Nanoseconds that each of them takes now.

        ``matmul`` multiplies float32 matrices of 160x160 with the process's threads (at this size
        hardly more than one), ``python`` counts in a loop.
        """
        taken: dict[str, int] = {}
        for name, work in self._work.items():
            start = time.perf_counter_ns()
            work()
            taken[name] = time.perf_counter_ns() - start
        return taken

    def _multiply(self) -> None:
        for _ in range(_PRODUCTS):
            torch.mm(self._factor, self._factor, out=self._product)


def _count() -> None:
    total = 0
    for number in range(_LOOPS):
        total += number
