"""Static cost on the meta device.

What a network costs, without running it or allocating its weights.

For now by torch's own counter, behind the interface that an analyser of our own will fill.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils.flop_counter import FlopCounterMode

from cnnbench.record import Cost

if TYPE_CHECKING:
    from collections.abc import Callable


def build_on_meta(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a module whose tensors are on the meta device.

    A constructor that computes with tensor values (RegNet's widths) cannot run there; it is built
    for real and moved.
    """
    try:
        with torch.device("meta"):
            return build()
    except (NotImplementedError, RuntimeError):
        return build().to("meta")


@dataclass(frozen=True)
class Analysis:
    """What was counted."""

    module: nn.Module
    inputs: tuple[Any, ...]
    macs: int

    def cost(self) -> Cost:
        """The totals."""
        parameters = list(self.module.parameters())
        buffers = list(self.module.buffers())
        given = [leaf for leaf in pytree.tree_leaves(self.inputs) if isinstance(leaf, Tensor)]
        return Cost(
            params=sum(tensor.numel() for tensor in parameters),
            trainable_params=sum(tensor.numel() for tensor in parameters if tensor.requires_grad),
            buffers=sum(tensor.numel() for tensor in buffers),
            param_bytes=sum(tensor.nbytes for tensor in parameters),
            buffer_bytes=sum(tensor.nbytes for tensor in buffers),
            input_bytes=sum(tensor.nbytes for tensor in given),
            macs=self.macs,
            method="torch.utils.flop_counter on meta",
        )


def analyze(module: nn.Module, inputs: tuple[Any, ...], *, phase: str = "inference") -> Analysis:
    """Count a module on the meta device; its forward pass in inference form, whatever the phase."""
    del phase
    training = module.training
    given = pytree.tree_map_only(Tensor, lambda tensor: tensor.to("meta"), inputs)
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module.eval()(*given)
    finally:
        module.train(training)
    return Analysis(module, given, counter.get_total_flops() // 2)
