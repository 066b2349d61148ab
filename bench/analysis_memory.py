"""Predicted peak memory beside the CPU allocator's own: eight networks, batch 4, 224 pixels.

Run ``python bench/analysis_memory.py [--batch N] [--size S] [NAME …]``; about ten minutes on one
thread. "tensors" is the prediction without, "all" with what kernels are modelled to hold inside;
"not known" marks a case of which the analysis says that something inside is not known. Parameters,
input and optimiser state are in neither column: what remains is what the passes allocate in a
steady-state step. Further rows: recurrent layers, an encoder, AMP in bfloat16, and Adam in
two ways: parameter after parameter, and all at once (``foreach=True``).
"""

from __future__ import annotations

import argparse
import functools
import gc
import warnings

import torch
from torch import nn
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


class First(nn.Module):
    """What a recurrent layer returns first."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)[0]


def encoder():
    layer = nn.TransformerEncoderLayer(256, 4, 1024, batch_first=True, dropout=0.0)
    return nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)


LAYERS = {
    "LSTM": lambda: First(nn.LSTM(128, 256, 2, batch_first=True)),
    "GRU": lambda: First(nn.GRU(128, 256, 2, batch_first=True)),
    "encoder": encoder,
}
# As ``run`` steps, and all parameters at once, as torch's default on CUDA does.
OPTIMIZERS = {
    "momentum": lambda found: torch.optim.SGD(found, 1e-3, momentum=0.9),
    "adam": torch.optim.Adam,
    "foreach": functools.partial(torch.optim.Adam, foreach=True),
}


def truth(module, given, phase, lower, optimizer):
    module.train(phase == "training")
    optimizer = OPTIMIZERS[optimizer](list(module.parameters()))
    region = torch.autocast("cpu", torch.bfloat16, enabled=lower is not None)

    def call():
        with torch.set_grad_enabled(phase == "training"), region:
            output = module(given)
        if phase == "training":
            output.backward(torch.ones_like(output))
            optimizer.step()

    call()
    optimizer.zero_grad(set_to_none=True)
    return allocated(call)


def row(label, module, given, phase, lower=None, optimizer="momentum"):
    asked = OPTIMIZERS[optimizer] if optimizer == "foreach" else optimizer
    found = analyze(module, (given,), phase=phase, optimizer=asked, autocast=lower)
    memory = found.memory
    resident = memory.params + memory.buffers + memory.input + memory.optimizer_state
    tensors = memory.peak - resident
    peak = truth(module, given, phase, lower, optimizer)
    sizes = (tensors, tensors + memory.scratch, peak)
    cells = "".join(f"{size / 2**20:{w}.2f}" for size, w in zip(sizes, (12, 10, 11), strict=True))
    unknown = any("is not known" in sentence for sentence in found.assumptions)
    note = "  not known" if unknown else ""
    print(f"{label:29}{phase:11}{cells}{sizes[1] / peak:9.4f}{note}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("names", nargs="*", default=(*LAYERS, *NAMES))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    print(f"{'':29}{'phase':11}{'tensors MiB':>12}{'all MiB':>10}{'allocator':>11}{'ratio':>9}")
    for name in options.names:
        if name in LAYERS:
            width = 256 if name == "encoder" else 128
            for phase in ("inference", "training"):
                row(name, LAYERS[name](), torch.randn(8, 100, width), phase)
            continue
        arguments = {"image_size": options.size} if name.startswith("vit") else {}
        module = models.get_model(name, weights=None, **arguments)
        image = torch.randn(options.batch, 3, options.size, options.size)
        for phase in ("inference", "training"):
            row(name, module, image, phase)
            row(f"{name} amp=bf16", module, image, phase, torch.bfloat16)
        row(f"{name} adam", module, image, "training", optimizer="adam")
        row(f"{name} adam foreach", module, image, "training", optimizer="foreach")


if __name__ == "__main__":
    main()
