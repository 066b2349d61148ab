"""Copies of a network and of its inputs, so that what a caller keeps stays as it was."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from cnnbench.analysis import untouched
from cnnbench.analysis.copies import refusal
from cnnbench.errors import Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable

Value = TypeVar("Value")


def copied(value: Value, name: str = "") -> Value:
    """A deep copy, with tensors that torch itself refuses to copy as plain values.

    These are what autograd computed from others (by weight norm and pruning as hooks, or kept from
    an earlier call), and inputs whose elements share memory, which could not be written to.

    Args:
        value: a module, or arguments of one.
        name: of it, for an error.

    Raises:
        Unsupported: it holds something that cannot be copied.
    """
    try:
        copies: dict[int, Any] = {}
        with _Values():
            made = copy.deepcopy(value, copies)
    except (TypeError, RuntimeError, AttributeError) as error:
        why = refusal(name or type(value).__name__, error)
        raise Unsupported(
            f"{why}; cnnbench.run with 'package.module:factory' builds it where it is measured"
        ) from error
    if isinstance(made, nn.Module):
        # Functions are not copied: a hook on the copy would work on what is the caller's.
        untouched.rebind(made, copies)
    return made


class _Values(TorchFunctionMode):
    """Copies of tensors by their values."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is Tensor.__deepcopy__ and _needs_help(args[0]):
            tensor, memo = args
            if id(tensor) not in memo:
                memo[id(tensor)] = tensor.detach().clone()
            return memo[id(tensor)]
        if func is Tensor.clone and args[0].layout is not torch.strided:
            kwargs = None  # a sparse tensor has no memory format to preserve
        return func(*args, **(kwargs or {}))


def _needs_help(tensor: Tensor) -> bool:
    expanded = tensor.layout is torch.strided and any(
        stride == 0 and size > 1 for stride, size in zip(tensor.stride(), tensor.shape, strict=True)
    )
    return not tensor.is_leaf or expanded
