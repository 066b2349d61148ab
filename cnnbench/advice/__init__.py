"""From measured records of one workload to advice: which mode, its gain, its price, what limits.

A table of small rules, each from the evidence to findings in plain words. Values in, values out:
knows nothing of how the evidence was taken. A rule that lacks its evidence says nothing or says
that it was not measured; it never guesses. A mode whose output is wrong is never recommended, and a
gain whose interval includes 1 is no gain.

``choice`` holds the evidence and chooses the mode, ``limits`` says what holds the workload back.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from cnnbench import metrics, units
from cnnbench.advice import limits
from cnnbench.advice.choice import (
    AdviceFinding,
    Evidence,
    is_gain,
    is_loss,
    mode_of,
    recommended,
)
from cnnbench.spec import WORDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnbench.record import Record
    from cnnbench.stats import Estimate

_MEMORY_CHANGE = 0.05

_EDGE = "no difference that can be seen"


def advise(evidence: Evidence) -> tuple[AdviceFinding, ...]:
    """Everything that the table of rules has to say, in the table's order."""
    return tuple(finding for rule in RULES for finding in rule(evidence))


def _times(change: Estimate) -> str:
    """``1.83x as fast as eager [1.79x, 1.87x]``."""
    text = f"{units.ratio(change.point)} as fast as eager"
    if change.low is None or change.high is None:
        return f"{text} (one round: no interval)"
    return f"{text} [{units.ratio(change.low)}, {units.ratio(change.high)}]"


def _use(evidence: Evidence) -> tuple[AdviceFinding, ...]:
    best, baseline = recommended(evidence), evidence.baseline
    if best is None or baseline is None:
        text = "no advice: plain eager could not be measured, so there is nothing to compare with"
        return (AdviceFinding("no_baseline", "use", text),)
    time = metrics.latency(best)
    assert time is not None  # noqa: S101 - recommended() returns measured records only
    took = f"{units.seconds(time.point)} per call"
    if best is baseline:
        return (
            AdviceFinding("stay", "use", f"stay with eager ({took}): {_why(evidence)}", "eager"),
        )
    change = metrics.speedup(best, baseline)
    assert change is not None  # noqa: S101 - likewise
    checked = "" if best.status == "ok" else "; its output could not be checked"
    text = f"use {mode_of(best)}: {_times(change)}, {took}{checked}"
    return (AdviceFinding("use", "use", text, mode_of(best)),)


def _why(evidence: Evidence) -> str:
    """To stay with eager."""
    others = [
        one
        for one in evidence.records
        if one is not evidence.baseline and metrics.speedup(one, evidence.baseline) is not None
    ]
    if not others:
        return "no other mode was measured"
    if all(one.status == "unchecked" for one in others):
        return "no other mode shows a gain; their outputs could not be checked"
    return "no other mode with right output shows a gain"


def _precision(evidence: Evidence) -> tuple[AdviceFinding, ...]:
    """How much of a gain is that of fewer bits, where a mode without that is faster too."""
    best = recommended(evidence)
    if best is None or best.spec.mode.precision == "fp32":
        return ()
    exact = recommended(
        replace(
            evidence,
            records=tuple(r for r in evidence.records if r.spec.mode.precision == "fp32"),
        )
    )
    change = metrics.speedup(best, exact)
    if exact is None or exact is evidence.baseline or change is None:
        return ()
    beside = metrics.speedup(exact, evidence.baseline)
    gained = "" if beside is None else f" and is {_times(beside)}"
    text = (
        f"with all bits: {mode_of(exact)} keeps fp32{gained}; {mode_of(best)} is"
        f" {units.ratio(change.point)} as fast as that{_between(change)}"
    )
    return (AdviceFinding("precision", "use", text, mode_of(exact)),)


def _between(change: Estimate) -> str:
    if change.low is None or change.high is None:
        return ""
    return f" [{units.ratio(change.low)}, {units.ratio(change.high)}]"


