"""Peak memory of one inference by the two methods for CPU, each network in a worker of its own.

Run ``python bench/memory_methods.py [--batch N] [--threads N] [NAME …]``; about a minute. The
allocator's peak sums the profiler's memory events; the high-water mark is the kernel's own, with
malloc's caching switched off. They share nothing, so they are to agree: within 2 %. Both columns
are without what lives before the step (parameters, buffers, input), which would flatter them.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from cnnbench.plan import Plan
from cnnbench.record import Memory
from cnnbench.requests import MeasureMemory
from cnnbench.runner.inquiry import ask
from cnnbench.runner.process import Processes
from cnnbench.spec import Device, Mode, Spec, Workload

NAMES = ("resnet18", "vgg11", "mobilenet_v2", "densenet121", "squeezenet1_1", "googlenet")
MIB = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("names", nargs="*", default=NAMES)
    options = parser.parse_args()
    print(f"{'model':16}{'allocator MiB':>15}{'high-water MiB':>16}{'difference':>12}")
    with tempfile.TemporaryDirectory() as folder, Processes().open(Path(folder)) as pool:
        for name in options.names:
            workload = Workload(name, options.batch, (3, 224, 224))
            spec = Spec(workload, Mode(), Device(), options.threads)
            request = MeasureMemory.planned(spec, Plan())
            print(row(name, ask(pool, request, 600.0)), flush=True)


def row(name: str, memory: Memory) -> str:
    if memory.cpu_high_water_bytes is None:
        return f"{name:16}  {memory.missing}"
    peaks = (memory.cpu_peak_bytes, memory.cpu_high_water_bytes)
    allocator, water = (peak - memory.resident_bytes for peak in peaks)
    return f"{name:16}{allocator / MIB:15.2f}{water / MIB:16.2f}{water / allocator - 1:12.2%}"


if __name__ == "__main__":
    main()
