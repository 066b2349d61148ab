"""The error of a trace that could not finish, in one sentence: layer, expected and actual input."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from torch import nn
from torch.nn.modules import batchnorm, conv

from cnnbench.errors import CnnbenchError, Unsupported, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.analysis.modules import ModuleStack

# What torch says where a kernel, or a check before it, wants tensors that have values.
_NO_META = re.compile(r"\bmeta\b|fake impl|data-dependent|storage of \w+TensorImpl", re.IGNORECASE)


class WrongInput(UsageError):
    """The network does not accept this input; names the layer, what it expected and what it got."""


def explain(
    error: Exception,
    stack: ModuleStack,
    index: int,
    operator: str | None = None,
    shapes: Sequence[tuple[int, ...]] = (),
    *,
    real: bool,
) -> CnnbenchError:
    """Turn an exception from inside a trace into ours; it was raised at the place ``index``."""
    name, module = stack.names[index], stack.modules[index]
    layer = f"layer '{name}' ({type(module).__name__})" if name else type(module).__name__
    reason = _reason(error)
    if (sentence := _hopeless(str(error), reason)) is not None:
        return Unsupported(f"{layer} {sentence}")
    culprit = operator or _operator_in(reason)
    if isinstance(error, NotImplementedError) and not culprit and not _NO_META.search(str(error)):
        return UsageError(f"{layer} raises NotImplementedError: {reason}")
    if _needs_values(error):
        if real and any(parameter.is_meta for parameter in stack.modules[0].parameters()):
            return UsageError(
                f"{layer} is on meta, where tensors have no values ({reason}); leave real=True out"
            )
        if not culprit:
            return _without_an_operator(layer, reason, real=real)
        if real:
            return Unsupported(
                f"{layer} cannot be analysed: operator {culprit} cannot run where operators are"
                f" recorded ({reason}); count the network without it"
            )
        return Unsupported(
            f"{layer} cannot be analysed without values: operator {culprit} has no meta form "
            f"({reason}); pass real=True (--real) to run it on real tensors"
        )
    if (known := remedy(reason)) is not None:
        return UsageError(f"{layer}: {known} ({reason})")
    if stack.in_backward:
        return Unsupported(
            f"the backward pass of {type(stack.modules[0]).__name__} fails: {reason}"
        )
    # If no operator of a leaf has run yet, the leaf's own input is what it got.
    got = stack.inputs[index] or (shapes[0] if shapes else None)
    expected = _expected(module)
    parts = [f"expected {expected}" if expected else "", f"got {tuple(got)}" if got else ""]
    facts = ", ".join(part for part in parts if part)
    return WrongInput(f"{layer} does not take this input{': ' + facts if facts else ''} ({reason})")


def _reason(error: BaseException) -> str:
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    named = isinstance(error, (LookupError, AttributeError, NameError))
    return f"{type(error).__name__}: {reason}" if named else reason


def failed(error: CnnbenchError) -> str:
    """What was raised inside of a trace, before it was explained."""
    return _reason(error.__cause__ or error)


# What torch says of a failure whose reason is not the shape -> what is wrong and what helps.
_TYPES = "its weights and what it gets are of different types; convert one of them"
_KNOWN = {
    "should be the same": _TYPES,
    "must have the same dtype": _TYPES,
    "Expected more than 1 value per channel when training": "batch norm needs more than one value"
    " per channel in training; use --batch 2 or a larger input",
}


def remedy(reason: str) -> str | None:
    """What is wrong and what helps, where torch's own message says only the first."""
    return next((text for sign, text in _KNOWN.items() if sign in reason), None)


# What messages say, and what to do about it, whatever the tensors are.
_HOPELESS = {
    r"Found no NVIDIA driver|not compiled with CUDA|No CUDA GPUs are available"
    r"|arguments from the '(?:CUDA|MPS|XPU|HPU|XLA)' backend":
        "asks for a device that is not here; create tensors on the device of the input (x.device)"
        " ({reason})",
    r"BatchedTensorImpl":
        "runs under torch.vmap, whose tensors cannot be followed; call it on the whole batch",
    r"of TensorWrapper":
        "runs under torch.func.grad or the like, whose tensors cannot be followed; call the module"
        " itself: phase training counts its backward pass",
    r"FlexAttention|HigherOrderOperator flex_attention":
        "uses flex_attention, which cannot be recorded; count the network with"
        " scaled_dot_product_attention in its place",
    r"HigherOrderOperator cond":
        "uses torch.cond, which cannot be recorded; count the network with a plain call of one of"
        " the branches in its place",
    r"HigherOrderOperator (\w+)":
        "uses torch's {0}, which cannot be recorded; count the network with plain operators in its"
        " place",
    r"NestedTensor|prim::layout|jagged":
        "works on nested tensors, whose storage cannot be followed; convert them with"
        " to_padded_tensor(0.0) first",
    r"access storage of|aten::_to_sparse|aten::sparse|from the 'Sparse":
        "works on sparse tensors, whose storage cannot be followed; use dense ones (to_dense())",
}  # fmt: skip


def _hopeless(message: str, reason: str) -> str | None:
    """What cannot be followed and what to count in its place; the first sign decides."""
    for sign, sentence in _HOPELESS.items():
        if match := re.search(sign, message):
            return sentence.format(*match.groups(), reason=reason)
    return None


def _without_an_operator(layer: str, reason: str, *, real: bool) -> CnnbenchError:
    """What failed between operators, for want of values or while they are recorded."""
    if real:
        return Unsupported(
            f"{layer} cannot run where operators are recorded ({reason}); count the network"
            " without it"
        )
    return Unsupported(
        f"{layer} cannot be analysed without values ({reason}); pass real=True (--real) to run on"
        " real tensors"
    )


def _needs_values(error: Exception) -> bool:
    return isinstance(error, NotImplementedError) or bool(_NO_META.search(str(error)))


def _operator_in(reason: str) -> str | None:
    if ".item()" in reason:
        return "aten._local_scalar_dense (Tensor.item)"
    if "to numpy" in reason:
        return "Tensor.numpy"
    words = reason.replace("'", " ").split()
    return next((word for word in words if "::" in word or "aten." in word), None)


def _expected(module: nn.Module) -> str:
    """The input that a leaf accepts, by its own attributes."""
    if isinstance(module, conv._ConvNd):  # noqa: SLF001
        axes = len(module.kernel_size)
        return f"{module.in_channels} channels and {axes} spatial axes at least its kernel's size"
    if isinstance(module, nn.Linear):
        return f"{module.in_features} features on the last axis"
    if isinstance(module, batchnorm._NormBase):  # noqa: SLF001
        return f"{module.num_features} channels"
    if isinstance(module, nn.LayerNorm):
        return f"last axes {tuple(module.normalized_shape)}"
    return ""
