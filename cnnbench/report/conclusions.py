"""Answers -> sentences: the conclusions for a reader, and the warnings."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnbench import doctor, metrics, units
from cnnbench.choice import NO_GAIN
from cnnbench.metrics import Awake
from cnnbench.report import answers, usability

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cnnbench.record import Record
    from cnnbench.report.answers import BestMode, Candidate
    from cnnbench.report.table import Entry
    from cnnbench.stats import Estimate


@dataclass(frozen=True)
class Sentence:
    """A line for a reader.

    Attributes:
        text: the line.
        mark: ``good``, ``warn``, ``bad`` or nothing.
    """

    text: str
    mark: str = ""


# Up to this number, each workload gets a sentence; more are counted, and a table lists them.
_FEW = 6


def conclusions(found: Sequence[Entry]) -> list[Sentence]:
    """All sentences about the entries, the answers first."""
    return [
        *_fake(found),
        *_extent(found),
        *_fastest(found),
        *_modes(found),
        *_failures(found),
        *_wrong(found),
        *_usability(found),
        *_awake(found),
        *_environments(found),
    ]


def _fake(found: Sequence[Entry]) -> Iterable[Sentence]:
    if any(entry.environment.hard.get("fake") for entry in found):
        yield Sentence("The fake executor was used: every number on this page is made up.", "bad")


def _extent(found: Sequence[Entry]) -> Iterable[Sentence]:
    if not found:
        yield Sentence("There are no records to show.", "bad")
        return
    models = {(work.model, work.is_layer) for one in found if (work := one.record.spec.workload)}
    lab = sum(layer for _, layer in models)
    counted = [(len(models) - lab, "network"), (lab, "convolution")]
    what = " and ".join(units.number(count, noun) for count, noun in counted if count)
    modes = {entry.record.spec.mode.text for entry in found}
    measured = sum(1 for entry in found if entry.record.failure is None)
    yield Sentence(
        f"{what} in {units.number(len(modes), 'mode')}:"
        f" {units.number(len(found), 'spec')}, {measured} of them measured."
    )


def _fastest(found: Sequence[Entry]) -> Iterable[Sentence]:
    for where, some in answers.candidates(found).items():
        if len({units.readable(one.entry.record.spec.workload.model) for one in some}) > 1:
            yield _candidate(where, some)


def _candidate(where: str, some: Sequence[Candidate]) -> Sentence:
    best = max(some, key=lambda one: (one.top1, -one.seconds.point))
    fast = answers.fastest_within(some)
    if fast.entry is best.entry:
        text = f"{_named(best)} is the most accurate, and no faster one comes within"
        return Sentence(f"{text} {answers.WITHIN:g} point of its top-1 ({where}).", "good")
    return Sentence(
        f"Fastest within {answers.WITHIN:g} point of the best top-1: {_named(fast)}; the most"
        f" accurate is {_named(best)} ({where}).",
        "good",
    )


def _named(one: Candidate) -> str:
    spec = one.entry.record.spec
    time = units.seconds(one.seconds.point)
    name = units.readable(spec.workload.model)
    return f"{name} in {spec.mode.text} ({units.significant(one.top1)} %, {time})"


def _modes(found: Sequence[Entry]) -> Iterable[Sentence]:
    best = answers.best_modes(found)
    if len(best) <= _FEW:
        parts = answers.differing([one.entry for one in best])
        others = [of for name, of in parts.items() if name != "batch"]
        yield from (Sentence(_mode(one, others), "good" if one.sure else "") for one in best)
        return
    wins = Counter(one.entry.record.spec.mode.text for one in best if one.sure)
    gains = [gain.point for one in best if (gain := one.choice.gain) is not None]
    if gains:
        listed = ", ".join(f"{mode} ({count})" for mode, count in wins.most_common())
        yield Sentence(
            f"A mode is clearly faster than plain eager in {len(gains)} of {len(best)} workloads,"
            f" by {units.ratio(statistics.median(gains))} in the median. Best mode: {listed}.",
            "good",
        )
    verdicts = Counter(one.choice.verdict for one in best)
    for verdict, text in NO_GAIN.items():
        if verdicts[verdict]:
            yield Sentence(f"In {verdicts[verdict]} of {len(best)} workloads {text}.")


def _mode(one: BestMode, others: Sequence[Callable[[Entry], str]]) -> str:
    """A sentence about one workload; ``others`` are the values to name beside model and batch."""
    work, choice = one.entry.record.spec.workload, one.choice
    also = [text for of in others if (text := of(one.entry))]
    name = f"{work.model} ({', '.join([f'batch {work.batch}', *also])})"
    loose = [f"{_text(other)} would be faster, but its output is loose" for other in choice.loose]
    return f"{name}: {'; '.join([*_said(one), *loose])}."


def _said(one: BestMode) -> list[str]:
    choice, other = one.choice, one.choice.foremost
    if choice.gain is not None:
        text = f"{_text(choice.best)} is the best of {one.tried} modes, {_ratio(choice.gain)}"
        checked = [] if choice.best.status == "ok" else ["its output could not be checked"]
        return [text, *checked, *([f"no clear difference from {one.equal}"] if one.equal else [])]
    if choice.verdict == "slower" or other is None:
        return [NO_GAIN[choice.verdict]]
    change = metrics.speedup(other, choice.baseline)
    looks = [] if change is None else [f"{_text(other)} is {_ratio(change)}"]
    return [NO_GAIN[choice.verdict], *looks]


def _text(record: Record) -> str:
    return record.spec.mode.text


def _ratio(change: Estimate) -> str:
    text = f"{units.ratio(change.point)} as fast as eager"
    if change.low is None or change.high is None:
        return text
    vague = units.vague(change.point, change.low, change.high, change.rounds)
    return f"{text} ({vague or f'{units.ratio(change.low)} to {units.ratio(change.high)}'})"


def _failures(found: Sequence[Entry]) -> Iterable[Sentence]:
    refused = sum(entry.record.refused for entry in found)
    if refused:
        yield Sentence(
            f"Left out because an implementation does not apply: {units.number(refused, 'spec')}."
        )
    kinds = Counter(
        entry.record.failure.kind
        for entry in found
        if entry.record.failure and not entry.record.refused
    )
    if kinds:
        listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        yield Sentence(f"{units.number(kinds.total(), 'spec')} failed: {listed}.", "bad")


def _wrong(found: Sequence[Entry]) -> Iterable[Sentence]:
    for status, mark in (("wrong", "bad"), ("loose", "warn")):
        modes = Counter(
            entry.record.spec.mode.text for entry in found if entry.record.status == status
        )
        if modes:
            listed = ", ".join(f"{mode} ({count})" for mode, count in modes.most_common())
            yield Sentence(
                f"The output of {units.number(modes.total(), 'spec')} is {status}: {listed}.", mark
            )


_USABILITY = {"usable": "good", "usable for gains only": "warn", "not usable": "bad"}


def _usability(found: Sequence[Entry]) -> Iterable[Sentence]:
    marks = [_USABILITY[one.use] for one in usability.by_run(found).values()]
    for line, mark in zip(usability.lines(found), marks, strict=True):
        yield Sentence(f"{line[:1].upper()}{line[1:]}.", mark)


def _awake(found: Sequence[Entry]) -> Iterable[Sentence]:
    disturbed = sum((entry.quality or "").startswith("disturbed") for entry in found)
    if disturbed:
        total = sum(bool(entry.quality) for entry in found)
        text = f"{disturbed} of {total} measurements were disturbed"
        yield Sentence(f"{text}: {_spoilt(found, disturbed)}.", "warn")


def _spoilt(found: Sequence[Entry], disturbed: int) -> str:
    """What became of the times of disturbed measurements."""
    awake = sum(isinstance(entry.latency, Awake) for entry in found)
    if not awake:
        return "their times are too long"
    left = disturbed - awake
    rest = f"; the times of the other {left} are too long" if left else ""
    return f"the waiting for a core is taken out of the latency of {awake} (marked *){rest}"


def _environments(found: Sequence[Entry]) -> Iterable[Sentence]:
    environments = {entry.environment.fingerprint: entry.environment for entry in found}
    for fingerprint, environment in environments.items():
        where = f" ({fingerprint})" if len(environments) > 1 else ""
        for finding in doctor.findings(environment):
            what = finding.what[:1].upper() + finding.what[1:]
            fix = finding.fix[:1].upper() + finding.fix[1:]
            yield Sentence(f"{what}{where}. {fix}.", "warn")
