"""All architectures: one line per family below, one file per family beside this one.

Importing this package builds nothing; ``catalogue()`` imports the families on first use. A name
that is in no table comes from timm, from another package's entry point or from the user's own
module. It is looked up only on demand.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from cnnbench.architectures import activations, registry, sources
from cnnbench.architectures.building import build, check_size, smallest_size
from cnnbench.catalogue import ACTIVATION, TIMM
from cnnbench.errors import UnknownName

if TYPE_CHECKING:
    from cnnbench.architectures.registry import Architecture

__all__ = ["FAMILIES", "build", "catalogue", "check_size", "resolve", "smallest_size"]

# One line per family: the module that registers it.
FAMILIES = (
    "lenet",
    "mlp",
    "lecture_cnn",
    "alexnet",
    "vgg",
    "nin",
    "zfnet",
    "googlenet",
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
    """Return all architectures by name."""
    for family in FAMILIES:
        importlib.import_module(f"{__name__}.{family}")
    return registry.table()


def resolve(name: str) -> Architecture:
    """Return the architecture of a name.

    A name is an entry of the catalogue, ``timm:NAME``, ``activation:NAME``, the name of an entry
    point in the group ``cnnbench.architectures``, or ``package.module:factory``.

    Raises:
        UnknownName: nothing has this name; the message offers the closest names.
        Unsupported: ``timm:NAME`` without timm.
        UsageError: ``package.module:factory`` cannot be imported or called.
    """
    if name.startswith(TIMM):
        return sources.from_timm(name)
    if name.startswith(ACTIVATION):
        return activations.architecture(name)
    if ":" in name:
        return sources.from_factory(name)
    table = catalogue()
    if name in table:
        return table[name]
    found = sources.from_entry_point(name)
    if found is None:
        known = [*table, *sources.entry_point_names()]
        raise UnknownName("architecture", name, known, hint="(see 'cnnbench list')")
    return found
