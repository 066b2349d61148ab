"""The two small networks that lectures build first: one for MNIST, one for CIFAR-10.

They are teaching networks without a paper; their layer widths are those of the lectures.
"""

from __future__ import annotations

from torch import nn

from cnnbench.architectures.registry import register


@register(
    "mnist_cnn",
    family="Lecture CNN",
    task="classification",
    paper="lecture network (conv 32, conv 64, one max-pool, fc 128)",
    input=(1, 28, 28),
    params=1_626_314,
    min_size=28,
    tags=("lecture", "mnist", "small"),
)
def mnist_cnn(num_classes: int = 10, in_channels: int = 1) -> nn.Module:
    """Two convolutions, one max-pool, fc 12544-128-classes; logits (N, classes).

    Batch norm stands behind each ReLU, and dropout behind that; 451 elements of buffers.
    """
    return nn.Sequential(
        *(nn.Conv2d(in_channels, 32, 3, padding=1), nn.ReLU()),
        *(nn.BatchNorm2d(32), nn.Dropout2d(0.25)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU()),
        *(nn.BatchNorm2d(64), nn.Dropout2d(0.5)),
        *(nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(12544, 128), nn.ReLU(), nn.BatchNorm1d(128), nn.Dropout(0.25)),
        nn.Linear(128, num_classes),
    )


def _block(inner: int, width_in: int, width_out: int) -> list[nn.Module]:
    return [
        nn.Conv2d(width_in, inner, 3, padding=1),
        nn.BatchNorm2d(inner),
        nn.ReLU(inplace=True),
        nn.Conv2d(inner, width_out, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
    ]


@register(
    "cifar_cnn",
    family="Lecture CNN",
    task="classification",
    paper="lecture network (32-64 | 128-128 | 256-256, fc 4096-1024-512-10)",
    input=(3, 32, 32),
    params=5_852_170,
    min_size=32,
    tags=("lecture", "cifar", "small", "quick"),
)
def cifar_cnn(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """Three blocks of two 3x3 convolutions, then fc 4096-1024-512-classes; logits (N, classes)."""
    return nn.Sequential(
        *_block(32, in_channels, 64),
        *(*_block(128, 64, 128), nn.Dropout2d(0.05)),
        *_block(256, 128, 256),
        *(nn.Flatten(), nn.Dropout(0.1)),
        *(nn.Linear(4096, 1024), nn.ReLU(inplace=True)),
        *(nn.Linear(1024, 512), nn.ReLU(inplace=True)),
        *(nn.Dropout(0.1), nn.Linear(512, num_classes)),
    )
