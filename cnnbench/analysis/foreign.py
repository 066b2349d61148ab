"""What a training step reaches beyond the network: a loss's modules, and tensors of the caller's.

A loss works on copies of the modules that it is or closes over. Other leaf tensors that take part
in the graph of autograd get the gradient back that they had.
"""

from __future__ import annotations

import contextlib
import types
from typing import TYPE_CHECKING, Any

from torch import nn

from cnnbench.analysis import untouched
from cnnbench.analysis.meta import copy_real

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from torch import Tensor


def apart(loss: Callable[..., Any]) -> Callable[..., Any]:
    """A loss on copies of the modules that it is, belongs to, or closes over.

    Raises:
        Unsupported: one of them cannot be copied.
    """
    if isinstance(loss, nn.Module):
        return copy_real(loss)
    owner = getattr(loss, "__self__", None)
    if isinstance(loss, types.MethodType) and isinstance(owner, nn.Module):
        return types.MethodType(loss.__func__, copy_real(owner))
    if isinstance(loss, types.FunctionType):
        return untouched.rebound(
            loss, {id(one): copy_real(one) for one in untouched.modules_closed_over(loss)}
        )
    return loss


@contextlib.contextmanager
def gradients_kept(roots: Iterable[Tensor], own: Iterable[Tensor]) -> Iterator[None]:
    """Run backward without a trace on leaves that are not the network's ``own``."""
    known = {id(tensor) for tensor in own}
    before = [(leaf, leaf.grad) for leaf in _leaves(roots) if id(leaf) not in known]
    for leaf, _ in before:
        leaf.grad = None
    try:
        yield
    finally:
        for leaf, gradient in before:
            leaf.grad = gradient


def _leaves(roots: Iterable[Tensor]) -> list[Tensor]:
    """The tensors in which a graph accumulates gradients."""
    nodes: list[Any] = [root.grad_fn for root in roots]
    seen: set[Any] = set()
    found: list[Tensor] = []
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if (variable := getattr(node, "variable", None)) is not None:
            found.append(variable)
        nodes += [before for before, _ in node.next_functions]
    return found
