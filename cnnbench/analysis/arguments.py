"""The inputs of a network: every tensor in them, whatever holds it, and twins of all."""

from __future__ import annotations

import copy
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from cnnbench.analysis.meta import Twins, on_meta, refuse_unless_dense
from cnnbench.errors import CnnbenchError, Unsupported

if TYPE_CHECKING:
    from cnnbench.analysis.passes import Arguments


def tensors_in(value: Any) -> list[Tensor]:
    """Tensors in the order of their containers; dataclasses are opened as lists and dicts are."""
    found: list[Tensor] = []
    for leaf in tree_leaves(value):
        if isinstance(leaf, Tensor):
            found.append(leaf)
        elif is_dataclass(leaf) and not isinstance(leaf, type):
            found += tensors_in([getattr(leaf, item.name) for item in fields(leaf)])
    return found


def twins(given: Arguments, *, real: bool) -> Arguments:
    """Copies of the inputs, because a network may write into them; on meta unless ``real``.

    Raises:
        Unsupported: something among them cannot be copied, or has no form on meta.
    """
    try:
        with torch.inference_mode(mode=False), Twins(_clone if real else on_meta):
            return copy.deepcopy(given)
    except CnnbenchError:
        raise
    except Exception as error:  # whatever a container of the user's raises
        reason = next(iter(str(error).splitlines()), type(error).__name__).partition(". ")[0]
        hint = "" if real else "; pass real=True (--real) to run on real tensors"
        raise Unsupported(f"the inputs cannot be copied ({reason}){hint}") from error


def _clone(tensor: Tensor) -> Tensor:
    refuse_unless_dense(tensor)
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)
