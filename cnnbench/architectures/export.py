"""The catalogue as text: one JSON row per architecture, counted on the meta device.

Published numbers are claims and stand in the code. Parameters and MACs of a row are counted, by the
analysis that ``cnnbench cost`` asks too, so that no command states another number than the others;
what a source publishes of its MACs is a fact of its own beside them.
"""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

import torch
import torchvision

from cnnbench import analysis
from cnnbench.architectures import catalogue
from cnnbench.architectures.tasks import TASKS

if TYPE_CHECKING:
    from cnnbench.architectures.registry import Architecture


def count(architecture: Architecture, **arguments: Any) -> analysis.Analysis:
    """Count one sample in inference, of what ``arguments`` to the builder make."""
    module = analysis.build_on_meta(functools.partial(architecture.build, **arguments))
    given = TASKS[architecture.task].inputs(1, architecture.input, torch.Generator())
    return analysis.analyze(module, given, own=True)


def row(architecture: Architecture) -> dict[str, Any]:
    """Return the fields of ``cnnbench.catalogue.CatalogueEntry``."""
    counted = count(architecture)
    return {
        "name": architecture.name,
        "family": architecture.family,
        "task": architecture.task,
        "year": architecture.year,
        "paper": architecture.paper,
        "input": list(architecture.input),
        "params": counted.params,
        "macs": counted.macs,
        "published_macs": architecture.macs,
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
