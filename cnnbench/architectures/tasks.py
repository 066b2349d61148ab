"""The inputs that each task gives a network and the loss of its training step.

The task is the only thing that knows the shape of inputs and targets; builders and workers do not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from cnnbench.architectures.pictures import photographs, pictures

Inputs = tuple[Any, ...]

# Objects in each image of a detection target, and regions in each image of an R-CNN.
OBJECTS = 8
REGIONS = 16


@dataclass(frozen=True)
class Task:
    """One kind of work.

    Attributes:
        inputs: ``(batch, sample_shape, generator) -> positional arguments`` of the module in
            inference, float32 on the CPU.
        loss: ``(module output, generator) -> scalar``, a training loss with seeded targets.
        training_inputs: the same as ``inputs`` for a training step, if a network in training mode
            takes other inputs (detection takes its targets); otherwise None.
        selects: outputs in inference are chosen by sorting scores, so rounding can exchange one for
            another.
    """

    inputs: Callable[[int, tuple[int, ...], torch.Generator], Inputs]
    loss: Callable[[Any, torch.Generator], Tensor]
    training_inputs: Callable[[int, tuple[int, ...], torch.Generator], Inputs] | None = None
    selects: bool = False


def _images(batch: int, sample: tuple[int, ...], generator: torch.Generator) -> Inputs:
    return (pictures(batch, sample, generator),)


def _noise(batch: int, sample: tuple[int, ...], generator: torch.Generator) -> Inputs:
    return (torch.randn((batch, *sample), generator=generator),)


# Weight of auxiliary heads as in the papers' training recipes (GoogLeNet, section 5: 0.3;
# Inception v3: 0.4).
_AUXILIARY_WEIGHT = {"GoogLeNetOutputs": 0.3, "InceptionOutputs": 0.4}


def _heads(output: Any) -> list[tuple[float, Tensor]]:
    """Return the heads of a classifier with their weight in the loss, the main one first."""
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
    # Cross entropy in float32 whatever the network's precision, like autocast and common recipes.
    losses = [weight * functional.cross_entropy(head.float(), target) for weight, head in heads]
    return torch.stack(losses).sum()


def _segmentation_loss(output: Any, generator: torch.Generator) -> Tensor:
    """Return the mean cross entropy over pixels; auxiliary heads count half, as in torchvision."""
    heads = {"out": output} if isinstance(output, Tensor) else output
    logits = heads["out"]
    shape = (logits.shape[0], *logits.shape[2:])
    target = torch.randint(logits.shape[1], shape, generator=generator).to(logits.device)
    losses = [
        (1.0 if name == "out" else 0.5) * functional.cross_entropy(head.float(), target)
        for name, head in heads.items()
    ]
    return torch.stack(losses).sum()


def _photographs(batch: int, sample: tuple[int, ...], generator: torch.Generator) -> Inputs:
    """Return a list of images with values from 0 to 1; detectors normalise and resize them."""
    return (list(photographs(batch, sample, generator)),)


def _boxes(count: int, sample: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return (count, 4) boxes x1, y1, x2, y2, at least a quarter of the image in each direction."""
    size = torch.tensor([sample[-1], sample[-2]], dtype=torch.float32)
    start = torch.rand((count, 2), generator=generator) * 0.5
    extent = 0.25 + torch.rand((count, 2), generator=generator) * 0.25
    return torch.cat([start * size, (start + extent) * size], dim=1)


def _with_targets(*kinds: str) -> Callable[[int, tuple[int, ...], torch.Generator], Inputs]:
    """Return a function that makes images and their targets: boxes, labels, and the kinds named."""

    def inputs(batch: int, sample: tuple[int, ...], generator: torch.Generator) -> Inputs:
        (images,) = _photographs(batch, sample, generator)
        return images, [_target(sample, generator, kinds) for _ in range(batch)]

    return inputs


def _target(
    sample: tuple[int, ...], generator: torch.Generator, kinds: tuple[str, ...]
) -> dict[str, Tensor]:
    boxes = _boxes(OBJECTS, sample, generator)
    # Label 1 exists for every number of classes; the label does not change the cost.
    target = {"boxes": boxes, "labels": torch.ones(OBJECTS, dtype=torch.int64)}
    if "masks" in kinds:
        masks = torch.rand((OBJECTS, *sample[-2:]), generator=generator) < 0.5
        target["masks"] = masks.to(torch.uint8)
    if "keypoints" in kinds:
        # The 17 keypoints of COCO, inside their boxes, all visible.
        inside = torch.rand((OBJECTS, 17, 2), generator=generator)
        start, end = boxes[:, None, :2], boxes[:, None, 2:]
        visible = torch.ones((OBJECTS, 17, 1))
        target["keypoints"] = torch.cat([start + inside * (end - start), visible], dim=2)
    return target


def _detection_loss(output: Any, generator: torch.Generator) -> Tensor:  # noqa: ARG001
    """Return the sum of the losses that a detector in training mode computes itself."""
    return torch.stack([loss.float() for loss in output.values()]).sum()


def _image_pair(batch: int, sample: tuple[int, ...], generator: torch.Generator) -> Inputs:
    """Return two batches of images with values from -1 to 1, as RAFT's preprocessing makes them."""
    first, second = (photographs(batch, sample, generator) * 2 - 1 for _ in range(2))
    return first, second


def _flow_loss(output: Any, generator: torch.Generator) -> Tensor:
    """Return RAFT's loss (arXiv:2003.12039, equation 7): later refinements weigh more."""
    predictions = [output] if isinstance(output, Tensor) else list(output)
    target = torch.randn(predictions[0].shape, generator=generator).to(predictions[0].device)
    weights = [0.8 ** (len(predictions) - 1 - step) for step in range(len(predictions))]
    losses = [
        weight * (prediction.float() - target).abs().mean()
        for weight, prediction in zip(weights, predictions, strict=True)
    ]
    return torch.stack(losses).sum()


def _images_and_regions(batch: int, sample: tuple[int, ...], generator: torch.Generator) -> Inputs:
    """Return (N, C, H, W) images and (N, REGIONS, 4) boxes in pixels."""
    (images,) = _images(batch, sample, generator)
    return images, torch.stack([_boxes(REGIONS, sample, generator) for _ in range(batch)])


def _region_loss(output: Any, generator: torch.Generator) -> Tensor:
    """Return cross entropy of the scores plus smooth L1 of the boxes (Fast R-CNN, equation 1)."""
    scores, offsets = output
    target = torch.randn(offsets.shape, generator=generator).to(offsets.device)
    boxes = functional.smooth_l1_loss(offsets.float(), target)
    return _classification_loss(scores, generator) + boxes


def _layer_loss(output: Any, generator: torch.Generator) -> Tensor:
    """Return a product with a seeded tensor, so that the gradient of a layer's output is random."""
    weight = torch.randn(output.shape, generator=generator).to(output.device)
    product: Tensor = output.float() * weight
    return product.mean()


TASKS: dict[str, Task] = {
    "classification": Task(_images, _classification_loss),
    "video": Task(_images, _classification_loss),
    "segmentation": Task(_images, _segmentation_loss),
    "detection": Task(_photographs, _detection_loss, _with_targets(), selects=True),
    "instance_segmentation": Task(
        _photographs, _detection_loss, _with_targets("masks"), selects=True
    ),
    "keypoints": Task(_photographs, _detection_loss, _with_targets("keypoints"), selects=True),
    "optical_flow": Task(_image_pair, _flow_loss),
    "regions": Task(_images_and_regions, _region_loss),
    "layer": Task(_noise, _layer_loss),
}
