"""Copies of modules as ``copy.deepcopy`` makes them, in a tenth of its time.

It asks every object how it wants to be copied. Modules say the same, thousands of times: a new
object with copies of its attributes, most of which are numbers and empty dictionaries of hooks.
Whatever is not that simple is left to ``copy.deepcopy``, with the same memo.
"""

from __future__ import annotations

import copy
import types
from collections import OrderedDict
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

# What ``copy.deepcopy`` returns as it is.
_ATOMS = frozenset(
    {int, float, bool, complex, str, bytes, type, type(None), types.FunctionType,
     types.BuiltinFunctionType}
)  # fmt: skip
_CONTAINERS = frozenset({dict, OrderedDict, list, set})


def modules_of(module: nn.Module) -> list[nn.Module]:
    """Every module once, parents first; networks may override ``modules``, which is slower, too."""
    found = {id(module): module}
    _collect(module, found)
    return list(found.values())


def _collect(module: nn.Module, found: dict[int, nn.Module]) -> None:
    for child in module._modules.values():  # noqa: SLF001
        if child is not None and id(child) not in found:
            found[id(child)] = child
            if child._modules:  # noqa: SLF001
                _collect(child, found)


def tensors_of(module: nn.Module) -> Iterator[Tensor]:
    """Parameters and buffers; those of several modules several times."""
    for child in modules_of(module):
        for space in (child._parameters, child._buffers):  # noqa: SLF001
            yield from (tensor for tensor in space.values() if tensor is not None)


def refusal(what: str, error: BaseException) -> str:
    """What is said of something that cannot be copied."""
    said = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return f"{what} cannot be copied, and the original is never touched ({said})"


def twin_of(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    """A copy; ``memo`` holds ``id(original)`` -> copy of what has one already."""
    found: nn.Module | None = memo.get(id(module))
    if found is not None:
        return found
    kind: Any = type(module)
    if not _is_plain(kind):
        return copy.deepcopy(module, memo)
    twin: nn.Module = kind.__new__(kind)
    memo[id(module)] = twin
    attributes = twin.__dict__
    for name, value in module.__getstate__().items():  # type: ignore[no-untyped-call]
        attributes[name] = value if type(value) in _ATOMS else _held(value, memo)
    return twin


def _held(value: Any, memo: dict[int, Any]) -> Any:
    """A copy of what is no atom."""
    number, kind = id(value), type(value)
    found = memo.get(number)
    if found is not None:
        return found
    if kind in _CONTAINERS and not value:
        found = memo[number] = kind()
        return found
    if kind is dict or kind is OrderedDict:
        found = memo[number] = kind()
        for key, item in value.items():
            name = key if type(key) in _ATOMS else _held(key, memo)
            found[name] = item if type(item) in _ATOMS else _held(item, memo)
        return found
    if kind is list:
        found = memo[number] = []
        found += [item if type(item) in _ATOMS else _held(item, memo) for item in value]
        return found
    if kind is torch.Generator:  # torch's own way fails on meta
        found = memo[number] = value.clone_state()
        return found
    if kind is tuple and all(type(item) in _ATOMS for item in value):
        return value
    if isinstance(value, nn.Module):
        return twin_of(value, memo)
    return copy.deepcopy(value, memo)


_WAYS = ("__reduce_ex__", "__reduce__", "__getstate__", "__new__")


@lru_cache(maxsize=4096)
def _is_plain(kind: Any) -> bool:
    """Whether a class is copied attribute by attribute.

    What torch's own layers do to a restored state concerns states that older versions have saved.
    """
    own = any(getattr(kind, name) is not getattr(nn.Module, name) for name in _WAYS)
    given = any(hasattr(kind, name) for name in ("__deepcopy__", "__getnewargs__",
                                                 "__getnewargs_ex__"))  # fmt: skip
    restored: str = kind.__setstate__.__module__
    return not own and not given and restored.startswith("torch.nn.modules.")
