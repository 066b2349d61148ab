"""Every architecture there is: one line per family below, one file per family beside this one.

Importing this package builds nothing; ``catalogue()`` imports the families (and with them torch) on first use.
"""

from __future__ import annotations

import importlib
import operator
import sys
from pathlib import Path
from typing import Any

from torch import nn

from cnnbench.architectures import registry
from cnnbench.architectures.registry import Architecture
from cnnbench.errors import UnknownName, UsageError

# One line per family: the module that registers it.
FAMILIES = (
    "lenet",
    "mlp",
    "lecture_cnn",
    "vgg_cifar",
    "nin",
    "zfnet",
    "googlenet_cifar",
    "xception",
    "mobilenet_v1",
    "torchvision_models",
)


def catalogue() -> dict[str, Architecture]:
    """All architectures by name."""
    for family in FAMILIES:
        importlib.import_module(f"{__name__}.{family}")
    return registry.table()


def resolve(name: str) -> Architecture:
    """The architecture that a name stands for: of the catalogue, or a user's ``package.module:factory``.

    Raises:
        UnknownName: not in the catalogue.
        UsageError: no such module or attribute.
    """
    known = catalogue()
    if name in known:
        return known[name]
    if ":" not in name:
        raise UnknownName("model", name, known)
    return _factory(name)


def _factory(name: str) -> Architecture:
    module_name, _, attribute = name.partition(":")
    if "" not in sys.path and (here := str(Path.cwd())) not in sys.path:
        # Last, so that a file beside the user's network never shadows a library.
        sys.path.append(here)
    try:
        factory = operator.attrgetter(attribute)(importlib.import_module(module_name))
    except ModuleNotFoundError as error:
        raise UsageError(f"model '{name}': {error}; is its folder on PYTHONPATH?") from error
    except AttributeError as error:
        raise UsageError(f"model '{name}': {module_name} has no '{attribute}'") from error
    if not callable(factory):
        raise UsageError(f"model '{name}': {attribute} is not callable; name a factory or a class")
    return Architecture(
        name=name,
        family="user",
        task="classification",
        input=(3, 224, 224),
        build=factory,
        source="user",
    )


def build(architecture: Architecture, **arguments: Any) -> nn.Module:
    """The module with random weights.

    Raises:
        UsageError: the builder returned something else.
    """
    module: object = architecture.build(**arguments)
    if not isinstance(module, nn.Module):
        raise UsageError(
            f"model '{architecture.name}' returned {type(module).__name__}, not a torch.nn.Module"
        )
    return module
