"""A training step of a network: as one call, and in the parts that are timed separately."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch

from cnnbench.worker import modes
from cnnbench.worker.loss_scale import LossScale

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from cnnbench.architectures import losses
    from cnnbench.spec import Spec
    from cnnbench.worker.inputs import Given


class TrainingStep:
    """Forward, loss, backward and update: as one call, and separately."""

    def __init__(
        self,
        spec: Spec,
        function: Callable[..., Any],
        given: Given,
        optimizer: torch.optim.Optimizer,
        loss_of: losses.Loss,
    ) -> None:
        self._function, self._given, self._loss_of = function, given, loss_of
        self._optimizer = optimizer
        self._inputs = [tensor for tensor in given.tensors if tensor.requires_grad]
        self._left: Any = None
        self._autocast = functools.partial(modes.autocast, spec.mode, spec.device)
        half = modes.PRECISIONS[spec.mode.precision].autocast is torch.float16
        self.scale = LossScale(spec.device.kind, enabled=half)

    def call(self) -> Tensor:
        """The whole step; the first one until its gradients are finite."""
        return self._once() if self.scale.found else self.sure()

    def sure(self) -> Tensor:
        """The whole step, repeated until its gradients are finite."""
        return self.scale.until_finite(self._once)

    def _once(self) -> Tensor:
        """As users write it: one autocast around forward and loss."""
        self._drop()
        with self._autocast():
            value = self._loss_of(self._given.to(self._function), self._given.values)
        self.scale.backward(value)
        self.scale.step(self._optimizer)
        return value.detach()

    def forward(self) -> None:
        """Keep the network's output."""
        with self._autocast():
            self._left = self._given.to(self._function)

    def loss(self) -> Tensor:
        """Keep the loss of that output; its value."""
        with self._autocast():
            self._left = self._loss_of(self._left, self._given.values)
        value: Tensor = self._left.detach()
        return value

    def backward(self) -> None:
        """Gradients of that loss."""
        self.scale.backward(self._left)
        self._left = None

    def update_and_drop(self) -> None:
        """Update the weights, and drop the gradients."""
        self.scale.step(self._optimizer)
        self._drop()

    def _drop(self) -> None:
        """Drop every gradient, those of the inputs that have one too."""
        self._optimizer.zero_grad(set_to_none=True)
        for tensor in self._inputs:
            tensor.grad = None
