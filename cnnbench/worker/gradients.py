"""The gradients of a network's layers in one training step at initialisation.

Everything is in float64, so that the figures are those of the network and not of rounding, which a
deep network may amplify.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from cnnbench import analysis
from cnnbench.errors import Unsupported, UsageError
from cnnbench.gradients import Gradients, LayerGradient
from cnnbench.named import AUTO
from cnnbench.worker import build, inputs, modes, randomness
from cnnbench.worker.inquiry import prepared

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from cnnbench import requests
    from cnnbench.worker.talk import Talk


def gradients(request: requests.TakeGradients, talk: Talk) -> None:
    """The task: build, one step forward and backward, the norms."""
    architecture, workload, construct = prepared(
        request, talk, batch=request.batch, phase="training"
    )
    randomness.seed_everything(request.seed)
    module = construct()
    modes.refuse_compiled(module)
    analysis.set_training(module.double(), training=True)
    given = inputs.made(architecture, workload, request.seed, dtype=torch.float64)
    loss = build.loss_of(architecture, request.seed, workload.setting("loss", AUTO))
    talk.enter("forward and backward")
    randomness.seed_everything(request.seed)  # of dropout, whatever initialisation has drawn
    with _reached(module) as order:
        try:
            value = loss(given.to(module), given.values)
        except (RuntimeError, ValueError) as error:
            if (known := analysis.remedy(str(error))) is None:
                raise
            raise UsageError(f"{known} ({error})") from error
    value.backward()  # type: ignore[no-untyped-call]
    layers = tuple(_layers(module, order))
    if not layers:
        raise Unsupported(f"no layer of '{request.name}' with weights has a gradient")
    if bad := next((one.layer for one in layers if not math.isfinite(one.norm)), ""):
        raise Unsupported(f"the gradient of layer '{bad}' is not finite in the first step")
    talk.answer(
        Gradients(request.name, request.batch, request.seed, workload.input, loss.description,
                  layers)
    )  # fmt: skip


@contextmanager
def _reached(module: nn.Module) -> Iterator[list[str]]:
    """The paths of modules in the order in which a forward pass first calls them."""
    order: list[str] = []
    hooks = []
    for path, child in module.named_modules():

        def note(*_: object, path: str = path) -> None:
            if path not in order:
                order.append(path)

        hooks.append(child.register_forward_pre_hook(note))
    try:
        yield order
    finally:
        for hook in hooks:
            hook.remove()


def _layers(module: nn.Module, order: list[str]) -> Iterator[LayerGradient]:
    """Weights with two axes or more, each once: no biases, and no scales of norms."""
    place = {path: number for number, path in enumerate(order)}
    owners = dict(module.named_modules())

    def reached(name: str) -> int:
        path = name
        while path and path not in place:  # used by the module above it without being called
            path = path.rpartition(".")[0]
        return place.get(path, 0)

    some = [(name, one) for name, one in module.named_parameters()
            if one.dim() > 1 and one.grad is not None]  # fmt: skip
    for name, weights in sorted(some, key=lambda pair: reached(pair[0].rpartition(".")[0])):
        assert weights.grad is not None  # noqa: S101 - for the type checker
        path = name.rpartition(".")[0]
        yield LayerGradient(
            name.removesuffix(".weight"),
            type(owners[path]).__name__,
            weights.numel(),
            float(weights.grad.norm()),
            float(weights.detach().norm()),
        )
