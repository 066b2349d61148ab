"""A network as an exported program, which every runtime begins with."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from cnnbench.errors import Unsupported
from cnnbench.worker.saying import said

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from torch import nn
    from torch.export import ExportedProgram

    from cnnbench.worker.inputs import Given


def export(module: nn.Module, given: Given, around: AbstractContextManager[Any]) -> ExportedProgram:
    """The program of a network for inputs of these shapes.

    Args:
        module: in its mode.
        given: what it is called with.
        around: entered meanwhile, for autocast.

    Raises:
        Unsupported: it cannot be exported; the message says why.
    """
    with torch.no_grad(), around, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return torch.export.export(module, given.args, dict(given.kwargs), strict=False)
        except Exception as error:
            raise Unsupported(f"torch.export: {said(error)}") from error


def input_names(program: ExportedProgram, given: Given) -> list[str]:
    """The program's names of the tensors that go in, in order.

    Raises:
        Unsupported: there are more or fewer of them than tensors.
    """
    leaves = pytree.tree_leaves((given.args, dict(given.kwargs)))
    names = [one for one in program.graph_signature.user_inputs if isinstance(one, str)]
    found = [name for name, leaf in zip(names, leaves, strict=False) if isinstance(leaf, Tensor)]
    if len(names) == len(leaves) - sum(not isinstance(leaf, Tensor) for leaf in leaves):
        found = names
    if len(found) != len(given.tensors):
        raise Unsupported(
            f"the export has {len(found)} inputs, the network is called with {len(given.tensors)}"
            " tensors"
        )
    return found
