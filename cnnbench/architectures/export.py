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
from cnnbench.catalogue import CatalogueEntry

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
        "top5": architecture.top5,
        "weights": architecture.weights,
        "depth": counted.depth,
        "min_size": architecture.min_size,
        "tags": list(architecture.tags),
        "source": architecture.source.split()[0],
    }


def of_timm(architecture: Architecture, *, built: bool) -> CatalogueEntry:
    """Return what is known of a model of timm's; parameters only if it is to be built."""
    return CatalogueEntry(
        name=architecture.name,
        family=architecture.family,
        task=architecture.task,
        paper=architecture.paper,
        input=architecture.input,
        params=_params(architecture) if built else None,
        min_size=architecture.min_size,
        tags=architecture.tags,
        source=architecture.source,
    )


def _params(architecture: Architecture) -> int | None:
    """Return the parameters of a network, or None if it cannot be built here."""
    try:
        module = analysis.build_on_meta(architecture.build)
    except Exception:  # noqa: BLE001 - it is another package's code; one model costs only its own
        return None
    return sum(one.numel() for one in module.parameters())


def text() -> str:
    """Return the content of ``catalogue.json``: sorted by name, a line per row."""
    rows = [row(architecture) for _, architecture in sorted(catalogue().items())]
    lines = ",\n".join(json.dumps(fields, ensure_ascii=False) for fields in rows)
    version = torchvision.__version__.split("+")[0]
    return f'{{"torchvision": "{version}", "architectures": [\n{lines}\n]}}\n'
