"""Operators timed alone, as nearly as possible in the state in which a network calls them.

A loop over one call finds everything in the nearest cache, which a network does not: there, weights
were last read a pass ago, results go to memory that was freed some operators ago, and only the
input was written just now. So parameters move from call to call through memory that is larger than
a second-level cache and smaller than a last-level one, and the last results are kept while the next
one is made.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from cnnbench.errors import SchemaError
from cnnbench.prediction.operators import (
    NAMESPACES,
    Argument,
    OperatorCall,
    OperatorTime,
    TensorLayout,
    TorchName,
)
from cnnbench.spec import Mode
from cnnbench.worker import modes, sampling

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnbench.requests import TimeOperators
    from cnnbench.worker.talk import Talk

# Bytes through which parameters move: more than second-level caches hold (1 to 2 MiB), less than
# last-level ones.
_MOVED_THROUGH = 16 << 20
# Places of parameters at most: so many views are made before anything is timed.
_PLACES = 32
# Parameters begin at a cache line.
_LINE = 64
# Results that are alive while the next is made: those of the branches of a block, roughly.
_KEPT = 2
# A sample is long against the clock; there are as many as fit, the least and the most of them.
_SAMPLE_SECONDS = 100e-6
_SECONDS = 8e-3
_LEAST, _MOST = 3, 25


def time_operators(request: TimeOperators, talk: Talk) -> None:
    """The time of every call; one that fails costs its own time only."""
    modes.set_flags(Mode(), request.threads)
    # What in-place operators make of their operands over and over must not become slow numbers.
    torch.set_flush_denormal(True)
    memory = Memory()
    clock = time.thread_time_ns if request.threads == 1 else time.perf_counter_ns
    found = []
    with torch.inference_mode(), sampling.collector_off():
        for text in request.calls:
            talk.enter("time operators")
            found.append(_timed(text, memory, clock))
            talk.keep(tuple(found))
    talk.answer(tuple(found))


def _timed(text: str, memory: Memory, clock: Callable[[], int]) -> OperatorTime:
    try:
        seconds, samples = timed(OperatorCall.parse(text), memory, clock)
    except (SchemaError, RuntimeError, TypeError, ValueError, IndexError, MemoryError) as error:
        return OperatorTime(text, None, why=str(error).partition("\n")[0])
    return OperatorTime(text, seconds, samples)


class Memory:
    """Numbers that tensors are made of: uniform between 0.5 and 1.5, for roots and logarithms."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self._floats = torch.rand(_MOVED_THROUGH // 4, generator=generator) + 0.5

    def place(self, layout: TensorLayout, number: int) -> Tensor:
        """A parameter at one of its places; it must not be written to."""
        if layout.dtype != "float32":
            return self.fresh(layout)
        step = -(-layout.span * 4 // _LINE) * _LINE // 4
        offset = number * step
        return self._at_least(offset + layout.span).as_strided(layout.shape, layout.strides, offset)

    def places(self, layout: TensorLayout) -> int:
        """How many places there are for it."""
        return max(1, min(_PLACES, _MOVED_THROUGH // max(layout.span * 4, _LINE)))

    def fresh(self, layout: TensorLayout) -> Tensor:
        """A tensor of its own; whole numbers are zero, which is a valid index everywhere."""
        dtype: torch.dtype = getattr(torch, layout.dtype)
        whole = torch.zeros(max(layout.span, 1), dtype=dtype)
        if dtype.is_floating_point:
            whole.copy_(self._at_least(len(whole))[: len(whole)])
        return whole.as_strided(layout.shape, layout.strides)

    def _at_least(self, count: int) -> Tensor:
        if count > len(self._floats):
            self._floats = self._floats.repeat(-(-count // len(self._floats)))
        return self._floats


@dataclass(frozen=True)
class _Prepared:
    """An operator and its arguments, once for every place of its parameters."""

    operator: Any
    arguments: list[tuple[tuple[Any, ...], dict[str, Any]]]


def timed(call: OperatorCall, memory: Memory, clock: Callable[[], int]) -> tuple[float, int]:
    """Seconds of one call, the median of samples, and how many there were.

    Args:
        call: what is timed.
        memory: what its tensors are made of.
        clock: in nanoseconds.

    Raises:
        SchemaError: there is no such operator here.
        RuntimeError: it cannot be called like this.
    """
    prepared = _prepare(call, memory)
    operator, arguments = prepared.operator, prepared.arguments
    kept: deque[Any] = deque(maxlen=_KEPT)
    number = 0

    def sample(calls: int) -> int:
        nonlocal number
        start = clock()
        for _ in range(calls):
            args, keywords = arguments[number]
            kept.append(operator(*args, **keywords))
            number = (number + 1) % len(arguments)
        return clock() - start

    for _ in range(_KEPT + 1):  # every place of results has been written to
        sample(1)
    one = max(sample(1), 1) / 1e9
    calls = max(1, round(_SAMPLE_SECONDS / one))
    samples = max(_LEAST, min(_MOST, round(_SECONDS / (one * calls))))
    taken = [sample(calls) / calls for _ in range(samples)]
    return statistics.median(taken) / 1e9, samples


def _prepare(call: OperatorCall, memory: Memory) -> _Prepared:
    operator = _operator(call.operator)
    held = [layout for layout in call.tensors if layout.held]
    places = min((memory.places(layout) for layout in held), default=1)
    # One tensor for each argument that is no parameter, whatever the place.
    own: dict[int, Tensor] = {}
    written = {
        position
        for position, argument in enumerate(operator._schema.arguments)  # noqa: SLF001
        if argument.alias_info is not None and argument.alias_info.is_write
    }

    def real(one: Argument, number: int, *, writes: bool = False) -> Any:
        if isinstance(one, TensorLayout):
            if one.held and not writes:
                return memory.place(one, number)
            if id(one) not in own:
                own[id(one)] = memory.fresh(one)
            return own[id(one)]
        if isinstance(one, TorchName):
            return torch.device("cpu") if one.kind == "device" else getattr(torch, one.name)
        if isinstance(one, tuple):
            return [real(part, number) for part in one]
        return one

    return _Prepared(
        operator,
        [
            (
                tuple(
                    real(one, number, writes=position in written)
                    for position, one in enumerate(call.arguments)
                ),
                {name: real(one, number) for name, one in call.keywords},
            )
            for number in range(places)
        ],
    )


def _operator(name: str) -> Any:
    """An operator by its full name; ``OperatorCall.parse`` has looked at the form of it.

    Raises:
        SchemaError: there is none in the namespaces that are timed.
    """
    namespace, _, rest = name.partition("::")
    base, _, overload = rest.partition(".")
    if namespace not in NAMESPACES:
        raise SchemaError(f"{name} is not timed")
    if namespace == "torchvision":
        import torchvision  # noqa: F401 - registers its operators
    packet = getattr(getattr(torch.ops, namespace), base, None)
    found = getattr(packet, overload or "default", None)
    if found is None:
        raise SchemaError(f"there is no operator {name} here")
    return found
