"""torchvision's segmentation, detection and optical flow models, without weights.

They are built like the published ones: segmentation with its auxiliary head, detection with the
frozen batch norm of a pre-trained backbone. For random weights, torchvision itself builds neither,
and its parameter counts then do not hold. In contrast to torchvision's fine-tuning default, the
first stages of a detector's backbone stay trainable.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from torch import nn
from torchvision import models
from torchvision.ops import FrozenBatchNorm2d

from cnnbench.architectures import registry, torchvision_models, variants

if TYPE_CHECKING:
    from collections.abc import Callable

    from torchvision.models.detection.transform import GeneralizedRCNNTransform

# torchvision counts and evaluates at these sizes; detectors resize to their own size inside.
_SEGMENTATION = (3, 520, 520)
_DETECTION = (3, 512, 512)
_FLOW = (3, 512, 512)

_FROZEN = frozenset(
    {
        "fasterrcnn_mobilenet_v3_large_320_fpn",
        "fasterrcnn_mobilenet_v3_large_fpn",
        "fasterrcnn_resnet50_fpn",
        "fcos_resnet50_fpn",
        "keypointrcnn_resnet50_fpn",
        "maskrcnn_resnet50_fpn",
        "retinanet_resnet50_fpn",
    }
)


def freeze_norms(module: nn.Module) -> None:
    """Replace each batch norm inside by one whose scale, shift and statistics are constants."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, FrozenBatchNorm2d(child.num_features, eps=child.eps))
        else:
            freeze_norms(child)


def _detector(name: str, *, frozen_norm: bool, **arguments: Any) -> nn.Module:
    model = torchvision_models.build(name, **arguments)
    if "in_channels" in arguments:
        # The detector normalises its images itself, per channel.
        transform = cast("GeneralizedRCNNTransform", model.get_submodule("transform"))
        transform.image_mean = [0.5] * arguments["in_channels"]
        transform.image_std = [0.25] * arguments["in_channels"]
    if frozen_norm:
        freeze_norms(model.get_submodule("backbone"))
    return model


def _raft(name: str, *, in_channels: int = 3, **arguments: Any) -> nn.Module:
    model = torchvision_models.build(name, **arguments)
    for encoder in ("feature_encoder", "context_encoder") if in_channels != 3 else ():
        variants.with_in_channels(model.get_submodule(encoder), in_channels)
    return model


def _register(name: str, build: Callable[..., nn.Module], **facts: Any) -> None:
    registry.add(replace(torchvision_models.facts(name, **facts), build=build))


def _task(name: str) -> str:
    kinds = {"maskrcnn": "instance_segmentation", "keypointrcnn": "keypoints"}
    return kinds.get(name.split("_")[0], "detection")


for _name in models.list_models(module=models.segmentation):
    # LR-ASPP has no auxiliary head.
    _extra = {} if _name.startswith("lraspp") else {"aux_loss": True}
    _build = functools.partial(torchvision_models.build, _name, **_extra)
    _register(_name, _build, task="segmentation", shape=_SEGMENTATION, tags=("segmentation",))

for _name in models.list_models(module=models.detection):
    _build = functools.partial(_detector, _name, frozen_norm=_name in _FROZEN)
    _register(_name, _build, task=_task(_name), shape=_DETECTION, tags=("detection",))

for _name in models.list_models(module=models.optical_flow):
    _build = functools.partial(_raft, _name)
    _register(_name, _build, task="optical_flow", shape=_FLOW, tags=("optical_flow",))
