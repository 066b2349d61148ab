"""An executor with several GPUs that are not there, each with the trouble that a test gives it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cnnbench.environment import Environment
from cnnbench.errors import WorkerRaised
from cnnbench.record import Record
from cnnbench.runner.fake import FakeWorker
from cnnbench.runner.gpus import Gpu, Lane
from cnnbench.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cnnbench.runner.halt import Halt

GONE = WorkerRaised("there is no cuda:0: torch sees 0 CUDA devices", "unsupported")
# Long enough that GPUs are at work at the same time, and no test waits for it.
STEP = 0.0005


def uuid(index: int) -> str:
    return f"uuid-{index}"


def lanes(count: int) -> list[Lane]:
    return [
        Lane(Gpu(n, uuid(n), visible=f"GPU-{uuid(n)}"), (2 * n, 2 * n + 1)) for n in range(count)
    ]


def specs(*models: str, modes: tuple[str, ...] = ("eager", "tf32")) -> list[Spec]:
    return [
        Spec.parse(f"{model}/inference-b1-3x32x32/{mode}/cuda:0-t1")
        for model in models
        for mode in modes
    ]


@dataclass
class Heard:
    """What a worker was asked, on which GPU."""

    gpu: str
    what: str
    model: str
    mode: str


@dataclass
class SeveralGpus:
    """An executor that pretends; ``kinds`` are the names of its GPUs."""

    kinds: list[str] = field(default_factory=lambda: ["A", "A"])
    raises: Callable[[Heard], BaseException | None] = lambda heard: None
    gone: set[str] = field(default_factory=set)
    heard: list[Heard] = field(default_factory=list)
    name: str = "fake"
    pretends: bool = True
    gpu: str = ""
    halt: Any = None

    def seeing(self, gpu: str, halt: Halt) -> SeveralGpus:
        name = gpu.removeprefix("GPU-")
        return SeveralGpus(self.kinds, self.raises, self.gone, self.heard, gpu=name, halt=halt)

    def core_use(self) -> None:
        return None

    @contextmanager
    def open(self, scratch: Path) -> Iterator[Any]:
        del scratch
        yield self

    def begin(self, *, compiling: bool = False) -> None:
        """Nothing to begin."""

    def start(self) -> FakeWorker:
        return _Worker(self)

    @property
    def environment(self) -> Environment:
        places = [{"uuid": uuid(n)} for n in range(len(self.kinds))]
        hard = {"fake": True, "gpus": [{"name": kind} for kind in self.kinds]}
        return Environment(hard, {"gpu_places": places})


class _Worker(FakeWorker):
    def __init__(self, owner: SeveralGpus) -> None:
        super().__init__()
        self._owner = owner

    def ask(self, message: dict[str, Any], timeout: float) -> Any:
        owner, what = self._owner, message.get("task") or message["do"]
        if what == "describe":
            from cnnbench.codec import encode

            return encode(owner.environment)
        if owner.gpu in owner.gone:
            raise GONE
        if what in {"resolve", "fits", "room"}:
            return super().ask(message, timeout)
        time.sleep(STEP)
        spec = Spec.parse(message.get("spec") or self._request.spec)
        heard = Heard(owner.gpu, what, spec.workload.model, spec.mode.text)
        owner.heard.append(heard)
        self.phase = what
        error = owner.raises(heard)
        if error is not None:
            raise error
        return super().ask(message, timeout)


def never_two_at_once(records: Iterable[Record]) -> None:
    """By the times that are recorded: on one GPU an ensemble begins after the one before it."""
    ensembles = {run.ensemble: run.gpu for record in records for run in record.runs}
    by_gpu: dict[str, list[tuple[str, str]]] = {}
    for gpu in ensembles.values():
        assert gpu is not None
        assert gpu.began < gpu.ended
        by_gpu.setdefault(gpu.uuid, []).append((gpu.began, gpu.ended))
    for times in by_gpu.values():
        for (_, ended), (began, _) in zip(sorted(times), sorted(times)[1:], strict=False):
            assert ended <= began


def one_gpu_each(records: Iterable[Record]) -> None:
    """No group is of two GPUs, in no round."""
    homes: dict[object, set[str]] = {}
    for record in records:
        homes.setdefault(record.spec.workload, set()).update(run.gpu.uuid for run in record.runs)
    assert all(len(found) <= 1 for found in homes.values())
