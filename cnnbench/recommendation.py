"""From measured records of one workload to advice: which mode, its gain, its price, what limits.

A table of small rules, each from the evidence to findings in plain words. Values in, values out:
knows nothing of how the evidence was taken. A rule that lacks its evidence says nothing or says
that it was not measured; it never guesses. A mode whose output is wrong is never recommended, and a
gain whose interval includes 1 is no gain.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cnnbench import metrics, units
from cnnbench.profile import Layer, Profile, layer_rows
from cnnbench.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnbench.stats import Estimate

# What a recommended mode's output may be; "unchecked" is said with it.
_RIGHT = {"ok", "unchecked"}

# A limit is worth a sentence from this share of the time on.
_DISPATCH_SHARE = 0.25
_LAYER_SHARE = 0.25
_REORDER_SHARE = 0.10
_SUBNORMAL_SHARE = 0.01
_MEMORY_CHANGE = 0.05

_EDGE = "this machine shows no difference that can be seen"


@dataclass(frozen=True)
class Finding:
    """One sentence of advice.

    Attributes:
        name: stable, for scripts.
        kind: ``use``, ``other``, ``cost``, ``limit`` or ``untried``.
        text: the sentence, with its numbers.
        mode: the mode that it is about, if it is about one.
    """

    name: str
    kind: str
    text: str
    mode: str = ""


@dataclass(frozen=True)
class Evidence:
    """What was measured of one workload on one device.

    Attributes:
        records: one per mode, plain eager among them.
        untried: mode -> why it was not measured.
        profile: of one of the modes that do not compile, if there is one.
    """

    records: tuple[Record, ...]
    untried: Mapping[str, str] = field(default_factory=dict)
    profile: Profile | None = None

    @property
    def baseline(self) -> Record | None:
        """Plain eager, if it could be measured."""
        found = [one for one in self.records if one.spec == one.spec.plain and _measured(one)]
        return found[0] if found else None

    @property
    def profiled(self) -> Record | None:
        """The record of the profiled mode."""
        name = None if self.profile is None else self.profile.spec
        found = [one for one in self.records if one.id == name and _measured(one)]
        return found[0] if found else None


def _measured(record: Record) -> bool:
    return metrics.latency(record) is not None


def mode_of(record: Record) -> str:
    """The mode's text."""
    return record.spec.mode.text


def is_gain(change: Estimate | None) -> bool:
    """Whether a speed-up can be seen: its whole interval lies above 1."""
    return change is not None and change.low is not None and change.low > 1


def is_loss(change: Estimate | None) -> bool:
    """Whether a slow-down can be seen: its whole interval lies below 1."""
    return change is not None and change.high is not None and change.high < 1


def recommended(evidence: Evidence) -> Record | None:
    """The simplest mode among the right ones that cannot be told from the fastest of them.

    Plain eager if no other shows a gain; ``None`` if eager itself was not measured.
    """
    baseline = evidence.baseline
    if baseline is None:
        return None
    gains = [
        (change.point, record)
        for record in evidence.records
        if record.status in _RIGHT
        and (change := metrics.speedup(record, baseline)) is not None
        and is_gain(change)
    ]
    if not gains:
        return baseline
    _, fastest = max(gains, key=lambda pair: pair[0])
    equals = [record for _, record in gains if not is_gain(metrics.speedup(fastest, record))]
    return min(equals, key=_effort)


def _effort(record: Record) -> tuple[bool, int, float]:
    """How much a mode asks for: a compiler, then words, then time."""
    mode = record.spec.mode
    words = 0 if mode.text == "eager" else mode.text.count("+") + 1
    time = metrics.latency(record)
    return mode.compiler != "eager", words, math.inf if time is None else time.point


def advise(evidence: Evidence) -> tuple[Finding, ...]:
    """Everything that the table of rules has to say, in the table's order."""
    return tuple(finding for rule in RULES for finding in rule(evidence))


def _times(change: Estimate) -> str:
    """``1.83x as fast as eager [1.79x, 1.87x]``."""
    text = f"{units.ratio(change.point)} as fast as eager"
    if change.low is None or change.high is None:
        return f"{text} (one round: no interval)"
    return f"{text} [{units.ratio(change.low)}, {units.ratio(change.high)}]"


