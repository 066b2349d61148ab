"""CPU peak of a network that holds N MiB for a moment: three ways of others, and ours.

Run as ``python bench/held_memory.py``; takes about 30 s for each of ``--milliseconds``. Others: the
resident set polled in a thread (as psutil is), tracemalloc, and the high-water mark of the process
over its whole life less what it had before; each in a fresh process. Ours: the memory pass of
``cnnbench run``, by the allocator and by the kernel's high-water mark. In truth the peak is exactly
N MiB above what lives all the time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from cnnbench.plan import Plan  # noqa: E402
from cnnbench.requests import MeasureMemory  # noqa: E402
from cnnbench.runner.inquiry import ask, asking  # noqa: E402
from cnnbench.runner.process import Processes  # noqa: E402
from cnnbench.spec import Device, Mode, Spec, Workload, arguments_of  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

_MIB = 1 << 20
_POLL_SECONDS = 0.01
_SHAPE = (3, 8, 8)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


def polled(call: Callable[[], Any]) -> int:
    """Highest resident set that a thread sees every 10 ms, less the one before."""
    before, seen, stop = resident(), [0], threading.Event()

    def look() -> None:
        while not stop.wait(_POLL_SECONDS):
            seen.append(resident())

    thread = threading.Thread(target=look)
    thread.start()
    # So that the first look comes at a moment of its own, as it does in a long run.
    time.sleep(_POLL_SECONDS / 3)
    call()
    stop.set()
    thread.join()
    return max(0, max(seen) - before)


def traced(call: Callable[[], Any]) -> int:
    """What Python's own allocator knows of."""
    tracemalloc.start()
    call()
    return tracemalloc.get_traced_memory()[1]


def lifelong(call: Callable[[], Any]) -> int:
    """Growth of ru_maxrss, which never falls: a peak under an earlier one stays hidden."""
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    call()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10


WAYS: dict[str, Callable[[Callable[[], Any]], int]] = {
    "resident set, polled": polled,
    "tracemalloc": traced,
    "ru_maxrss, growth": lifelong,
}


def alone(way: str, mebibytes: int, milliseconds: float, repeats: int) -> list[int]:
    """One way of others in this process: one call to warm up, then those that count."""
    import torch

    from cnnbench.worker import oracles

    module, given = oracles.holds(mebibytes, milliseconds), torch.ones(1, *_SHAPE)
    module(given)
    return [WAYS[way](lambda: module(given)) for _ in range(repeats)]


def fresh(way: str, mebibytes: int, milliseconds: float, repeats: int) -> list[int]:
    command = [sys.executable, __file__, "--alone", way, "--mebibytes", str(mebibytes),
               "--milliseconds", str(milliseconds), "--repeats", str(repeats)]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True)
    return [int(size) for size in json.loads(done.stdout)]


def ours(mebibytes: int, milliseconds: float, repeats: int) -> dict[str, list[int]]:
    """Both figures of the memory pass, less what lives all the time."""
    given = arguments_of([("mebibytes", mebibytes), ("milliseconds", milliseconds)])
    workload = Workload("cnnbench.worker.oracles:holds", 1, _SHAPE, arguments=given)
    spec = Spec(workload, Mode(), Device(), 1)
    with asking(Processes()) as pool:
        request = MeasureMemory.planned(spec, Plan())
        found = [ask(pool, request, 120.0) for _ in range(repeats)]
    names = {"ours, allocator": "cpu_peak_bytes", "ours, high-water mark": "cpu_high_water_bytes"}
    return {
        way: [getattr(one, name) - one.resident_bytes for one in found]
        for way, name in names.items()
    }


def cell(sizes: list[int], held: int) -> str:
    """The median, and the error that is farthest from none."""
    errors = [100 * (size / _MIB / held - 1) for size in sizes]
    return f"{statistics.median(sizes) / _MIB:.1f} ({max(errors, key=abs):+.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mebibytes", type=int, default=64)
    parser.add_argument("--milliseconds", default="1,5,50")
    parser.add_argument("--repeats", type=int, default=10, help="of every way")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    options = parser.parse_args()
    held = options.mebibytes
    if options.alone:
        print(json.dumps(alone(options.alone, held, float(options.milliseconds), options.repeats)))
        return
    times = [float(text) for text in options.milliseconds.split(",")]
    rows: dict[str, list[list[int]]] = {}
    for milliseconds in times:
        others = {way: fresh(way, held, milliseconds, options.repeats) for way in WAYS}
        for way, found in (others | ours(held, milliseconds, options.repeats)).items():
            rows.setdefault(way, []).append(found)
    print(f"peak of {held} MiB held, in MiB: median of {options.repeats} (largest error in %)")
    print(f"{'':24}" + "".join(f"{f'for {time:g} ms':>22}" for time in times))
    for way, found in rows.items():
        print(f"{way:24}" + "".join(f"{cell(sizes, held):>22}" for sizes in found))
    print("target of ours, allocator: within 1 %")


if __name__ == "__main__":
    main()
