"""R-CNN and Fast R-CNN heads on VGG-16: regions of an image, scored and their boxes corrected.

Papers: Girshick et al., "Rich feature hierarchies" (arXiv:1311.2524), section 2 and appendix C, and
Girshick, "Fast R-CNN" (arXiv:1504.08083), figure 1 and section 2. Region proposals come from
outside and are an input. R-CNN runs the whole network on every region, Fast R-CNN its convolutions
once per image: the same regions, and a multiple of the work. Neither paper states a parameter
count.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align, roi_pool

from cnnbench.architectures.registry import register
from cnnbench.architectures.vgg import VGG16, features


class Regions(NamedTuple):
    """Scores (N x R, classes) and box offsets (N x R, 4 x classes) of all regions."""

    scores: Tensor
    offsets: Tensor


def _numbered(boxes: Tensor) -> Tensor:
    """(N, R, 4) boxes to (N x R, 5) with the number of their image in front."""
    images, regions, _ = boxes.shape
    number = torch.arange(images, device=boxes.device, dtype=boxes.dtype).repeat_interleave(regions)
    return torch.cat([number[:, None], boxes.reshape(-1, 4)], dim=1)


def _wide(maps: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Maps and numbered boxes in one type that the region operators know: none of 16 bits."""
    half = maps.dtype in (torch.float16, torch.bfloat16)
    kind = torch.float32 if half else maps.dtype
    return maps.to(kind), _numbered(boxes.to(kind))


def _fully_connected() -> nn.Sequential:
    """Return VGG-16's fc6 and fc7 on 512 maps of 7x7."""
    return nn.Sequential(
        *(nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Dropout(0.5)),
        *(nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(0.5)),
    )


class RCNN(nn.Module):
    """Warp each region to 224x224 and run VGG-16 on it; box regression sees the last max-pool."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.features = nn.Sequential(*features(in_channels, VGG16), nn.Flatten())
        self.fully_connected = _fully_connected()
        self.scores = nn.Linear(4096, num_classes)
        self.offsets = nn.Linear(512 * 7 * 7, 4 * num_classes)

    def forward(self, images: Tensor, boxes: Tensor) -> Regions:
        """Images (N, 3, H, W) and boxes (N, R, 4) in pixels."""
        # The paper warps with context around the box; the cost is that of the warped image.
        warped = roi_align(*_wide(images, boxes), (224, 224), sampling_ratio=1)
        pooled = self.features(warped.to(images.dtype))
        return Regions(self.scores(self.fully_connected(pooled)), self.offsets(pooled))


class FastRCNN(nn.Module):
    """Convolutions once, RoI max-pooling of conv5_3 to 7x7 per region, then fc6, fc7, two heads."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        # Section 2.2: RoI pooling replaces the last max-pool.
        self.features = nn.Sequential(*features(in_channels, VGG16)[:-1])
        self.fully_connected = _fully_connected()
        self.scores = nn.Linear(4096, num_classes)
        self.offsets = nn.Linear(4096, 4 * num_classes)

    def forward(self, images: Tensor, boxes: Tensor) -> Regions:
        """Images (N, 3, H, W) and boxes (N, R, 4) in pixels."""
        maps = self.features(images)
        pooled = roi_pool(*_wide(maps, boxes), (7, 7), spatial_scale=1 / 16)
        hidden = self.fully_connected(pooled.to(maps.dtype).flatten(1))
        return Regions(self.scores(hidden), self.offsets(hidden))


@register(
    "rcnn_vgg16",
    family="R-CNN",
    task="regions",
    year=2013,
    paper="arXiv:1311.2524, section 2 and appendix C, on VGG-16",
    input=(3, 600, 600),
    min_size=1,
    tags=("lecture", "detection"),
    notes="16 regions per image; MACs are proportional to the number of regions",
)
def rcnn_vgg16(num_classes: int = 21, in_channels: int = 3) -> nn.Module:
    """R-CNN; scores (N x R, classes) and offsets (N x R, 4 classes)."""
    return RCNN(num_classes, in_channels)


@register(
    "fast_rcnn_vgg16",
    family="Fast R-CNN",
    task="regions",
    year=2015,
    paper="arXiv:1504.08083, figure 1 and section 2",
    input=(3, 600, 600),
    min_size=16,
    tags=("lecture", "detection"),
    notes="16 regions per image; the convolutions are shared by all of them",
)
def fast_rcnn_vgg16(num_classes: int = 21, in_channels: int = 3) -> nn.Module:
    """Fast R-CNN; scores (N x R, classes) and offsets (N x R, 4 classes)."""
    return FastRCNN(num_classes, in_channels)
