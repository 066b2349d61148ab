"""Architectures that are not in the catalogue: timm's, other packages' and the user's own.

Each is imported only when one of its names is requested. Knows names and how to get a builder; the
builder's result is checked when it is called.
"""

from __future__ import annotations

import fnmatch
import functools
import importlib
import importlib.metadata
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cnnbench.architectures.registry import Architecture
from cnnbench.catalogue import TIMM, is_glob
from cnnbench.errors import UnknownName, Unsupported, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from torch import nn

ENTRY_POINTS = "cnnbench.architectures"
# The family of what a builder of the user's makes, which tells nothing of its input.
USERS = "user"
# The default input of a network from an unknown source.
_DEFAULT_INPUT = (3, 224, 224)


def _timm() -> ModuleType:
    try:
        return importlib.import_module("timm")
    except ImportError as error:
        message = "'timm:' names need timm, which is not installed; pip install 'cnnbench[timm]'"
        raise Unsupported(message) from error


def timm_names(pattern: str) -> list[str]:
    """Return the names that ``timm:NAME`` or a glob selects, in timm's own order.

    A glob with a dot selects among names with the tag of their weights (``timm:resnet50.*``), any
    other among architectures.

    Raises:
        Unsupported: timm is not installed.
        UnknownName: it selects nothing; the message offers the closest names.
    """
    timm, wanted = _timm(), pattern.removeprefix(TIMM)
    if not is_glob(wanted):
        return [pattern]
    names = timm.list_models(pretrained="." in wanted)
    found = [f"{TIMM}{name}" for name in names if fnmatch.fnmatchcase(name, wanted)]
    if not found:
        raise UnknownName("timm model", wanted, names)
    return found


def _build_timm(model: str, **arguments: Any) -> nn.Module:
    if "in_channels" in arguments:
        arguments["in_chans"] = arguments.pop("in_channels")
    module: nn.Module = _timm().create_model(model, pretrained=False, **arguments)
    return module


def from_timm(name: str) -> Architecture:
    """Return one of timm's models, with the input size of its (default) pretrained configuration.

    Raises:
        Unsupported: timm is not installed.
        UnknownName: timm has no such model.
    """
    timm = _timm()
    model = name.removeprefix(TIMM)
    if not timm.is_model(model):
        raise UnknownName("timm model", model, timm.list_models())
    config = timm.get_pretrained_cfg(model)
    entry: Callable[..., Any] = timm.models.model_entrypoint(model.split(".")[0])
    least = config.min_input_size if config is not None else None
    return Architecture(
        name=name,
        family=entry.__module__.rsplit(".", 1)[-1],
        task="any",
        input=tuple(config.input_size) if config is not None else _DEFAULT_INPUT,
        build=functools.partial(_build_timm, model),
        min_size=least[-1] if least else None,
        tags=("timm",),
        source=f"timm {timm.__version__}",
    )


def _as_architecture(name: str, target: Any, source: str) -> Architecture:
    """Wrap the object of an entry point or ``module:attribute``: a builder or an Architecture."""
    if isinstance(target, Architecture):
        return replace(target, name=name, source=source)
    if not callable(target) or (hasattr(target, "forward") and not isinstance(target, type)):
        kind = type(target).__name__
        raise UsageError(f"'{name}' is of type {kind}, not a function or class of networks")
    return Architecture(
        name=name,
        family=USERS,
        task="any",
        input=_DEFAULT_INPUT,
        build=target,
        tags=(source,),
        source=source,
    )


def entry_point_names() -> list[str]:
    """Return the names that other packages offer."""
    return sorted({point.name for point in importlib.metadata.entry_points(group=ENTRY_POINTS)})


def from_entry_point(name: str) -> Architecture | None:
    """Return the architecture that another package offers under this name, or None."""
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS, name=name):
        source = point.dist.name if point.dist is not None else "entry point"
        return _as_architecture(name, point.load(), source)
    return None


def module_of(name: str) -> str:
    """The module that a name outside of the catalogue is imported from."""
    points = importlib.metadata.entry_points(group=ENTRY_POINTS, name=name)
    return next((point.module for point in points), name.partition(":")[0])


def _import(module: str, name: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # A module that exists but misses one of its own imports is a different error.
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise UsageError(f"'{name}': {module} needs {error.name}, which is missing") from error
        message = f"'{name}': no module '{module}'; run where it can be imported or set PYTHONPATH"
        raise UsageError(message) from error


def attribute(name: str) -> Any:
    """What the user's ``package.module:attribute`` names; only here is it imported.

    Raises:
        UsageError: another form, no such module, or no such attribute.
    """
    module, _, path = name.partition(":")
    if not module or not path:
        raise UsageError(
            f"'{name}' is not the name of an architecture; use the form 'package.module:factory'"
        )
    target = _import(module, name)
    for part in path.split("."):
        if not hasattr(target, part):
            raise UsageError(f"'{name}': '{module}' has no '{path}'")
        target = getattr(target, part)
    return target


def from_factory(name: str) -> Architecture:
    """Return the user's ``package.module:factory``.

    Raises:
        UsageError: there is none, or it is not callable.
    """
    return _as_architecture(name, attribute(name), "user")
