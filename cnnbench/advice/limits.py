"""What limits a workload: rules about its profile, its reference and its plain eager mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench import allocator, flaws, metrics, roofline, units
from cnnbench.advice.evidence import AdviceFinding, Evidence, between, mode_of
from cnnbench.choice import standing
from cnnbench.profile_rows import Layer, layer_rows
from cnnbench.roofline import RooflinePart
from cnnbench.spec import Spec

if TYPE_CHECKING:
    from cnnbench.profile import LayerCost
    from cnnbench.record import Record

# A limit is worth a sentence from this share of the time on.
_DISPATCH_SHARE = 0.25
_LAYER_SHARE = 0.25
_REORDER_SHARE = 0.10
_SUBNORMAL_SHARE = 0.01
# Time that malloc costs is worth a sentence from this share on, certainly.
_ANEW = 0.02
# Below this share of the time a ceiling holds nothing back: something else takes the rest.
_BOUND_SHARE = 0.25
# Far above what small layers took where this was written: 6 us in a chain of 1x1 convolutions of
# eight channels, 5 to 10 us for lenet's linear layers.
_SMALL_NS = 25_000.0
_MANY = 5
_SMALL_SHARE = 0.25


def dispatch(evidence: Evidence) -> tuple[AdviceFinding, ...]:
    """Rule: many tiny operators. Their number times the shortest call, against the latency."""
    profile, record = evidence.profile, evidence.profiled
    if profile is None or record is None or profile.layers is None or profile.costs is None:
        return ()
    time, shortest = metrics.shown(record), profile.layers.dispatch_ns
    operators = sum(cost.operators for cost in profile.costs)
    if time is None or shortest is None:
        return ()
    share = operators * shortest / (time.point * 1e9)
    if share < _DISPATCH_SHARE:
        return ()
    text = (
        f"calling operators: {operators} calls of at least {units.seconds(shortest / 1e9)} each are"
        f" {units.percent(min(share, 1.0))} of the time; larger batches spread that cost"
    )
    return (
        AdviceFinding(
            "dispatch", "limit", text + _may(evidence, "have fewer", "compile"), _who(record)
        ),
    )


def _who(record: Record | None) -> str:
    return "" if record is None else mode_of(record)


def _may(evidence: Evidence, what: str, *words: str) -> str:
    """Modes that may help: not the profiled one, and none that was measured as slower."""
    own = _who(evidence.profiled).split("+")
    slower = {
        mode_of(record)
        for record in evidence.records
        if standing(record, evidence.baseline) == "slower"
    }
    left = [word for word in words if word not in own and word not in slower]
    return f"; {' and '.join(left)} may {what}" if left else ""


def small_layers(evidence: Evidence) -> tuple[AdviceFinding, ...]:
    """Rule: many layers that take far longer than their work needs, because of the calls."""
    profile, record = evidence.profile, evidence.profiled
    if profile is None or record is None or profile.layers is None or profile.costs is None:
        return ()
    costs = {cost.name: cost for cost in profile.costs}
    rows = [row for row in layer_rows(profile) if row.name in costs and row.ns > 0]
    small = [row for row in rows if _is_small(row, costs[row.name], record)]
    share = sum(row.ns for row in small) / profile.layers.end_to_end_ns
    if len(small) < _MANY or share < _SMALL_SHARE:
        return ()
    text = (
        f"small layers: {len(small)} of {len(rows)} take under {units.seconds(_SMALL_NS / 1e9)} per"
        f" operator, together {units.percent(share)} of the time, and their work needs less than"
        f" {units.percent(_BOUND_SHARE)} of that; the rest is the cost of the calls, which larger"
        " batches spread"
    )
    return (AdviceFinding("small_layers", "limit", text, _who(record)),)


def _is_small(row: Layer, cost: LayerCost, record: Record) -> bool:
    floors = roofline.floors(_part(cost), record.ceilings, *_how(record))
    # Without the calls themselves, which are what is asked about.
    needed = 0.0 if floors is None else max(floors["memory"], floors["compute"])
    each = row.ns / max(cost.operators, 1)
    return floors is not None and each < _SMALL_NS and 1e9 * needed < _BOUND_SHARE * row.ns


def slow_layer(evidence: Evidence) -> tuple[AdviceFinding, ...]:
    """Rule: one layer takes much of the time."""
    profile = evidence.profile
    if profile is None or profile.layers is None:
        return ()
    rows = layer_rows(profile)
    if len(rows) < 3:
        return ()
    slowest = max(rows, key=lambda row: row.ns)
    share = slowest.ns / profile.layers.end_to_end_ns
    if share < _LAYER_SHARE:
        return ()
    name = slowest.name or "the network itself"
    text = f"one layer: {name} ({slowest.type}) takes {units.percent(share)} of the time"
    text += _of_macs(slowest, rows)
    return (AdviceFinding("slow_layer", "limit", text, _who(evidence.profiled)),)


def _of_macs(layer: Layer, rows: tuple[Layer, ...]) -> str:
    total = sum(row.macs or 0 for row in rows)
    if not total or layer.macs is None:
        return ""
    return f" and does {units.share(layer.macs / total)} of the MACs"


def reorders(evidence: Evidence) -> tuple[AdviceFinding, ...]:
    """Rule: layout conversions, by the library's own clock, against the end-to-end time."""
    profile, record = evidence.profile, evidence.profiled
    if profile is None or profile.primitives is None or profile.layers is None:
        return ()
    if record is not None and metrics.waited(record):
        return ()  # the library's clock runs on while the process waits for a core
    spent = sum(one.ns for one in profile.primitives if one.kind == "reorder")
    count = sum(one.calls for one in profile.primitives if one.kind == "reorder")
    share = spent / profile.layers.end_to_end_ns
    if share < _REORDER_SHARE:
        return ()
    text = (
        f"layout conversions: {count} reorders are about {units.percent(share)} of the time"
        f"{_may(evidence, 'need fewer', 'channels_last', 'compile')}"
    )
    return (AdviceFinding("reorders", "limit", text, _who(evidence.profiled)),)


