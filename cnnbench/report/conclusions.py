"""Answers -> sentences: the conclusions for a reader, and the warnings."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnbench import doctor, flaws, metrics, units
from cnnbench.choice import NO_GAIN, STANDINGS
from cnnbench.metrics import Awake
from cnnbench.report import answers, images, times, usability
from cnnbench.report.budget import Budget, Fit, fits, memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from cnnbench.record import Record
    from cnnbench.report.answers import BestMode, Candidate, ModeAnswer
    from cnnbench.report.entry import Entry
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
# Names in one sentence; more are counted.
_NAMED = 4


def conclusions(found: Sequence[Entry], budget: Budget | None = None) -> list[Sentence]:
    """All sentences about the entries, the answers first.

    Args:
        found: what was measured.
        budget: what a reader can afford, which is answered first.
    """
    return [
        *_fake(found),
        *_extent(found),
        *affordable(found, budget),
        *_fastest(found),
        *_modes(found),
        *by_mode(found),
        *_trust(found, whole=bool(budget)),
        *_environments(found),
    ]


def brief(found: Sequence[Entry], budget: Budget | None = None) -> list[Sentence]:
    """What stands under a table that has a row per workload: a mode's answer, not a workload's."""
    modes = list(by_mode(found))
    if budget:
        # Who asks for one network is not told about the modes of all.
        return [*affordable(found, budget), *_trust(found, whole=True)]
    return [*(modes or _modes(found)), *_fastest(found), *_trust(found)]


def _trust(found: Sequence[Entry], *, whole: bool = False) -> Iterable[Sentence]:
    """How far the numbers can be relied on; ``whole``: all of them, where only some were shown."""
    yield from (*_failures(found), *_wrong(found), *_usability(found, whole), *_awake(found))
    yield from (Sentence(f"{one}.", "warn") for one in times.launch_bound(found))


def affordable(found: Sequence[Entry], budget: Budget | None) -> Iterable[Sentence]:
    """What fits a budget, what is nearly as good, and what is left out."""
    if budget:
        some = fits(found, budget)
        for fit in some:
            yield from _fit(fit, f" ({fit.setting})" if len(some) > 1 else "")


def _fit(fit: Fit, where: str) -> Iterable[Sentence]:
    asked = f"{fit.budget.text[:1].upper()}{fit.budget.text[1:]}"
    if fit.best is None:
        near = "" if fit.nearest is None else f"; the nearest is {_costing(fit.nearest)}{fit.doubt}"
        yield Sentence(f"{asked}: nothing that was reliably measured fits{near}{where}.", "warn")
    else:
        word = "the fastest" if fit.best.top1 is None else "the most accurate"
        of = (
            f"{word} of {len(fit.fitting)} that fit"
            if len(fit.fitting) > 1
            else "the only one that fits"
        )
        yield Sentence(f"{asked}: {_costing(fit.best)} is {of}{_edge(fit)}{where}.", "good")
    others = [entry for entry in fit.front if entry is not fit.best]
    if others:
        yield Sentence(f"Faster, but less accurate: {_listed(list(map(_costing, others)))}.")
    if unsure := list(_unsure(fit)):
        under = f"under {units.seconds(fit.budget.seconds or 0)}"
        yield Sentence(f"Not clearly {under}: {_listed(unsure)}.", "warn")
    if fit.rival is not None:
        one, flaw = fit.rival
        yield Sentence(f"{_costing(one)} would be better, but is {flaw.said}.", "warn")
    if counts := ", ".join(_left_out(fit)):
        yield Sentence(f"Left out although their known figures fit: {counts}.")


def _left_out(fit: Fit) -> Iterable[str]:
    """Why networks are left out, and how many; not those that fit in another mode.

    Modes are counted where there is one network only.
    """
    every = [*fit.fitting, *(one for some in fit.left_out.values() for one in some)]
    every += [] if fit.nearest is None else [fit.nearest]
    alone = len(set(map(_network, every))) == 1
    used = set() if alone else set(map(_network, fit.fitting))
    for why, some in fit.left_out.items():
        count = len(some) if alone else len(set(map(_network, some)) - used)
        if count:
            yield f"{why} ({units.number(count, 'mode' if alone else 'network')})"


def _network(entry: Entry) -> tuple[str, str]:
    return entry.run, entry.record.spec.plain.id


def rows_left_out(some: Sequence[Fit], found: Sequence[Entry]) -> str:
    """What a table of rows that fit a budget says nothing of, in a line."""
    kept = f"{sum(len(fit.fitting) for fit in some)} of {units.number(len(found), 'row')}"
    asked = some[0].budget.text if some else "within the limits"
    text = f"{kept}: a network each, in the mode to use, {asked}"
    reasons = [why for fit in some for why in _left_out(fit)]
    return text + (f"; left out although known figures fit: {', '.join(reasons)}" * bool(reasons))


def _edge(fit: Fit) -> str:
    """Where the interval of the best crosses the limit."""
    high = None if fit.best is None else _beyond(fit.best, fit.budget)
    return "" if high is None else f", though its interval reaches {units.seconds(high)}"


def _unsure(fit: Fit) -> Iterable[str]:
    """What else fits by its median, but not with all of its interval."""
    for one in fit.fitting:
        if one is not fit.best and (high := _beyond(one, fit.budget)) is not None:
            yield f"{_name(one)} (interval up to {units.seconds(high)})"


def _beyond(entry: Entry, budget: Budget) -> float | None:
    """The upper end of an interval, in seconds, that crosses the limit of time."""
    high = None if entry.latency is None else entry.latency.high
    return high if high is not None and high > (budget.seconds or high) else None


def _listed(names: list[str]) -> str:
    """The first of a list, and how many more there are."""
    more = len(names) - _NAMED
    return "; ".join([*names[:_NAMED], *([f"and {more} more"] if more > 0 else [])])


def _costing(entry: Entry) -> str:
    """A network and mode with its figures: ``resnet18 in eager (69.8 %, 12.0 ms, 55.0 MiB)``."""
    top1, peak = entry.top1, memory(entry)
    figures = [
        None if top1 is None else _published(entry, top1),
        None if entry.latency is None else units.seconds(entry.latency.point),
        None if peak is None else units.size(peak),
    ]
    return f"{_name(entry)} ({', '.join(filter(None, figures))})"


def _name(entry: Entry) -> str:
    spec = entry.record.spec
    return f"{units.readable(spec.workload.model)} in {spec.mode.text}"


def _fake(found: Sequence[Entry]) -> Iterable[Sentence]:
    if any(entry.environment.hard.get("fake") for entry in found):
        yield Sentence("The fake executor was used: every number here is made up.", "bad")


def _extent(found: Sequence[Entry]) -> Iterable[Sentence]:
    if not found:
        yield Sentence("There are no records to show.", "bad")
        return
    modes = {entry.mode for entry in found}
    fine = sum(1 for entry in found if entry.record.failure is None)
    yield Sentence(
        f"{measured(found)} in {units.number(len(modes), 'mode')}:"
        f" {units.number(len(found), 'spec')}, {fine} of them measured."
    )


def measured(found: Sequence[Entry]) -> str:
    """How many networks and convolutions there are."""
    models = {(work.model, work.is_layer) for one in found if (work := one.record.spec.workload)}
    lab = sum(layer for _, layer in models)
    counted = [(len(models) - lab, "network"), (lab, "convolution")]
    return " and ".join(units.number(count, noun) for count, noun in counted if count)


def _fastest(found: Sequence[Entry]) -> Iterable[Sentence]:
    # As a budget without limits answers: in the mode to use, and nothing that is in doubt.
    sure = [one for fit in fits(found, Budget()) for one in fit.fitting]
    table = answers.candidates(sure)
    for where, some in table.items():
        if len({one.entry.network for one in some}) > 1:
            yield _candidate(f" ({where})" if len(table) > 1 else "", some)


def _candidate(where: str, some: Sequence[Candidate]) -> Sentence:
    best = max(some, key=lambda one: (one.top1, -one.seconds.point))
    fast = answers.fastest_within(some)
    if fast.entry is best.entry:
        text = f"{_named(best)} is the most accurate, and no faster one comes within"
        return Sentence(f"{text} {answers.WITHIN:g} point of its top-1{where}.", "good")
    return Sentence(
        f"Fastest within {answers.WITHIN:g} point of the best top-1: {_named(fast)}; the most"
        f" accurate is {_named(best)}{where}.",
        "good",
    )


def _named(one: Candidate) -> str:
    time = units.seconds(one.seconds.point)
    return f"{_name(one.entry)} ({_published(one.entry, one.top1)}, {time})"


def _published(entry: Entry, top1: float) -> str:
    """A published accuracy, called so where the user's own stands beside it."""
    word = "" if images.accuracy(entry) is None else "published "
    return f"{word}{units.significant(top1)} %"


