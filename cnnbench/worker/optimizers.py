"""The optimizers of a training step, one table; its keys are ``spec.OPTIMIZERS`` (a test compares).

All have a learning rate of zero: an optimizer does all of its work, but the weights stay unchanged,
so every step does the same work on the same numbers. A benchmark that trains on noise drifts into
infinities or subnormal numbers. All other settings are the usual values of recipes or torch's
defaults.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from cnnbench.errors import Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch.optim import Optimizer

Parameters = list[torch.nn.Parameter]

OPTIMIZERS: dict[str, Callable[[Parameters], Optimizer]] = {
    "momentum": lambda parameters: torch.optim.SGD(parameters, lr=0.0, momentum=0.9),
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.0),
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=0.0),
    # Its weight decay is scaled by the learning rate: the product is computed, with a factor of
    # one.
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=0.0),
    "rmsprop": lambda parameters: torch.optim.RMSprop(parameters, lr=0.0),
}


def make(name: str, parameters: Parameters) -> Optimizer:
    """An optimizer for some parameters.

    Raises:
        Unsupported: nothing to train, or it would produce NaN in the weights' dtype.
    """
    if not parameters:
        raise Unsupported("nothing to train: no parameter is trainable")
    optimizer = OPTIMIZERS[name](parameters)
    _refuse_vanishing_epsilon(name, optimizer.defaults.get("eps"), parameters)
    return optimizer


def _refuse_vanishing_epsilon(name: str, epsilon: Any, parameters: Parameters) -> None:
    """Refuse one that divides zero by zero if a gradient is zero and epsilon rounds to zero."""
    if epsilon is None:
        return
    for dtype in {parameter.dtype for parameter in parameters}:
        if torch.tensor(epsilon, dtype=dtype) == 0:
            raise Unsupported(
                f"{name} cannot train weights in {str(dtype).removeprefix('torch.')}: its epsilon"
                f" of {epsilon:g} is zero there; use amp=fp16 or another optimizer"
            )
