"""The inputs that each task gives a network and the loss of its training step.

The task is the only thing that knows the shape of inputs; builders and workers do not. Losses and
their targets are the business of ``losses``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cnnbench.architectures import losses
from cnnbench.architectures.losses import Inputs
from cnnbench.architectures.pictures import photographs, pictures, uniform, white_noise
from cnnbench.asking import USUAL_REGIONS

# Objects in each image of a detection target.
OBJECTS = 8

# (batch, sample_shape, generator) -> the positional arguments of a module.
Maker = Callable[[int, tuple[int, ...], torch.Generator], Inputs]


@dataclass(frozen=True)
class Task:
    """One kind of work.

    Attributes:
        inputs: ``(batch, sample_shape, generator) -> positional arguments`` of the module in
            inference, float32 on the CPU.
        loss: of its training step.
        training_inputs: the same as ``inputs`` for a training step, if a network in training mode
            takes other inputs (detection takes its targets); otherwise None.
        selects: outputs in inference are chosen by sorting scores, so rounding can exchange one for
            another.
        regions: ``inputs`` for a number of regions of each image, where regions are an input.
    """

    inputs: Maker
    loss: losses.Terms
    training_inputs: Maker | None = None
    selects: bool = False
    regions: Callable[[int], Maker] | None = None


def _images(batch: int, sample: tuple[int, ...], generator: torch.Generator) -> Inputs:
    return (pictures(batch, sample, generator),)


def _noise(batch: int, sample: tuple[int, ...], generator: torch.Generator) -> Inputs:
    return (white_noise(batch, sample, generator),)


def _photographs(batch: int, sample: tuple[int, ...], generator: torch.Generator) -> Inputs:
    """Return a list of images with values from 0 to 1; detectors normalise and resize them."""
    return (list(photographs(batch, sample, generator)),)


def _boxes(count: int, sample: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return (count, 4) boxes x1, y1, x2, y2, at least a quarter of the image in each direction."""
    size = torch.tensor([sample[-1], sample[-2]], dtype=torch.float32)
    start = torch.rand((count, 2), generator=generator) * 0.5
    extent = 0.25 + torch.rand((count, 2), generator=generator) * 0.25
    return torch.cat([start * size, (start + extent) * size], dim=1)


def _with_targets(*kinds: str) -> Maker:
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
        masks = uniform((OBJECTS, *sample[-2:]), generator) < 0.5
        target["masks"] = masks.to(torch.uint8)
    if "keypoints" in kinds:
        # The 17 keypoints of COCO, inside their boxes, all visible.
        inside = torch.rand((OBJECTS, 17, 2), generator=generator)
        start, end = boxes[:, None, :2], boxes[:, None, 2:]
        visible = torch.ones((OBJECTS, 17, 1))
        target["keypoints"] = torch.cat([start + inside * (end - start), visible], dim=2)
    return target


def _image_pair(batch: int, sample: tuple[int, ...], generator: torch.Generator) -> Inputs:
    """Return two batches of images with values from -1 to 1, as RAFT's preprocessing makes them."""
    first, second = (photographs(batch, sample, generator) * 2 - 1 for _ in range(2))
    return first, second


def _images_and_regions(regions: int) -> Maker:
    """Return a function that makes (N, C, H, W) images and (N, regions, 4) boxes in pixels."""

    def inputs(batch: int, sample: tuple[int, ...], generator: torch.Generator) -> Inputs:
        (images,) = _images(batch, sample, generator)
        return images, torch.stack([_boxes(regions, sample, generator) for _ in range(batch)])

    return inputs


TASKS: dict[str, Task] = {
    # Networks that are in no catalogue.
    "any": Task(_images, losses.NAMED["auto"]),
    "classification": Task(_images, losses.classification),
    "video": Task(_images, losses.classification),
    "segmentation": Task(_images, losses.segmentation),
    "detection": Task(_photographs, losses.detection, _with_targets(), selects=True),
    "instance_segmentation": Task(
        _photographs, losses.detection, _with_targets("masks"), selects=True
    ),
    "keypoints": Task(_photographs, losses.detection, _with_targets("keypoints"), selects=True),
    "optical_flow": Task(_image_pair, losses.flow),
    "regions": Task(
        _images_and_regions(USUAL_REGIONS), losses.regions, regions=_images_and_regions
    ),
    "layer": Task(_noise, losses.layer),
}
