"""A convolution layer as a workload: builds ``conv:…`` and applies ``impl=`` to it.

The library's default is an ``nn.Conv2d``, or a ``ConvUnit`` with what follows it. An implementation
is the same layer with its weights prepared once, before the first call; ``algorithm`` measures how
long that takes. Knows nothing of measuring.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from cnnbench import implementations
from cnnbench.architectures.registry import Architecture
from cnnbench.conv.problem import ConvProblem, of_workload
from cnnbench.errors import Unsupported
from cnnbench.implementations import backward, unit
from cnnbench.implementations.implementation import Prepared
from cnnbench.implementations.roundoff import UNIT
from cnnbench.implementations.substitute import layer
from cnnbench.implementations.substitutes import substitute
from cnnbench.implementations.unit import Layer

if TYPE_CHECKING:
    from cnnbench.implementations import Implementation
    from cnnbench.implementations.substitute import Substitute
    from cnnbench.spec import Spec, Workload

# The dtype in which a precision multiplies, where it is not that of the tensors. TF32 has as many
# significant bits as fp16.
_MULTIPLIES_IN = {"tf32": "fp16", "tf32=cudnn": "fp16", "amp=bf16": "bf16", "amp=fp16": "fp16"}

# What one rounding to int8 moves: normal numbers span some nine deviations, of which a step is the
# 255th part, so they err by 1 % of themselves, and a little more where the range is found from few.
_INT8 = 2.0**-6


def architecture(workload: Workload) -> Architecture:
    """The layer of a workload as something that can be built.

    Raises:
        UsageError: the name is not a layer, or such a layer cannot exist.
        UnknownName: there is no such substitute.
        Unsupported: the substitute cannot stand for the layer; the message is the reason.
    """
    problem = of_workload(workload)
    other = substitute_of(workload)
    if other is not None and (reason := other.applies(problem)):
        raise Unsupported(reason)
    if problem.direction and workload.phase != "inference":
        raise Unsupported("a backward pass by itself has no training phase")
    return Architecture(
        name=workload.architecture,
        family="convolution",
        task="layer",
        input=workload.input,
        build=functools.partial(layer if other is None else other.build, problem),
        inputs=functools.partial(backward.given, problem) if problem.direction else None,
    )


def substitute_of(workload: Workload) -> Substitute | None:
    """The substitute that a workload names, or ``None`` for the layer itself.

    Raises:
        UnknownName: there is no such substitute.
    """
    _, tilde, name = workload.architecture.partition("~")
    return substitute(name) if tilde else None


class Implemented(nn.Module):
    """A layer computed by one implementation; weights are those of the module given.

    Prepared weights are kept in buffers, except those that torch cannot show as a plain tensor
    (oneDNN's blocked weights). These are missing from the resident memory.
    """

    def __init__(self, layer: Layer, how: Implementation, problem: ConvProblem) -> None:
        super().__init__()
        self.how, self.problem = how, problem
        self.prepared: Prepared = prepare(layer, how, problem)
        for number, tensor in enumerate(_plain(self.prepared)):
            self.register_buffer(f"prepared_{number}", tensor)

    def forward(self, x: Tensor, gradient: Tensor | None = None) -> Tensor:
        """(N, C, H, W) -> (N, K, P, Q); with a gradient of that, a backward pass."""
        if gradient is not None:
            return self.how.differentiate(x, gradient, self.prepared, self.problem)
        return self.how.convolve(x, self.prepared, self.problem)


def prepare(layer: Layer, how: Implementation, problem: ConvProblem) -> Prepared:
    """The weights of a layer as an implementation prepares them, a norm among them.

    The gradient of the weights does not depend on them.
    """
    with torch.inference_mode():
        if problem.direction == "bwd_w":
            return Prepared((), unit.folded(layer)[1])
        # A layer of a network may have no bias; then adding zeros is part of the measurement.
        return how.prepare(*unit.folded(layer), how.solved(problem))


def _plain(prepared: Prepared) -> list[Tensor]:
    tensors: list[Tensor] = []
    for tensor in (*prepared.weights, prepared.bias):
        if tensor.layout == torch.sparse_csr:
            tensors += [tensor.values(), tensor.crow_indices(), tensor.col_indices()]
        elif tensor.layout == torch.strided:
            tensors.append(tensor)
    return tensors


def judged_alone(spec: Spec) -> bool:
    """Whether outputs are those of one layer, whose rounding error is known beforehand."""
    workload = spec.workload
    layer = workload.is_layer and workload.group == workload
    return layer and workload.phase == "inference"


def check(spec: Spec) -> None:
    """Refuse a spec whose implementation cannot do what it asks.

    Raises:
        UnknownName: no such implementation.
        Unsupported: it does not apply; the message is the reason.
    """
    _check_direction(spec)
    name = spec.mode.implementation
    if not name:
        return
    if spec.mode.replacements:
        _check_replacements(spec)
        return
    how = implementations.implementation(name)
    if not spec.workload.is_layer:
        if not how.flags:
            raise Unsupported(f"impl={name} computes a single layer, conv:…, not a network")
        return
    problem = of_workload(spec.workload, spec.mode)
    reason = how.applies(problem, spec.device.kind)
    if not reason and not how.flags:
        reason = _no_mode_of_ours(spec, name)
    if reason:
        raise Unsupported(reason)


def _check_direction(spec: Spec) -> None:
    """Refuse modes that compute no backward pass by itself."""
    mode, layer = spec.mode, spec.workload.is_layer
    if not layer or not of_workload(spec.workload, mode).direction:
        return
    if mode.runtime:
        raise Unsupported(f"{mode.runtime} computes forward passes, not a backward pass by itself")
    if mode.precision.startswith("amp"):
        raise Unsupported("autocast casts nothing in a backward pass by itself")


def _check_replacements(spec: Spec) -> None:
    for name, how in (
        (name, implementations.implementation(name)) for name in spec.mode.replacements.values()
    ):
        if how.flags:
            raise Unsupported(f"{name} sets global flags, so it cannot be chosen for single layers")
        if reason := _no_mode_of_ours(spec, name):
            raise Unsupported(reason)
    if spec.workload.is_layer:
        raise Unsupported("implementations per layer are for networks, not for a single layer")


def _no_mode_of_ours(spec: Spec, name: str) -> str:
    if spec.workload.group != spec.workload:
        return f"{name} computes the layer itself, not a substitute"
    if spec.workload.phase != "inference":
        return f"{name} computes inference only"
    if spec.mode.precision.startswith("amp"):
        return f"{name} has no autocast; use a plain precision"
    return ""


def implemented(spec: Spec, module: nn.Module) -> nn.Module:
    """A module, already in its mode, as the spec's implementation computes it.

    Raises:
        Unsupported: the implementation does not apply; the message is the reason.
    """
    check(spec)
    how = implementations.implementation(spec.mode.implementation)
    # An implementation that consists of flags only is the library's own module under those flags.
    if not spec.mode.implementation or how.flags or not isinstance(module, Layer):
        return module
    return Implemented(module, how, of_workload(spec.workload, spec.mode))


def tolerance(spec: Spec) -> float:
    """Largest relative error against float64 that a layer in a mode may have.

    The float64 layer has weights and inputs that were not rounded to the mode's dtype; that is two
    more roundings, and the bias a third.
    """
    precision = spec.mode.precision
    problem = of_workload(spec.workload, spec.mode)
    problem = replace(problem, dtype=_MULTIPLIES_IN.get(precision, problem.dtype))
    how = implementations.implementation(spec.mode.implementation)
    given = 0.0 if problem.dtype == "fp32" else 3 * UNIT[problem.dtype]
    if precision == "int8":
        given = 3 * _INT8
    # The norm's own numbers are rounded to the dtype, and its result is once more.
    given += 4 * UNIT[problem.dtype] * problem.normed
    return how.tolerance(how.solved(problem)) + given


def usual_norm(problem: ConvProblem) -> float:
    """Frobenius norm of the output that seeded inputs and weights usually give.

    ``nn.Conv2d`` draws weights of variance 1 / (3 taps), inputs have variance 1. Products that fall
    on padding are zero. A norm draws scales near 1; an activation leaves half of the energy.
    """
    rows, columns = (sum(1 for _ in problem.products(axis)) for axis in (0, 1))
    seen = rows * columns / (problem.r * problem.s)
    left = 0.5 if problem.activated else 1.0
    # nn.ConvTranspose2d draws from the output channels that an input reaches.
    channels = problem.c if problem.transposed else problem.k
    drawn = 1 / 3
    if problem.direction == "bwd_w":
        # Gradients of variance 1 in the place of weights.
        drawn = float(prod(problem.weight_shape[1:]))
    return float((problem.n * channels * seen * left * drawn) ** 0.5)
