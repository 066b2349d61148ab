"""Fully convolutional networks on VGG-16: FCN-32s, FCN-16s and FCN-8s.

Paper: Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation"
(arXiv:1411.4038), figure 3; table 1 states 134 M parameters for FCN-VGG16, which leaves out the
kernels that interpolate. Padding of 100 pixels and the crops are those of the authors' Caffe
models; as in section 4.3 the last interpolation is fixed to bilinear and those before it are
learned.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

from cnnbench.architectures.registry import Architecture, add
from cnnbench.architectures.vgg import VGG16, block


def _bilinear(classes: int, factor: int, *, learned: bool) -> nn.Module:
    """Return a transposed convolution that enlarges each map ``factor`` times on its own."""
    layer = nn.ConvTranspose2d(classes, classes, 2 * factor, factor, bias=False)
    ramp = 1 - (torch.arange(2 * factor) - (factor - 0.5)).abs() / factor
    kernel = torch.eye(classes)[:, :, None, None] * (ramp[:, None] * ramp[None, :])
    with torch.no_grad():
        layer.weight.copy_(kernel)
    layer.weight.requires_grad_(learned)
    return layer


def _crop(x: Tensor, offset: int, size: tuple[int, int]) -> Tensor:
    return x[:, :, offset : offset + size[0], offset : offset + size[1]]


class FCN(nn.Module):
    """VGG-16 as convolutions, scores at stride 32 and, added on the way up, at 16 and 8."""

    # Crop of the output for each stride, and of the scores that are added (Caffe models).
    _LAST_CROP = {32: 19, 16: 27, 8: 31}  # noqa: RUF012  a constant

    def __init__(self, num_classes: int, in_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        widths = (in_channels, *(width for _, width in VGG16))
        self.stages = nn.ModuleList(
            nn.Sequential(*block(width_in, width, convolutions), nn.MaxPool2d(2, 2, ceil_mode=True))
            for width_in, (convolutions, width) in zip(widths, VGG16, strict=False)
        )
        first = self.stages[0].get_submodule("0")
        assert isinstance(first, nn.Conv2d)  # noqa: S101  for the type checker
        first.padding = (100, 100)
        self.classifier = nn.Sequential(
            *(nn.Conv2d(512, 4096, 7), nn.ReLU(), nn.Dropout2d(0.5)),
            *(nn.Conv2d(4096, 4096, 1), nn.ReLU(), nn.Dropout2d(0.5)),
            nn.Conv2d(4096, num_classes, 1),
        )
        self.score_pool4 = nn.Conv2d(512, num_classes, 1) if stride < 32 else None
        self.score_pool3 = nn.Conv2d(256, num_classes, 1) if stride < 16 else None
        self.up_32 = _bilinear(num_classes, 2, learned=True) if stride < 32 else None
        self.up_16 = _bilinear(num_classes, 2, learned=True) if stride < 16 else None
        self.up = _bilinear(num_classes, stride, learned=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to logits (N, classes, H, W)."""
        size = (x.shape[2], x.shape[3])
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        scores = self.classifier(x)
        if self.up_32 is not None and self.score_pool4 is not None:
            scores = self.up_32(scores)
            scores = scores + _crop(self.score_pool4(maps[3]), 5, scores.shape[2:])
        if self.up_16 is not None and self.score_pool3 is not None:
            scores = self.up_16(scores)
            scores = scores + _crop(self.score_pool3(maps[2]), 9, scores.shape[2:])
        return _crop(self.up(scores), self._LAST_CROP[self.stride], size)


def fcn(num_classes: int = 21, in_channels: int = 3, *, stride: int = 32) -> nn.Module:
    """FCN-32s, -16s or -8s; logits (N, classes, H, W)."""
    return FCN(num_classes, in_channels, stride)


for _stride in (32, 16, 8):
    add(
        Architecture(
            name=f"fcn{_stride}s",
            family="FCN",
            task="segmentation",
            year=2014,
            paper="arXiv:1411.4038, figure 3 and table 1: 134 M parameters, interpolation aside",
            input=(3, 500, 500),
            build=functools.partial(fcn, stride=_stride),
            min_size=1,
            tags=("segmentation",),
        )
    )
