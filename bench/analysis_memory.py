"""Predicted peak memory beside the CPU allocator's own: eight networks, batch 4, 224 pixels.

Run ``python bench/analysis_memory.py [--batch N] [--size S] [NAME …]``; about two minutes on one
thread. "tensors" is the prediction without, "all" with what oneDNN is modelled to hold inside
convolutions. Parameters,
input and optimiser state are in neither column: what remains is what the passes allocate in a
steady-state step.
"""

from __future__ import annotations

import argparse
import gc
import warnings

import torch
from torch.profiler import ProfilerActivity, profile
from torchvision import models

from cnnbench.analysis import analyze

NAMES = ("resnet50", "mobilenet_v2", "vgg16", "densenet121", "vit_b_16", "convnext_tiny",
         "efficientnet_b0", "swin_t")  # fmt: skip


def allocated(call):
    """Peak of the CPU allocator over a call, from the profiler's memory events."""
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as prof:
        call()
    events = [e for e in prof.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak


def truth(module, image, phase):
    module.train(phase == "training")
    optimizer = torch.optim.SGD(module.parameters(), 1e-3, momentum=0.9)

    def call():
        if phase == "inference":
            with torch.no_grad():
                module(image)
            return
        output = module(image)
        output.backward(torch.ones_like(output))
        optimizer.step()

    call()
    optimizer.zero_grad(set_to_none=True)
    return allocated(call)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("names", nargs="*", default=NAMES)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    print(
        f"{'model':18}{'phase':11}{'tensors MiB':>12}{'all MiB':>10}{'allocator':>11}{'error':>9}"
    )
    for name in options.names:
        arguments = {"image_size": options.size} if name.startswith("vit") else {}
        module = models.get_model(name, weights=None, **arguments)
        image = torch.randn(options.batch, 3, options.size, options.size)
        for phase in ("inference", "training"):
            memory = analyze(module, (image,), phase=phase, optimizer="momentum").memory
            resident = memory.params + memory.buffers + memory.input + memory.optimizer_state
            tensors = memory.peak - resident
            peak = truth(module, image, phase)
            row = (tensors, tensors + memory.scratch, peak)
            cells = "".join(
                f"{value / 2**20:{w}.2f}" for value, w in zip(row, (12, 10, 11), strict=True)
            )
            print(f"{name:18}{phase:11}{cells}{row[1] / peak - 1:9.2%}", flush=True)


if __name__ == "__main__":
    main()
