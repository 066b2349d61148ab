"""How a run is shared among GPUs, in words and as JSON, before it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnnbench import units
from cnnbench.runner import tasks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cnnbench.runner.campaign import Job
    from cnnbench.runner.gpus import GpuShare
    from cnnbench.runner.tasks import LaneTask

# How many GPUs a host has, where it is not known which host that will be.
_COUNTS = (1, 2, 4, 8)


def said(share: GpuShare) -> str:
    """Which GPUs work at once, and which do not and why, in a line."""
    names = ", ".join(lane.gpu.text for lane in share.lanes)
    text = f"shared by {units.number(len(share.lanes), 'GPU')} ({names})"
    if share.idle:
        idle = ", ".join(gpu.text for gpu in share.idle)
        text += f"; not used: {idle} ({share.why})"
    return text


def lines(job: Job, share: GpuShare) -> Iterator[str]:
    """What each GPU would take, or how long it would take on how many where there is none."""
    if not share.lanes:
        times = (f"{count}: {units.duration(job.seconds_on(count))}" for count in _COUNTS)
        yield f"no GPU here; very roughly, by the number of alike GPUs: {', '.join(times)}"
        return
    yield f"{said(share)}; the first that is free takes the next, very roughly:"
    for lane, taken in zip(share.lanes, _expected(job, share), strict=True):
        cores = f", cores {units.ranges(lane.cores)}" if lane.cores else ""
        work = f"{_groups(taken)}, {units.duration(sum(map(job.task_seconds, taken)))}"
        yield f"  {lane.gpu.text}  {work}{cores}"


def as_json(job: Job, share: GpuShare) -> list[dict[str, Any]]:
    """The same for scripts: a row for each GPU at work; none where there is no GPU."""
    return [
        {
            "index": lane.gpu.index,
            "uuid": lane.gpu.uuid,
            "cores": list(lane.cores),
            "specs": [spec.id for task in taken for spec in task.specs],
            "rough_seconds": round(sum(map(job.task_seconds, taken))),
        }
        for lane, taken in zip(share.lanes, _expected(job, share), strict=True)
    ]


def _expected(job: Job, share: GpuShare) -> list[list[LaneTask]]:
    lanes = len(share.lanes)
    return tasks.expected(job.tasks(lanes), job.task_seconds, lanes) if lanes else []


def _groups(taken: Sequence[LaneTask]) -> str:
    groups = {spec.workload.group for task in taken for spec in task.specs}
    return units.number(len(groups), "workload")
