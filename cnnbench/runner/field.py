"""Patterns of networks and published accuracies -> contenders, and a job of their specs.

A contender costs nothing here but a look into tables: only models of timm that no table of
accuracies names, and networks of the user's, are asked about in a worker.
"""

from __future__ import annotations

import fnmatch
import math
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cnnbench import accuracies, catalogue, suite
from cnnbench.catalogue import TIMM
from cnnbench.errors import CnnbenchError, UsageError
from cnnbench.prediction.contenders import UNBUILT, WEIGHTS, Contender
from cnnbench.runner import campaign, timm
from cnnbench.runner.campaign import Job
from cnnbench.runner.device import memory_limit
from cnnbench.runner.inquiry import asking, describe
from cnnbench.runner.predicting import MODES
from cnnbench.spec import Device, Mode
from cnnbench.suite import Facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.accuracies import GivenAccuracy
    from cnnbench.catalogue import CatalogueEntry
    from cnnbench.plan import Plan
    from cnnbench.runner.executor import AnyPool, Executor
    from cnnbench.spec import Spec
    from cnnbench.suite import Grid

DEVICE = Device()
_CLASSIFICATION = "classification"


@dataclass(frozen=True)
class Rated:
    """A network with its published accuracy.

    Attributes:
        name: as a spec has it.
        top1: in percent.
        params: if known.
        facts: what expansion needs; ``None`` if a worker is to be asked.
    """

    name: str
    top1: float
    params: int | None
    facts: Facts | None


@dataclass(frozen=True)
class ChoiceField:
    """All that takes part.

    Attributes:
        job: its specs, none of which is expected to be measured but a few.
        contenders: one per spec.
        unknown: names of networks without a published accuracy.
        elsewhere: networks that are asked about at another input size than their accuracy is of.
    """

    job: Job
    contenders: tuple[Contender, ...]
    unknown: tuple[str, ...]
    elsewhere: int


def gather(
    grid: Grid, given: Sequence[GivenAccuracy], plan: Plan, who: Executor, memory: float | None
) -> ChoiceField:
    """The contenders of a grid on the CPU.

    Args:
        grid: its models are patterns.
        given: accuracies of networks outside of the catalogue, which say what models of timm there
            are.
        plan: how to measure.
        who: measures.
        memory: peak bytes, at most.

    Raises:
        UsageError: no network has a published accuracy, timm is asked about and not installed, or
            something in the grid is wrong.
    """
    # Before what is not installed is asked for: installing it would not help.
    _refuse_modes(_named(grid.modes), memory)
    modes = suite.modes(grid.modes, DEVICE)
    _refuse_modes(modes, memory)
    with asking(who) as pool:
        environment = describe(pool)
        rated, unknown = _rated(pool, grid, given)
        if not rated:
            raise UsageError(
                f"none of these networks has a published top-1: {', '.join(unknown[:3])}; bring"
                " them by --accuracy FILE"
            )
        facts, bad = _facts(pool, grid, plan, rated)
    specs: list[Spec] = []
    contenders, macs, elsewhere = [], {}, set()
    for group in _groups(rated):
        own = replace(grid, models=tuple(group), device=DEVICE)
        known = {name: facts[one] for name, one in group.items()}
        found = suite.expand(own, DEVICE, modes, known, None, bad)
        for spec in found.specs:
            one = group[spec.workload.architecture]
            specs.append(spec)
            macs[spec.id] = found.macs[spec.id]
            published = spec.workload.input == facts[one].input and not grid.arguments
            if not published:
                elsewhere.add(one.name)
            why = found.impossible.get(spec.id, "")
            count = facts[one].macs if published else None
            contenders.append(_contender(spec, one, count, why, memory))
    plan = replace(plan, memory_limit=plan.memory_limit or memory_limit(DEVICE))
    kept = {one.spec: one for one in contenders}
    job = Job(tuple(dict.fromkeys(specs)), {}, macs, plan, environment, who)
    return ChoiceField(job, tuple(kept.values()), tuple(unknown), len(elsewhere))


def _named(words: Sequence[str]) -> list[Mode]:
    """Modes that are given by their own words, whether or not they can run here."""
    found = []
    for text in words:
        with suppress(CnnbenchError):
            found.append(Mode.parse(text, DEVICE.kind))
    return found


def _refuse_modes(modes: Sequence[Mode], memory: float | None) -> None:
    for mode in modes:
        if mode.precision == "int8":
            raise UsageError(
                f"mode {mode.text} quantises weights, and accuracies are published of float ones;"
                " drop it from --modes"
            )
        if mode.runtime and memory is not None:
            raise UsageError(
                f"peak memory is not measured in mode {mode.text}; drop it from --modes, or drop"
                " --memory"
            )


