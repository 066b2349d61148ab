"""What stands at the top of the page: networks within a budget, as cards and as a plot."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cnnbench import units
from cnnbench.report import answers, cells
from cnnbench.report.budget import Budget, Fit, doubt, fits, memory
from cnnbench.report.entry import Entry, once
from cnnbench.report.page.parts import Line, PlotAxis, PlotPoint, Points
from cnnbench.report.picks import parameters, picks
from cnnbench.report.table import Column

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


TIME = Column("latency", "latency", "seconds")
# Settings to choose among.
_MOST = 12
_HEIGHT = 520
# Under what names a row carries its flaw, and what more there is to say of it.
FLAW, WHY = "f", "why"
_FRONT, _REST = "on the front", "not on the front"


@dataclass(frozen=True)
class Card:
    """A pick, or that nothing is within the budget.

    Attributes:
        heading: what it is the best in.
        lines: network and mode, then facts, trust last; empty for nothing.
    """

    heading: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Offer:
    """Networks whose latencies are comparable.

    Attributes:
        setting: what they have in common.
        fit: what can be recommended of them, without limits.
        plots: one with every network in the mode to use, under an empty name; then one per mode.
        cards: the picks without limits.
        rival: what would be picked but for the way it was measured; may be empty.
    """

    setting: str
    fit: Fit
    plots: tuple[tuple[str, Points], ...]
    cards: tuple[Card, ...]
    rival: str


@once
def offers(found: Sequence[Entry]) -> Sequence[Offer]:
    """The settings with at least two networks of known accuracy, those with the most first."""
    settings = {where: [one.entry for one in some]
                for where, some in answers.candidates(found).items()}  # fmt: skip
    several = [pair for pair in settings.items() if len(set(map(_network, pair[1]))) > 1]
    largest = sorted(several, key=lambda pair: -len(pair[1]))[:_MOST]
    return [_offer(setting, some) for setting, some in largest]


def _offer(setting: str, some: Sequence[Entry]) -> Offer:
    best = {one.entry.record.id for one in answers.best_modes(some)}
    (fit,) = fits(some, Budget())
    plots = {"": _plot(fit, some, best)}
    for mode, those in answers.by(some, _mode).items():
        plots[mode] = _plot(fits(those, Budget())[0], those, best)
    cards = tuple(
        Card(heading, () if one is None else tip(one)) for heading, one in picks(fit).items()
    )
    return Offer(setting, fit, tuple(plots.items()), cards, _rival(fit))


def _rival(fit: Fit) -> str:
    """As the page's script says it when limits change."""
    if fit.rival is None:
        return ""
    one, flaw = fit.rival
    return f"Not picked: {', '.join(tip(one)[:3])}: {flaw.name}."


def _plot(fit: Fit, some: Sequence[Entry], best: Collection[str]) -> Points:
    """Accuracy against latency, a mark per network; the names of those that nothing beats.

    Its other modes are spare: within limits, another one may be the mode to use.
    """
    front = sorted(fit.front, key=_seconds)
    ahead = {one.record.id for one in front}
    shown = _one_each(fit, some)
    line = Line("front", tuple(map(_seconds, front)), tuple(map(_top1, front)))
    return Points(
        PlotAxis("latency of a call, ms", log=True, scale=1e3),
        PlotAxis("ImageNet top-1, %"),
        (
            *(_point(one, best, front=one.record.id in ahead) for one in shown),
            *(
                replace(_point(one, best, front=False), spare=True)
                for one in some
                if all(one is not other for other in shown)
            ),
        ),
        (line,) if front else (),
        groups=(_FRONT, _REST),
        grey=(_REST,),
        height=_HEIGHT,
        calm=True,
    )


def _one_each(fit: Fit, some: Sequence[Entry]) -> list[Entry]:
    """Every network in the mode to use; one without a reliable time in its fastest."""
    shown = {_network(one): one for one in fit.fitting}
    for one in sorted(some, key=_seconds):
        shown.setdefault(_network(one), one)
    return list(shown.values())


def _point(one: Entry, best: Collection[str], *, front: bool) -> PlotPoint:
    time = one.latency
    assert time is not None  # noqa: S101 - candidates have one
    return PlotPoint(
        time.point, _top1(one), _FRONT if front else _REST, tip(one), time.low, time.high,
        size=10.0 if front else 8.0,
        label=_network(one) if front else "",
        hollow=time.low is None,
        data=_numbers(one, best=one.record.id in best),
    )  # fmt: skip


def _network(one: Entry) -> str:
    return one.network


def _mode(one: Entry) -> str:
    return one.mode


def _seconds(one: Entry) -> float:
    return float("inf") if one.latency is None else one.latency.point


def _top1(one: Entry) -> float:
    return one.top1 or 0.0


def _numbers(one: Entry, *, best: bool) -> tuple[tuple[str, str], ...]:
    """What the page's script knows of a mark: name, accuracy, parameters, and the doubts too."""
    why = doubt(one, Budget(), accuracy=True)
    return (
        ("n", _network(one)),
        *compared(one),
        *_known({"a": _top1(one), "p": parameters(one), "h": _high(one)}),
        *((("b", "1"),) if best else ()),
        *((("w", why),) if why else ()),
    )


def _high(one: Entry) -> float | None:
    return None if one.latency is None else one.latency.high


def compared(one: Entry) -> tuple[tuple[str, str], ...]:
    """What the page's script compares with limits: mode, seconds and bytes, where known."""
    time = one.latency
    numbers = {"t": None if time is None else time.point, "m": memory(one)}
    return ("o", _mode(one)), *_known(numbers)


def _known(numbers: Mapping[str, float | None]) -> list[tuple[str, str]]:
    # All digits: a limit that is equal to a number must keep it, here and there.
    return [(name, repr(value)) for name, value in numbers.items() if value is not None]


def tip(one: Entry) -> tuple[str, ...]:
    """A candidate in lines: network and mode, facts, trust."""
    used, size = memory(one), parameters(one)
    return (
        f"{_network(one)}, {_mode(one)}",
        f"top-1 {_top1(one):g} %",
        cells.text(TIME, one.latency),
        "memory not measured" if used is None else f"{units.size(used)} at peak",
        *([] if size is None else [f"{units.count(size)} parameters"]),
        one.trust,
    )