def _modes(found: Sequence[Entry]) -> Iterable[Sentence]:
    if len(best := answers.best_modes(found)) <= _FEW:
        parts = answers.differing([one.entry for one in best])
        others = [of for name, of in parts.items() if name != "batch"]
        yield from (Sentence(_mode(one, others), "good" if one.sure else "") for one in best)
        return
    wins = Counter(one.entry.mode for one in best if one.sure)
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


def by_mode(found: Sequence[Entry]) -> Iterable[Sentence]:
    """A sentence per mode, where there are several workloads: where it pays, and what is open."""
    if len(answers.best_modes(found)) > 1:
        yield from map(_mode_answer, answers.by_mode(found))


def _mode_answer(one: ModeAnswer) -> Sentence:
    of = {STANDINGS[how]: some for how, some in one.standings.items() if how != "unfit"}
    known = _counts({words.text: some for words, some in of.items() if not words.open})
    open_ = _counts({words.text: some for words, some in of.items() if words.open})
    unfit = _counts({STANDINGS["unfit"].text: one.unfit})
    # If nothing is known, what is open is all there is to say, and stands first.
    text = f"{', '.join(known or open_ or unfit)} of {units.number(one.tried, 'workload')}"
    if one.gain is not None:
        text += f", {units.ratio(one.gain)} in the median{' of those repeated' * bool(one.once)}"
    rest = [f"cannot tell: {', '.join(open_)}"] if known and open_ else []
    rest += unfit if known or open_ else []
    if one.error is not None:
        rest.append(f"outputs {_within(one.error)}")
    mark = "good" if len(one.faster) == one.tried else ""
    return Sentence(f"{one.mode}: {'; '.join([text, *rest])}.", mark)


