"""Operators timed alone, as nearly as possible in the state in which a network calls them.

A loop over one call finds everything ready: its code, oneDNN's primitives and its weights are in
the nearest caches, and so is the memory of its result. In a network, all of that was last used a
pass ago; only the input was written just now. A depthwise convolution of mobilenet_v2 takes 70 µs
in a loop and more than 200 µs in the network (torch 2.14, one thread).

So operators take turns: a turn calls each of some dozens once, with a clock of its own, in the
order in which their network calls them. Parameters lie in memory that is larger than a second-level
cache and smaller than a last-level one, and inputs are written right before the call.

Between them ``PACE`` is called, again and again, so that times can be told as multiples of what it
took in the same moment.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from cnnbench.errors import SchemaError
from cnnbench.prediction.operators import (
    ITEM_BYTES,
    NAMESPACES,
    PACE,
    Argument,
    OperatorCall,
    OperatorTime,
    TensorLayout,
    TorchName,
)
from cnnbench.spec import Mode
from cnnbench.worker import modes, sampling

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cnnbench.requests import TimeOperators
    from cnnbench.worker.talk import Talk

# Bytes that parameters lie in: more than second-level caches hold (1 to 2 MiB), less than
# last-level ones.
_PARAMETER_BYTES = 16 << 20
# Parameters begin at a cache line.
_LINE = 64
# Results that are alive while the next is made: those of the branches of a block, roughly.
_KEPT = 2
# An operator takes part in turns until it has taken that long, at least and at most so often. The
# first turn, in which libraries prepare, does not count.
_SECONDS = 8e-3
_LEAST, _MOST = 4, 11
# Operators between two calls of the pace.
_BESIDE = 16


def time_operators(request: TimeOperators, talk: Talk) -> None:
    """The time of every call; one that fails costs its own time only."""
    modes.set_flags(Mode(), request.threads)
    talk.enter("prepare operators")
    # CPU time is without the waiting for a core; where threads wait for each other, the clock's
    # counts.
    clock = time.thread_time_ns if request.threads == 1 else time.perf_counter_ns
    with torch.inference_mode(), sampling.collector_off():
        timers, memory = [OperatorTimer(text) for text in request.calls], ParameterMemory()
        pace = OperatorTimer(PACE.call)
        for timer in (pace, *timers):
            timer.prepare(memory)
        talk.enter("time operators")
        take_turns(timers, pace, clock)
    talk.answer(tuple(timer.found for timer in timers))


def take_turns(
    timers: Sequence[OperatorTimer], pace: OperatorTimer, clock: Callable[[], int]
) -> None:
    """Call every operator once a turn, until each has been timed often enough.

    Args:
        timers: prepared.
        pace: called between them, prepared, too.
        clock: in nanoseconds.
    """
    kept: deque[Any] = deque(maxlen=_KEPT)
    for timer in (pace, *timers):
        timer.call(kept, clock)
        timer.taken.clear()
    own: deque[Any] = deque(maxlen=1)
    pace.call(own, clock)
    while going := [timer for timer in timers if timer.goes_on]:
        for start in range(0, len(going), _BESIDE):
            part = going[start : start + _BESIDE]
            for timer in part:
                timer.call(kept, clock)
            pace.call(own, clock)
            # One that fails says nothing from then on.
            beside = 0.0 if pace.failed else sum(pace.taken[-2:]) / 2
            for timer in part:
                timer.paces.append(beside)


# What an operator raises that cannot be called like this here.
_REFUSALS = (SchemaError, RuntimeError, TypeError, ValueError, IndexError, MemoryError)


class OperatorTimer:
    """One operator and the times that its calls took."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._call: Callable[[], Any] = lambda: None
        self._written: Tensor | None = None
        self._why = ""
        self.taken: list[int] = []
        """Nanoseconds of each call."""
        self.paces: list[float] = []
        """Nanoseconds of the pace beside each."""

    def prepare(self, memory: ParameterMemory) -> None:
        """Make its tensors."""
        try:
            call = OperatorCall.parse(self._text)
            operator = _operator(call.operator)
            args, keywords, self._written = _arguments(call, operator, memory)
        except _REFUSALS as error:
            self._fail(error)
        else:
            self._call = lambda: operator(*args, **keywords)

    @property
    def failed(self) -> bool:
        """Whether it cannot be called like this here."""
        return bool(self._why)

    @property
    def goes_on(self) -> bool:
        """Whether it takes part in a further turn."""
        if self._why or len(self.taken) >= _MOST:
            return False
        return len(self.taken) < _LEAST or sum(self.taken) / 1e9 < _SECONDS

    def call(self, kept: deque[Any], clock: Callable[[], int]) -> None:
        """Take one time; the result is kept with the last ones."""
        if self._why:
            return
        try:
            if self._written is not None:
                self._written.mul_(1.0)
            start = clock()
            result = self._call()
            self.taken.append(clock() - start)
        except _REFUSALS as error:
            self._fail(error)
        else:
            kept.append(result)

    def _fail(self, error: Exception) -> None:
        self._why = str(error).partition("\n")[0] or type(error).__name__

    @property
    def found(self) -> OperatorTime:
        """The median of its times, or why it has none."""
        if self._why:
            return OperatorTime(self._text, None, why=self._why)
        seconds, count = statistics.median(self.taken) / 1e9, len(self.taken)
        return OperatorTime(self._text, seconds, count, pace=self._pace(seconds))

    def _pace(self, seconds: float) -> float | None:
        """Seconds of the pace that say what the median of the multiples of it says."""
        if not all(self.paces):
            return None  # It failed, or has no time by this clock.
        multiples = [taken / pace for taken, pace in zip(self.taken, self.paces, strict=True)]
        multiple = statistics.median(multiples)
        return seconds / multiple if multiple else None


