"""Runs -> environments with their runs, and the newest record of every spec in each.

The environment is a machine with its software: a driver or a torch that is updated begins another
one. Runs of one environment follow each other; those of different ones stand side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING

from cnnbench.environment import Environment
from cnnbench.report import usability
from cnnbench.report.entry import Entry, entries
from cnnbench.report.page.heading import dates, machine
from cnnbench.report.site import names
from cnnbench.report.usability import Usability
from cnnbench.store import StoredRun

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Place:
    """An environment with what was measured there.

    Attributes:
        environment: itself.
        runs: the oldest first.
        verdicts: run -> what it is good for; nothing for one whose numbers are made up.
        found: the newest record of every spec, failures too.
        given: run -> how many of those are its.
    """

    environment: Environment
    runs: tuple[StoredRun, ...]
    verdicts: Mapping[str, Usability | None]
    found: tuple[Entry, ...]
    given: Mapping[str, int]

    @property
    def fingerprint(self) -> str:
        """What decides that two environments are the same."""
        return self.environment.fingerprint

    @cached_property
    def name(self) -> str:
        """The machine, torch and the fingerprint: enough to name it beside any other."""
        gpu = any(one.record.spec.device.kind != "cpu" for one in self.found)
        version = (self.environment.hard.get("torch") or {}).get("version")
        torch = [] if version is None else [f"torch {version}"]
        parts = [machine(self.environment, gpu=gpu), *torch]
        return f"{', '.join(parts)} ({self.fingerprint})"

    @property
    def page(self) -> str:
        """The file that is about it."""
        return names.environment(self.fingerprint)

    @property
    def days(self) -> str:
        """When it was measured, from the first day to the last."""
        return dates(run.manifest.created for run in self.runs)


def places(runs: Sequence[StoredRun]) -> list[Place]:
    """The environments of some runs, that of the newest run first."""
    groups: dict[str, list[StoredRun]] = {}
    for run in sorted(runs, key=_moment):
        groups.setdefault(run.environment.fingerprint, []).append(run)
    newest_first = sorted(groups.values(), key=lambda some: _moment(some[-1]), reverse=True)
    return [_place(some) for some in newest_first]


def _moment(run: StoredRun) -> tuple[str, str]:
    return run.manifest.created, run.manifest.run


def _place(runs: Sequence[StoredRun]) -> Place:
    told = {run.manifest.run: entries([run]) for run in runs}
    newest: dict[str, Entry] = {}
    for some in told.values():
        newest |= {one.record.id: one for one in some}
    found = list(newest.values())
    given = {run: sum(one.run == run for one in found) for run in told}
    verdicts = {run: usability.judge(some) for run, some in told.items()}
    return Place(runs[0].environment, tuple(runs), verdicts, tuple(_together(found)), given)


def _together(found: Sequence[Entry]) -> list[Entry]:
    """Entries of one environment as those of one run, so that a front can be drawn through them.

    A speed-up stays one over plain eager of the record's own run; modes that were not measured side
    by side are not compared.
    """
    runs = sorted({one.run for one in found})
    if len(runs) < 2:
        return list(found)
    name = f"{runs[-1]} and {len(runs) - 1} before"
    made: list[Entry] = []
    judge = cache(lambda: usability.judge(made))
    made += (replace(one, run=name, judge=judge) for one in found)
    return made
