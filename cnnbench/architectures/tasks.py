"""What each task feeds a network and what its training step minimises.

The task is the only thing that knows the shape of inputs and targets; builders and workers do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

Inputs = tuple[Any, ...]


@dataclass(frozen=True)
class Task:
    """One kind of work.

    Attributes:
        inputs: ``(batch, sample_shape, generator) -> positional arguments`` of the module, float32 on the CPU.
        loss: ``(module output, generator) -> scalar``, a training loss with seeded targets.
    """

    inputs: Callable[[int, tuple[int, ...], torch.Generator], Inputs]
    loss: Callable[[Any, torch.Generator], Tensor]


def _images(batch: int, sample: tuple[int, ...], generator: torch.Generator) -> Inputs:
    return (torch.randn((batch, *sample), generator=generator),)


# Weights of auxiliary heads as in the papers' training recipes (GoogLeNet section 5: 0.3; Inception v3: 0.4).
_AUXILIARY_WEIGHT = {"GoogLeNetOutputs": 0.3, "InceptionOutputs": 0.4}


def _heads(output: Any) -> list[tuple[float, Tensor]]:
    """The heads of a classifier with their weight in the loss; the first is the main one."""
    if isinstance(output, Tensor):
        return [(1.0, output)]
    heads = [head for head in output if head is not None]
    weight = _AUXILIARY_WEIGHT.get(type(output).__name__, 0.3)
    return [(1.0, heads[0]), *((weight, head) for head in heads[1:])]


def _classification_loss(output: Any, generator: torch.Generator) -> Tensor:
    heads = _heads(output)
    logits = heads[0][1]
    target = torch.randint(logits.shape[-1], (logits.shape[0],), generator=generator)
    target = target.to(logits.device)
    # Cross entropy in float32 whatever the network's precision: what autocast does, and what recipes do.
    losses = [weight * functional.cross_entropy(head.float(), target) for weight, head in heads]
    return torch.stack(losses).sum()


TASKS: dict[str, Task] = {
    "classification": Task(_images, _classification_loss),
}
