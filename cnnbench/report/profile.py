"""Profile -> tables: layers that add up to the step, operators, kernels, the memory curve.

Knows nothing of how the profile was taken. Without the machine's ceilings, the column for the
roofline bound says "not measured".
"""

from __future__ import annotations

import re
import statistics
from typing import TYPE_CHECKING, Any

from cnnbench import roofline, units
from cnnbench.codec import encode
from cnnbench.deployment import NEEDS
from cnnbench.profile_rows import Layer, joined, layer_rows
from cnnbench.report.table import Column, Table, Value
from cnnbench.roofline import RooflinePart
from cnnbench.spec import Mode, Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cnnbench.profile import LayerTimes, Operator, Profile, ProfilerTrace

    # Share of what the machine could do at most, for a layer; None where that means nothing.
    Roof = Callable[[Layer], float | None]

_NETWORK = "(network)"
_NO_ROOF = "not measured"

_LAYERS: tuple[tuple[Column, Callable[[Layer], Value]], ...] = (
    (Column("layer", "layer"), lambda row: row.name or _NETWORK),
    (Column("type", "type"), lambda row: row.type),
    (Column("calls", "calls", "whole"), lambda row: row.calls),
    (Column("time_s", "time", "seconds"), lambda row: row.ns / 1e9),
    (Column("share", "share", "fraction"), lambda _: None),
    (Column("forward_s", "forward", "seconds"), lambda row: row.forward_ns / 1e9),
    (Column("backward_s", "backward", "seconds"), lambda row: row.backward_ns / 1e9),
    (Column("kernel_s", "kernels", "seconds"),
     lambda row: None if row.kernel_ns is None else row.kernel_ns / 1e9),
    (Column("macs", "MACs", "count"), lambda row: row.macs),
    (Column("flops_per_s", "FLOP/s", "count"), lambda row: row.flops_per_s),
    (Column("bytes", "moved", "bytes"), lambda row: row.bytes),
    (Column("roof", "of roofline", "fraction"), lambda _: None),
    (Column("kernel", "ran"), lambda row: row.kernels),
    (Column("reorder_share", "reorders", "fraction"), lambda row: row.reorder_share),
    (Column("faults", "faults", "number"), lambda row: row.faults),
)  # fmt: skip
_BACKWARD = {"forward_s", "backward_s"}
# Fewer pages in a step are not worth a column.
_FAULTS = 10


def layers(
    profile: Profile,
    depth: int | None = None,
    top: int | None = None,
    roof: Roof | None = None,
    *,
    closing: bool = True,
) -> Table:
    """A row per module in its order, or the ``top`` longest and one for all others.

    Args:
        profile: with or without layers.
        depth: modules below it join their ancestor.
        top: number of rows.
        roof: a function from a layer to its share of the roofline bound.
        closing: add the rows outside the network and those that lead to the end-to-end time.
    """
    found = profile.layers
    trains = found is not None and any(scope.backward_ns for scope in found.scopes)
    on_device = profile.trace is not None and profile.trace.kernel_ns
    faults = found is not None and sum(found.faults.values()) >= _FAULTS
    hidden = (set() if trains else _BACKWARD) | (set() if on_device else {"kernel_s"})
    hidden |= set() if faults else {"faults"}
    shown = [pair for pair in _LAYERS if pair[0].name not in hidden]
    columns = tuple(_roofless(column) if roof is None else column for column, _ in shown)
    notes = (*profile.notes, *(found.resolution if found is not None else ()))
    if found is None:
        own = bool(profile.primitives)
        trace, told = profile.trace, list[str]()
        if trace is not None and _mode(profile).compiler != Mode.compiler:
            told = _compiled(trace, own=own)
        return Table(columns, (), (profile.spec, *told), notes)
    whole = found.end_to_end_ns
    rows = [
        tuple(_cell(column, of, row, whole, roof) for column, of in shown)
        for row in _most(layer_rows(profile, depth), top)
    ]
    shares = [share for row in layer_rows(profile) if roof and (share := roof(row)) is not None]
    if shares:
        notes = (*notes, *_on_roofs(shares))
    if closing:
        rows += [_closing(columns, name, ns, whole) for name, ns in closing_rows(found)]
    return Table(columns, tuple(rows), (profile.spec, *_captions(profile)), notes)


