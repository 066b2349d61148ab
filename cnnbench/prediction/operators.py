"""A call of an operator as a value: its name, the layout of its tensors, its other arguments.

Two calls that are equal here do the same work, so that one of them is timed. A call is kept as JSON
text, which is its key; what reads a text back makes values of it and nothing else, whatever it says
and wherever it comes from.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cnnbench.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Namespaces whose operators are timed: those of torch itself and of torchvision. An operator of
# somebody else's may do anything when it is called, and needs not be installed on another machine.
NAMESPACES = ("aten", "torchvision")
_NAME = re.compile(rf"({'|'.join(NAMESPACES)})::[A-Za-z_]\w*(\.\w+)?", flags=re.ASCII)

# Bytes of an element, by torch's name of the type.
ITEM_BYTES: Mapping[str, int] = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "int16": 2,
    "int8": 1, "uint8": 1, "bool": 1,
}  # fmt: skip
# Arguments that are names of torch's own, such as ``{"memory_format": "channels_last"}``.
KINDS = ("dtype", "layout", "device", "memory_format")
_WORD = re.compile(r"[a-z]\w*", flags=re.ASCII)
# What no network needs and a file might claim.
_MOST_AXES, _LARGEST, _DEEPEST = 8, 1 << 40, 4


@dataclass(frozen=True)
class TensorLayout:
    """A tensor without its values.

    Attributes:
        shape: elements along each axis.
        strides: elements between neighbours along each axis.
        dtype: torch's name of the type (``float32``).
        held: a parameter or buffer of the network, which no operator of the same pass has written.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str
    held: bool = False

    @property
    def elements(self) -> int:
        """Elements that are addressed."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of these elements."""
        return self.elements * ITEM_BYTES[self.dtype]

    @property
    def span(self) -> int:
        """Elements of memory from the first to the last one."""
        if not self.elements:
            return 0
        pairs = zip(self.shape, self.strides, strict=True)
        return 1 + sum((size - 1) * stride for size, stride in pairs)


@dataclass(frozen=True)
class TorchName:
    """An argument that is a name of torch's own: one of ``KINDS``, and the name."""

    kind: str
    name: str


# Nested tuples of these; a list has no other meaning than a tuple.
Argument = TensorLayout | TorchName | int | float | str | None | tuple[Any, ...]


@dataclass(frozen=True)
class OperatorCall:
    """A call of an operator.

    Attributes:
        operator: its full name, ``aten::add.Tensor``.
        arguments: in order.
        keywords: by name.
    """

    operator: str
    arguments: tuple[Argument, ...]
    keywords: tuple[tuple[str, Argument], ...] = ()

    @cached_property
    def text(self) -> str:
        """JSON on one line, equal for equal calls: the key of what was timed."""
        found = {
            "operator": self.operator,
            "arguments": [_written(one) for one in self.arguments],
            "keywords": {name: _written(one) for name, one in self.keywords},
        }
        return json.dumps(found, separators=(",", ":"))

    @property
    def tensors(self) -> list[TensorLayout]:
        """The tensors among the arguments, in order."""
        return list(_tensors((*self.arguments, *(one for _, one in self.keywords))))

    @property
    def held_bytes(self) -> int:
        """Bytes of parameters and buffers."""
        return sum(one.nbytes for one in self.tensors if one.held)

    @property
    def taken_bytes(self) -> int:
        """Bytes of the other tensors that it is given."""
        return sum(one.nbytes for one in self.tensors if not one.held)

    @property
    def short(self) -> str:
        """For people: ``aten::convolution of 1x3x224x224, 64x3x7x7``."""
        shapes = ", ".join("x".join(map(str, one.shape)) or "1" for one in self.tensors)
        return f"{self.operator} of {shapes}" if shapes else self.operator

    @classmethod
    def parse(cls, text: str) -> OperatorCall:
        """Read ``text``.

        Raises:
            SchemaError: it is not a call of an operator of ``NAMESPACES`` in this form.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            raise SchemaError("a call of an operator is not valid JSON") from None
        if not isinstance(data, dict) or data.keys() != {"operator", "arguments", "keywords"}:
            raise SchemaError("a call of an operator has 'operator', 'arguments' and 'keywords'")
        name, arguments, keywords = data["operator"], data["arguments"], data["keywords"]
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise SchemaError(f"{_quoted(name)} is no operator of {' or '.join(NAMESPACES)}")
        if not isinstance(arguments, list) or not isinstance(keywords, dict):
            raise SchemaError(f"{name}: 'arguments' is a list and 'keywords' an object")
        return cls(
            name,
            tuple(_read(one, name) for one in arguments),
            tuple((key, _read(one, name)) for key, one in keywords.items()),
        )


@dataclass(frozen=True)
class TracedCall:
    """A call that a network makes, and how often.

    Attributes:
        call: the text of an ``OperatorCall``.
        count: calls in one pass.
        macs: multiply-accumulates of one call.
        written_bytes: bytes of its results.
    """

    call: str
    count: int
    macs: int
    written_bytes: int


@dataclass(frozen=True)
class OperatorTrace:
    """What a pass of a network consists of.

    Attributes:
        calls: the distinct ones that compute something.
        light: calls that compute nothing: views, and those that only take memory.
        foreign: names of operators outside of ``NAMESPACES``, which are not timed.
        whole: it is all of them; otherwise they were more work than was asked about.
    """

    calls: tuple[TracedCall, ...]
    light: int = 0
    foreign: tuple[str, ...] = ()
    whole: bool = True

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all calls."""
        return sum(one.count * one.macs for one in self.calls)


