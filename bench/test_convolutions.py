"""Single convolutions of well-known networks, in both memory formats."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.functional import conv2d

# Name -> batch, channels in, height and width, channels out, kernel, stride, padding, groups.
LAYERS = {
    "alexnet conv1 11x11": (1, 3, 224, 64, 11, 4, 2, 1),
    "vgg16 conv3_1 3x3": (1, 128, 56, 256, 3, 1, 1, 1),
    "resnet18 layer2 3x3 stride 2": (1, 64, 56, 128, 3, 2, 1, 1),
    "resnet50 layer1 1x1": (1, 64, 56, 256, 1, 1, 0, 1),
    "mobilenet_v2 depthwise 3x3": (1, 144, 56, 144, 3, 1, 1, 144),
    "resnext50 grouped 3x3": (1, 128, 56, 128, 3, 1, 1, 32),
}
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("layer", LAYERS)
def test_convolution(benchmark: Any, layer: str, memory_format: str) -> None:
    batch, inside, size, outside, kernel, stride, padding, groups = LAYERS[layer]
    torch.manual_seed(0)
    chosen = FORMATS[memory_format]
    image = torch.randn(batch, inside, size, size).contiguous(memory_format=chosen)
    weight = torch.randn(outside, inside // groups, kernel, kernel).contiguous(memory_format=chosen)
    macs = (
        outside
        * (inside // groups)
        * kernel**2
        * ((size + 2 * padding - kernel) // stride + 1) ** 2
    )
    benchmark.group = layer
    benchmark.extra_info["macs"] = batch * macs

    with torch.inference_mode():
        out = benchmark.pedantic(
            lambda: conv2d(image, weight, None, stride, padding, groups=groups),
            rounds=50, warmup_rounds=10,
        )  # fmt: skip

    assert out.shape[1] == outside
