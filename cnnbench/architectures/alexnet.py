"""AlexNet: as published for two GPUs, and the single column that lectures show.

Papers: Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural
Networks" (NIPS 2012), figure 2, and Krizhevsky, "One weird trick" (arXiv:1404.5997), whose single
column torchvision builds.
"""

from __future__ import annotations

from torch import nn

from cnnbench.architectures.registry import register


def _classifier(num_classes: int) -> list[nn.Module]:
    return [
        nn.Flatten(),
        *(nn.Dropout(0.5), nn.Linear(256 * 6 * 6, 4096), nn.ReLU()),
        *(nn.Dropout(0.5), nn.Linear(4096, 4096), nn.ReLU()),
        nn.Linear(4096, num_classes),
    ]


@register(
    "alexnet_2012",
    family="AlexNet",
    task="classification",
    year=2012,
    paper="Krizhevsky et al. 2012, figure 2 (60 million parameters)",
    input=(3, 227, 227),
    params=60_965_224,
    top1=59.3,
    min_size=227,
    tags=("imagenet",),
    notes="top-1 of one network, averaged over ten patches",
)
def alexnet_2012(num_classes: int = 1000, in_channels: int = 3) -> nn.Module:
    """Five convolutions, three of them in two groups, fc 4096-4096; logits (N, classes).

    The count follows from figure 2 and equals that of the Caffe model. The paper states 224x224,
    but its first map of 55x55 fits only 227x227.
    """
    return nn.Sequential(
        *(nn.Conv2d(in_channels, 96, 11, 4), nn.ReLU(), _normalisation(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(), _normalisation()),
        nn.MaxPool2d(3, 2),
        *(nn.Conv2d(256, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU()),
        nn.MaxPool2d(3, 2),
        *_classifier(num_classes),
    )


def _normalisation() -> nn.Module:
    """Return section 3.3's response normalisation (torch divides alpha by the size, hence 5e-4)."""
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)


@register(
    "alexnet_lecture",
    family="AlexNet",
    task="classification",
    year=2014,
    paper="arXiv:1404.5997; equal to torchvision's alexnet under equal weights",
    input=(3, 224, 224),
    params=61_100_840,
    min_size=223,
    tags=("lecture", "imagenet"),
)
def alexnet_lecture(num_classes: int = 1000, in_channels: int = 3) -> nn.Module:
    """One column of 64, 192, 384, 256 and 256 maps, fc 4096-4096; logits (N, classes)."""
    return nn.Sequential(
        *(nn.Conv2d(in_channels, 64, 11, 4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()),
        nn.MaxPool2d(3, 2),
        *_classifier(num_classes),
    )
