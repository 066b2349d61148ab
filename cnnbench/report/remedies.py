"""Commands that would make doubtful numbers better, to be copied."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnbench import axes, doctor, units
from cnnbench.report import answers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cnnbench.report.entry import Entry
    from cnnbench.spec import Spec

# More networks than this are a run of their own, which is planned with care.
_MOST = 40


@dataclass(frozen=True)
class Remedy:
    """A command and what it is for."""

    why: str
    command: str


def remedies(found: Sequence[Entry]) -> list[Remedy]:
    """What to do about doubts; nothing if there is nothing to doubt, or all is made up."""
    if any(entry.environment.hard.get("fake") for entry in found):
        return []
    return [*_machine(found), *_again(found)]


def _machine(found: Sequence[Entry]) -> Iterator[Remedy]:
    known = {one.environment.fingerprint: one.environment for one in found}
    spoilt = any((one.quality or "").startswith("disturbed") for one in found)
    if spoilt or any(doctor.findings(one) for one in known.values()):
        yield Remedy("See what disturbs this machine now", "cnnbench doctor")


def _again(found: Sequence[Entry]) -> Iterator[Remedy]:
    """Measure anew what is, or may be, among the best, where its time is doubtful."""
    for some in answers.candidates(found).values():
        front = answers.pareto([(one.seconds.point, one.top1) for one in some])
        doubtful = [some[n].entry for n in sorted(front) if _options_of([some[n].entry])]
        if doubtful and len(doubtful) <= _MOST:
            count = units.number(len(doubtful), "network")
            why = f"When it is quiet, measure again what seems best but is uncertain ({count})"
            yield from (Remedy(why, _command(*some)) for some in _together(doubtful))


def _options_of(some: Sequence[Entry]) -> dict[str, str]:
    """What the flaws of some entries ask of one command; of several numbers of rounds the most."""
    found: dict[str, str] = {}
    for name, value in (pair for one in some if one.flaw is not None for pair in one.flaw.options):
        found[name] = max(found.get(name, ""), value, key=lambda text: (len(text), text))
    return dict(sorted(found.items()))


def _together(some: Sequence[Entry]) -> list[tuple[list[Spec], list[Entry]]]:
    """Specs that one command can name, with entries: no model in a mode that nobody doubts."""
    workloads: dict[Spec, list[Entry]] = {}
    for one in some:
        workloads.setdefault(one.record.spec.plain, []).append(one)
    groups: dict[tuple[object, ...], tuple[list[Spec], list[Entry]]] = {}
    for spec, those in workloads.items():
        alike = (frozenset(one.mode for one in those), *axis_options(spec))
        specs, found = groups.setdefault(alike, ([], []))
        specs.append(spec)
        found += those
    return list(groups.values())


def _command(specs: Sequence[Spec], some: Sequence[Entry]) -> str:
    modes = [one.mode for one in some]
    asked = [word for pair in _options_of(some).items() for word in pair]
    models = ",".join(dict.fromkeys(units.readable(spec.workload.model) for spec in specs))
    words = ["cnnbench", "run", "--models", models,
             "--modes", ",".join(dict.fromkeys(("eager", *modes))), *axis_options(specs[0]),
             *asked]  # fmt: skip
    return shlex.join(words)


def axis_options(spec: Spec) -> tuple[str, ...]:
    """Every axis but models and modes as it was measured, as options of a command.

    Without the size: accuracies are of networks at their own.
    """
    told = [
        (axis.asking.option, axis.of(spec))
        for axis in axes.AXES
        if axis.asking is not None and axis.compared and (axis.default is None or axis.said(spec))
    ]
    return tuple(str(word) for pair in told if pair[1] is not None for word in pair)
