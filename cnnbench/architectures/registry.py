"""The table of architectures: name, task and builder of each.

Knows nothing of benchmarks, modes or devices. A family file registers its networks when it is
imported; importing builds nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Architecture:
    """One named network.

    Attributes:
        name: the catalogue name, lower case, unique.
        family: the name of its kind in the paper or library ("ResNet").
        task: a key of ``tasks.TASKS``; it says what goes in and what a training step minimises.
        input: shape of one sample without the batch axis, e.g. ``(3, 224, 224)``.
        build: makes the module with random weights; takes keyword arguments only.
        year: of the paper.
        paper: author, title or arXiv number, and the table the numbers come from.
        params: the published parameter count, exact; an executable claim about ``build(**claim)``.
        macs: published multiply-accumulates of one input sample at ``input``, if stated.
        top1, top5: published ImageNet accuracy in percent.
        weights: name of the weights that they belong to; ``None`` where they are a paper's.
        min_size: smallest height and width the network accepts.
        tags: words to select by.
        source: where code and numbers come from ("cnnbench", "torchvision", "timm", "user").
        notes: facts that a reader of the numbers needs.
        claim: the builder's arguments under which ``params`` and ``macs`` hold, where its defaults
            build another variant (torchvision counts GoogLeNet without its auxiliary heads).
        inputs: as ``Task.inputs``, where the task does not say what goes in.
    """

    name: str
    family: str
    task: str
    input: tuple[int, ...]
    build: Callable[..., nn.Module]
    year: int | None = None
    paper: str = ""
    params: int | None = None
    macs: int | None = None
    top1: float | None = None
    top5: float | None = None
    weights: str | None = None
    min_size: int | None = None
    tags: tuple[str, ...] = ()
    source: str = "cnnbench"
    notes: str = field(default="", compare=False)
    claim: Mapping[str, Any] = field(default_factory=dict, compare=False)
    inputs: Callable[..., tuple[Any, ...]] | None = field(default=None, compare=False)


_TABLE: dict[str, Architecture] = {}


def add(architecture: Architecture) -> None:
    """Add an architecture to the table.

    Raises:
        ValueError: its name is taken.
    """
    if architecture.name in _TABLE:
        raise ValueError(f"architecture '{architecture.name}' is registered twice")
    _TABLE[architecture.name] = architecture


def register(
    name: str, **facts: Any
) -> Callable[[Callable[..., nn.Module]], Callable[..., nn.Module]]:
    """Register the decorated builder; ``facts`` are the other fields of Architecture."""

    def decorate(build: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        add(Architecture(name=name, build=build, **facts))
        return build

    return decorate


def table() -> dict[str, Architecture]:
    """Return a copy of everything registered so far."""
    return dict(_TABLE)
