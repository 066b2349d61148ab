"""Sections about the times themselves: their distribution, and the roofline."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from cnnbench import units
from cnnbench.report import answers
from cnnbench.report.page.parts import Box, Boxes, Line, PlotAxis, PlotPoint, Points, Section
from cnnbench.report.table import Column, Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cnnbench.facts import Ceilings
    from cnnbench.record import Run
    from cnnbench.report.entry import Entry

# Rows of boxes that fit on a page.
_MOST = 24
_FIVE = (0.05, 0.25, 0.5, 0.75, 0.95)


def distribution(found: Sequence[Entry]) -> Section | None:
    """Every process's samples as a box, the widest measurements first."""
    timed = [one for one in found if one.record.latency is not None and one.record.runs]
    if not timed:
        return None
    name = answers.names(timed)
    widest = sorted(timed, key=_margin, reverse=True)[:_MOST]
    rows, boxes = [], []
    for one in widest:
        label = f"{name(one)}, {one.mode}"
        for run in one.record.runs:
            five = _five(run)
            if five is not None:
                rows.append((label, f"round {run.round}", *five, sum(map(len, run.slices.ns))))
                boxes.append(_box(label, run, five, one))
    shown = ""
    if len(timed) > _MOST:
        shown = f" Shown are the {_MOST} of {len(timed)} with the widest intervals."
    columns = (Column("row", "workload and mode"), Column("round", "process"),
               *(Column(f"p{q:g}", f"{100 * q:g} %", "seconds") for q in _FIVE),
               Column("samples", "samples", "whole"))  # fmt: skip
    axis = PlotAxis("time of a call over the row's latency, both by the clock")
    return Section(
        "distribution",
        "Latency by process",
        "One box per process: the middle half of its samples, whiskers from 5 % to 95 %. Where the"
        " boxes of a row lie apart, the processes differ: samples from one process are correlated,"
        " so intervals are taken over processes and not over samples. All times are the clock's,"
        f" waiting for a core included, in disturbed rows too.{shown}",
        Table(columns, tuple(rows)),
        (("samples of each process", Boxes(axis, tuple(boxes))),),
    )


def _margin(entry: Entry) -> float:
    time = entry.record.latency
    return time.margin or 0.0 if time is not None else 0.0


def _five(run: Run) -> tuple[float, float, float, float, float] | None:
    values = sorted(ns / 1e9 for ns in run.slices.per_call_ns)
    if not values:
        return None
    if len(values) == 1:
        values *= 2
    cuts = statistics.quantiles(values, n=20, method="inclusive")
    return cuts[0], cuts[4], cuts[9], cuts[14], cuts[18]


def _box(label: str, run: Run, five: tuple[float, float, float, float, float], entry: Entry) -> Box:
    # Samples are the clock's, and so is what they are compared with.
    time = entry.record.latency
    middle = time.point if time is not None else five[2]
    low, first, mid, third, high = (value / middle for value in five)
    tip = (label, f"round {run.round}", f"median {units.seconds(five[2])}",
           f"5 % to 95 %: {units.seconds(five[0])} to {units.seconds(five[4])}")  # fmt: skip
    return Box(label, f"round {run.round}", (low, first, mid, third, high), tip)


