"""Convolutions as torch writes them: a call of ``Conv2d`` or ``ConvTranspose2d``, or their repr.

``Conv2d(64, 64, 3, padding=1) on 56x56``, ``(conv1): Conv2d(3, 64, kernel_size=(7, 7), …)``. The
text is parsed, never evaluated. A module does not know what it is called with, so the input's size
follows ``on``; without it ``USUAL_SIZE`` is assumed, which a caller should say (``assumes``).
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any

from cnnbench.conv.problem import ConvProblem
from cnnbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnbench.conv.problem import Pair

# Of the first 3x3 layers of ResNets.
USUAL_SIZE = (56, 56)
_EXAMPLE = "Conv2d(64, 64, 3, padding=1) on 56x56"

# What stands before it: where it was printed from, where it was imported from.
_CALL = re.compile(
    r"^\s*(?:\(\w+\):\s*)?((?:\w+\.)*)((?:Lazy)?Conv(?:Transpose)?[123]d)\s*(\(.*\))"
    r"\s*(?:(?:on|@)\s*(\S+))?\s*$",
    re.ASCII | re.DOTALL,
)
# Its parameters, in the order of torch.nn.Conv2d, with their defaults.
_PARAMETERS: Mapping[str, Any] = {
    "in_channels": None, "out_channels": None, "kernel_size": None, "stride": 1, "padding": 0,
    "dilation": 1, "groups": 1, "bias": True, "padding_mode": "zeros", "device": None,
    "dtype": None,
}  # fmt: skip
# The same of torch.nn.ConvTranspose2d.
_TRANSPOSED: Mapping[str, Any] = {
    "in_channels": None, "out_channels": None, "kernel_size": None, "stride": 1, "padding": 0,
    "output_padding": 0, "groups": 1, "bias": True, "dilation": 1, "padding_mode": "zeros",
    "device": None, "dtype": None,
}  # fmt: skip
# Class -> its parameters.
_KINDS = {"Conv2d": _PARAMETERS, "ConvTranspose2d": _TRANSPOSED}
# Its names of types -> ours; without one it is torch's usual type.
_DTYPES = {
    None: "fp32", "float32": "fp32", "float": "fp32", "bfloat16": "bf16", "float16": "fp16",
    "half": "fp16",
}  # fmt: skip
_SIZE = re.compile(r"(?:(\d+)x)?(?:(\d+)x)?(\d+)x(\d+)", re.ASCII)


def is_one(text: str) -> bool:
    """Whether a text looks like a convolution of torch."""
    return re.search(r"\bn?n?\.?(?:Lazy)?Conv(?:Transpose)?[123]d\s*\(", text) is not None


def assumes(text: str) -> bool:
    """Whether a text leaves open the size of the input."""
    found = _CALL.match(text)
    return found is not None and found[4] is None


def read(text: str) -> ConvProblem:
    """Read a call of one of the two or what it prints, in fp32 unless it has a ``dtype``.

    Raises:
        UsageError: not of this form, or another kind of convolution.
    """
    found = _CALL.match(text)
    if found is None:
        raise UsageError(f"'{text}' is not a convolution of torch; one looks like {_EXAMPLE}")
    _, kind, call, size = found.groups()
    if kind not in _KINDS:
        raise UsageError(f"'{text}': only {' and '.join(_KINDS)} are measured, not {kind}")
    given = _arguments(f"{kind}{call}", _KINDS[kind], text)
    transposed = kind == "ConvTranspose2d"
    channels = _whole(given, "in_channels", text)
    n, h, w = _input(size, channels, text)
    if given["padding_mode"] != "zeros":
        raise UsageError(
            f"'{text}': only padding with zeros is measured, not {given['padding_mode']}"
        )
    kernel, stride = _pair(given, "kernel_size", text), _pair(given, "stride", text)
    dilation = _pair(given, "dilation", text)
    padding = (_pair(given, "padding", text) if transposed
               else _padding(given, kernel, stride, dilation, text))  # fmt: skip
    return ConvProblem(
        n, channels, h, w, _whole(given, "out_channels", text), *kernel, stride,
        padding, dilation, _whole(given, "groups", text), _dtype(given["dtype"], text),
        transposed=transposed,
        output_padding=_pair(given, "output_padding", text) if transposed else (0, 0),
    )  # fmt: skip


def _dtype(name: Any, text: str) -> str:
    found = _DTYPES.get(name) if name is None or isinstance(name, str) else None
    if found is None:
        raise UsageError(f"'{text}': dtype {name} is not measured; torch.bfloat16, for one, is")
    return found


def _arguments(call: str, parameters: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Every parameter by name."""
    try:
        tree = ast.parse(call, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise UsageError(f"'{text}' cannot be read; a layer looks like {_EXAMPLE}") from None
    if not isinstance(tree, ast.Call) or len(tree.args) > len(parameters):
        raise UsageError(f"'{text}' cannot be read; a layer looks like {_EXAMPLE}")
    words = {name: _value(one, text) for name, one in zip(parameters, tree.args, strict=False)}
    for word in tree.keywords:
        if word.arg is None or word.arg not in parameters:
            raise UsageError(
                f"'{text}': {call.partition('(')[0]} has no argument '{word.arg or '**'}'"
            )
        if word.arg in words:
            raise UsageError(f"'{text}' gives {word.arg} twice")
        words[word.arg] = _value(word.value, text)
    missing = [name for name in list(parameters)[:3] if name not in words]
    if missing:
        raise UsageError(f"'{text}': {missing[0]} is missing; a layer looks like {_EXAMPLE}")
    return {**parameters, **words}


def _value(node: ast.expr, text: str) -> Any:
    """A literal; torch prints some words without quotes."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError, MemoryError):
        raise UsageError(f"'{text}': '{ast.unparse(node)}' is no number") from None


def _whole(given: Mapping[str, Any], name: str, text: str) -> int:
    value = given[name]
    if type(value) is not int:
        raise UsageError(f"'{text}': {name} must be a whole number, not {value!r}")
    return value


def _pair(given: Mapping[str, Any], name: str, text: str) -> Pair:
    value = given[name]
    both = (value, value) if type(value) is int else value
    match both:
        case (int(high), int(wide)) if bool not in {type(high), type(wide)}:
            return high, wide
    raise UsageError(f"'{text}': {name} must be one or two whole numbers, not {value!r}")


def _padding(
    given: Mapping[str, Any], kernel: Pair, stride: Pair, dilation: Pair, text: str
) -> Pair:
    word = given["padding"]
    if word == "valid":
        return 0, 0
    if word != "same":
        return _pair(given, "padding", text)
    if stride != (1, 1):
        raise UsageError(f"'{text}': torch knows padding 'same' with stride 1 only")
    total = [(size - 1) * step for size, step in zip(kernel, dilation, strict=True)]
    if any(one % 2 for one in total):
        raise UsageError(f"'{text}': padding 'same' differs on two sides, which is not measured")
    return total[0] // 2, total[1] // 2


def _input(size: str | None, channels: int, text: str) -> tuple[int, int, int]:
    """Batch, height and width of ``HxW``, ``CxHxW`` or ``NxCxHxW``."""
    if size is None:
        return 1, *USUAL_SIZE
    found = _SIZE.fullmatch(size)
    if found is None:
        raise UsageError(f"'{text}': the input '{size}' is no size; one looks like 56x56")
    first, second, h, w = found.groups()
    n, c = (first, second) if second is not None else (None, first)
    if c is not None and int(c) != channels:
        raise UsageError(f"'{text}': the input has {c} channels, the layer takes {channels}")
    return int(n or 1), int(h), int(w)
