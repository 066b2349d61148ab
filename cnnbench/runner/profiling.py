"""One spec -> its profile: single questions to workers, one pass each, no two passes in a process.

The trace, the layers' times, the machine's ceilings, the library's primitives and the static counts
come from workers of their own, because each would disturb the others. A pass that fails costs its
own part only.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cnnbench import roofline, store
from cnnbench.errors import SomeFailed, Unsupported, UsageError, WorkerError
from cnnbench.profile import Profile
from cnnbench.requests import CountLayers, ListPrimitives, ProbeCeilings, TimeLayers, TraceStep
from cnnbench.runner import campaign
from cnnbench.runner.inquiry import ask, asking

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from cnnbench.plan import Plan
    from cnnbench.requests import SpecRequest
    from cnnbench.runner.campaign import Job
    from cnnbench.runner.executor import AnyPool
    from cnnbench.spec import Spec
    from cnnbench.suite import Grid

_NAME_LENGTH = 120


@dataclass(frozen=True)
class ProfilePasses:
    """Which passes to make, and how long.

    Attributes:
        folder: where the trace goes; ``None`` for no trace.
        steps: that the profiler records.
        stacks: record call stacks too, which slows the profiled steps further.
        seconds: roughly, of the pass that times the layers.
        ceilings: probe the ceilings of the machine, for about a second.
        snapshot: file for a snapshot of a CUDA device's memory; ``None`` for none.
    """

    folder: Path | None = None
    steps: int = 5
    stacks: bool = False
    seconds: float = 8.0
    ceilings: bool = False
    snapshot: Path | None = None


def prepare(grid: Grid, plan: Plan, who: str = "process") -> Job:
    """Work out a grid of exactly one spec.

    Raises:
        UsageError: it is not one, or not possible.
    """
    job = campaign.prepare(grid, plan, who)
    if len(job.specs) != 1:
        names = sorted({spec.workload.architecture for spec in job.specs})
        modes = list(dict.fromkeys(spec.mode.text for spec in job.specs))
        raise UsageError(
            f"a profile is for one model in one mode; this asks for {', '.join(names)}"
            f" in {', '.join(modes)}"
        )
    (spec,) = job.specs
    if spec.id in job.impossible:
        raise Unsupported(job.impossible[spec.id])
    return job


def folder_name(spec: Spec) -> str:
    """A directory name for a spec: nothing in it that a shell, a URL or a path would obey."""
    plain = re.sub(r"[^A-Za-z0-9._+=-]+", "_", spec.id).lstrip("._-")
    if spec.id.replace("/", "_") == plain and len(plain) <= _NAME_LENGTH:
        return plain
    # What was replaced or cut may have told two specs apart.
    return f"{plain[:_NAME_LENGTH]}-{hashlib.sha256(spec.id.encode()).hexdigest()[:8]}"


def profile(job: Job, passes: ProfilePasses) -> Profile:
    """Make the passes over the job's only spec.

    Raises:
        SomeFailed: there is neither a trace nor times of layers.
        StoreError: the folder holds something, or cannot be made.
    """
    (spec,) = job.specs
    base = Profile(spec.id, job.environment.fingerprint, notes=job.notes(spec))
    plan = job.plan
    with _folder(passes.folder), asking(job.executor) as pool:
        # A trace is recorded by torch's profiler with its schedule, which imports the compiler.
        pool.begin(compiling=passes.folder is not None or spec.imports_compiler)
        found = _Asker(pool, plan.timeout, base)
        if passes.folder is not None:
            where, steps, stacks = str(passes.folder.resolve()), passes.steps, passes.stacks
            snapshot = None if passes.snapshot is None else str(passes.snapshot.resolve())
            request = TraceStep.planned(
                spec, plan, trace_folder=where, steps=steps, stacks=stacks, snapshot=snapshot
            )
            found.part("trace", request)
            if found.profile.trace is None:
                _clear(passes.folder)
        found.part("layers", TimeLayers.planned(spec, plan, seconds=passes.seconds))
        if passes.ceilings:
            found.ceilings(spec)
        found.part("primitives", ListPrimitives.planned(spec, plan))
        found.part("costs", CountLayers.planned(spec, plan))
        if found.profile.trace is None and found.profile.layers is None:
            raise SomeFailed(f"{spec.id}: {'; '.join(found.profile.notes)}")
    return found.profile


@contextmanager
def _folder(path: Path | None) -> Iterator[None]:
    """An empty directory for a trace; what ends early leaves neither it nor half a trace."""
    if path is None:
        yield
        return
    above = path.parent.exists()
    store.refuse_full(path)
    try:
        yield
    except BaseException:
        _clear(path)
        with suppress(OSError):
            path.rmdir()
            if not above:
                path.parent.rmdir()
        raise


def _clear(folder: Path) -> None:
    """Remove what a pass that failed had written of its trace."""
    for file in folder.glob("*.pt.trace.json*"):
        file.unlink()


class _Asker:
    """Collects the parts of a profile; what fails becomes a note."""

    def __init__(self, pool: AnyPool, timeout: float, base: Profile) -> None:
        self._pool = pool
        self._timeout = timeout
        self.profile = base

    def ceilings(self, spec: Spec) -> None:
        """Probe the ceilings; drop them if threads had to wait, because they would be too low."""
        try:
            request = ProbeCeilings(device=spec.device.text, threads=spec.threads)
            probed = ask(self._pool, request, self._timeout)
        except WorkerError as error:
            self._note(f"ceilings not measured: {error}", failed="ceilings")
            return
        kept = roofline.usable((probed,), spec.threads)
        self.profile = replace(self.profile, ceilings=kept)
        if not kept:
            self._note("ceilings not measured: the threads that probed them had to wait for a core")

    def part(self, field: str, request: SpecRequest[Any]) -> None:
        """Ask for one part and keep it, or why there is none."""
        try:
            answer = ask(self._pool, request, self._timeout)
        except WorkerError as error:
            name = request.task.replace("_", " ")
            # Layers of compiled code, primitives on a device: nothing that should be there.
            applies = field == "trace" or error.kind != "unsupported"
            self._note(f"{name} not measured: {error}", failed=name if applies else "")
            return
        self.profile = replace(self.profile, **{field: answer})

    def _note(self, text: str, failed: str = "") -> None:
        old = self.profile
        parts = (*old.failed, failed) if failed else old.failed
        self.profile = replace(old, notes=(*old.notes, text), failed=parts)
