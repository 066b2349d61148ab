"""Building a network on the meta device: shapes and parameters without memory or initialisation.

``torch.device("meta")`` alone sends every new tensor to meta, including those whose values
determine the shape of the network (RegNet widths, stochastic depth schedules); reading these fails.
Here only factories without values go to meta; tensors that are still real at the end follow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

_VALUE_FREE = frozenset({torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn})


class _WeightsOnMeta(TorchFunctionMode):
    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in _VALUE_FREE and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def on_meta(build: Callable[..., nn.Module], *given: Any, **arguments: Any) -> nn.Module:
    """Return what ``build`` makes, with its parameters and buffers on the meta device."""
    with _WeightsOnMeta():
        module = build(*given, **arguments)
    return module.to("meta")
