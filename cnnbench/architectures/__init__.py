"""Every architecture there is: one line per family below, one file per family beside this one.

Importing this package builds nothing; ``catalogue()`` imports the families (and with them torch) on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from cnnbench.architectures import registry

if TYPE_CHECKING:
    from cnnbench.architectures.registry import Architecture

# One line per family: the module that registers it.
FAMILIES = (
    "lenet",
    "mlp",
    "lecture_cnn",
    "vgg",
    "nin",
    "zfnet",
    "googlenet_cifar",
    "xception",
    "mobilenet_v1",
    "resnet",
    "preact_resnet",
    "resnet_cifar",
    "senet",
    "bagnet",
    "densenet_cifar",
    "highway",
    "bn_inception",
    "inception_v4",
    "inception_resnet",
    "nasnet",
    "efficientnet",
    "bit",
    "unet",
    "fcn",
    "rcnn",
    "torchvision_models",
    "torchvision_dense",
)


def catalogue() -> dict[str, Architecture]:
    """All architectures by name."""
    for family in FAMILIES:
        importlib.import_module(f"{__name__}.{family}")
    return registry.table()
