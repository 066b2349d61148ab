"""A step that a deployment runtime does: exported and converted once, loaded in every process.

All of that happens in the first call, as compiling does. The artefact is kept where the compiler
keeps what it made, so that later rounds only load it, as a deployed process would.
"""

from __future__ import annotations

import json
import time
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from cnnbench.deployment import NEEDS, untrainable
from cnnbench.errors import CnnbenchError, Unsupported
from cnnbench.facts import Deployment
from cnnbench.scratch import scratch_directory
from cnnbench.worker import compiling, memory, modes
from cnnbench.worker.devices import is_out_of_memory
from cnnbench.worker.runtimes import TABLE
from cnnbench.worker.runtimes.exporting import export, input_names
from cnnbench.worker.runtimes.protocol import Nodes, Opened, Order, as_primitives
from cnnbench.worker.saying import said

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from cnnbench.profile import Primitive
    from cnnbench.spec import Mode, Spec
    from cnnbench.worker.build import Step

_NAMES = "inputs.json"


def refuse_training(mode: Mode) -> None:
    """Refuse a training step.

    Raises:
        Unsupported: the mode is one of a runtime, or freezes weights.
    """
    if reason := untrainable(mode):
        raise Unsupported(reason)


def deployed(spec: Spec, step: Step) -> Step:
    """The step, whose call a runtime does."""
    step.call = made = Deployed(spec, step)
    step.elsewhere = True
    step.deployment = lambda: made.deployment
    step.unusual = lambda: list(made.remarks)
    step.nodes = made.nodes
    return step


@dataclass
class _Clock:
    """Nanoseconds of what was done, by name."""

    ns: dict[str, int]

    def time(self, name: str, what: Callable[[], Any]) -> Any:
        start = time.perf_counter_ns()
        try:
            return what()
        finally:
            self.ns[name] = time.perf_counter_ns() - start


