"""LeNet: as LeCun et al. published it, as it is usually taught, and as lectures draw it today.

Paper: LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document Recognition"
(1998), figure 2, section II-B and table I.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from cnnbench.architectures.registry import register

# Table I: the maps of S2 that each of the 16 maps of C3 sees.
_C3_SEES = (
    *[tuple((start + offset) % 6 for offset in range(3)) for start in range(6)],
    *[tuple((start + offset) % 6 for offset in range(4)) for start in range(6)],
    (0, 1, 3, 4),
    (1, 2, 4, 5),
    (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)


@register(
    "lenet",
    family="LeNet",
    task="classification",
    year=1998,
    paper="LeCun et al. 1998, figure 2 (ReLU, max-pooling)",
    input=(3, 32, 32),
    params=62_006,
    min_size=32,
    tags=("lecture", "cifar", "small", "quick"),
)
def lenet(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """Conv 6 5x5, pool, conv 16 5x5, pool, fc 400-120-84-classes; logits of shape (N, classes)."""
    return nn.Sequential(
        nn.Conv2d(in_channels, 6, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, num_classes),
    )


@register(
    "lenet5_tanh",
    family="LeNet",
    task="classification",
    year=1998,
    paper="LeCun et al. 1998, figure 2 (every map of C3 sees all of S2, linear output)",
    input=(1, 32, 32),
    min_size=32,
    tags=("lecture", "mnist", "small"),
)
def lenet5_tanh(num_classes: int = 10, in_channels: int = 1) -> nn.Module:
    """LeNet-5 as it is usually taught: tanh and plain average pooling; logits (N, classes)."""
    return nn.Sequential(
        nn.Conv2d(in_channels, 6, 5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.Tanh(),
        nn.Linear(120, 84),
        nn.Tanh(),
        nn.Linear(84, num_classes),
    )


class ScaledTanh(nn.Module):
    """1.7159 tanh(2x/3), the squashing function of the paper's appendix A."""

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        return 1.7159 * torch.tanh(x * (2 / 3))


class Subsampling(nn.Module):
    """S2 and S4: the mean of 2x2 inputs, times a trainable coefficient, plus a bias, per map."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.coefficient = nn.Parameter(torch.ones(maps, 1, 1))
        self.bias = nn.Parameter(torch.zeros(maps, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, maps, H, W) to (N, maps, H/2, W/2)."""
        return functional.avg_pool2d(x, 2) * self.coefficient + self.bias


class PartialConv(nn.Module):
    """C3: each output map is a convolution over its own choice of input maps."""

    order: Tensor

    def __init__(self, sees: tuple[tuple[int, ...], ...], kernel: int) -> None:
        super().__init__()
        self.sees = sees
        self.maps = nn.ModuleList(nn.Conv2d(len(inputs), 1, kernel) for inputs in sees)
        self.register_buffer("order", torch.tensor([each for inputs in sees for each in inputs]))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 6, H, W) to (N, 16, H-4, W-4)."""
        sizes = [len(inputs) for inputs in self.sees]
        chosen = torch.split(x.index_select(1, self.order), sizes, dim=1)
        pairs = zip(self.maps, chosen, strict=True)
        return torch.cat([conv(inputs) for conv, inputs in pairs], dim=1)


class RadialOutput(nn.Module):
    """The Euclidean RBF units of the output layer; the codes are fixed, not trained.

    The paper draws each code as a 7x12 bitmap of the character and says that random +1/-1 would do
    as well; these are random. The sign is turned so that, as everywhere else, the largest wins.
    """

    codes: Tensor

    def __init__(self, features: int, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("codes", torch.randint(0, 2, (num_classes, features)) * 2.0 - 1.0)

    def forward(self, x: Tensor) -> Tensor:
        """(N, features) to (N, classes): minus the squared distance to each code."""
        return -(x.unsqueeze(1) - self.codes).square().sum(dim=2)


@register(
    "lenet5",
    family="LeNet",
    task="classification",
    year=1998,
    paper="LeCun et al. 1998, section II-B and table I: 60,000 trainable parameters",
    input=(1, 32, 32),
    params=60_000,
    min_size=32,
    tags=("lecture", "mnist", "small"),
)
def lenet5(num_classes: int = 10, in_channels: int = 1) -> nn.Module:
    """LeNet-5 to the letter: C1 156, S2 12, C3 1,516, S4 32, C5 48,120, F6 10,164 parameters.

    Average pooling with trainable coefficients, the partial connections of table I, and RBF outputs
    with fixed codes; scores of shape (N, classes).
    """
    return nn.Sequential(
        nn.Conv2d(in_channels, 6, 5),
        ScaledTanh(),
        Subsampling(6),
        ScaledTanh(),
        PartialConv(_C3_SEES, 5),
        ScaledTanh(),
        Subsampling(16),
        ScaledTanh(),
        nn.Conv2d(16, 120, 5),
        ScaledTanh(),
        nn.Flatten(),
        nn.Linear(120, 84),
        ScaledTanh(),
        RadialOutput(84, num_classes),
    )
