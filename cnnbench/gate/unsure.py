"""Why a comparison measured just now is inconclusive, and what is most likely to help.

What helps is said as options of a command with their values, the most likely first; a command that
lacks the first takes the next one (``cli.again`` makes a line of it that can be pasted).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from cnnbench import units
from cnnbench.gate import family

if TYPE_CHECKING:
    from cnnbench.gate.outcomes import PairedOutcome

# In the order in which one hides the next: a thread that waits makes noise, and noise takes pairs.
Cause = Literal["waiting", "disagreement", "budget", "too few pairs", "noise"]
CAUSES: tuple[Cause, ...] = get_args(Cause)
# Option -> value; more than one where one without the other would not help.
Options = Mapping[str, str]

# Of the time without a core: more is said, and what is done about it comes first.
_WAITED = 0.05
# More pairs than this are not advised: they would take longer than waiting for a quiet machine.
_MOST_PAIRS = 40
_QUIET: Options = {"--wait": "10m"}


@dataclass(frozen=True)
class Unsure:
    """Why there is no answer.

    Attributes:
        cause: in a word.
        reason: in words, for people.
        helps: what may help, the most likely first.
    """

    cause: Cause
    reason: str
    helps: tuple[Options, ...]


def of(outcome: PairedOutcome) -> Unsure | None:
    """Why an outcome is inconclusive; ``None`` if it is not."""
    if outcome.verdict != "inconclusive" or outcome.failure is not None:
        return None
    cause, detail = _cause(outcome)
    reason = "; ".join(filter(None, (outcome.decision.reason, detail)))
    return Unsure(cause, reason, tuple(_helps(outcome, cause)))


def _cause(outcome: PairedOutcome) -> tuple[Cause, str]:
    threads = outcome.measured_as.base.threads
    waited = (outcome.waiting if threads > 1 else outcome.off_cpu) or 0.0
    count = len(outcome.decided_by)
    if threads > 1 and waited > _WAITED:
        told = units.number(threads, "thread")
        return "waiting", f"its {told} waited for cores for {units.share(waited)} of the time"
    if "CPU time" in outcome.decision.reason:
        return "waiting", ""
    if 2 * outcome.disagreeing > len(outcome.measured):
        pairs = f"{outcome.disagreeing} of {units.number(len(outcome.measured), 'pair')}"
        return "disagreement", f"the turns of {pairs} do not agree with each other"
    if outcome.confirmation and outcome.decision.reason.startswith(family.DOUBT):
        # Confirmed, and yet one of so many that may be slower by chance.
        return "too few pairs", ""
    if outcome.confirmation:
        return "disagreement", ""
    if count < outcome.comparison.rule.least:
        return "too few pairs", ""
    if outcome.spent and count < outcome.comparison.rule.most:
        return "budget", f"the budget was used up after {units.number(count, 'pair')}"
    if not outcome.decision.reason.startswith(("too noisy", "the interval")):
        return "too few pairs", ""
    return "noise", _noise(outcome, waited)


def _noise(outcome: PairedOutcome, waited: float) -> str:
    differ = f"pairs differ by {units.percent(statistics.stdev(outcome.decided_by))}"
    if waited <= _WAITED:
        return differ
    return f"{differ} beside others that use its core, for {units.share(waited)} of the time"


def _helps(outcome: PairedOutcome, cause: Cause) -> list[Options]:
    if cause == "waiting" and outcome.measured_as.base.threads > 1:
        return [{"--threads": "1"}, _QUIET]
    if cause == "waiting":
        return [_QUIET, *_larger(outcome)]
    more = _more_pairs(outcome)
    longer = {"--budget": _seconds(max(2 * outcome.budget, _needed(outcome, _most(outcome))))}
    if cause == "budget":
        # More of such pairs than the rule has would still not tell.
        told = (outcome.decision.resolvable or 0.0) <= outcome.comparison.rule.threshold
        return [longer, *_larger(outcome)] if told else [*more, _QUIET, *_larger(outcome)]
    if cause == "too few pairs":
        return [*more, longer]
    busy = (outcome.off_cpu or 0.0) > _WAITED
    return [*([_QUIET] if busy else []), *more, *_larger(outcome), _QUIET]


def _more_pairs(outcome: PairedOutcome) -> list[Options]:
    """As many pairs as this noise needs, if that is not too many."""
    rule, resolvable = outcome.comparison.rule, outcome.decision.resolvable
    if resolvable is None:
        return []
    needed = rule.most * max(1.5, (math.log1p(resolvable) / rule.tau) ** 2)
    if needed > _MOST_PAIRS:
        return []
    most = math.ceil(needed)
    least = 2 * rule.least if outcome.confirmation else rule.least
    seconds = _needed(outcome, most)
    budget = {"--budget": _seconds(seconds)} if seconds > outcome.budget else {}
    return [{"--pairs": f"{min(least, most)}..{most}", **budget}]


def _most(outcome: PairedOutcome) -> int:
    return outcome.comparison.rule.most


def _needed(outcome: PairedOutcome, pairs: int) -> float:
    """Seconds in which this number of pairs fits, with what was wasted this time."""
    return 1.3 * pairs * outcome.seconds / max(1, len(outcome.measured))


def _seconds(most: float) -> str:
    return f"{10 * max(1, math.ceil(most / 10)) if math.isfinite(most) else 600}s"


def _larger(outcome: PairedOutcome) -> list[Options]:
    """A threshold that this noise lets as many pairs decide."""
    resolvable = outcome.decision.resolvable
    if resolvable is None or not outcome.comparison.rule.threshold < resolvable < 1:
        return []
    return [{"--threshold": f"{math.ceil(100 * resolvable)}%"}]