def _within(error: float) -> str:
    """The largest relative error of some outputs."""
    return f"within {units.scientific(error)}" if error else "equal"


def _counts(of: Mapping[str, Sequence[Entry]]) -> list[str]:
    return [f"{word} in {len(some)}" for word, some in of.items() if some]


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
        text = f"{_text(choice.best)} is the best of {one.of}, {_ratio(choice.gain)}"
        checked = [] if choice.best.status == "ok" else ["its output could not be checked"]
        return [text, *one.hopeful, *checked, *one.level]
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
        modes = Counter(entry.mode for entry in found if entry.record.status == status)
        if modes:
            listed = ", ".join(f"{mode} ({count})" for mode, count in modes.most_common())
            yield Sentence(
                f"The output of {units.number(modes.total(), 'spec')} is {status}: {listed}.", mark
            )


# What a run is good for -> how a reader should take it.
USABILITY = {"usable": "good", "usable for gains only": "warn", "not usable": "bad"}


def _usability(found: Sequence[Entry], whole: bool) -> Iterable[Sentence]:
    marks = [USABILITY[one.use] for one in usability.by_run(found).values()]
    for line, mark in zip(usability.lines(found), marks, strict=True):
        text = f"as a whole, {line}" if whole else line
        yield Sentence(f"{text[:1].upper()}{text[1:]}.", mark)


def _awake(found: Sequence[Entry]) -> Iterable[Sentence]:
    disturbed = sum((entry.quality or "").startswith("disturbed") for entry in found)
    if disturbed:
        total = sum(bool(entry.quality) for entry in found)
        verb = "was" if disturbed == 1 else "were"
        these = "this measurement" if total == 1 else f"{disturbed} of these {total} measurements"
        text = f"{these} {verb} disturbed"
        yield Sentence(f"{text}: {_spoilt(found, disturbed)}.", "warn")


def _spoilt(found: Sequence[Entry], disturbed: int) -> str:
    """What became of the times of disturbed measurements."""
    awake = [time for entry in found if isinstance(time := entry.latency, Awake)]
    if not awake:
        return "their times are too long" if disturbed > 1 else "its time is too long"
    left, vague = disturbed - len(awake), sum(map(_is_vague, awake))
    few = "all" if not left else f"{len(awake)}"
    whose = "its latency" if disturbed == 1 else f"the latency of {few}"
    text = f"the waiting for a core is taken out of {whose}"
    if vague:
        text += f", {'which stays' if disturbed == 1 else f'{vague} of which stay'} uncertain"
    rest = "time of the other one is" if left == 1 else f"times of the other {left} are"
    return text + (f"; the {rest} too long" if left else "")


def _is_vague(time: Estimate) -> bool:
    """Whether an interval leaves a time unfit, as ``usability`` counts it."""
    return time.margin is not None and time.margin > flaws.NARROW


def _environments(found: Sequence[Entry]) -> Iterable[Sentence]:
    environments = {entry.environment.fingerprint: entry.environment for entry in found}
    for fingerprint, environment in environments.items():
        where = f" ({fingerprint})" if len(environments) > 1 else ""
        for finding in doctor.findings(environment):
            what = finding.what[:1].upper() + finding.what[1:]
            fix = finding.fix[:1].upper() + finding.fix[1:]
            yield Sentence(f"{what}{where}. {fix}.", "warn")
