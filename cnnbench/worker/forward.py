"""A forward pass that is to be timed: without gradients, as users run inference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from cnnbench.worker import modes

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnbench.spec import Spec
    from cnnbench.worker.inputs import Given

# What torch says where a network computes gradients itself (of an energy, say) in inference mode.
_WANTS_GRADIENTS = ("does not require grad", "Inference tensors cannot be saved for backward")


class Forward:
    """Calls a network in inference mode, or under ``no_grad`` if it computes gradients itself."""

    def __init__(self, spec: Spec, function: Callable[..., Any], given: Given) -> None:
        self._spec, self._function, self._given = spec, function, given
        self._without_gradients: Callable[[], Any] = torch.inference_mode

    def __call__(self) -> Any:
        """What the network returns."""
        spec = self._spec
        try:
            with self._without_gradients(), modes.autocast(spec.mode, spec.device):
                return self._given.to(self._function)
        except RuntimeError as error:
            if self._without_gradients is torch.no_grad or not _wants_gradients(error):
                raise
        self._without_gradients = torch.no_grad
        return self()

    def remarks(self) -> list[str]:
        """What differs from the usual, once it has been called."""
        if self._without_gradients is torch.inference_mode:
            return []
        return ["runs under no_grad: inference mode would forbid the gradients that it computes"]


def _wants_gradients(error: RuntimeError) -> bool:
    return any(words in str(error) for words in _WANTS_GRADIENTS)
