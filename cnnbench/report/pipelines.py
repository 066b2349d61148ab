"""The records of input pipelines -> tables and sentences: rates, shares, what a network needs.

``tidy`` is one table for machines.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from cnnbench import feeding, metrics, recipes, units
from cnnbench.codec import encode
from cnnbench.errors import UsageError
from cnnbench.inert import in_json
from cnnbench.report import cells, epochs, render, times, usability
from cnnbench.report.entry import entries
from cnnbench.report.json import render as to_list
from cnnbench.report.table import Column, Table, captions, notes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cnnbench.feeding import Feeding
    from cnnbench.record import Record
    from cnnbench.report.entry import Entry
    from cnnbench.stats import Estimate
    from cnnbench.store import StoredRun

MADE = "pictures are made and held in memory: storage is not measured"


def to_text(
    runs: Sequence[StoredRun], kind: str, pictures: int | None = None, width: int | None = None
) -> str:
    """The whole report on the pipelines of some runs.

    Args:
        runs: where they are; networks may be in others than pipelines.
        kind: a format of tables.
        pictures: of the data set whose epoch is asked for.
        width: of a line of plain text; ``None`` for any.

    Raises:
        UsageError: there is no pipeline.
    """
    found = entries(runs)
    mine = [one for one in found if feeding.is_pipeline(one.record)]
    if not mine:
        raise UsageError("these runs contain no input pipelines; measure some with cnnbench input")
    fed = feeding.feedings([one.record for one in found])
    if kind in _MACHINES:
        return _MACHINES[kind](found, fed, pictures)
    tables = [rates(mine), *shares([one.record for one in mine])]
    if networks := [one for one in found if epochs.is_network(one.record)]:
        lines = [*map(sentence, fed)]
        lines += _unfed(networks, fed)
        tables.append(Table((), (), ("What networks need, and what they are given:",),
                            tuple(lines)))  # fmt: skip
        if pictures is not None:
            tables.append(epochs.table(found, pictures))
    beside = (*notes(mine), *times.remarks(mine))
    tables += [Table((), (), ("Notes:",), beside)] if beside else []
    return "\n".join(render(one, kind, width) for one in tables if one.rows or one.notes)


_RATES = (
    Column("recipe", "recipe"),
    Column("backend", "on"),
    Column("workers", "workers", "whole"),
    Column("batch", "batch", "whole", 1),
    Column("rate", "pictures/s", "rate"),
    Column("speedup", "vs PIL", "ratio"),
    Column("status", "output", detail=2),
)


def rates(found: Sequence[Entry]) -> Table:
    """A row per pipeline: pictures per second, and the gain of tensors side by side."""
    rows = tuple(
        (
            epochs.recipe(one.record),
            epochs.backend(one.record),
            recipes.workers(one.record.spec.workload),
            one.record.spec.workload.batch,
            one.throughput,
            _gain(one),
            one.record.status,
        )
        for one in found
    )
    lines = [line.replace("vs eager", "vs PIL") for line in captions(found)]
    return Table(_RATES, rows, (*lines, MADE))


def _gain(one: Entry) -> Estimate | None:
    """How many times as fast as on PIL's pictures, where both took turns."""
    return None if one.record.id == one.record.spec.baseline.id else one.speedup


# A recipe of one step has it and the rest, which says nothing.
_ONE_STEP = 2


def shares(records: Sequence[Record]) -> Iterator[Table]:
    """A table per recipe: what each step takes of a picture's time, on either back end."""
    groups: dict[tuple[str, int], list[Record]] = {}
    for one in records:
        if len(feeding.shares(one)) > _ONE_STEP:
            groups.setdefault((epochs.recipe(one), one.spec.workload.batch), []).append(one)
    for (name, batch), some in groups.items():
        taken = [(feeding.shares(one), _per_picture(one)) for one in some]
        columns = [Column("step", "step")]
        for title in map(epochs.backend, some):
            columns += [Column(f"{title}_s", title, "seconds"),
                        Column(f"{title}_share", "share", "fraction")]  # fmt: skip
        names = dict.fromkeys(step for parts, _ in taken for step in parts)
        rows = [(step, *_cells(step, taken)) for step in (*names, _ALL)]
        caption = f"{name}, batch {batch}: time per picture, and each step's share of it"
        yield Table(tuple(columns), tuple(rows), (caption,))


# The row under the steps.
_ALL = "a picture"


def _cells(step: str, taken: Sequence[tuple[dict[str, float], float]]) -> Iterator[float | None]:
    """Seconds per picture and share of a step, on every back end; nothing where it is no step."""
    for parts, seconds in taken:
        share = 1.0 if step == _ALL else parts.get(step)
        yield from (None, None) if share is None else (share * seconds, share)


def _per_picture(record: Record) -> float:
    time = metrics.shown(record)
    return math.nan if time is None else time.point / record.spec.workload.batch