class Deployed:
    """A call that a runtime does.

    Attributes:
        deployment: how it came to run; ``None`` before the first call.
        remarks: what it does not do of what the mode says.
    """

    def __init__(self, spec: Spec, step: Step) -> None:
        self._spec, self._step = spec, step
        self._inputs = step.given.tensors
        self._runtime = TABLE[spec.mode.runtime]
        self._opened: Opened | None = None
        # One call of the network itself tells the form of what it returns.
        self._returns = returning(step.call())
        self.deployment: Deployment | None = None
        self.remarks: tuple[str, ...] = ()

    def __call__(self) -> Any:
        """What the network returns, from the runtime."""
        if self._opened is None:
            self._open()
            assert self._opened is not None  # noqa: S101 - for the type checker
        return self._returns(self._opened.run(self._inputs))

    def _open(self) -> None:
        """Make what is not there yet, load it, and call it once."""
        clock = _Clock({})
        with self._artefact(clock) as made:
            before = memory.status_bytes("RssAnon")
            opened = clock.time("load", lambda: self._told(self._runtime.open, *made))
            folder = made[0].parent
            size = sum(one.stat().st_size for one in folder.rglob("*") if one.is_file())
        clock.time("first", lambda: self._told(opened.run, self._inputs))
        after = memory.status_bytes("RssAnon")
        self._opened, self.remarks = opened, opened.remarks
        self.deployment = Deployment(
            runtime=self._spec.mode.runtime,
            version=self._runtime.version(),
            precision=opened.precision or self._of_torch(),
            threads=opened.threads,
            artefact_bytes=size,
            loaded_bytes=None if before is None or after is None else max(0, after - before),
            ns=clock.ns,
            settings=dict(opened.settings),
        )

    def _of_torch(self) -> str:
        """The precision of a runtime that computes as torch does, in words."""
        cast = modes.PRECISIONS[self._spec.mode.precision].autocast
        own = self._step.types["dtype"]
        return own if cast is None else f"{own}, autocast to {str(cast).removeprefix('torch.')}"

    def nodes(self) -> tuple[Primitive, ...]:
        """The time of each layer in one warm call, by the runtime's own profiler, and the rest.

        Raises:
            Unsupported: it has none.
        """
        with self._artefact(_Clock({})) as made:
            found: Nodes = self._told(self._runtime.nodes, *made, self._inputs)
        return as_primitives(found)

    @contextmanager
    def _artefact(self, clock: _Clock) -> Iterator[tuple[Path, Order, list[str]]]:
        """Where the artefact is, made if it is not there yet; what of it is kept by nobody goes."""
        clock.time("import", self._runtime.version)
        with _folder() as folder:
            place, order = folder / self._runtime.file, self._order()
            if not (folder / _NAMES).exists():
                self._make(place, order, clock)
                # Exporting and converting set flags for which the network would be blamed.
                modes.put_back()
            yield place, order, _names(folder)

    def kept(self) -> tuple[Path, list[str]]:
        """Where the artefact is, and the names of its inputs.

        Raises:
            Unsupported: this process was given no folder to keep it in.
        """
        if compiling.kept() is None:
            raise Unsupported("the artefact is not kept, so no other process can load it")
        with _folder() as folder:
            return folder / self._runtime.file, _names(folder)

    def _order(self) -> Order:
        def pictures() -> Iterator[Sequence[Tensor]]:
            yield self._inputs
            for given in self._step.others():
                yield given.tensors

        return replace(order(self._spec, self._inputs), pictures=pictures)

    def _make(self, place: Path, order: Order, clock: _Clock) -> None:
        mode, device = self._spec.mode, self._spec.device
        given, module = self._step.given, self._step.module
        around = modes.autocast(mode, device) if self._runtime.autocasts else nullcontext()
        program = clock.time("export", lambda: export(module, given, around))
        names = input_names(program, given)
        clock.time("convert", lambda: self._told(self._runtime.make, program, order, place))
        # Written last: what a killed process left is made anew.
        (place.parent / _NAMES).write_text(json.dumps(names), encoding="utf8")

    def _told(self, do: Callable[..., Any], *arguments: Any) -> Any:
        """What a runtime returns; its errors in one line."""
        try:
            with torch.no_grad():
                return do(*arguments)
        except Exception as error:
            if isinstance(error, CnnbenchError) or is_out_of_memory(error):
                raise
            title = NEEDS[self._spec.mode.runtime].title
            raise Unsupported(f"{title}: {said(error)}") from error


def order(spec: Spec, inputs: Sequence[Tensor]) -> Order:
    """What is deployed of a spec, for a process that only loads it."""
    return Order(spec.mode, spec.threads, [tuple(one.shape) for one in inputs])


def _names(folder: Path) -> list[str]:
    """The names of the inputs of an artefact."""
    found: list[str] = json.loads((folder / _NAMES).read_text(encoding="utf8"))
    return found


@contextmanager
def _folder() -> Iterator[Path]:
    """Where the artefact is; gone afterwards if it is this process's alone."""
    with ExitStack() as stack:
        place = compiling.kept() or stack.enter_context(scratch_directory())
        folder = place / "artefact"
        folder.mkdir(parents=True, exist_ok=True)
        yield folder


def returning(result: Any) -> Callable[[Sequence[Tensor]], Any]:
    """What puts a runtime's outputs where the network's are in what it returns.

    Raises:
        Unsupported: it returns something that no export can.
    """
    leaves, form = pytree.tree_flatten(result)
    places = [place for place, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
    if not places:
        raise Unsupported(f"the network returns a {type(result).__name__}, not tensors")
    if form.is_leaf():
        return _only

    def fill(outputs: Sequence[Tensor]) -> Any:
        _refuse_other_number(outputs, len(places))
        filled = list(leaves)
        for place, output in zip(places, outputs, strict=True):
            filled[place] = output
        return pytree.tree_unflatten(filled, form)

    return fill


def _only(outputs: Sequence[Tensor]) -> Tensor:
    _refuse_other_number(outputs, 1)
    return outputs[0]


def _refuse_other_number(outputs: Sequence[Tensor], wanted: int) -> None:
    if len(outputs) != wanted:
        raise Unsupported(f"the export has {len(outputs)} outputs, the network returns {wanted}")
