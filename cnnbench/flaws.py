"""Whether a measurement can be believed, and why not: decided here, for every place that asks.

A record has at most one flaw, the weightiest: its sign stands behind the figure in a terminal, in
Markdown and on the page, its name is why a budget leaves the record out, and its options are what
a report suggests to measure it again with. What is withheld is never recommended; the other flaws
are only shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnbench import metrics
from cnnbench.metrics import Awake

if TYPE_CHECKING:
    from cnnbench.record import Record


@dataclass(frozen=True)
class Flaw:
    """Why a measurement cannot be believed, or not wholly.

    Attributes:
        name: in words.
        mark: the sign behind a figure; empty where there is no figure.
        said: what a measurement with it is said to be.
        withheld: it is never recommended.
        remedy: what would help, in words; empty where measuring again would not.
        options: of ``cnnbench run``, with their values, that measure it better.
    """

    name: str
    mark: str = ""
    said: str = ""
    withheld: bool = False
    remedy: str = ""
    options: tuple[tuple[str, str], ...] = ()


FAILED = Flaw("failed", withheld=True)
WRONG = Flaw("output wrong", "W", withheld=True)
LOOSE = Flaw("output loose", "L", withheld=True)
UNMEASURED = Flaw("not measured", withheld=True)
DISTURBED = Flaw(
    "disturbed", "!", "too disturbed to be used", True,
    "measure when the machine is quiet (--wait 10m)",
    (("--rounds", "5"), ("--wait", "10m")),
)  # fmt: skip
ONCE = Flaw(
    "one round only", "o", "of one round, which has no interval", True,
    "measure more rounds (--rounds 5)", (("--rounds", "5"),),
)  # fmt: skip
UNCHECKED = Flaw("output not checked", "?")
NOISY = Flaw(
    "noisy", "~", "noisy", False, "measure more rounds (--rounds 10)", (("--rounds", "10"),)
)
# The GPU waited for its host for most of a step, so a mode's effect on its work hardly shows.
LAUNCH_BOUND = Flaw("launch-bound", "H", "launch-bound")

# The weightiest first: of several, a record has the first.
FLAWS = (FAILED, WRONG, LOOSE, UNMEASURED, DISTURBED, ONCE, UNCHECKED, NOISY, LAUNCH_BOUND)
# What is the matter with a time; the others are of the output, or there is no time.
OF_TIMES = (DISTURBED, ONCE, NOISY)

_OF_STATUS = {"failed": FAILED, "wrong": WRONG, "loose": LOOSE, "unchecked": UNCHECKED}
_OF_QUALITY = {"disturbed": DISTURBED, "noisy": NOISY}
# The bound at which a time by the clock is noisy, so that one without waiting is held to no less.
NARROW = 0.10


def flaw(record: Record, *, by_clock: bool = False) -> Flaw | None:
    """The weightiest flaw of a record; ``None`` if there is none. See ``of_time``."""
    found = {of_output(record), of_time(record, by_clock=by_clock), _of_host(record)}
    return next((one for one in FLAWS if one in found), None)


def of_output(record: Record) -> Flaw | None:
    """Why the answer of what was measured is not to be used, or that there is no measurement."""
    known = _OF_STATUS.get(record.status)
    if known in {None, UNCHECKED} and metrics.latency(record) is None:
        return UNMEASURED
    return known


def of_time(record: Record, *, by_clock: bool = False) -> Flaw | None:
    """Why the time that people are shown is not to be relied on; ``None`` where there is none.

    Args:
        record: of the time.
        by_clock: it is shown with all waiting for a core.
    """
    time = (metrics.latency if by_clock else metrics.shown)(record)
    word = metrics.quality(record)
    if time is None or word is None:
        return None
    found = _OF_QUALITY.get(word.partition(" ")[0])
    # The waiting that disturbed it is taken out; where that leaves too little to be sure of, more
    # rounds of the same would not help.
    if isinstance(time, Awake) and (time.margin is None or time.margin <= NARROW):
        found = None
    return ONCE if found is None and time.margin is None else found


def _of_host(record: Record) -> Flaw | None:
    return LAUNCH_BOUND if metrics.gpu.launch_bound(record) else None


def fit(record: Record) -> bool:
    """Whether it was measured and its output is good enough to recommend it."""
    found = of_output(record)
    return found is None or not found.withheld


def disturbance(record: Record, *, clocked: bool = True) -> str:
    """How a time by the clock was disturbed, or one without waiting; empty if it was not."""
    said = (metrics.quality if clocked else metrics.robbed)(record) or ""
    return said if said.startswith(DISTURBED.name) else ""