def _called(record: Record) -> str:
    work = record.spec.workload
    mode = "" if record.spec.mode.text == "eager" else f", {record.spec.mode.text}"
    return f"{units.readable(work.model)} ({work.phase}, batch {work.batch}{mode})"


def _made_by(one: Feeding) -> str:
    processes = units.number(one.workers, "worker") if one.workers else "one core"
    return f"{epochs.recipe(one.pipeline)} on {epochs.backend(one.pipeline)}, {processes}"


def _with(write: Any, one: Estimate) -> str:
    return f"{write(one.point)}{cells.interval(write, one)}"


def sentence(one: Feeding) -> str:
    """What a network needs, what a pipeline gives it, and whether that is enough."""
    needs, gives = units.significant(one.needs.point), units.significant(one.gives.point)
    return (
        f"{_called(one.network)} needs {needs} pictures/s; {_made_by(one)}, gives {gives}:"
        f" {_with(units.ratio, one.ratio)} of that, {_told(one)}"
    )


def _told(one: Feeding) -> str:
    if one.ratio.low is None:
        return "one round cannot tell whether it is enough; use more --rounds"
    if one.workers:
        known = {"enough": "enough: the input is not the bottleneck",
                 "short": "too little: the input is the bottleneck"}  # fmt: skip
        return known.get(one.verdict, "cannot tell whether it is enough")
    if one.verdict == "unclear":
        return "cannot tell whether one worker is enough"
    least, most = one.processes or (0, 0)
    many = units.number(most, "worker") if least == most else f"{least} to {most} workers"
    feeds = "feeds" if most == 1 else "feed"
    calm = ": not the bottleneck" if one.verdict == "enough" else ""
    return f"{many} {feeds} it{calm}"


def _unfed(networks: Sequence[Entry], fed: Sequence[Feeding]) -> list[str]:
    have = {one.network.id for one in fed}
    return [
        f"{_called(one.record)} takes {one.record.spec.workload.shape_text}, which no recipe here"
        " makes"
        if one.record.failure is None
        else f"{_called(one.record)} failed: {one.record.reason}"
        for one in networks
        if one.record.id not in have
    ]


# Columns for machines, in order; docs/input.md says what each is.
TIDY = (
    "spec", "recipe", "backend", "workers", "batch", "shape", "device", "status", "reason",
    "pictures_per_s", "pictures_per_s_low", "pictures_per_s_high",
    "speedup", "speedup_low", "speedup_high", "relative_error",
)  # fmt: skip


def tidy(found: Sequence[Entry]) -> Table:
    """A row per pipeline with numbers as they are."""
    columns = tuple(Column(name, name, "number") for name in TIDY)
    return Table(columns, tuple(tuple(_row(one)[name] for name in TIDY) for one in found))


def _row(one: Entry) -> dict[str, Any]:
    record, work = one.record, one.record.spec.workload
    beside = _gain(one)
    return {
        "spec": record.id,
        "recipe": epochs.recipe(record),
        "backend": recipes.backend(record.spec.mode),
        "workers": recipes.workers(work),
        "batch": work.batch,
        "shape": work.shape_text,
        "device": record.spec.device.text,
        "status": record.status,
        "reason": record.reason,
        **_ends("pictures_per_s", metrics.throughput(record)),
        **_ends("speedup", beside),
        "relative_error": None if record.check is None else record.check.error,
    }


def _ends(name: str, one: Estimate | None) -> dict[str, float | None]:
    parts = (None,) * 3 if one is None else (one.point, one.low, one.high)
    return dict(zip((name, f"{name}_low", f"{name}_high"), parts, strict=True))


def to_json(found: Sequence[Entry], fed: Sequence[Feeding], pictures: int | None) -> str:
    """Rates with their shares, what networks need, and epochs where a data set is given."""
    mine = [one for one in found if feeding.is_pipeline(one.record)]
    whole: dict[str, Any] = {
        "pipelines": [{**_row(one), "steps": _steps(one.record)} for one in mine],
        "feeding": [
            {"network": one.network.id, "pipeline": one.pipeline.id, "verdict": one.verdict,
             **_ends("needed_per_s", one.needs), **_ends("ratio", one.ratio),
             "workers_needed": None if one.workers else one.processes}
            for one in fed
        ],
        "usability": encode(usability.by_run(found)),
    }  # fmt: skip
    if pictures is not None:
        whole["epochs"] = json.loads(to_list(epochs.tidy(found, pictures)))
    return in_json(json.dumps(whole, indent=1, allow_nan=False)) + "\n"


def _steps(record: Record) -> dict[str, dict[str, float]]:
    return {
        name: {"seconds_per_picture": share * _per_picture(record), "share": share}
        for name, share in feeding.shares(record).items()
    }


# Formats for machines, and how each is written.
_MACHINES: dict[str, Callable[[Sequence[Entry], Sequence[Feeding], int | None], str]] = {
    "csv": lambda found, *_: render(
        tidy([one for one in found if feeding.is_pipeline(one.record)]), "csv"
    ),
    "json": to_json,
}
