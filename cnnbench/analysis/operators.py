"""What torch itself says of an operator, whatever it costs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch._ops import OpOverload

# Namespaces whose operators are named after what they compute, and the words of those with MACs.
_NAMED = frozenset({"aten", "prims", "quantized", "torchvision"})
_MULTIPLYING = frozenset(
    {
        "mm", "bmm", "addmm", "hspmm", "spmm", "matmul", "linear", "conv", "convolution",
        "attention", "lstm", "gru", "rnn", "linalg", "cholesky", "solve", "spsolve", "inverse",
        "qr", "geqrf", "ormqr", "svd",
    }
)  # fmt: skip


def full_name(operator: OpOverload) -> str:
    """``aten::add.Tensor``; a default overload has no suffix."""
    name: str = operator.name()  # type: ignore[no-untyped-call]
    return name


def is_view(operator: OpOverload) -> bool:
    """Whether its results alias an argument without being written to, or it only turns a view."""
    if torch.Tag.inplace_view in operator.tags:
        return True
    aliases = [result.alias_info for result in operator._schema.returns]  # noqa: SLF001
    return bool(aliases) and all(alias is not None and not alias.is_write for alias in aliases)


def is_composite(operator: OpOverload) -> bool:
    """Whether it consists of other operators, which have the rules."""
    found: bool = torch._C._dispatch_has_kernel_for_dispatch_key(  # noqa: SLF001
        full_name(operator), "CompositeImplicitAutograd"
    )
    return found


def may_multiply(operator: OpOverload) -> bool:
    """Whether an operator may have multiply-accumulates, going by what it is called."""
    if torch.Tag.pointwise in operator.tags:
        return False
    namespace, _, name = full_name(operator).partition(".")[0].partition("::")
    words = re.split(r"[_\d]+|(?<=\d)d", name)
    return namespace not in _NAMED or not _MULTIPLYING.isdisjoint(words) or is_composite(operator)


def results_given(operator: OpOverload) -> tuple[str, ...]:
    """Keyword arguments that results are written to (``out=``)."""
    arguments = operator._schema.arguments  # noqa: SLF001
    return tuple(argument.name for argument in arguments if argument.is_out)
