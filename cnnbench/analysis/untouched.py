"""What keeps a user's objects and random numbers exactly as they were: twins share nothing.

``copy.deepcopy`` leaves functions as they are, so that a hook or a closure on the twin would still
reach the user's own lists and modules.
"""

from __future__ import annotations

import contextlib
import random
import types
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from cnnbench.analysis.copies import modules_of

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, MutableMapping

    from torch import Tensor

_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType)
_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")


def _functions(modules: Iterable[nn.Module]) -> Iterator[tuple[MutableMapping[int, Any], int]]:
    """Hooks that are functions; objects and methods were copied with their state, and may run."""
    for module in modules:
        attributes = module.__dict__
        for name in _HOOKS:
            if hooks := attributes.get(name):
                for key in [key for key, hook in hooks.items() if isinstance(hook, _FUNCTIONS)]:
                    yield hooks, key


def count_hooks(module: nn.Module, *, real: bool = False) -> int:
    """How many hooks a twin leaves out; a real one keeps those that reach the module alone."""
    modules = modules_of(module)
    hooks = [found[key] for found, key in _functions(modules)]
    if real and hooks:
        own = {id(one) for child in modules for one in _held(child)}
        hooks = [hook for hook in hooks if not _keeps_to(hook, own)]
    return len(hooks)


def _held(module: nn.Module) -> Iterator[Any]:
    yield module
    yield from module.__dict__.values()
    for space in (module._parameters, module._buffers):  # noqa: SLF001
        yield from space.values()


def detach(twin: nn.Module, copies: Mapping[int, Any], *, real: bool = False) -> None:
    """Cut a twin off from its original: no hook that is a function, closures over the copies.

    Args:
        twin: the copied module.
        copies: ``id(original)`` -> copy, as ``copy.deepcopy`` keeps them.
        real: it has values, so that hooks that reach nothing but the twin can be called.
    """
    for hooks, key in list(_functions(modules_of(twin))):
        if not (real and _keeps_to(hooks[key], copies)):
            del hooks[key]
    rebind(twin, copies)


def rebind(twin: nn.Module, copies: Mapping[int, Any]) -> None:
    """Make functions in a twin's hooks and attributes reach the copies of what they reached."""
    if not copies:
        return
    modules = modules_of(twin)
    for hooks, key in list(_functions(modules)):
        if isinstance(hooks[key], types.FunctionType):
            hooks[key] = rebound(hooks[key], copies)
    for child in modules:
        attributes = child.__dict__
        for name, value in attributes.items():
            if isinstance(value, types.FunctionType) and value.__closure__:
                attributes[name] = rebound(value, copies)


def _keeps_to(hook: Any, own: Container[int]) -> bool:
    """Whether all that a function closes over is a network's own, or cannot be changed."""
    cells = getattr(hook, "__closure__", None) or ()
    contents = [_content(cell) for cell in cells]
    return bool(contents) and all(
        id(one) in own or isinstance(one, (int, float, str, type, type(None))) for one in contents
    )


def modules_closed_over(function: types.FunctionType) -> list[nn.Module]:
    """The modules that a function reaches by its closure."""
    contents = [_content(cell) for cell in function.__closure__ or ()]
    return [one for one in contents if isinstance(one, nn.Module)]


def rebound(function: types.FunctionType, copies: Mapping[int, Any]) -> types.FunctionType:
    """A function that closes over the copies of what it closed over."""
    cells = function.__closure__ or ()
    contents = [_content(cell) for cell in cells]
    if not any(id(content) in copies for content in contents):
        return function
    closure = tuple(
        types.CellType(copies[id(content)]) if id(content) in copies else cell
        for cell, content in zip(cells, contents, strict=True)
    )
    made = types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, closure
    )
    made.__kwdefaults__ = function.__kwdefaults__
    return made


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # nothing was assigned yet
        return None


@contextlib.contextmanager
def random_numbers(tensors: Iterable[Tensor]) -> Iterator[None]:
    """Put torch's and Python's random state back afterwards, on every device of the tensors."""
    devices = {tensor.get_device() for tensor in tensors if tensor.is_cuda}
    state = random.getstate()
    try:
        with torch.random.fork_rng(devices=sorted(devices)):
            yield
    finally:
        random.setstate(state)