class ParameterMemory:
    """Numbers that tensors are made of: uniform between 0.5 and 1.5, for roots and logarithms."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self._floats = torch.rand(_PARAMETER_BYTES // 4, generator=generator) + 0.5
        self._next = 0

    def parameter(self, layout: TensorLayout) -> Tensor:
        """A parameter, which must not be written to; each begins where the last one ended."""
        if layout.dtype != "float32":
            return self.fresh(layout)
        if self._next + layout.span > len(self._floats):
            self._next = 0
        offset, line = self._next, _LINE // 4
        self._next += -(-layout.span // line) * line
        return self._at_least(layout.span).as_strided(layout.shape, layout.strides, offset)

    def fresh(self, layout: TensorLayout) -> Tensor:
        """A tensor of its own; whole numbers are zero, which is a valid index everywhere."""
        dtype: torch.dtype = _NAMED["dtype"][layout.dtype]
        whole = torch.zeros(max(layout.span, 1), dtype=dtype)
        if dtype.is_floating_point:
            whole.copy_(self._at_least(len(whole))[: len(whole)])
        return whole.as_strided(layout.shape, layout.strides)

    def _at_least(self, count: int) -> Tensor:
        if count > len(self._floats):
            self._floats = self._floats.repeat(-(-count // len(self._floats)))
        return self._floats


def _arguments(
    call: OperatorCall, operator: Any, memory: ParameterMemory
) -> tuple[list[Any], dict[str, Any], Tensor | None]:
    """Its arguments, those by keyword, and the input that another operator has just written."""
    inputs: list[Tensor] = []
    written = [
        argument.alias_info is not None and argument.alias_info.is_write
        for argument in operator._schema.arguments  # noqa: SLF001
    ]

    def real(one: Argument, *, writes: bool = False) -> Any:
        if isinstance(one, TensorLayout):
            if one.held and not writes:
                return memory.parameter(one)
            inputs.append(memory.fresh(one))
            return inputs[-1]
        if isinstance(one, TorchName):
            return _named(one)
        return [real(part) for part in one] if isinstance(one, tuple) else one

    args, listed = [], False
    for one, writes in zip(call.arguments, written, strict=False):
        args.append(real(one, writes=writes))
        # Of tensors that are joined, the last one is the newest; else it is the first operand.
        listed = listed or (len(args) == 1 and isinstance(one, tuple))
    keywords = {name: real(one) for name, one in call.keywords}
    floating = [one for one in inputs if one.is_floating_point() and one.numel()]
    newest = floating[-1 if listed else 0] if floating else None
    return args, keywords, newest


# What names stand for; of devices there is the one.
_NAMED: Mapping[str, Mapping[str, Any]] = {
    "dtype": {name: getattr(torch, name) for name in ITEM_BYTES},
    "layout": {"strided": torch.strided},
    "device": {"cpu": torch.device("cpu")},
    "memory_format": {
        name: getattr(torch, name)
        for name in ("contiguous_format", "preserve_format", "channels_last", "channels_last_3d")
    },
}


def _named(one: TorchName) -> Any:
    if one.name not in _NAMED[one.kind]:
        raise SchemaError(f"there is no {one.kind} {one.name} here")
    return _NAMED[one.kind][one.name]


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
    # Attributes that every object has are found as well.
    if not isinstance(found, OpOverload):
        raise SchemaError(f"there is no operator {name} here")
    return found
