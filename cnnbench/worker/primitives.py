"""Which library primitives a step runs, and in which module: oneDNN's own log, read afterwards.

oneDNN prints a line per primitive to standard output. In this pass, which is never timed, standard
output is a file, and a line of ours says in the same stream whenever another module begins. Both
go through the C library's buffer, so their order is the order of execution.

The line's form is that of oneDNN 3 (``onednn_verbose,v1``): its template line names the fields.
What does not go through oneDNN (element-wise operators, pooling, matrix products in float32 by the
BLAS library) has no line. Source: oneDNN Developer Guide, "Verbose Mode".
"""

from __future__ import annotations

import ctypes
import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from cnnbench.errors import Unsupported
from cnnbench.profile import Primitive
from cnnbench.spec import Spec
from cnnbench.worker import modes
from cnnbench.worker.devices import open_device
from cnnbench.worker.layer_times import built
from cnnbench.worker.scopes import Scopes, Teller

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

    from cnnbench.channel import Message
    from cnnbench.worker.talk import Talk

_MARK = "cnnbench "
_EXECUTED = ("onednn_verbose,v1,primitive,exec,", "onednn_verbose,primitive,exec,")
_WARM_CALLS = 2


def primitives(request: Message, talk: Talk) -> None:
    """The task: one step of a spec on the CPU."""
    spec = Spec.parse(request["spec"])
    if spec.device.kind != "cpu":
        raise Unsupported("oneDNN runs on the CPU only; the trace names the kernels of a device")
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        raise Unsupported("this torch has no oneDNN")
    modes.set_flags(spec.mode, spec.threads)
    open_device(spec.device)
    talk.enter("build")
    step = built(spec, request["seed"])
    for _ in range(_WARM_CALLS):
        step.call()
    talk.enter("primitives")
    scopes, libc = Scopes(step.module), ctypes.CDLL(None)
    teller = Teller(scopes, lambda place: libc.puts(f"{_MARK}{place}".encode()), step.optimizer)
    verbose = torch.backends.mkldnn.verbose(1)  # type: ignore[no-untyped-call]
    with _stdout_in_a_file() as file, verbose, teller:
        teller.begin()
        step.call()
        libc.fflush(None)
        file.seek(0)
        lines = file.read().decode("utf8", "replace").splitlines()
    talk.answer(collected(scopes, read_log(lines)))


@contextmanager
def _stdout_in_a_file() -> Iterator[BinaryIO]:
    """Descriptor 1 is a file inside."""
    before = os.dup(1)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 1)
        try:
            yield file
        finally:
            os.dup2(before, 1)
            os.close(before)


@dataclass(frozen=True)
class Executed:
    """One line of the log: where, what, and its nanoseconds by the library's clock."""

    place: int | None
    kind: str
    implementation: str
    ns: float


def read_log(lines: Iterable[str]) -> list[Executed]:
    """The executed primitives of a log with marks; what is neither is skipped."""
    place: int | None = None
    found = []
    for line in lines:
        if line.startswith(_MARK):
            number = line.removeprefix(_MARK).strip()
            place = int(number) if number.isdecimal() else place
        elif line.startswith(_EXECUTED):
            entry = _entry(line, place)
            if entry is not None:
                found.append(entry)
    return found


def _entry(line: str, place: int | None) -> Executed | None:
    """Engine, primitive and implementation stand first, the milliseconds last."""
    fields = next(line.removeprefix(p) for p in _EXECUTED if line.startswith(p)).split(",")
    try:
        milliseconds = float(fields[-1])
    except ValueError:
        return None
    if len(fields) < 4:
        return None
    _engine, kind, implementation = fields[:3]
    return Executed(place, kind, implementation, milliseconds * 1e6)


def collected(scopes: Scopes, executed: Iterable[Executed]) -> tuple[Primitive, ...]:
    """Calls of one kind in one place added up, in the order of their first call."""
    table: dict[tuple[str | None, str, str, str], tuple[int, float]] = {}
    for one in executed:
        index, direction = (None, "forward") if one.place is None else scopes.place(one.place)
        name = None if index is None else scopes.names[index]
        key = (name, direction, one.kind, one.implementation)
        calls, ns = table.get(key, (0, 0.0))
        table[key] = (calls + 1, ns + one.ns)
    return tuple(Primitive(*key, calls=calls, ns=ns) for key, (calls, ns) in table.items())
