"""The catalogue as text: one JSON row per architecture, counted on the meta device.

Published numbers are claims and are in the code. The numbers written here are counted, except the
MACs of torchvision's models, which come from its own metadata.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
import torchvision
from torch.utils.flop_counter import FlopCounterMode

from cnnbench.architectures import catalogue
from cnnbench.architectures.meta import on_meta
from cnnbench.architectures.tasks import TASKS

if TYPE_CHECKING:
    from cnnbench.architectures.registry import Architecture


def count_parameters(architecture: Architecture, **arguments: Any) -> int:
    """Parameters of the network, each counted once, frozen ones included."""
    module = on_meta(architecture.build, **arguments)
    return sum(parameter.numel() for parameter in module.parameters())


def count_macs(architecture: Architecture) -> int:
    """Multiply-accumulates of one sample in inference (FLOPs of torch's counter, halved)."""
    module = on_meta(architecture.build).eval()
    inputs = TASKS[architecture.task].inputs(1, architecture.input, torch.Generator())
    counter = FlopCounterMode(display=False)
    with counter:
        module(*(tensor.to("meta") for tensor in inputs))
    return int(counter.get_total_flops()) // 2


def row(architecture: Architecture) -> dict[str, Any]:
    """Return the fields of ``cnnbench.catalogue.Entry``."""
    macs = architecture.macs
    return {
        "name": architecture.name,
        "family": architecture.family,
        "task": architecture.task,
        "year": architecture.year,
        "paper": architecture.paper,
        "input": list(architecture.input),
        "params": count_parameters(architecture),
        "macs": count_macs(architecture) if macs is None else macs,
        "top1": architecture.top1,
        "min_size": architecture.min_size,
        "tags": list(architecture.tags),
        "source": architecture.source.split()[0],
    }


def text() -> str:
    """Return the content of ``catalogue.json``: sorted by name, a line per row."""
    rows = [row(architecture) for _, architecture in sorted(catalogue().items())]
    lines = ",\n".join(json.dumps(fields, ensure_ascii=False) for fields in rows)
    version = torchvision.__version__.split("+")[0]
    return f'{{"torchvision": "{version}", "architectures": [\n{lines}\n]}}\n'
