"""Every place that says whether a measurement can be believed says the same."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cnnbench import flaws, metrics, store
from cnnbench.facts import Check
from cnnbench.metrics import Awake
from cnnbench.report import budget, marks, remedies, usability
from cnnbench.report.budget import Budget
from cnnbench.report.entry import entries
from cnnbench.report.page.document import grid
from cnnbench.report.page.measurements import measurements
from cnnbench.report.page.offers import tip
from cnnbench.report.selection import Selection
from tests import made
from tests.report.conftest import of

if TYPE_CHECKING:
    from cnnbench.record import Record
    from cnnbench.report.entry import Entry

RESULTS = Path(__file__).parents[2] / "results"
SIGN = re.compile(r'<td data-v=[^<]*<b class="t[^"]*"[^>]*>(.?)</b>')


def named(time: float, status: str = "ok", rounds: int = 3, threads: int = 2) -> Record:
    check = Check(status, 1, 1, 0, "why") if status != "ok" else None
    more = {} if check is None else {"check": check}
    spec = f"resnet18/inference-b1-3x224x224/eager/cpu-t{threads}"
    return made.record(spec, [[time * (1 + 0.001 * k)] * 3 for k in range(rounds)], **more)


def waiting(record: Record, share: float = 0.5) -> Record:
    """The same, whose process waited for a core for a part of the time."""
    runs = []
    for run in record.runs:
        spent = [sum(ns) for ns in run.slices.ns]
        columns = {"run_delay_ns": [share * one for one in spent],
                   "cpu_ns": [(1 - share) * one for one in spent]}  # fmt: skip
        counted = {name: tuple(map(int, column)) for name, column in columns.items()}
        runs.append(replace(run, slices=replace(run.slices, **counted)))
    return replace(record, runs=tuple(runs))


SYNTHETIC = {
    "clean": (named(10), None),
    "wrong": (named(10, "wrong"), flaws.WRONG),
    "loose": (named(10, "loose"), flaws.LOOSE),
    "loose and once": (named(10, "loose", 1), flaws.LOOSE),
    "unchecked": (named(10, "unchecked"), flaws.UNCHECKED),
    "unchecked and once": (named(10, "unchecked", 1), flaws.ONCE),
    "once": (named(10, rounds=1), flaws.ONCE),
    "disturbed": (waiting(named(10)), flaws.DISTURBED),
    "disturbed and once": (waiting(named(10, rounds=1)), flaws.DISTURBED),
    "awake": (waiting(named(10, threads=1)), None),
    "awake and once": (waiting(named(10, rounds=1, threads=1)), flaws.ONCE),
    "noisy": (made.record(named(10).id, [[8] * 3, [10] * 3, [13] * 3]), flaws.NOISY),
}


def agree(entry: Entry) -> None:
    """Terminal, page, budget, remedy and the verdict on the run say what the one room says."""
    flaw = flaws.flaw(entry.record)
    assert entry.flaw is flaw
    if entry.latency is None:
        assert flaw in {flaws.FAILED, flaws.UNMEASURED, flaws.WRONG, flaws.LOOSE}
        return
    sign = "" if flaw is None else flaw.mark
    shown = marks.time(entry)
    assert shown[-1].strip() == sign
    assert (shown[-2] == "*") == isinstance(entry.latency, Awake)
    (row,) = measurements([entry], Selection()).data
    assert dict(row).get("f", "") == ("" if flaw is None else flaw.name)
    held = flaw is not None and flaw.withheld
    doubt = budget.doubt(entry, Budget(), accuracy=False)
    assert doubt == (flaw.name if held and flaw is not None else None)
    assert flaws.fit(entry.record) == (flaw in {None, flaws.UNCHECKED, *flaws.OF_TIMES})
    if flaw is None:
        assert tip(entry)[-1].startswith("clean")
    else:
        word = flaw.name if flaw not in flaws.OF_TIMES else metrics.quality(entry.record)
        assert tip(entry)[-1] == word


@pytest.mark.parametrize("name", SYNTHETIC)
def test_every_place_agrees_on_a_flaw_of_each_kind(name: str) -> None:
    record, flaw = SYNTHETIC[name]
    (entry,) = of(record)

    agree(entry)
    assert entry.flaw is flaw
    (part,) = grid(measurements([entry], Selection()), True, 0)["parts"]
    assert SIGN.findall(part[1]) == ["" if flaw is None else flaw.mark]


@pytest.mark.parametrize("name", ["all-cpu", "modes-cpu"])
def test_every_place_agrees_on_what_was_really_measured(name: str) -> None:
    found = entries([store.read(RESULTS / name)])

    for entry in found[:: max(1, len(found) // 60)]:
        agree(entry)


@pytest.mark.parametrize("name", SYNTHETIC)
def test_a_command_is_suggested_exactly_for_what_measuring_again_may_mend(name: str) -> None:
    record, flaw = SYNTHETIC[name]
    found = of(record)
    commands = [one.command for one in remedies.remedies(found) if " run " in one.command]

    # What answers wrongly is no candidate, and no measurement would mend it.
    assert len(commands) == bool(flaw is not None and flaw.options)
    for command in commands:
        assert flaw is not None
        for option, value in flaw.options:
            assert f"{option} {value}" in command
            assert option in flaw.remedy or option == "--rounds"


def test_the_verdict_on_a_run_has_the_remedy_of_its_times() -> None:
    for record, flaw in SYNTHETIC.values():
        verdict = usability.judge(of(record))
        expected = flaws.of_time(record)
        assert verdict is not None
        assert verdict.remedy.startswith("" if expected is None else expected.remedy)
        assert bool(verdict.remedy) == (expected is not None)
        assert flaw is None or expected in {None, flaw} or not flaw.mark or flaw.withheld


def test_every_sign_is_one_letter_and_stands_for_one_flaw() -> None:
    signs = [one.mark for one in flaws.FLAWS if one.mark]

    assert len({*signs}) == len(signs)
    assert all(len(sign) == 1 for sign in signs)
    assert len({one.name for one in flaws.FLAWS}) == len(flaws.FLAWS)
