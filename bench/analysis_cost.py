"""CPU seconds and memory of static cost: ours beside FlopCounterMode, fvcore and torchinfo.

Run ``python bench/analysis_cost.py`` (``--quick``: ten models; ``--skip-fvcore``: it takes a
minute). Every counter runs in a process of its own, on one thread, after all imports, over
torchvision's 80 classification models
at their published sizes, batch 1, building included. fvcore and torchinfo need real weights and get
224 pixels at
most.
"""

from __future__ import annotations

import argparse
import functools
import gc
import importlib.util
import json
import resource
import subprocess
import sys
import time
import warnings
from pathlib import Path

QUICK = ("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "mobilenet_v3_small",
         "regnet_y_400mf", "resnet50", "swin_t", "vgg16", "vit_b_16")  # fmt: skip


def models_to_run(quick):
    from torchvision import models

    return QUICK if quick else models.list_models(module=models)


def builder(name, size):
    from torchvision import models

    arguments = {"init_weights": False} if name in {"googlenet", "inception_v3"} else {}
    if name == "vit_h_14":
        arguments["image_size"] = size
    return functools.partial(models.get_model, name, weights=None, **arguments)


def published(name, limit=10_000):
    from torchvision import models

    weights = models.get_model_weights(name).DEFAULT
    (size,) = weights.transforms().crop_size
    small = size if name == "inception_v3" else min(size, limit)
    return small, weights.meta["_ops"] if small == size else None


def ours(name, size):
    import torch

    from cnnbench.analysis import analyze, build_on_meta, without_collector

    image = torch.empty(1, 3, size, size, device="meta")
    with without_collector():
        return analyze(build_on_meta(builder(name, size)), (image,), own=True).cost().macs


def flop_counter(name, size):
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from cnnbench.analysis import build_on_meta

    # Our builder, because it has none of its own and torch.device("meta") cannot build RegNets.
    module = build_on_meta(builder(name, size)).eval()
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        module(torch.empty(1, 3, size, size, device="meta"))
    return counter.get_total_flops() // 2


def fvcore_count(name, size):
    import torch
    from fvcore.nn import FlopCountAnalysis

    counter = FlopCountAnalysis(builder(name, size)().eval(), torch.zeros(1, 3, size, size))
    counter.unsupported_ops_warnings(enabled=False).uncalled_modules_warnings(enabled=False)
    return int(counter.total())


def torchinfo_count(name, size):
    import torch
    import torchinfo

    module = builder(name, size)().eval()
    with torch.no_grad():
        report = torchinfo.summary(module, (1, 3, size, size), device="cpu", verbose=0)
    return report.total_mult_adds


# name -> (counter, largest image, modules to import before the clock starts)
COUNTERS = {
    "cnnbench": (ours, 10_000, ("cnnbench.analysis",)),
    "FlopCounterMode on meta": (
        flop_counter,
        10_000,
        ("torch.utils.flop_counter", "cnnbench.analysis"),
    ),
    "fvcore": (fvcore_count, 224, ("fvcore.nn",)),
    "torchinfo": (torchinfo_count, 224, ("torchinfo",)),
}


def resident():
    """Bytes of memory now, and the highest ever."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) * 1024, resource.getrusage(
        resource.RUSAGE_SELF
    ).ru_maxrss * 1024


def measure(counter, quick):
    """Run one counter in this process and report as JSON."""
    warnings.simplefilter("ignore")
    import torch
    import torchvision  # noqa: F401

    torch.set_num_threads(1)
    count, limit, modules = COUNTERS[counter]
    for module in modules:
        importlib.import_module(module)
    names = models_to_run(quick)
    published("alexnet")
    gc.freeze()  # the collector need not scan what was imported, whoever counts
    imported, highest = resident()
    cpu, exact, comparable, worst = 0.0, 0, 0, (0, "")
    for name in names:
        size, gmacs = published(name, limit)
        start = time.process_time()
        macs = count(name, size)
        cpu += time.process_time() - start
        comparable += gmacs is not None
        exact += gmacs is not None and round(macs / 1e9, 3) == gmacs
        grown = resident()[1] - max(imported, highest)
        worst = max(worst, (grown, name))
    report = {"models": len(names), "cpu": cpu, "exact": exact, "comparable": comparable,
              "memory": worst[0]}  # fmt: skip
    sys.stdout.write(json.dumps(report) + "\n")


def child(counter, quick):
    command = [sys.executable, __file__, "--counter", counter, *(["--quick"] if quick else [])]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        return result.stderr.strip().splitlines()[-1]
    return json.loads(result.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="ten models instead of 80")
    parser.add_argument("--skip-fvcore", action="store_true")
    parser.add_argument("--counter", choices=COUNTERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.counter:
        measure(options.counter, options.quick)
        return
    print(f"{'counter':26}{'models':>8}{'CPU s':>9}{'exact':>9}{'MB above import':>18}")
    for counter in COUNTERS:
        if counter == "torchinfo" and importlib.util.find_spec("torchinfo") is None:
            print(f"{counter:26}{'not installed':>17}")
            continue
        if counter == "fvcore" and options.skip_fvcore:
            print(f"{counter:26}{'not measured':>17}")
            continue
        row = child(counter, options.quick)
        if isinstance(row, str):
            print(f"{counter:26}failed: {row}")
            continue
        exact = f"{row['exact']}/{row['comparable']}"
        print(
            f"{counter:26}{row['models']:8}{row['cpu']:9.2f}{exact:>9}{row['memory'] / 1e6:18.1f}"
        )


if __name__ == "__main__":
    main()
