"""What a network is asked to be called with, as users write it: ``mask=bool:10``.

One input is ``[NAME=][TYPE[<LIMIT]:]SHAPE``. The shape is that of one sample, without the batch
axis, ``scalar`` for one number per sample. With a name it is a keyword argument. Without a type it
is floating point in the network's own precision.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnbench.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

# Type -> how many values from zero on it holds; nothing for those that are no whole numbers.
TYPES: dict[str, int | None] = {
    "float16": None, "bfloat16": None, "float32": None, "float64": None, "complex64": None,
    "bool": 2, "uint8": 2**8, "int8": 2**7, "int16": 2**15, "int32": 2**31, "int64": 2**63,
}  # fmt: skip
# Whole numbers are drawn below this unless a limit is given: an index that every table has.
USUAL_LIMIT = 2
_SCALAR = "scalar"
_FORM = re.compile(
    r"(?:(?P<name>[A-Za-z_]\w*)=)?(?:(?P<type>[a-z]+\d*)(?:<(?P<limit>\d+))?:)?"
    rf"(?P<shape>[1-9]\d*(?:x[1-9]\d*){{0,3}}|{_SCALAR})"
)


@dataclass(frozen=True)
class TypedInput:
    """One argument of a network.

    Attributes:
        shape: of one sample; empty for one number.
        type: a key of ``TYPES``; empty for the network's own floating-point type.
        limit: whole numbers are below it; ``None`` for the usual one.
        name: of the keyword; empty for a positional argument.
    """

    shape: tuple[int, ...]
    type: str = ""
    limit: int | None = None
    name: str = ""

    @property
    def text(self) -> str:
        """As it is written."""
        shape = "x".join(map(str, self.shape)) or _SCALAR
        kind = f"{self.type}:" if self.limit is None else f"{self.type}<{self.limit}:"
        return (f"{self.name}=" if self.name else "") + (kind if self.type else "") + shape


def read(text: str) -> TypedInput:
    """Read one input.

    Raises:
        UnknownName: there is no such type.
        UsageError: another form, or a limit that the type cannot have.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise UsageError(
            f"'{text}' is not of the form 1x28x28, int64:20, int64<1000:20 or mask=bool:10"
        )
    kind = match["type"] or ""
    if kind and kind not in TYPES:
        raise UnknownName("input type", kind, TYPES, f"(in '{text}'; one of {', '.join(TYPES)})")
    limit = None if match["limit"] is None else int(match["limit"])
    if limit is not None and not 0 < limit <= (TYPES[kind] or 0):
        raise UsageError(f"'{text}': {kind} has no numbers below {limit}; drop the limit")
    shape = () if match["shape"] == _SCALAR else tuple(map(int, match["shape"].split("x")))
    return TypedInput(shape, kind, limit, match["name"] or "")


def read_all(text: str) -> tuple[TypedInput, ...]:
    """Read inputs joined by commas, as settings of workloads keep them.

    Raises:
        UsageError: one of them cannot be read, or two have one name.
    """
    return distinct([read(part) for part in text.split(",")])


def canonical(text: str) -> str | None:
    """Inputs as a setting keeps them; ``None`` without any.

    Raises:
        UsageError: they cannot be read.
    """
    return text_of(read_all(text)) if text else None


def distinct(inputs: Sequence[TypedInput]) -> tuple[TypedInput, ...]:
    """The inputs, if every keyword is given once.

    Raises:
        UsageError: one is given twice.
    """
    names = [one.name for one in inputs if one.name]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"input '{twice}' is given twice; keep one")
    return tuple(inputs)


def text_of(inputs: Sequence[TypedInput]) -> str:
    """The inputs joined; empty for a single shape, which says nothing but the usual."""
    plain = len(inputs) == 1 and not inputs[0].type and not inputs[0].name and inputs[0].shape
    return "" if plain else ",".join(one.text for one in inputs)