def _use(evidence: Evidence) -> tuple[Finding, ...]:
    best, baseline = recommended(evidence), evidence.baseline
    if best is None or baseline is None:
        text = "no advice: plain eager could not be measured, so there is nothing to compare with"
        return (Finding("no_baseline", "use", text),)
    time = metrics.latency(best)
    assert time is not None  # noqa: S101 - recommended() returns measured records only
    took = f"{units.seconds(time.point)} per call"
    if best is baseline:
        text = f"stay with eager ({took}): no other mode with right output shows a gain"
        return (Finding("stay", "use", text, "eager"),)
    change = metrics.speedup(best, baseline)
    assert change is not None  # noqa: S101 - likewise
    checked = "" if best.status == "ok" else "; its output could not be checked"
    text = f"use {mode_of(best)}: {_times(change)}, {took}{checked}"
    return (Finding("use", "use", text, mode_of(best)),)


def _others(evidence: Evidence) -> tuple[Finding, ...]:
    """A sentence for every other mode, so that none is passed over in silence."""
    best, baseline = recommended(evidence), evidence.baseline
    if best is None or baseline is None:
        return ()
    found = []
    for record in evidence.records:
        if record in (best, baseline):
            continue
        name, text = _verdict(record, baseline, best)
        found.append(Finding(name, "other", f"{mode_of(record)}: {text}", mode_of(record)))
    return tuple(found)


def _verdict(record: Record, baseline: Record, best: Record) -> tuple[str, str]:
    if record.failure is not None:
        return "failed", f"failed in {record.failure.phase}: {record.failure.message}"
    change = metrics.speedup(record, baseline)
    if change is None:
        return "not_compared", "not measured beside eager"
    if record.status == "wrong":
        reason = record.check.reason if record.check is not None else ""
        return "wrong", f"its output is wrong ({reason}), whatever its speed"
    if record.status == "loose" and is_gain(change):
        return "loose", f"{_times(change)}, but its output differs more than its precision explains"
    if is_gain(change):
        beside = metrics.speedup(best, record)
        same = "" if is_gain(beside) else f"; beside {mode_of(best)}, {_EDGE}"
        return "gain", _times(change) + same
    if is_loss(change):
        return "slower", _times(change)
    return "no_difference", f"{_EDGE} from eager ({_times(change)})"


def _compile_cost(evidence: Evidence) -> tuple[Finding, ...]:
    """For every compiled mode with a gain: how long it compiles, how many calls pay for that."""
    baseline = evidence.baseline
    found = []
    for record in evidence.records:
        cold = metrics.first_call(record, "cold")
        change = metrics.speedup(record, baseline)
        time, plain = metrics.latency(record), baseline and metrics.latency(baseline)
        if cold is None or time is None or not plain or not is_gain(change):
            continue
        name, saved = mode_of(record), plain.point - time.point
        if saved <= 0:
            continue
        calls = break_even(cold.point, time.point, saved)
        text = (
            f"{name} compiles for {units.seconds(cold.point)} with an empty cache and pays after"
            f" {units.count(calls)} calls"
        )
        found.append(Finding("compile", "cost", text, name))
    return tuple(found)


def break_even(first_call: float, later_call: float, saved: float) -> int:
    """Calls after which a first call that compiles has paid for itself.

    Args:
        first_call: seconds of the first call, compilation included.
        later_call: seconds of any later call.
        saved: seconds that each call saves; positive.

    >>> break_even(10.0, 0.02, 0.01)
    998
    """
    return math.ceil(round((first_call - later_call) / saved, 6))


def _memory_cost(evidence: Evidence) -> tuple[Finding, ...]:
    best, baseline = recommended(evidence), evidence.baseline
    if best is None or baseline is None or best is baseline:
        return ()
    for name in ("cuda_memory", "peak_memory"):
        of = metrics.metric(name).of
        before, after = of(baseline), of(best)
        if before is None or after is None:
            continue
        change = after.point / before.point - 1
        if abs(change) < _MEMORY_CHANGE:
            return ()
        word = "more" if change > 0 else "less"
        text = (
            f"{mode_of(best)} needs {word} memory: peak {units.size(after.point)} instead of"
            f" {units.size(before.point)}"
        )
        return (Finding("memory", "cost", text, mode_of(best)),)
    return (Finding("memory", "cost", "its peak memory was not measured", mode_of(best)),)


def _accuracy_cost(evidence: Evidence) -> tuple[Finding, ...]:
    best = recommended(evidence)
    check = None if best is None else best.check
    if best is None or best is evidence.baseline or check is None:
        return ()
    if check.error is None:
        text = f"the output of {mode_of(best)} was not compared with eager: {check.reason}"
        return (Finding("accuracy", "cost", text, mode_of(best)),)
    text = (
        f"the output of {mode_of(best)} differs from fp32 eager by {units.scientific(check.error)}"
    )
    if check.top1_agreement is not None:
        text += f" (relative), top-1 agreement {units.percent(check.top1_agreement)}"
    return (Finding("accuracy", "cost", text, mode_of(best)),)