def _groups(rated: Sequence[Rated]) -> list[dict[str, Rated]]:
    """By name; a network that is rated at several sizes is in as many groups."""
    groups: list[dict[str, Rated]] = []
    for one in rated:
        free = next((group for group in groups if one.name not in group), None)
        if free is None:
            free = {}
            groups.append(free)
        free[one.name] = one
    return groups


def _contender(
    spec: Spec, one: Rated, count: int | None, why: str, memory: float | None
) -> Contender:
    macs = None if count is None else spec.workload.batch * count
    # At least a byte for a weight, whatever the mode makes of it.
    item = 4 if spec.mode.text in MODES else 1
    large = memory is not None and one.params is not None and item * one.params > memory
    unseen = "" if spec.mode.text in MODES else f"mode {spec.mode.text} is not predicted"
    return Contender(
        spec.id, one.top1, one.params, macs, why=why or unseen,
        out=UNBUILT if why else WEIGHTS if large else "",
    )  # fmt: skip


def _rated(
    pool: AnyPool, grid: Grid, given: Sequence[GivenAccuracy]
) -> tuple[list[Rated], tuple[str, ...]]:
    """Networks with a published accuracy, and the names of those without."""
    own = _by_name(given)
    found: list[Rated] = []
    unknown: list[str] = []
    for pattern in grid.models:
        if pattern.startswith(TIMM):
            there = timm.listed(pool, pattern)
            rows = _of_timm(pattern.removeprefix(TIMM), given, grid)
            found += [_of_row(f"{TIMM}{row.model}", row) for row in rows]
            if not rows:
                unknown += [one.name for one in there]
            continue
        for name in suite.select([pattern]):
            entry = catalogue.known(name)
            if name in own:
                known = None if entry is None else _facts_of(entry)
                rated = [_of_row(name, row) for row in own[name]]
                found += [replace(one, facts=one.facts or known) for one in rated]
            elif entry is not None and entry.top1 is not None and entry.task == _CLASSIFICATION:
                found.append(Rated(name, entry.top1, entry.params, _facts_of(entry)))
            else:
                unknown.append(name)
    return list(dict.fromkeys(found)), tuple(dict.fromkeys(unknown))


def _by_name(given: Sequence[GivenAccuracy]) -> dict[str, list[GivenAccuracy]]:
    """The most accurate row of each name and size."""
    best: dict[tuple[str, int | None], GivenAccuracy] = {}
    for row in given:
        known = best.setdefault((row.model, row.size), row)
        if row.top1 > known.top1:
            best[row.model, row.size] = row
    found: dict[str, list[GivenAccuracy]] = {}
    for row in best.values():
        found.setdefault(row.model, []).append(row)
    return found


def _facts_of(entry: CatalogueEntry) -> Facts:
    return Facts(entry.input, entry.macs, entry.min_size)


def _of_row(name: str, row: GivenAccuracy) -> Rated:
    facts = None if row.size is None else Facts((3, row.size, row.size), row.macs)
    return Rated(name, row.top1, row.params, facts)


def _of_timm(wanted: str, given: Sequence[GivenAccuracy], grid: Grid) -> tuple[GivenAccuracy, ...]:
    """Rows that a name or glob of timm's selects; of equal architectures and sizes the best.

    As in ``list``, a glob with a dot selects among names with the tag of their weights.
    """
    rows = [
        row
        for row in given
        if fnmatch.fnmatchcase(row.model if "." in wanted else row.architecture, wanted)
    ]
    if not grid.sizes:
        return accuracies.best_of_each(rows)
    # What is published of the nearest size, which is the asked one where there is any of that.
    asked = grid.sizes[0][-1]
    nearest: dict[str, list[GivenAccuracy]] = {}
    for row in rows:
        known = nearest.setdefault(row.architecture, [row])
        off, best = (math.inf if one.size is None else abs(math.log(one.size / asked))
                     for one in (row, known[0]))  # fmt: skip
        if off < best:
            nearest[row.architecture] = [row]
        elif off == best and row is not known[0]:
            known.append(row)
    return accuracies.best_of_each(row for some in nearest.values() for row in some)


def _facts(
    pool: AnyPool, grid: Grid, plan: Plan, rated: Sequence[Rated]
) -> tuple[dict[Rated, Facts], dict[str, str]]:
    """The facts of each network; a worker is asked about those that no table tells."""
    asked = tuple(dict.fromkeys(one.name for one in rated if one.facts is None))
    outside: dict[str, Facts] = {}
    bad: dict[str, str] = {}
    if asked:
        outside, bad = campaign.facts_outside(pool, replace(grid, models=asked), plan.timeout)
    return {one: one.facts or outside[one.name] for one in rated}, bad