def _mode(profile: Profile) -> Mode:
    return Spec.parse(profile.spec).mode


def roof_of(profile: Profile) -> Roof | None:
    """A function from a layer to its share of the roofline bound; ``None`` without ceilings.

    It has none for rows that stand for several modules: those may be bound by different ceilings.
    """
    if not profile.ceilings or profile.costs is None:
        return None
    spec = Spec.parse(profile.spec)
    costs = {cost.name: cost for cost in profile.costs}

    def share(layer: Layer) -> float | None:
        cost = costs.get(layer.name)
        if cost is None or layer.scopes > 1 or layer.ns <= 0:
            return None
        moved = cost.forward_bytes + cost.backward_bytes
        part = RooflinePart(2 * (cost.forward_macs + cost.backward_macs), moved, cost.operators)
        floors = roofline.floors(part, profile.ceilings, spec.mode.precision, spec.threads)
        return None if floors is None else 1e9 * max(floors.values()) / layer.ns

    return share


def _roofless(column: Column) -> Column:
    return Column(column.name, column.title) if column.name == "roof" else column


def _cell(
    column: Column, of: Callable[[Layer], Value], row: Layer, whole: float, roof: Roof | None
) -> Value:
    if column.name == "share":
        return row.ns / whole
    if column.name == "roof":
        return _NO_ROOF if roof is None else roof(row)
    return of(row)


def _on_roofs(shares: Sequence[float]) -> list[str]:
    text = (
        "of roofline: the least time that arithmetic, memory or operator calls need at the ceilings"
        " probed just now, divided by the time of the layer"
    )
    above = sum(share > roofline.TOLERANCE for share in shares)
    doubt = (
        "faster than the roofline bound allows, so its ceilings were probed too low:"
        f" {units.number(above, 'layer')}"
    )
    return [text, *([doubt] if above else [])]


def _most(rows: Sequence[Layer], top: int | None) -> Sequence[Layer]:
    if top is None or len(rows) <= top:
        return rows
    longest = sorted(rows, key=lambda row: row.ns, reverse=True)
    rest = longest[top:]
    return [*longest[:top], joined(rest, f"({len(rest)} others)")]


def closing_rows(found: LayerTimes) -> tuple[tuple[str, float], ...]:
    """The rows from the layers to the step: parts outside, sum, clocks, residual, end to end."""
    return (
        *((f"({part})", ns) for part, ns in found.outside.items()),
        ("= sum", found.sum_ns),
        ("+ clocks taken out", -found.clocks_ns),
        ("+ residual", found.residual_ns),
        ("= end to end", found.end_to_end_ns),
    )


def _closing(columns: Sequence[Column], name: str, ns: float, whole: float) -> tuple[Value, ...]:
    known: dict[str, Value] = {"layer": name, "time_s": ns / 1e9, "share": ns / whole}
    blank = {column.name: "" for column in columns if column.kind == "text"}
    return tuple((blank | known).get(column.name) for column in columns)


def _captions(profile: Profile) -> tuple[str, ...]:
    lines = []
    if profile.doubts:
        lines.append(
            f"not usable: {'; '.join(profile.doubts)}; repeat on a quiet machine, or with more"
            " --seconds"
        )
    if profile.layers is not None:
        found = profile.layers
        lines.append(
            f"end to end {units.seconds(found.end_to_end_ns / 1e9)}, measured without clocks in"
            f" {len(found.plain_ns)} steps between the timed ones (mean of the quieter half);"
            f" residual {units.percent(found.residual_share, sign=True)}{_within(found)}"
        )
        if (faults := sum(found.faults.values())) >= _FAULTS:
            lines.append(
                f"faults: {units.count(round(faults))} pages of memory are mapped anew in a step,"
                " which takes part of the time of the layers that they are in"
            )
    if profile.trace is not None:
        lines.append(
            f"a step takes {units.ratio(profile.trace.overhead)} as long under the profiler;"
            " the times of layers are measured without it"
        )
    lines.append("moved: bytes of the tensors of each operator in float32, ignoring caches")
    return tuple(lines)


