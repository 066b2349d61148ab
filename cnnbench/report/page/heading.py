"""The head and the foot of the page: what was measured where and when, and how far to trust it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from cnnbench import axes, units
from cnnbench.report import conclusions, usability
from cnnbench.report.entry import hoisted, place

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cnnbench.environment import Environment
    from cnnbench.report.entry import Entry
    from cnnbench.report.usability import Use

# The worst verdict first; a page of several runs is as good as its worst.
_WORST: tuple[Use, ...] = ("not usable", "usable for gains only", "usable")


@dataclass(frozen=True)
class Heading:
    """What stands above and below everything.

    Attributes:
        title: in words.
        dates: of the measurements; empty if none is known.
        badge: what the runs are good for; empty where numbers are made up.
        why: the reasons for the badge.
        mark: of the badge: ``good``, ``warn``, ``bad`` or nothing.
        origin: runs and fingerprints, for the foot.
    """

    title: str
    dates: str = ""
    badge: str = ""
    why: str = ""
    mark: str = ""
    origin: tuple[str, ...] = ()


def heading(found: Sequence[Entry]) -> Heading:
    """The heading of a page about some entries."""
    if not found:
        return Heading("cnnbench: no records")
    uses = {verdict.use for verdict in usability.by_run(found).values()}
    badge = next((use for use in _WORST if use in uses), "")
    runs = ", ".join(dict.fromkeys(entry.run for entry in found))
    prints = ", ".join(dict.fromkeys(entry.environment.fingerprint for entry in found))
    mark = conclusions.USABILITY[badge] if badge else ""
    why = "\n".join(usability.lines(found))
    days = dates(one.record.measured_at for one in found)
    origin = (f"run {runs}", f"environment {prints}")
    return Heading(_title(found), days, badge, why, mark, origin)


# Axes that are part of a title where all entries agree.
_SHARED = ("batch", "phase")


def _title(found: Sequence[Entry]) -> str:
    told = {axis.name: axis for axis in axes.AXES}
    shared = [hoisted(told[name], {place(told[name], one) for one in found}) for name in _SHARED]
    return ", ".join(filter(None, [f"{conclusions.measured(found)} on {_where(found)}", *shared]))


def _where(found: Sequence[Entry]) -> str:
    known = {one.environment.fingerprint: one.environment for one in found}
    if len(known) > 1:
        return units.number(len(known), "machine")
    (environment,) = known.values()
    return machine(environment, gpu=any(one.record.spec.device.kind != "cpu" for one in found))


def machine(environment: Environment, *, gpu: bool) -> str:
    """The processor of an environment in words, or the GPUs where they did the work."""
    if environment.hard.get("fake"):
        return "no machine (made up)"
    gpus = environment.gpus if gpu else []
    return ", ".join([*gpus, *([] if gpus else _processor(environment))])


def _processor(environment: Environment) -> list[str]:
    cores = environment.hard.get("cores_usable")
    name = str(environment.hard.get("cpu") or "an unknown processor")
    return [name] if cores is None else [name, units.number(cores, "core")]


def dates(moments: Iterable[str | None]) -> str:
    """The first day of some moments and the last, in words; empty if none is known."""
    days = sorted({day for one in moments if (day := _day(one)) is not None})
    return " to ".join(dict.fromkeys(f"{day:%-d %B %Y}" for day in (days[:1] + days[-1:])))


def _day(moment: str | None) -> date | None:
    try:
        return date.fromisoformat((moment or "")[:10])
    except ValueError:
        return None
