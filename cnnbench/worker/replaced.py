"""A network in which our implementations compute some of the convolutions.

A mode says which: ``impl=im2col@64x56x56-k64-3x3-p1``. The input of each layer is found by running
the network once. The weights stay the same; the network is changed in place.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from cnnbench import implementations
from cnnbench.conv.problem import ConvProblem
from cnnbench.errors import Unsupported
from cnnbench.implementations.unit import Conv
from cnnbench.worker import convolution

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnbench.spec import Spec
    from cnnbench.worker.inputs import Given


def implemented(spec: Spec, module: nn.Module, given: Given) -> nn.Module:
    """A module, already in its mode, as the spec's implementations compute it.

    Raises:
        Unsupported: an implementation does not apply, or the network has no such layer.
    """
    wanted = spec.mode.replacements
    if not wanted:
        return convolution.implemented(spec, module)
    convolution.check(spec)
    found = _layers(spec, module, given)
    missing = sorted(set(wanted) - {text(one) for one in found.values()})
    if missing:
        raise Unsupported(f"{spec.workload.architecture} has no layer {', '.join(missing)}")
    for path, problem in found.items():
        if text(problem) in wanted:
            _replace(module, path, wanted[text(problem)], problem, spec.device.kind)
    return module


def text(problem: ConvProblem) -> str:
    """A layer and the shape of one sample, as modes name them."""
    return f"{problem.c}x{problem.h}x{problem.w}-{problem.layer}"


def _replace(module: nn.Module, path: str, name: str, problem: ConvProblem, kind: str) -> None:
    how = implementations.implementation(name)
    if reason := how.applies(problem, kind):
        raise Unsupported(f"{path}: {reason}")
    layer = module.get_submodule(path)
    assert isinstance(layer, Conv)  # noqa: S101 - for the type checker
    owner, _, attribute = path.rpartition(".")
    new = convolution.Implemented(layer, how, problem)
    setattr(module.get_submodule(owner), attribute, new)


def _layers(spec: Spec, module: nn.Module, given: Given) -> Mapping[str, ConvProblem]:
    """Path -> the layer of the convolution there, unless it is called with several shapes."""
    seen: dict[str, set[ConvProblem]] = {}
    hooks = []
    for path, one in module.named_modules():
        # A subclass may compute something else.
        if path and type(one) in {nn.Conv2d, nn.ConvTranspose2d}:
            hooks.append(one.register_forward_pre_hook(_watch(seen.setdefault(path, set()), spec)))
    try:
        with torch.inference_mode():
            given.to(module)
    finally:
        for hook in hooks:
            hook.remove()
    return {path: next(iter(found)) for path, found in seen.items() if len(found) == 1}


def _watch(found: set[ConvProblem], spec: Spec) -> Any:
    def watch(layer: Conv, inputs: tuple[Any, ...]) -> None:
        if not isinstance(layer.padding, str) and layer.padding_mode == "zeros":
            found.add(_problem(layer, tuple(inputs[0].shape), spec))

    return watch


def _problem(layer: Conv, shape: tuple[int, ...], spec: Spec) -> ConvProblem:
    n, c, h, w = shape if len(shape) == 4 else (1, *shape)
    (r, s), mode = layer.kernel_size, spec.mode
    problem = ConvProblem(
        n, c, h, w, layer.out_channels, r, s, _pair(layer.stride), _pair(layer.padding),
        _pair(layer.dilation), layer.groups,
        transposed=isinstance(layer, nn.ConvTranspose2d),
        output_padding=_pair(layer.output_padding),
    )  # fmt: skip
    return replace(problem, dtype=mode.precision, memory_format=mode.memory_format)


def _pair(value: Any) -> tuple[int, int]:
    first, second = value
    return int(first), int(second)
