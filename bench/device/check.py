"""A check as a value, and how facts become a verdict. Knows nothing of processes or of torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

# What a check found: plain JSON.
Facts = Mapping[str, Any]

PROVED, REFUTED, NOT_SHOWN = "proved", "refuted", "not shown"


class NotShown(Exception):
    """The machine lacks what the check needs, so that it says nothing either way."""


@dataclass(frozen=True)
class Rule:
    """One thing that must hold.

    Attributes:
        text: what.
        holds: whether it does, by the facts.
    """

    text: str
    holds: Callable[[Facts], object]


@dataclass(frozen=True)
class Check:
    """One claim and how it is decided.

    Attributes:
        name: one word.
        claim: what cnnbench says, in a sentence.
        run: module and function that collect the facts, as ``child.py`` takes them.
        seconds: the longest that it may take.
        rules: all of them hold, or the claim is refuted.
        figure: the facts in a few words.
        unpretended: why a pretended device cannot prove or refute it; empty if it can.
        dry: whether it can be run to its end on a pretended device at all.
        needs: the check whose run directory it reads.
    """

    name: str
    claim: str
    run: str
    seconds: float
    rules: tuple[Rule, ...]
    figure: Callable[[Facts], str]
    unpretended: str = ""
    dry: bool = True
    needs: str = ""


@dataclass(frozen=True)
class Verdict:
    """What is known of a claim.

    Attributes:
        check: the name.
        word: ``proved``, ``refuted`` or ``not shown``.
        why: the rules that do not hold, or what stood in the way.
        figure: in a few words.
        seconds: it took.
        broken: the check itself failed, which is a fault of the check or of what it called.
    """

    check: str
    word: str
    why: str = ""
    figure: str = ""
    seconds: float = 0.0
    broken: bool = False


def judge(check: Check, facts: Facts, seconds: float, *, pretended: bool = False) -> Verdict:
    """The verdict on facts; those that rules cannot be applied to prove nothing."""
    try:
        wrong = [rule.text for rule in check.rules if not rule.holds(facts)]
        figure = check.figure(facts)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with the facts
        why = f"the facts cannot be judged ({type(error).__name__}: {error})"
        return Verdict(check.name, NOT_SHOWN, why, "", seconds, broken=True)
    if pretended and check.unpretended:
        why = f"not shown here: {check.unpretended}; it ran to its end"
        return Verdict(check.name, NOT_SHOWN, why, "", seconds)
    if wrong:
        why = "; ".join(f"not so: {text}" for text in wrong)
        return Verdict(check.name, REFUTED, why, figure, seconds)
    return Verdict(check.name, PROVED, "", figure, seconds)
