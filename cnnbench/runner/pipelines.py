"""From recipes and networks to a job: the request to measure input pipelines, prepared.

Pipelines are measured with one thread, so that a rate is per core. Their back ends take turns like
modes of a network; with workers, which read ahead, each is measured by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cnnbench import recipes
from cnnbench.errors import UsageError
from cnnbench.plan import Plan
from cnnbench.recipes import Recipe
from cnnbench.runner import campaign, inquiry
from cnnbench.runner.campaign import Job
from cnnbench.runner.device import here, memory_limit
from cnnbench.runner.executor import executor
from cnnbench.spec import Spec
from cnnbench.suite import Grid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cnnbench.spec import Device

# A batch of large pictures takes longer than a slice; few of them say enough.
PLAN = Plan(slices=8, turn_budget=2.0, warm_up_calls=3, warm_up_limit=2.0)

# Multiply-accumulates that take about as long as a picture does, for rough durations only.
_MACS_ENCODED, _MACS_ARRAY = 300_000_000, 3_000_000


@dataclass(frozen=True)
class InputOrder:
    """What a user asked for.

    Attributes:
        chosen: what is done to pictures.
        backends: what they are held in, names of ``recipes.BACKENDS``.
        workers: numbers of processes that make batches.
        grid: networks that are measured too, if any; batch and device are those of pipelines too.
    """

    chosen: tuple[Recipe, ...]
    backends: tuple[str, ...] = tuple(recipes.BACKENDS)
    workers: tuple[int, ...] = (0,)
    grid: Grid = field(default_factory=lambda: Grid(()))


def prepare(order: InputOrder, plan: Plan = PLAN, who: str = "process") -> Job:
    """Prepare a request; asks a worker what the machine is.

    Raises:
        UsageError: something in the order is wrong or not possible here.
    """
    if 0 not in order.workers and not any(one.whole for one in order.chosen):
        raise UsageError("single steps have no loader; use --workers 0")
    job = campaign.prepare(order.grid, plan, who) if order.grid.models else _without(plan, who)
    device = here(order.grid.device, job.environment)
    specs = tuple(dict.fromkeys(_specs(order, device)))
    macs = {spec.id: _rough(spec) for spec in specs}
    whole = plan.within_budget(len(specs) + len(job.specs))
    limits = replace(whole, memory_limit=job.plan.memory_limit or memory_limit(device))
    return replace(job, specs=(*specs, *job.specs), macs={**job.macs, **macs}, plan=limits)


def _without(plan: Plan, who: str) -> Job:
    """A job that measures nothing, on this machine."""
    chosen = executor(who)
    with inquiry.asking(chosen) as pool:
        return Job((), {}, {}, plan, inquiry.describe(pool), chosen)


def _specs(order: InputOrder, device: Device) -> Iterator[Spec]:
    for recipe in order.chosen:
        for workers in order.workers if recipe.whole else (0,):
            for batch in order.grid.batches:
                workload = recipe.workload(batch, workers)
                for name in order.backends:
                    yield Spec(workload, recipes.BACKENDS[name], device, 1)


def _rough(spec: Spec) -> int:
    encoded = recipes.of_workload(spec.workload).source.encoded
    return spec.workload.batch * (_MACS_ENCODED if encoded else _MACS_ARRAY)