def memory_anew(evidence: Evidence) -> tuple[AdviceFinding, ...]:
    """Rule: what the mode to use takes longer where malloc gives memory back after every call."""
    found = evidence.unkept
    if found is None or found.ratio.low is None or found.ratio.low < 1 + _ANEW:
        return ()
    pages = "" if not found.faults else f", with {found.faults:.0f} page faults per call"
    text = (
        "memory is got anew in every call where malloc is left as it comes (here freed blocks were"
        f" kept): it then takes {units.ratio(found.ratio.point)} as long{between(found.ratio)}"
        f"{pages}; where it runs, set {allocator.words(allocator.DEFAULT)}, or preload jemalloc or"
        " TCMalloc"
    )
    return (AdviceFinding("allocator", "limit", text, Spec.parse(found.spec).mode.text),)


def bound(evidence: Evidence) -> tuple[AdviceFinding, ...]:
    """Rule: memory or arithmetic, by the machine's ceilings; the larger bound is the limit."""
    profile, record = evidence.profile, evidence.profiled
    if profile is None or record is None or profile.costs is None:
        return ()
    time, least = metrics.shown(record), _least(profile.costs, record)
    if time is None:
        return ()
    if least is None:
        text = "whether memory or arithmetic is the limit: the ceilings were not measured"
        return (AdviceFinding("bound", "untried", text),)
    memory, arithmetic = least["memory"], least["compute"]
    what, bound = ("memory", memory) if memory > arithmetic else ("arithmetic", arithmetic)
    text = (
        f"moving its tensors takes at least {units.seconds(memory)}, its arithmetic at least"
        f" {units.seconds(arithmetic)}; the larger is {units.percent(bound / time.point)} of the"
        " time"
    )
    if bound < _BOUND_SHARE * time.point:
        return (
            AdviceFinding(
                "unbound", "limit", f"neither memory nor arithmetic: {text}", _who(record)
            ),
        )
    if bound > roofline.TOLERANCE * time.point:
        text = f"{text}, which is impossible: the machine was busy while its ceilings were probed"
    return (AdviceFinding(f"{what}_bound", "limit", f"{what}: {text}", _who(record)),)


def _least(costs: tuple[LayerCost, ...], record: Record) -> dict[str, float] | None:
    """Least seconds of the step by each ceiling, summed over layers; ``None`` if none fits."""
    found = [
        floors
        for cost in costs
        if (floors := roofline.floors(_part(cost), record.ceilings, *_how(record))) is not None
    ]
    if not found:
        return None
    return {name: sum(floors[name] for floors in found) for name in found[0]}


def _part(cost: LayerCost) -> RooflinePart:
    moved = cost.forward_bytes + cost.backward_bytes
    return RooflinePart(2 * (cost.forward_macs + cost.backward_macs), moved, cost.operators)


def _how(record: Record) -> tuple[str, int]:
    return record.spec.mode.precision, record.spec.threads


def subnormals(evidence: Evidence) -> tuple[AdviceFinding, ...]:
    """Rule: subnormal numbers, which are too small for the processor's fast path."""
    shares = [
        record.reference.subnormal_share or 0.0
        for record in evidence.records
        if record.reference is not None
    ]
    worst = max(shares, default=0.0)
    if worst < _SUBNORMAL_SHARE:
        return ()
    text = (
        f"subnormal numbers: {units.percent(worst)} of the activations, each many times slower on"
        " a CPU; torch.set_flush_denormal(True) or other weights avoid them"
    )
    return (AdviceFinding("subnormals", "limit", text),)


def disturbed(evidence: Evidence) -> tuple[AdviceFinding, ...]:
    """Rule: the machine is too noisy for small gains."""
    baseline = evidence.baseline
    if baseline is None or flaws.of_time(baseline) not in {flaws.DISTURBED, flaws.NOISY}:
        return ()
    quality = metrics.quality(baseline)
    text = f"the machine: the measurement of eager is {quality}; small gains need a quieter machine"
    return (AdviceFinding("disturbed", "limit", text),)
