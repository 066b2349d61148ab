"""In which state malloc is while something is measured: conditions with names.

A step gets and frees its activations in every call. What glibc does with what was freed depends on
what else the process has allocated: blocks above a threshold are mapped anew and cleared page by
page in every call, and the top of its heap is given back. Loops over one network, a processor with
AVX-512, torch 2.14: mobilenet_v2 faults on 2,320 pages per call, squeezenet1_1 on 1,500, but on 320
to 600 where the process decodes pictures besides; eight profiles of mobilenet_v2 said 10.7 to
16.4 ms, and 10.5 where blocks are kept. So the default is that blocks are kept. It is what a server
lives in that follows PyTorch's performance tuning guide, which recommends jemalloc or TCMalloc for
it, and a time is then the network's and not that of its process's past.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from cnnbench import machine
from cnnbench.errors import UnknownName


@dataclass(frozen=True)
class AllocatorCondition:
    """A state of malloc.

    Attributes:
        meaning: in a few words.
        variables: with which a process is started for it.
    """

    meaning: str
    variables: Mapping[str, str] = field(default_factory=dict)


# malloc reads these when a process starts (mallopt(3)): map no block by itself, and never give back
# the top of the heap.
CONDITIONS: Mapping[str, AllocatorCondition] = {
    "kept": AllocatorCondition(
        "blocks that a call frees are kept for the next one",
        {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**32)},
    ),
    "system": AllocatorCondition("as the C library comes"),
}
DEFAULT = "kept"
# Says which, to every process that is started from here.
VARIABLE = "CNNBENCH_ALLOCATOR"


def asked(environ: Mapping[str, str] = os.environ) -> str | None:
    """The condition that somebody asked for by name."""
    return environ.get(VARIABLE) or None


def variables(
    environ: Mapping[str, str] = os.environ, condition: str | None = None
) -> dict[str, str]:
    """What the processes that measure are started with, besides their environment.

    Args:
        environ: their environment. Where it configures an allocator, it is left as it is.
        condition: a name; ``None`` for the one that the environment asks for, or the default.

    Raises:
        UnknownName: there is no such condition.
    """
    if any(name.startswith(machine.ALLOCATOR) for name in environ):
        return {}
    name = condition or asked(environ) or DEFAULT
    if name not in CONDITIONS:
        raise UnknownName(VARIABLE, name, CONDITIONS)
    return dict(CONDITIONS[name].variables)


def words(condition: str) -> str:
    """The variables of a condition as they are written before a command."""
    return " ".join(f"{name}={value}" for name, value in CONDITIONS[condition].variables.items())
