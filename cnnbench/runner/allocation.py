"""What a step costs where malloc is left as the C library comes, beside one that keeps its blocks.

Pairs of fresh processes that take turns, as in a paired comparison; only the allocator differs.
"""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import TYPE_CHECKING

from cnnbench import allocator, stats
from cnnbench.advice import Unkept
from cnnbench.errors import CnnbenchError
from cnnbench.requests import MeasureLatency
from cnnbench.runner.ab import pair
from cnnbench.scratch import scratch_directory

if TYPE_CHECKING:
    from pathlib import Path

    from cnnbench.record import Run
    from cnnbench.runner.campaign import Job
    from cnnbench.runner.executor import Executor
    from cnnbench.spec import Spec

_PAIRS = 3
# Turns of each side; pages are counted, and a gain that matters is no matter of per cents.
_TURNS = 8


def unkept(job: Job, spec: Spec) -> Unkept | None:
    """How much longer a step takes without kept blocks; ``None`` where that cannot be said.

    Args:
        job: who measures; in the condition that its environment states.
        spec: on the CPU.
    """
    named = job.environment.hard.get("variables") or {}
    kept = allocator.CONDITIONS["kept"].variables
    if spec.device.kind != "cpu" or any(named.get(name) != kept[name] for name in kept):
        return None
    if not allocator.variables(condition="kept"):
        return None  # the user has configured malloc, which both sides would be left with
    try:
        with scratch_directory() as scratch:
            found = [_pair(job, spec, scratch, number) for number in range(_PAIRS)]
    except CnnbenchError:
        return None
    runs = [one for one in found if isinstance(one, pair.PairedRun)]
    if len(runs) < _PAIRS:
        return None
    known = [faults for one in runs if (faults := _faults(one.head)) is not None]
    return Unkept(
        spec=spec.id,
        ratio=stats.log_ratio(
            [statistics.median(one.turns(awake=spec.threads == 1)) for one in runs]
        ),
        faults=stats.median(known) if known else None,
    )


def _faults(run: Run) -> float | None:
    """Page faults per call."""
    column = run.slices.minor_faults or ()
    calls = sum(run.slices.calls)
    known = [count for count in column if count is not None]
    return sum(known) / calls if calls and len(known) == len(run.slices.calls) else None


def _pair(job: Job, spec: Spec, scratch: Path, number: int) -> pair.PairedRun | pair.BrokenPair:
    plan = replace(job.plan, slices=min(job.plan.slices, _TURNS))
    cache = scratch / "compiled"
    request = MeasureLatency.planned(
        spec, plan, round=number, ensemble=f"allocator-{number}", no_reference="not asked for",
        compile_cache=str(cache) if spec.mode.kept else None,
    )  # fmt: skip
    sides: dict[str, Executor] = {
        "base": job.executor.with_allocator("kept"), "head": job.executor.with_allocator("system"),
    }  # fmt: skip
    with sides["base"].open(scratch) as base, sides["head"].open(scratch) as head:
        pools = {"base": base, "head": head}
        for one in pools.values():
            one.begin(compiling=spec.mode.needs_compiler)
        return pair.measure(pools, dict.fromkeys(pools, request), plan, f"allocator-{number}")
