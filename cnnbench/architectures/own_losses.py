"""Functions of the user's as losses of training steps."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from cnnbench.architectures import losses, sources
from cnnbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable


def users(name: str) -> losses.Terms:
    """The user's ``package.module:function``; of a class, one object is made, without arguments.

    Raises:
        UsageError: there is no such function.
    """
    function = sources.attribute(name)
    if isinstance(function, type):
        function = function()
    if not callable(function):
        raise UsageError(f"--loss '{name}' is of type {type(function).__name__}, not a function")
    return own(f"--loss {name}", name, function)


def own(where: str, name: str, function: Callable[..., Any]) -> losses.Terms:
    """A function of the user's as a loss.

    Args:
        where: it was given, for errors.
        name: of the function.
        function: ``output, inputs -> scalar tensor``; or of the output alone.
    """
    both = _takes_inputs(function)

    def terms(output: Any, inputs: losses.Inputs, _targets: losses.Targets) -> list[losses.Term]:
        value = function(output, inputs) if both else function(output)
        if not isinstance(value, Tensor) or value.dim():
            found = losses.shape(value) if isinstance(value, Tensor) else type(value).__name__
            raise UsageError(f"{where} returned {found}, not a scalar tensor")
        return [losses.Term(name, value)]

    return terms


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _takes_inputs(function: Callable[..., Any]) -> bool:
    """Whether a loss takes the inputs too: two of its parameters have to be given, or all are.

    What has no signature (``torch.mean``) has options behind its first one.
    """
    call = function.forward if isinstance(function, nn.Module) else function
    try:
        parameters = inspect.signature(call).parameters.values()
    except (TypeError, ValueError):
        return False
    any_number = any(one.kind is one.VAR_POSITIONAL for one in parameters)
    needed = [one for one in parameters if one.kind in _POSITIONAL and one.default is one.empty]
    return any_number or len(needed) > 1