# How the profiler calls what stands between a call of compiled code and its kernels.
_CALLING = ("## Call CompiledFxGraph", "TorchDynamo", "Torch-Compiled", "AOTDispatcher", "Pregraph")


def _named_share(trace: ProfilerTrace) -> float:
    """The share of the operators' time that is in kernels and operators with a name."""
    whole = sum(one.self_ns for one in trace.operators)
    named = sum(one.self_ns for one in trace.operators if not one.name.startswith(_CALLING))
    return named / whole if whole else 0.0


def _compiled(trace: ProfilerTrace, *, own: bool) -> list[str]:
    """The step of a mode whose layers cannot be separated; ``own``: its runtime has a profile."""
    took = units.seconds(statistics.median(trace.plain_ns) / 1e9)
    lines = [
        f"a step takes {took} (median of {len(trace.plain_ns)}), under the profiler"
        f" {units.ratio(trace.overhead)} as long"
    ]
    if share := _named_share(trace):
        lines.append(
            f"kernels and operators with a name are {units.percent(share)} of what the profiler"
            " saw; the rest is looking compiled code up and calling it"
        )
    elif not own:
        lines.append(
            "the profiler of torch sees no operators or kernels in it, so where its time goes is"
            " not known"
        )
    return lines


def _within(found: LayerTimes) -> str:
    half = found.residual_half_share
    if half is None:
        return ""
    beyond = ", more than noise" if abs(found.residual_share) > half else ""
    return f" ± {units.percent(half)}{beyond}"


# What torch's compiler calls its kernels and its graphs, and what is said instead.
_SAID = (
    (re.compile(r"^graph_\d+_cpp_fused_+"), "fused "),
    (re.compile(r"native_batch_norm_legit_no_training"), "batch_norm"),
    (re.compile(r"max_pool2d_with_indices"), "max_pool2d"),
    (re.compile(r"^## (Call CompiledFxGraph) \S+ ##$"), r"\1"),
)
_FEW = 3


def _name(one: Operator) -> str:
    """An operator's name, or a fused kernel's in few words."""
    name = one.name
    for what, instead in _SAID:
        name = what.sub(instead, name)
    return name


def _some(modules: Sequence[str]) -> str:
    """The modules of a fused kernel; of many, the first."""
    named = [one or _NETWORK for one in modules]
    more = f", … {len(named) - _FEW} more" if len(named) > _FEW else ""
    return ", ".join(named[:_FEW]) + more


_OPERATORS: tuple[tuple[Column, Callable[[Operator], Value]], ...] = (
    (Column("operator", "operator"), _name),
    (Column("calls", "calls", "number"), lambda one: one.calls),
    (Column("self_s", "self", "seconds"), lambda one: one.self_ns / 1e9),
    (Column("total_s", "with callees", "seconds", detail=1), lambda one: one.total_ns / 1e9),
    (Column("device_s", "on device", "seconds"), lambda one: one.device_ns / 1e9),
    (Column("allocated_bytes", "allocated", "bytes", detail=1), lambda one: one.allocated_bytes),
    (Column("modules", "of"), lambda one: _some(one.modules)),
)  # fmt: skip
_WHOLE: Mapping[str, Callable[[Operator], Value]] = {
    "operator": lambda one: one.name,
    "modules": lambda one: ", ".join(path or _NETWORK for path in one.modules),
}


# Of a runtime's own profile: how its layers are called, what ran, and the last row.
_KINDS = (
    Column("layer", "layers"), Column("ran", "ran"), Column("calls", "calls", "whole"),
    Column("time_s", "time", "seconds"), Column("share", "share", "fraction"),
)  # fmt: skip