@dataclass(frozen=True)
class TracedNetwork:
    """What came of tracing one of several networks.

    Attributes:
        trace: its operators; ``None`` if it could not be traced.
        why: it could not.
        built: its module was there before that.
    """

    trace: OperatorTrace | None
    why: str = ""
    built: bool = True


@dataclass(frozen=True)
class OperatorTime:
    """How long a call took alone.

    Attributes:
        call: the text of an ``OperatorCall``.
        seconds: of one call, the median of samples; ``None`` if it failed.
        samples: their number.
        why: it failed.
        pace: seconds that ``PACE`` took in the same moments; ``None`` if that is not known.
    """

    call: str
    seconds: float | None
    samples: int = 0
    why: str = ""
    pace: float | None = None


def _tensors(arguments: tuple[Any, ...]) -> Iterator[TensorLayout]:
    for one in arguments:
        if isinstance(one, TensorLayout):
            yield one
        elif isinstance(one, tuple):
            yield from _tensors(one)


def _convolution(channels: int, side: int) -> TracedCall:
    """A 3x3 convolution of a square picture that keeps its shape, in float32."""
    shape, kernel = (1, channels, side, side), (channels, channels, 3, 3)
    image = TensorLayout(shape, dense_strides(shape), "float32")
    weight = TensorLayout(kernel, dense_strides(kernel), "float32", held=True)
    geometry = ((1, 1), (1, 1), (1, 1), False, (0, 0), 1)
    call = OperatorCall("aten::convolution", (image, weight, None, *geometry))
    return TracedCall(call.text, 1, weight.elements * side * side, image.nbytes)


def dense_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of a contiguous tensor.

    >>> dense_strides((2, 3, 4))
    (12, 4, 1)
    """
    return tuple(
        math.prod(max(size, 1) for size in shape[axis + 1 :]) for axis in range(len(shape))
    )


def _written(one: Argument) -> Any:
    if isinstance(one, TensorLayout):
        found: dict[str, Any] = {"shape": list(one.shape), "dtype": one.dtype}
        if one.strides != dense_strides(one.shape):
            found["strides"] = list(one.strides)
        return found | ({"held": True} if one.held else {})
    if isinstance(one, TorchName):
        return {one.kind: one.name}
    if isinstance(one, tuple):
        return [_written(part) for part in one]
    if isinstance(one, float) and not math.isfinite(one):
        return {"number": str(one)}
    return one


def _read(data: Any, place: str, depth: int = 0) -> Argument:
    if data is None or isinstance(data, bool | int | float | str):
        return data
    if isinstance(data, list) and depth < _DEEPEST:
        return tuple(_read(one, place, depth + 1) for one in data)
    if isinstance(data, dict):
        if "shape" in data:
            return _tensor(data, place)
        if len(data) == 1:
            ((kind, name),) = data.items()
            if kind == "number" and name in {"inf", "-inf", "nan"}:
                return float(name)
            if kind in KINDS and isinstance(name, str) and _WORD.fullmatch(name):
                return TorchName(kind, name)
    raise SchemaError(f"{place}: {_quoted(data)} is no argument of an operator")


def _tensor(data: dict[str, Any], place: str) -> TensorLayout:
    shape, strides = data["shape"], data.get("strides")
    known = data.keys() <= {"shape", "strides", "dtype", "held"}
    if not known or not _sizes(shape) or not (strides is None or _sizes(strides)):
        raise SchemaError(f"{place}: {_quoted(data)} is no tensor")
    if data.get("dtype") not in ITEM_BYTES or not isinstance(data.get("held", False), bool):
        raise SchemaError(f"{place}: a tensor of type {_quoted(data.get('dtype'))} is not timed")
    laid = dense_strides(tuple(shape)) if strides is None else tuple(strides)
    found = TensorLayout(tuple(shape), laid, data["dtype"], data.get("held", False))
    if len(laid) != len(shape) or max(found.span, found.elements) > _LARGEST:
        raise SchemaError(f"{place}: {_quoted(data)} is no tensor")
    return found


def _sizes(data: Any) -> bool:
    return (
        isinstance(data, list)
        and len(data) <= _MOST_AXES
        and all(type(one) is int and 0 <= one <= _LARGEST for one in data)
    )


def _quoted(data: Any) -> str:
    text = repr(data)
    return text if len(text) <= 60 else f"{text[:57]}…"


# A convolution that says how fast the machine is at a moment. A core whose other hyperthread is at
# work computes more slowly, and on hosts that others share that changes: after minutes, or parts of
# a second.
PACE = _convolution(channels=64, side=26)
