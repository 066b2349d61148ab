"""From measured records of one workload to advice: which mode, its gain, its costs, its limits.

A table of small rules; each turns the evidence into findings in plain words. Values in, values out:
knows nothing of how the evidence was taken. A rule that lacks its evidence says nothing, or says
that it was not measured; it never guesses. Which mode to use is decided in ``cnnbench.choice``, for
reports too.

``evidence`` is what was measured, ``limits`` are the rules about what limits the workload.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cnnbench import deployment, metrics, units
from cnnbench.advice import limits
from cnnbench.advice.evidence import (
    EMULATED,
    AdviceFinding,
    Evidence,
    Unkept,
    between,
    mode_of,
)
from cnnbench.choice import NO_GAIN, STANDINGS, choose, standing
from cnnbench.spec import WORDS, Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cnnbench.choice import ModeChoice, ModeVerdict
    from cnnbench.record import Record
    from cnnbench.stats import Estimate

_MEMORY_CHANGE = 0.05

_LONGER = "a larger --budget or more --rounds may decide it"
_EDGE = STANDINGS["unclear"].text
_LOOSE = "its output differs more than its precision explains"


def advise(evidence: Evidence) -> tuple[AdviceFinding, ...]:
    """The findings of all rules, in the order of the table."""
    return tuple(finding for rule in RULES for finding in rule(evidence))


def _times(change: Estimate) -> str:
    """``1.83x as fast as eager [1.79x, 1.87x]``."""
    text = f"{units.ratio(change.point)} as fast as eager"
    if change.low is None or change.high is None:
        return f"{text} (one round)"
    return f"{text}{between(change)}"


def _use(evidence: Evidence) -> tuple[AdviceFinding, ...]:
    choice = evidence.choice
    if choice is None:
        text = "no advice: plain eager, which modes are compared with, could not be measured"
        return (AdviceFinding("no_baseline", "use", text),)
    took = f"{units.seconds(_latency(choice.best))} per call"
    if choice.verdict == "alone" and evidence.untried:
        # A budget is more easily raised than a compiler installed.
        mode, why = max(evidence.untried.items(), key=lambda one: "--budget" in one[1])
        text = f"cannot tell: {NO_GAIN['alone']} beside eager ({took}); {mode}: {why}"
        return (AdviceFinding("alone", "use", text),)
    if choice.gain is None:
        return (AdviceFinding(*_stay(choice, took), "eager"),)
    checked = "" if choice.best.status == "ok" else "; its output could not be checked"
    text = f"use {mode_of(choice.best)}: {_times(choice.gain)}, {took}{checked}"
    if choice.hopeful:
        names = ", ".join(map(mode_of, choice.hopeful))
        verb = "looks" if len(choice.hopeful) == 1 else "look"
        text += f"; {names} {verb} faster, but not certainly so: {_REMEDIES['unclear']}"
    return (AdviceFinding("use", "use", text, mode_of(choice.best)),)


def _latency(record: Record) -> float:
    time = metrics.shown(record)
    assert time is not None  # noqa: S101 - only what was measured is chosen
    return time.point


def _stay(choice: ModeChoice, took: str) -> tuple[str, str, str]:
    """Name, kind and text where eager stays: it is best, or the comparison is open."""
    reason = NO_GAIN[choice.verdict]
    other = choice.foremost
    change = None if other is None else metrics.speedup(other, choice.baseline)
    if other is None or change is None or not choice.undecided:
        return "stay", "use", f"stay with eager ({took}): {reason}"
    count = len(choice.tried)
    best = f"the fastest of {count} other modes, {mode_of(other)}," if count > 1 else mode_of(other)
    remedy = _REMEDIES[choice.verdict]
    text = f"cannot tell today: {reason}: {best} is {_times(change)}, eager takes {took}; {remedy}"
    return choice.verdict, "use", text


# Verdicts that leave the comparison open -> what may decide it.
_REMEDIES: Mapping[ModeVerdict, str] = {
    "once": "use more --rounds or a larger --budget",
    "unclear": "more --rounds may decide it",
}


def _verified(evidence: Evidence) -> tuple[AdviceFinding, ...]:
    """What was measured again beside the choice, and whether something may still be faster."""
    best, choice = evidence.recommended, evidence.choice
    if best is None or choice is None or best.id not in evidence.verified:
        return ()
    others = [one for one in evidence.records if one is not best and one.id in evidence.verified]
    ratios = {one.id: metrics.speedup(best, one, len(choice.tried)) for one in others}
    near = [(change.point, one) for one in others if (change := ratios[one.id]) is not None]
    if not near:
        return ()
    nearest = min(near, key=lambda pair: pair[0])[1]
    change = ratios[nearest.id]
    rounds = min(evidence.verified[one.id] for one in (best, nearest))
    assert change is not None  # noqa: S101 - only those are near
    text = (
        f"measured again in {units.number(rounds, 'round')}: {mode_of(best)} is"
        f" {units.ratio(change.point)} as fast as {mode_of(nearest)}, the nearest"
        f"{between(change)}"
    )
    if choice.rivals:
        names = ", ".join(map(mode_of, choice.rivals))
        text += f"; {names} may still be more than 5 % faster: {_LONGER}"
    return (AdviceFinding("verified", "use", text, mode_of(best)),)


def _precision(evidence: Evidence) -> tuple[AdviceFinding, ...]:
    """How much of a gain comes from lower precision, where an fp32 mode is faster too."""
    best = evidence.recommended
    if best is None or best.spec.mode.precision == "fp32":
        return ()
    choice = choose(one for one in evidence.records if one.spec.mode.precision == "fp32")
    if choice is None or choice.gain is None:
        return ()
    exact, change = choice.best, metrics.speedup(best, choice.best)
    if change is None:
        return ()
    gained = f" and is {_times(choice.gain)}"
    text = (
        f"in full precision: {mode_of(exact)} keeps fp32{gained}; {mode_of(best)} is"
        f" {units.ratio(change.point)} as fast as that{between(change)}"
    )
    return (AdviceFinding("precision", "use", text, mode_of(exact)),)


def _others(evidence: Evidence) -> tuple[AdviceFinding, ...]:
    """A sentence for every other mode, so that none goes unmentioned."""
    choice = evidence.choice
    if choice is None:
        return ()
    found = []
    for record in evidence.records:
        if record in (choice.best, choice.baseline):
            continue
        name, text = _verdict(record, choice)
        found.append(AdviceFinding(name, "other", f"{mode_of(record)}: {text}", mode_of(record)))
    return tuple(found)


def _verdict(record: Record, choice: ModeChoice) -> tuple[str, str]:
    if record.failure is not None:
        return "failed", f"failed in {record.failure.phase}: {record.failure.message}"
    change, how = metrics.speedup(record, choice.baseline), choice.standing(record)
    if change is None:
        return "not_compared", STANDINGS["apart"].text
    if record.status == "wrong":
        reason = record.check.reason if record.check is not None else ""
        return "wrong", f"its output is wrong ({reason}), so its speed does not count"
    if record in choice.loose:
        text = f"{_times(change)} and would be faster than {mode_of(choice.best)}, but {_LOOSE}"
        return "loose", text
    if record.status == "loose":
        return "unfit", f"{_times(change)}; {_LOOSE}"
    if how == "faster":
        same = f"; {_EDGE} from {mode_of(choice.best)}" if record in choice.equal else ""
        return "gain", _times(change) + same
    if how == "slower":
        return "slower", _times(change)
    if how == "once":
        return "not_repeated", f"{_times(change)}: {STANDINGS['once'].text}"
    if how == "level":
        return "level", f"{_times(change)}: {STANDINGS[how].text}"
    # Alone it would be clear; its interval says so.
    alone = standing(record, choice.baseline) == "faster"
    chance = (
        f", because one of {len(choice.tried)} modes may look faster by chance" if alone else ""
    )
    return "no_difference", f"{_times(change)}: {_EDGE}{chance}"


def _compile_cost(evidence: Evidence) -> tuple[AdviceFinding, ...]:
    """For every compiled mode with a gain: the time to compile, and the calls to break even.

    All modes tried share the error here, because the best of them is picked.
    """
    choice = evidence.choice
    if choice is None:
        return ()
    found = []
    for record in choice.tried:
        cold = metrics.first_call(record, "cold")
        calls = metrics.break_even(record, choice.baseline, len(choice.tried))
        if cold is None or calls is None:
            continue
        text = (
            f"{mode_of(record)}: {_making(record)} takes {units.seconds(cold.point)} with an empty"
            f" cache and pays off after {units.count(math.ceil(calls.point))} calls"
        )
        if choice.best.spec.mode.compiler == "eager" and choice.gain is not None:
            text += f"; {mode_of(choice.best)} needs no compilation"
        found.append(AdviceFinding("compile", "cost", text, mode_of(record)))
    return tuple(found)


def _making(record: Record) -> str:
    """What a first call does besides."""
    return "exporting and loading" if record.spec.mode.runtime else "compiling"


def _memory_cost(evidence: Evidence) -> tuple[AdviceFinding, ...]:
    best, baseline = evidence.recommended, evidence.baseline
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
    best = evidence.recommended
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
        count = check.top1_pictures or best.spec.workload.batch
        text += (
            f" (relative), top-1 agreement {units.percent(check.top1_agreement)} of"
            f" {units.number(count, 'sample')}"
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
    plain = {
        "eager",
        "contiguous",
        "fp32",
        "freezing=off",
        *(["compile=reduce-overhead"] * (kind == "cpu")),
    }
    words = [word for word in words if word not in plain and _alone(word, kind)]
    if EMULATED in evidence.untried.values():
        words = [word for word in words if "bf16" not in word]
    if kind == "cpu" and not any(record.spec.mode.runtime for record in evidence.records):
        text = "networks as they are deployed, in runtimes and int8 (cnnbench advise --deploy)"
        modes.append(AdviceFinding("deploy", "untried", text))
    if words:
        text = f"other mode words available here: {', '.join(words)} (cnnbench run --modes …)"
        modes.append(AdviceFinding("words", "untried", text))
    rest = "other batch sizes, input sizes and thread counts; pruning"
    notes = [] if evidence.profile is None else evidence.profile.notes
    return (
        *modes,
        *(AdviceFinding("profile", "untried", note) for note in notes),
        AdviceFinding("beyond", "untried", rest),
    )


def _alone(word: str, kind: str) -> bool:
    """Whether a word can be a mode by itself, with what is installed here."""
    return not deployment.refusal(Mode.parse(word, kind))


# One line per rule.
RULES: tuple[Callable[[Evidence], tuple[AdviceFinding, ...]], ...] = (
    _use,
    _verified,
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
    limits.memory_anew,
    limits.subnormals,
    limits.disturbed,
    _untried,
)

__all__ = ["EMULATED", "RULES", "AdviceFinding", "Evidence", "Unkept", "advise"]
