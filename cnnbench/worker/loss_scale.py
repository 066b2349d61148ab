"""The loss scale of a training step in float16, found before the step is compared or timed.

``torch.amp.GradScaler`` begins with 65536. A step whose gradients are then infinite skips its
optimizer and halves the scale; after 2000 steps without one it is doubled again. A step that skips
its optimizer does less work, and its gradients are no answer, so the first call repeats until they
are finite, and from then on the scale does not grow.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

# From 65536 down to 2**-16: gradients that are not finite then are so at no scale.
_MOST_STEPS = 32
# Never reached: the most that the counter of steps, an int32, can hold.
_NEVER = 2**31 - 1


class LossScale:
    """The scale of one step; for any other precision nothing is scaled."""

    def __init__(self, kind: str, *, enabled: bool) -> None:
        """Args: kind: of the device. enabled: the precision needs one."""
        self._scaler = torch.amp.GradScaler(kind, enabled=enabled)
        self._found: float | None = None if enabled else 1.0
        self._enabled = enabled
        self._skipped = 0
        self._finite = True

    @property
    def found(self) -> bool:
        """Whether a scale is known at which gradients are finite."""
        return self._found is not None

    def backward(self, loss: Tensor) -> None:
        """The gradients of the scaled loss."""
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """The optimizer's work on unscaled gradients, unless they are not finite."""
        self._scaler.step(optimizer)
        self._scaler.update()

    def until_finite(self, call: Callable[[], Tensor]) -> Tensor:
        """Repeat a step until its optimizer was not skipped; what the last one returned."""
        if not self._enabled:
            return call()
        for _ in range(_MOST_STEPS):
            before = self._scaler.get_scale()
            result = call()
            self._found = self._scaler.get_scale()
            self._finite = self._found >= before
            if self._finite:
                break
            self._skipped += 1
        self._scaler.set_growth_interval(_NEVER)
        self._found = self._scaler.get_scale()
        return result

    def _skipped_since(self) -> int:
        """Steps that have halved the scale since it was found."""
        if not self._enabled or not self._found:
            return 0
        return round(math.log2(self._found / max(self._scaler.get_scale(), 2.0**-126)))

    def facts(self) -> Mapping[str, Any]:
        """The scale, and how many steps skipped their optimizer before and after it was found."""
        if not self._enabled or self._found is None:
            return {}
        return {
            "loss_scale": self._found,
            "steps_skipped_before": self._skipped,
            "steps_skipped": self._skipped_since(),
        }

    def remarks(self) -> list[str]:
        """What a reader must know: steps that did less than the others."""
        if not self._finite:
            return [
                f"gradients in float16 are not finite down to a loss scale of {self._found:g}, so"
                " every step skips its optimizer"
            ]
        since = self._skipped_since()
        if not since:
            return []
        steps = "1 step" if since == 1 else f"{since} steps"
        return [
            f"{steps} of those that were timed skipped the optimizer, because gradients were not"
            f" finite at a loss scale of {self._found:g}"
        ]
