"""Highway network: each layer gates between its transform and its input.

Papers: Srivastava, Greff, Schmidhuber, "Highway Networks" (arXiv:1505.00387) and "Training Very
Deep Networks" (arXiv:1507.06228), section 4.2: for CIFAR-10 the 19-layer Highway network takes the
widths of FitNet 4 (Romero et al., arXiv:1412.6550) and has 2.3 M parameters. Layers that change the
width cannot carry their input and are plain convolutions; this reproduces the stated 2.3 M.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cnnbench.architectures.registry import register
from cnnbench.architectures.resnet import head

# Widths of FitNet 4; "pool" halves the map.
_LAYERS: tuple[int | str, ...] = (32, 32, 32, 48, 48, "pool", *(80,) * 6, "pool", *(128,) * 6)


class Highway(nn.Module):
    """H(x) T(x) + x (1 - T(x)), both 3x3 convolutions; the gate starts nearly closed (bias -1)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.transform = nn.Conv2d(width, width, 3, padding=1)
        self.gate = nn.Conv2d(width, width, 3, padding=1)
        nn.init.constant_(self.gate.bias, -1.0)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        gate = torch.sigmoid(self.gate(x))
        return torch.relu(self.transform(x)) * gate + x * (1 - gate)


@register(
    "highway_cifar",
    family="Highway",
    task="classification",
    year=2015,
    paper="arXiv:1507.06228, table 2: 19 layers, 2.3 M parameters; widths of FitNet 4",
    input=(3, 32, 32),
    min_size=4,
    tags=("cifar",),
    notes="the paper rounds its count and leaves open how a layer changes its width",
)
def highway_cifar(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """Seventeen 3x3 layers of 32 to 128 maps, two max-pools, mean, fc; logits (N, classes)."""
    layers: list[nn.Module] = []
    width_in = in_channels
    for width in _LAYERS:
        if isinstance(width, str):
            layers.append(nn.MaxPool2d(2))
        elif width == width_in:
            layers.append(Highway(width))
        else:
            layers += [nn.Conv2d(width_in, width, 3, padding=1), nn.ReLU()]
            width_in = width
    return nn.Sequential(*layers, *head(width_in, num_classes))