def _others(evidence: Evidence) -> tuple[AdviceFinding, ...]:
    """A sentence for every other mode, so that none is passed over in silence."""
    best, baseline = recommended(evidence), evidence.baseline
    if best is None or baseline is None:
        return ()
    found = []
    for record in evidence.records:
        if record in (best, baseline):
            continue
        name, text = _verdict(record, baseline, best)
        found.append(AdviceFinding(name, "other", f"{mode_of(record)}: {text}", mode_of(record)))
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
        same = "" if is_gain(beside) else f"; {_EDGE} from {mode_of(best)}"
        return "gain", _times(change) + same
    if is_loss(change):
        return "slower", _times(change)
    return "no_difference", f"{_times(change)}: {_EDGE}"


def _compile_cost(evidence: Evidence) -> tuple[AdviceFinding, ...]:
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
            f" {units.count(calls)} calls, against eager"
        )
        best = recommended(evidence)
        if best is not None and best.spec.mode.compiler == "eager" and best is not baseline:
            text += f"; {mode_of(best)} has nothing to pay back"
        found.append(AdviceFinding("compile", "cost", text, name))
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


def _memory_cost(evidence: Evidence) -> tuple[AdviceFinding, ...]:
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
        return (AdviceFinding("memory", "cost", text, mode_of(best)),)
    return (AdviceFinding("memory", "cost", "its peak memory was not measured", mode_of(best)),)


def _accuracy_cost(evidence: Evidence) -> tuple[AdviceFinding, ...]:
    best = recommended(evidence)
    check = None if best is None else best.check
    if best is None or best is evidence.baseline or check is None:
        return ()
    if check.error is None:
        text = f"the output of {mode_of(best)} was not compared with eager: {check.reason}"
        return (AdviceFinding("accuracy", "cost", text, mode_of(best)),)
    text = (
        f"the output of {mode_of(best)} differs from fp32 eager by {units.scientific(check.error)}"
    )
    if check.top1_agreement is not None:
        count = best.spec.workload.batch
        text += (
            f" (relative), top-1 agreement {units.percent(check.top1_agreement)} of {count}"
            f" sample{'' if count == 1 else 's'}"
        )
    return (AdviceFinding("accuracy", "cost", text, mode_of(best)),)


def _untried(evidence: Evidence) -> tuple[AdviceFinding, ...]:
    modes = [
        AdviceFinding("mode", "untried", f"{mode}: {why}", mode)
        for mode, why in evidence.untried.items()
    ]
    known = {*evidence.untried, *(mode_of(one) for one in evidence.records)}
    said = {word for mode in known for word in mode.split("+")}
    kind = evidence.records[0].spec.device.kind if evidence.records else "cpu"
    words = [word.text for word in WORDS if kind in word.kinds and word.text not in said]
    # What everything else is compared with, and graphs that only CUDA has.
    plain = {"eager", "contiguous", "fp32", *(["compile=reduce-overhead"] * (kind == "cpu"))}
    words = [word for word in words if word not in plain]
    if words:
        text = f"what else there is of modes here: {', '.join(words)} (cnnbench run --modes …)"
        modes.append(AdviceFinding("words", "untried", text))
    rest = "other batch sizes, input sizes and thread counts; quantisation to integers; pruning"
    notes = [] if evidence.profile is None else evidence.profile.notes
    return (
        *modes,
        *(AdviceFinding("profile", "untried", note) for note in notes),
        AdviceFinding("beyond", "untried", rest),
    )


# One line per rule.
RULES: tuple[Callable[[Evidence], tuple[AdviceFinding, ...]], ...] = (
    _use,
    _precision,
    _others,
    _compile_cost,
    _memory_cost,
    _accuracy_cost,
    limits.bound,
    limits.dispatch,
    limits.small_layers,
    limits.slow_layer,
    limits.reorders,
    limits.subnormals,
    limits.disturbed,
    _untried,
)

__all__ = ["RULES", "AdviceFinding", "Evidence", "advise", "break_even", "recommended"]