def _dispatch(evidence: Evidence) -> tuple[Finding, ...]:
    """Many tiny operators: their number times the shortest call, against the latency."""
    profile, record = evidence.profile, evidence.profiled
    if profile is None or record is None or profile.layers is None or profile.costs is None:
        return ()
    time, shortest = metrics.latency(record), profile.layers.dispatch_ns
    operators = sum(cost.operators for cost in profile.costs)
    if time is None or shortest is None:
        return ()
    share = operators * shortest / (time.point * 1e9)
    if share < _DISPATCH_SHARE:
        return ()
    text = (
        f"calling operators: {operators} of them at no less than {units.seconds(shortest / 1e9)}"
        f" each are {units.percent(min(share, 1.0))} of the time; larger batches or a compiler help"
    )
    return (Finding("dispatch", "limit", text),)


def _slow_layer(evidence: Evidence) -> tuple[Finding, ...]:
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
    return (Finding("slow_layer", "limit", text + _of_macs(slowest, rows)),)


def _of_macs(layer: Layer, rows: tuple[Layer, ...]) -> str:
    total = sum(row.macs or 0 for row in rows)
    if not total or layer.macs is None:
        return ""
    return f" and does {units.percent(layer.macs / total)} of the MACs"


def _reorders(evidence: Evidence) -> tuple[Finding, ...]:
    profile = evidence.profile
    if profile is None or profile.primitives is None or profile.layers is None:
        return ()
    spent = sum(one.ns for one in profile.primitives if one.kind == "reorder")
    count = sum(one.calls for one in profile.primitives if one.kind == "reorder")
    share = spent / profile.layers.end_to_end_ns
    if share < _REORDER_SHARE:
        return ()
    text = (
        f"conversions of layout: {count} reorders are about {units.percent(share)} of the time;"
        " channels_last and compiled modes need fewer"
    )
    return (Finding("reorders", "limit", text),)


def _bound(evidence: Evidence) -> tuple[Finding, ...]:
    """Memory or arithmetic, by the machine's ceilings; the larger lower bound names the limit."""
    profile, record = evidence.profile, evidence.profiled
    if profile is None or record is None or profile.costs is None:
        return ()
    if not record.ceilings:
        text = "whether memory or arithmetic limits it: the machine's ceilings were not measured"
        return (Finding("bound", "untried", text),)
    ceilings, time = record.ceilings[0], metrics.latency(record)
    macs = sum(cost.forward_macs + cost.backward_macs for cost in profile.costs)
    moved = sum(cost.forward_bytes + cost.backward_bytes for cost in profile.costs)
    if time is None or not ceilings.flops_per_s or not ceilings.bytes_per_s:
        return ()
    arithmetic = 2 * macs / max(ceilings.flops_per_s.values())
    # The bandwidth of the largest working set is that of memory.
    largest = max(ceilings.bytes_per_s, key=lambda size: float(size))
    memory = moved / ceilings.bytes_per_s[largest]
    what, bound = ("memory", memory) if memory > arithmetic else ("arithmetic", arithmetic)
    text = (
        f"{what}: moving its tensors takes at least {units.seconds(memory)}, its multiplications"
        f" {units.seconds(arithmetic)}; that is {units.percent(bound / time.point)} of the time"
    )
    return (Finding(f"{what}_bound", "limit", text),)


def _subnormals(evidence: Evidence) -> tuple[Finding, ...]:
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
        " a CPU; torch.set_flush_denormal(True) or other weights cure it"
    )
    return (Finding("subnormals", "limit", text),)


def _disturbed(evidence: Evidence) -> tuple[Finding, ...]:
    baseline = evidence.baseline
    quality = None if baseline is None else metrics.quality(baseline)
    if quality is None or quality.startswith("clean"):
        return ()
    text = f"the machine: eager's measurement is {quality}; repeat on a calmer one for small gains"
    return (Finding("disturbed", "limit", text),)


def _untried(evidence: Evidence) -> tuple[Finding, ...]:
    modes = [
        Finding("mode", "untried", f"{mode}: {why}", mode) for mode, why in evidence.untried.items()
    ]
    rest = "other batch sizes, input sizes and thread counts; quantisation to integers; pruning"
    notes = [] if evidence.profile is None else evidence.profile.notes
    return (
        *modes,
        *(Finding("profile", "untried", note) for note in notes),
        Finding("beyond", "untried", rest),
    )


# One line per rule.
RULES: tuple[Callable[[Evidence], tuple[Finding, ...]], ...] = (
    _use,
    _others,
    _compile_cost,
    _memory_cost,
    _accuracy_cost,
    _bound,
    _dispatch,
    _slow_layer,
    _reorders,
    _subnormals,
    _disturbed,
    _untried,
)
