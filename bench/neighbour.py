"""A noisy neighbour: a process that takes a share of one core, in bursts, as shared machines do.

Used by the benchmarks beside it; run as ``python bench/neighbour.py SHARE`` it is the neighbour.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Long enough for the scheduler to let the neighbour in, short enough to hit every slice.
_PERIOD_SECONDS = 0.02


def spin(share: float) -> None:
    """Work for a share of every period and sleep through the rest, for ever."""
    while True:
        start = time.perf_counter()
        while time.perf_counter() - start < share * _PERIOD_SECONDS:
            pass
        time.sleep((1 - share) * _PERIOD_SECONDS)


def pin(core: int | None) -> int:
    """Keep this process, and those it will start, on one core; by default the first usable."""
    chosen = min(os.sched_getaffinity(0)) if core is None else core
    os.sched_setaffinity(0, {chosen})
    return chosen


@contextlib.contextmanager
def beside(share: float) -> Iterator[subprocess.Popen[bytes] | None]:
    """A neighbour on the cores of this process; none if the share is zero."""
    if not share:
        yield None
        return
    process = subprocess.Popen([sys.executable, str(Path(__file__).resolve()), str(share)])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    spin(float(sys.argv[1]))
