"""Memory that analysing one torchvision model takes above the import, for each of them.

Run as ``python bench/analysis_footprint.py``. Every model is built on meta and analysed in a forked
process of its own; what is printed is the growth of that process's high-water mark.
"""

from __future__ import annotations

import os

import torch

from cnnbench import analysis, architectures
from cnnbench.architectures.tasks import TASKS
from cnnbench.worker.memory import status_bytes, stop_malloc_caching


def analyse(name: str) -> None:
    """Build and count one model, as a worker of ``cnnbench cost`` does."""
    stop_malloc_caching()
    architecture = architectures.resolve(name)
    generator = torch.Generator().manual_seed(0)
    inputs = TASKS[architecture.task].inputs(1, architecture.input, generator)
    module = analysis.build_on_meta(lambda: architectures.build(architecture))
    analysis.analyze(module, inputs)


def footprint(name: str) -> int:
    """Bytes by which a process grows that analyses one model."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        before = status_bytes("VmRSS") or 0
        analyse(name)
        os.write(writer, str((status_bytes("VmHWM") or 0) - before).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    return int(text)


def main() -> None:
    """Print the largest footprints and how many models there were."""
    torch.set_num_threads(1)
    table = architectures.catalogue()
    names = [name for name, one in table.items() if one.source.startswith("torchvision")]
    # What is imported on first use belongs to the import.
    analyse("resnet18")
    found = sorted(((footprint(name), name) for name in names), reverse=True)
    print(f"{len(found)} models; MB above import")
    for size, name in found[:10]:
        print(f"{size / 1e6:8.1f}  {name}")


if __name__ == "__main__":
    main()
