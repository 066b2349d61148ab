"""The oneDNN primitives that a call ran, read from the library's verbose log.

oneDNN writes a line per primitive to the standard output of the process. The output is captured at
the level of the file descriptor, so use this only in a worker process and never while timing.

The line's form is that of oneDNN 3 (``onednn_verbose,v1``): its template line names the fields;
engine, primitive, implementation, direction and memory come first, the milliseconds last. Source:
oneDNN Developer Guide, "Verbose Mode".
"""

from __future__ import annotations

import ctypes
import math
import os
import re
import tempfile
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

# "src:f32::blocked:acdb::f0" since oneDNN 3.4, "src_f32::blocked:acdb:f0" before; a primitive with
# several sources numbers them.
_TYPE = re.compile(r"\b(src|dst)(?:_?\d+)?[:_]([a-z]+\d+\w*)")


def lines_of(call: Callable[[], Any]) -> list[str]:
    """The lines that oneDNN logs while one call runs."""
    with (
        _standard_output() as caught,
        torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON),  # type: ignore[no-untyped-call]
    ):
        call()
    return b"".join(caught).decode(errors="replace").splitlines()


@contextmanager
def _standard_output() -> Iterator[list[bytes]]:
    """Redirect descriptor 1 to a file inside the context; the list holds its content afterwards."""
    # The C library has its own buffer; flush what was written before or inside the context.
    flush = ctypes.CDLL(None).fflush
    caught: list[bytes] = []
    flush(None)
    kept = os.dup(1)
    try:
        with tempfile.TemporaryFile() as file:
            os.dup2(file.fileno(), 1)
            try:
                yield caught
            finally:
                flush(None)
                os.dup2(kept, 1)
            file.seek(0)
            caught.append(file.read())
    finally:
        os.close(kept)


@dataclass(frozen=True)
class Executed:
    """A line of the log: what ran, and its nanoseconds by the library's own clock.

    Attributes:
        kind: ``convolution``, ``reorder``, …
        implementation: as the library names it.
        direction: ``forward_inference``, …; empty where the primitive has none.
        types: data types of its sources and its destination, each once.
        ns: its duration.
    """

    kind: str
    implementation: str
    direction: str
    types: tuple[str, ...]
    ns: float

    @property
    def name(self) -> str:
        """Kind, implementation, direction and data types, without sizes and times."""
        parts = (self.kind, self.implementation, self.direction, "->".join(self.types))
        return " ".join(part for part in parts if part)


def executed(line: str) -> Executed | None:
    """The primitive that a line says was executed; ``None`` for any other line."""
    fields = line.split(",")
    if fields[0] != "onednn_verbose" or "exec" not in fields or "graph" in fields[:3]:
        return None
    rest = fields[fields.index("exec") + 1 :]
    milliseconds = _number(rest[-1]) if len(rest) > 5 else None
    if milliseconds is None:
        return None
    _engine, kind, implementation, direction, descriptors = rest[:5]
    types = tuple(dict.fromkeys(match[2] for match in _TYPE.finditer(descriptors)))
    known = "" if direction == "undef" else direction
    return Executed(kind, implementation, known, types, milliseconds * 1e6)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def primitives(lines: Iterable[str]) -> tuple[Counter[str], int]:
    """Executed primitives by name, and the number of reorders among the lines.

    A name is e.g. ``convolution brg_conv_fwd:avx512_core forward_inference f32``.
    """
    found = [one for line in lines if (one := executed(line)) is not None]
    reorders = sum(one.kind == "reorder" for one in found)
    return Counter(one.name for one in found if one.kind != "reorder"), reorders
