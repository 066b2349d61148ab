"""int8 for AOTInductor: an export quantised after training by torchao's quantiser for x86.

The quantiser finds what it may fuse by the module that an operator came from, and refuses a network
that calls one module twice, as a residual network of torchvision calls its ReLU (pytorch/ao#4478).
So every operator is given an origin of its own beforehand.
"""

from __future__ import annotations

import operator
import re
import warnings
import zipfile
from collections import Counter
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from cnnbench.errors import Unsupported

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from torch.export import ExportedProgram

_ATEN = torch.ops.aten
# Operator -> the type by which the quantiser knows it, alone or in a pattern.
_SOURCES: dict[Any, Any] = {
    _ATEN.conv1d.default: nn.Conv1d, _ATEN.conv2d.default: nn.Conv2d,
    _ATEN.linear.default: nn.Linear, _ATEN.batch_norm.default: nn.BatchNorm2d,
    _ATEN.add.Tensor: operator.add, _ATEN.add_.Tensor: operator.add,
    _ATEN.relu.default: nn.ReLU, _ATEN.relu_.default: nn.ReLU,
    _ATEN.hardtanh.default: nn.Hardtanh, _ATEN.hardtanh_.default: nn.Hardtanh,
    _ATEN.hardswish.default: nn.Hardswish, _ATEN.hardswish_.default: nn.Hardswish,
    _ATEN.silu.default: nn.SiLU, _ATEN.silu_.default: nn.SiLU,
    _ATEN.leaky_relu.default: nn.LeakyReLU, _ATEN.leaky_relu_.default: nn.LeakyReLU,
    _ATEN.gelu.default: nn.GELU, _ATEN.tanh.default: nn.Tanh,
}  # fmt: skip
# Calls in a package's code that multiply -> the type in which they do.
_CALLS = {
    "int8": re.compile(r"\baoti_torch_cpu__q(?:conv|linear)\w*_pointwise\w*\("),
    "float32": re.compile(
        r"\baoti_torch_cpu_(?:mkldnn__convolution|_?convolution|_linear_pointwise|mkldnn\w*linear"
        r"|_mkl_linear|addmm|mm|bmm)\w*\("
    ),
}


def quantised(program: ExportedProgram, pictures: Iterable[Sequence[Tensor]]) -> ExportedProgram:
    """An export whose convolutions and linear layers compute in int8, weights per channel.

    Args:
        program: in float32.
        pictures: inputs to calibrate on, each its tensors in order.

    Raises:
        Unsupported: the export cannot be called with such pictures.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torchao.quantization.pt2e import quantize_pt2e
        from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

        graph = program.module()
        for node in graph.graph.nodes:
            if node.op == "call_function":
                source = _SOURCES.get(node.target, node.target)
                node.meta["source_fn_stack"] = [(node.name, source)]
        how = x86.get_default_x86_inductor_quantization_config()
        prepared = quantize_pt2e.prepare_pt2e(graph, x86.X86InductorQuantizer().set_global(how))
        for picture in pictures:
            args, kwargs = _called_with(program, picture)
            prepared(*args, **kwargs)
        made = quantize_pt2e.convert_pt2e(prepared)
        args, kwargs = program.example_inputs
        return torch.export.export(made, args, kwargs, strict=False)


def _called_with(program: ExportedProgram, picture: Sequence[Tensor]) -> Any:
    """The arguments of an export, with other tensors in them."""
    leaves, form = pytree.tree_flatten(program.example_inputs)
    places = [place for place, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
    if len(places) != len(picture):
        raise Unsupported(f"the export takes {len(places)} tensors, pictures have {len(picture)}")
    for place, tensor in zip(places, picture, strict=True):
        leaves[place] = tensor
    return pytree.tree_unflatten(leaves, form)


def layers(package: Path) -> dict[str, int]:
    """Type -> layers that multiply in it, by the calls in the code of a package."""
    found: Counter[str] = Counter()
    with zipfile.ZipFile(package) as inside:
        for name in inside.namelist():
            if not name.endswith(".cpp"):
                continue
            code = inside.read(name).decode(errors="replace")
            for kind, call in _CALLS.items():
                found[kind] += len(call.findall(code))
    return {kind: count for kind, count in found.items() if count}
