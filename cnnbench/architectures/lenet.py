"""LeNet as lectures draw it today: ReLU and max-pooling, colour input.

Layers and their order: LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document Recognition" (1998),
figure 2. The lecture variant takes 3x32x32 images, ReLU for tanh and max-pooling for the trainable subsampling.
"""

from __future__ import annotations

from torch import nn

from cnnbench.architectures.registry import register


@register(
    "lenet",
    family="LeNet",
    task="classification",
    year=1998,
    paper="LeCun et al. 1998, figure 2 (ReLU, max-pooling)",
    input=(3, 32, 32),
    params=62_006,
    min_size=32,
    tags=("lecture", "cifar", "small"),
)
def lenet(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """conv 6 5x5, pool, conv 16 5x5, pool, fc 400-120-84-classes; logits of shape (N, classes)."""
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
