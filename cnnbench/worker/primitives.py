"""The library primitives that a step runs, by module: oneDNN's own log, read afterwards.

In this pass, which is never timed, we write a line into the library's stream whenever another
module begins. Both go through the C library's buffer, so their order is the order of execution.
Work that does not go through oneDNN (element-wise operators, pooling, matrix products in float32 by
the BLAS library) has no line.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import torch

from cnnbench.errors import Unsupported
from cnnbench.profile import Primitive
from cnnbench.spec import Spec
from cnnbench.worker import build, modes, onednn
from cnnbench.worker.devices import open_device
from cnnbench.worker.layer_times import built
from cnnbench.worker.scopes import Scopes, Teller

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cnnbench.requests import ListPrimitives
    from cnnbench.worker.talk import Talk

    # Place of the module at work, if any, and the primitive that ran there.
    Placed = tuple[int | None, onednn.Executed]

MARK = "cnnbench "
_WARM_CALLS = 2


def primitives(request: ListPrimitives, talk: Talk) -> None:
    """The task: one step of a spec on the CPU."""
    spec = Spec.parse(request.spec)
    if spec.device.kind != "cpu":
        raise Unsupported("oneDNN runs on the CPU only; the trace names the kernels of a device")
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        raise Unsupported("this torch was built without oneDNN")
    modes.set_flags(spec.mode, spec.threads)
    open_device(spec.device)
    talk.enter("build")
    if spec.mode.runtime:
        step = build.built(spec, request.seed)
        talk.enter("primitives")
        talk.answer(step.nodes() if step.nodes is not None else ())
        return
    step = built(spec, request.seed)
    for _ in range(_WARM_CALLS):
        step.call()
    talk.enter("primitives")
    scopes, libc = Scopes(step.module), ctypes.CDLL(None)
    teller = Teller(scopes, lambda place: libc.puts(f"{MARK}{place}".encode()), step.optimizer)

    def call() -> None:
        with teller:
            teller.begin()
            step.call()

    talk.answer(collected(scopes, read_log(onednn.lines_of(call))))


def read_log(lines: Iterable[str]) -> list[Placed]:
    """The executed primitives of a log with marks; other lines are skipped."""
    place: int | None = None
    found: list[Placed] = []
    for line in lines:
        if line.startswith(MARK):
            number = line.removeprefix(MARK).strip()
            place = int(number) if number.isdecimal() else place
        elif (one := onednn.executed(line)) is not None:
            found.append((place, one))
    return found


def collected(scopes: Scopes, log: Iterable[Placed]) -> tuple[Primitive, ...]:
    """Calls of one kind in one place, summed, in the order of their first call."""
    table: dict[tuple[str | None, str, str, str], tuple[int, float]] = {}
    for place, one in log:
        index, direction = (None, "forward") if place is None else scopes.place(place)
        name = None if index is None else scopes.names[index]
        key = (name, direction, one.kind, one.implementation)
        calls, ns = table.get(key, (0, 0.0))
        table[key] = (calls + 1, ns + one.ns)
    return tuple(Primitive(*key, calls=calls, ns=ns) for key, (calls, ns) in table.items())