def roofline(found: Sequence[Entry]) -> Section | None:
    """Achieved FLOP/s against FLOPs per byte, below the ceilings of the machine."""
    probed = [one for one in found if one.record.ceilings and answers.trusted(one)]
    placed = [(one, place) for one in probed if (place := _place(one)) is not None]
    if not placed:
        return None
    name = answers.names([one for one, _ in placed])
    rows, points = [], []
    for one, (flops, moved, how) in placed:
        time = one.latency
        assert time is not None  # noqa: S101 - trusted entries have one
        label = f"{name(one)}, {one.mode}"
        rate, intensity = flops / time.point, flops / moved
        peak = _best(one.record.ceilings, one.record.spec.mode.precision)
        rows.append((label, intensity, rate / 1e9, rate / peak if peak else None, how))
        tip = (label, f"{units.significant(intensity)} FLOPs per byte",
               f"{units.count(rate)}FLOP/s", how)  # fmt: skip
        points.append(PlotPoint(intensity, rate, one.mode, tip))
    columns = (Column("row", "workload and mode"), Column("intensity", "FLOPs/byte", "number"),
               Column("gflops", "GFLOP/s", "number"), Column("share", "of the FLOP/s ceiling",
               "fraction"), Column("bytes", "bytes are"))  # fmt: skip
    xs = [point.x for point in points]
    plot = Points(
        PlotAxis("FLOPs per byte moved", log=True),
        PlotAxis("GFLOP/s", log=True, scale=1e-9),
        tuple(points),
        tuple(_roofs([one for entry, _ in placed for one in entry.record.ceilings], xs)),
    )
    return Section(
        "roofline",
        "Roofline",
        "FLOP/s against FLOPs per byte. The lines are the ceilings of this machine, probed beside"
        " the measurement: sloped where memory is the limit, flat where arithmetic is. A mark far"
        " below its line is limited by something else: dispatch, layout conversions, small layers.",
        Table(columns, tuple(rows)),
        (("roofline", plot),),
    )


def _place(entry: Entry) -> tuple[float, float, str] | None:
    """FLOPs and bytes of a call, and where the bytes come from; ``None`` if one is not known."""
    record = entry.record
    if record.algorithm is not None:
        executed, moved = record.algorithm.executed_macs, record.algorithm.moved_bytes
        by = "from the formula of the algorithm"
        return (2 * executed, moved, by) if executed and moved else None
    if record.cost is None or record.structure is None or not record.structure.allocated_bytes:
        return None
    training = record.spec.workload.phase != "inference"
    macs = record.cost.training_macs if training else record.cost.macs
    # Every block is written once and read once; parameters and input are read.
    moved = 2 * record.structure.allocated_bytes + record.cost.param_bytes + record.cost.input_bytes
    if not macs:
        return None
    return 2 * macs, moved, "estimated: allocated blocks twice, parameters and input once"


_DTYPES = {
    "fp32": "float32", "tf32": "float32", "tf32=cudnn": "float32", "amp=bf16": "bfloat16",
    "bf16": "bfloat16", "amp=fp16": "float16", "fp16": "float16",
}  # fmt: skip


def _best(ceilings: Sequence[Ceilings], precision: str) -> float | None:
    """The highest rate that was probed in a precision."""
    dtype = _DTYPES.get(precision, precision)
    rates = _middle([one.flops_per_s for one in ceilings])
    return max((rate for kind, rate in rates.items() if kind.split()[0] == dtype), default=None)


def _middle(several: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Median of each ceiling over its probes."""
    names = dict.fromkeys(name for one in several for name in one)
    return {name: statistics.median(one[name] for one in several if name in one) for name in names}


def _roofs(ceilings: Sequence[Ceilings], xs: Sequence[float]) -> list[Line]:
    """A flat line per kind of work, and sloped ones for the largest and smallest working set."""
    peaks = _middle([one.flops_per_s for one in ceilings])
    speeds = _middle([one.bytes_per_s for one in ceilings])
    sizes = sorted(speeds, key=float)
    if not peaks or not sizes:
        return []
    top, left, right = max(peaks.values()), min(xs) / 2, max(xs) * 2
    lines = [Line(kind, (left, right), (peak, peak), dashed=True) for kind, peak in peaks.items()]
    for size in dict.fromkeys((sizes[-1], sizes[0])):
        end = min(right, top / speeds[size])
        name = f"{units.size(float(size))} working set"
        if end > left:
            lines.append(Line(name, (left, end), (left * speeds[size], end * speeds[size])))
    return lines
