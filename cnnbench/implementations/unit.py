"""A convolution with what follows it, as networks have it: batch norm, an activation.

As a module its operators run one by one. For inference the norm can be folded into the weights,
which leaves the function as it is: it scales and shifts every channel by fixed numbers then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils import fusion

from cnnbench.implementations.backward import BackwardPass

if TYPE_CHECKING:
    from cnnbench.conv.problem import ConvProblem


Conv = nn.Conv2d | nn.ConvTranspose2d


class ConvUnit(nn.Sequential):
    """``conv``, then ``bn`` and ``relu`` as far as the problem has them.

    What the norm has learned is drawn at random, because with a fresh one folding changes nothing.
    """

    def __init__(self, conv: Conv, problem: ConvProblem) -> None:
        super().__init__()
        self.add_module("conv", conv)
        for name, module in after(problem):
            self.add_module(name, module)


Layer = Conv | ConvUnit | BackwardPass


def after(problem: ConvProblem) -> list[tuple[str, nn.Module]]:
    """The modules that follow the convolution, by the names of their operators."""
    made: list[tuple[str, nn.Module]] = []
    if problem.normed:
        made.append(("bn", _trained(nn.BatchNorm2d(problem.k))))
    if problem.activated:
        made.append(("relu", nn.ReLU(inplace=True)))
    return made


def _trained(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    with torch.no_grad():
        norm.weight.uniform_(0.5, 1.5)
        norm.bias.normal_(0.0, 0.3)
        for tensor, fill in ((norm.running_mean, torch.nn.init.normal_),
                             (norm.running_var, torch.nn.init.uniform_)):  # fmt: skip
            if tensor is not None:
                fill(tensor)
        if norm.running_mean is not None and norm.running_var is not None:
            norm.running_mean *= 0.3
            norm.running_var += 0.5
    return norm


def folded(layer: Layer) -> tuple[Tensor, Tensor]:
    """Weight of ``problem.weight_shape`` and bias (K,) of one convolution, its norm included.

    Narrow types are folded in float32 and rounded once. A layer without a bias has zeros.
    """
    if isinstance(layer, BackwardPass):
        return layer.kernel
    conv = layer if isinstance(layer, Conv) else layer.get_submodule("conv")
    assert isinstance(conv, Conv)  # noqa: S101 - for the type checker
    weight = conv.weight.detach()
    bias = weight.new_zeros(conv.out_channels) if conv.bias is None else conv.bias.detach()
    norm = None if isinstance(layer, Conv) else dict(layer.named_children()).get("bn")
    if not isinstance(norm, nn.BatchNorm2d):
        return weight, bias
    wide = torch.promote_types(weight.dtype, torch.float32)
    learned = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    numbers = [bias, *(one.detach() for one in learned if one is not None)]
    # The first axis of a transposed convolution's weight is the input's channels, all groups of
    # them; torch's function takes weights of one group alone that way round.
    groups = conv.groups if isinstance(conv, nn.ConvTranspose2d) else 1
    kernels = weight.to(wide).chunk(groups)
    parts = [one.to(wide).chunk(groups) for one in numbers]
    found = [
        fusion.fuse_conv_bn_weights(
            kernel, added, mean, variance, norm.eps, scale, shift,
            transpose=isinstance(conv, nn.ConvTranspose2d),
        )
        for kernel, added, mean, variance, scale, shift in zip(kernels, *parts, strict=True)
    ]  # fmt: skip
    whole = [torch.cat(some).detach().to(weight.dtype) for some in zip(*found, strict=True)]
    return whole[0], whole[1]