def runtime_layers(profile: Profile, top: int | None = None) -> Table:
    """The layers of one call by the profiler of the runtime that ran them, alike ones together.

    The longest first; what is in none of them last. They add up to the call. No rows where torch
    ran the network.
    """
    if profile.layers is not None or not profile.primitives or not _mode(profile).runtime:
        return Table(_KINDS, ())
    whole = sum(one.ns for one in profile.primitives)
    *found, rest = profile.primitives
    longest = sorted(found, key=lambda one: -one.ns)
    rows = [(one.kind, one.implementation, one.calls, one.ns / 1e9, one.ns / whole)
            for one in longest[:top]]  # fmt: skip
    if others := longest[len(rows) :]:
        ns = sum(one.ns for one in others)
        calls = sum(one.calls for one in others)
        rows.append((f"({len(others)} other kinds)", "", calls, ns / 1e9, ns / whole))
    rows.append((rest.kind, rest.implementation, rest.calls, rest.ns / 1e9, rest.ns / whole))
    title = NEEDS[_mode(profile).runtime].title
    caption = (
        f"layers of a warm call of {units.seconds(whole / 1e9)}, by {title}'s own profiler; alike"
        " ones together"
    )
    return Table(_KINDS, tuple(rows), (caption,))


def operators(profile: Profile, top: int | None = None, *, whole: bool = False) -> Table:
    """The operators of a step, longest first, as the profiler saw them.

    Args:
        profile: of the step.
        top: how many; ``None`` for all.
        whole: the profiler's own names and all modules, for files.
    """
    return _of_operators(profile, "operators", top, whole=whole)


def kernels(profile: Profile, top: int | None = None) -> Table:
    """The device's kernels of a step, longest first; no rows on a CPU."""
    return _of_operators(profile, "kernels", top)


def _of_operators(profile: Profile, which: str, top: int | None, *, whole: bool = False) -> Table:
    found: tuple[Operator, ...] = getattr(profile.trace, which, ())
    idle = {
        "device_s": not any(one.device_ns for one in found),
        "modules": not any(one.modules for one in found),
    }
    shown = [pair for pair in _OPERATORS if not idle.get(pair[0].name)]
    instead = _WHOLE if whole else {}
    rows = [tuple(instead.get(column.name, of)(one) for column, of in shown) for one in found[:top]]
    steps = len(profile.trace.profiled_ns) if profile.trace is not None else 0
    caption = f"{which}, per step, mean of {steps} steps under the profiler"
    return Table(tuple(column for column, _ in shown), tuple(rows), (caption,))


def memory(profile: Profile) -> Table:
    """The memory curve of the last recorded step: a row per change."""
    columns = (Column("time_s", "time", "seconds"), Column("held_bytes", "held", "bytes"))
    trace = profile.trace
    if trace is None:
        return Table(columns, ())
    pairs = zip(trace.memory_ns, trace.memory_bytes, strict=True)
    return Table(columns, tuple((ns / 1e9, held) for ns, held in pairs))


def to_json(profile: Profile, depth: int | None = None, roof: Roof | None = None) -> dict[str, Any]:
    """The whole profile as plain JSON with the layer table; seconds, bytes and counts."""
    table = layers(profile, depth, None, roof, closing=False)
    names = [column.name for column in table.columns]
    rows = [dict(zip(names, row, strict=True)) for row in table.rows]
    found = profile.layers
    return {
        "spec": profile.spec,
        "environment": profile.environment,
        "end_to_end_s": None if found is None else found.end_to_end_ns / 1e9,
        "sum_s": None if found is None else found.sum_ns / 1e9,
        "clocks_s": None if found is None else found.clocks_ns / 1e9,
        "residual_s": None if found is None else found.residual_ns / 1e9,
        "residual_share": None if found is None else found.residual_share,
        "residual_half_share": None if found is None else found.residual_half_share,
        "outside_s": {} if found is None else {k: v / 1e9 for k, v in found.outside.items()},
        "step_s": None
        if profile.trace is None
        else statistics.median(profile.trace.plain_ns) / 1e9,
        "named_share": None if profile.trace is None else _named_share(profile.trace),
        "profiler_overhead": None if profile.trace is None else profile.trace.overhead,
        "memory_peak_bytes": None if profile.trace is None else profile.trace.memory_peak_bytes,
        "layers": rows,
        "not_usable": list(profile.doubts),
        "notes": list(profile.notes),
        "failed": list(profile.failed),
        "raw": encode(profile),
    }
