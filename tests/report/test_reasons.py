"""What is said beside the table of a judgement."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from cnnbench import gate
from cnnbench.environment import Environment
from cnnbench.facts import Structure
from cnnbench.gate import Acceptance, Judgement, Side, side_by_side
from cnnbench.gate.thresholds import defaults
from cnnbench.report import reasons
from cnnbench.stats import t_interval
from tests import made
from tests.gate.test_side_by_side import CALM, SLOWER, by_ab, outcome


@pytest.fixture
def judgement(eager) -> Judgement:
    """A run against one three times as fast."""
    slow = made.record(made.EAGER, [[30]] * 3, ensemble="later")
    sides = (Side(n, made.ENVIRONMENT, {made.EAGER: r}) for n, r in (("a", eager), ("b", slow)))
    return gate.judge(gate.compare(*sides), defaults())


def test_different_environments_are_said(judgement) -> None:
    unlike = replace(judgement.comparison, unlike=("cpu: A -> B",))

    lines = reasons.captions(replace(judgement, comparison=unlike))
    forced = reasons.captions(replace(judgement, comparison=unlike, forced=True))

    assert "different environments, timing is advisory: cpu: A -> B" in lines
    assert any("still judged" in line for line in forced)


def test_the_interval_that_is_shown_has_the_confidence_that_is_said() -> None:
    judgement = by_ab(outcome(SLOWER))
    (line,) = [one for one in reasons.captions(judgement) if "interval over pairs" in one]
    said = float(line.split("; ")[1].split(" %")[0]) / 100
    centre, half = t_interval(SLOWER, said)

    ratio = judgement.rows[0].row.changes[0].ratio

    assert ratio is not None
    assert (ratio.low, ratio.high) == pytest.approx(
        (math.exp(centre - half), math.exp(centre + half))
    )


def test_one_spec_is_one_spec(judgement) -> None:
    assert reasons.counts(judgement) == "1 spec: 1 regression"


def test_a_long_structure_is_cut_and_says_so() -> None:
    old, new = (
        replace(made.record(made.EAGER, [[10]]), structure=Structure(operators=operators))
        for operators in ({}, {f"aten::op{n}": n + 1 for n in range(40)})
    )
    sides = (Side(n, made.ENVIRONMENT, {made.EAGER: one}) for n, one in (("a", old), ("b", new)))

    lines = reasons.notes(gate.judge(gate.compare(*sides), []))

    assert sum("structure changed" in line for line in lines) == 13
    assert any(line.endswith("structure changed: 28 more lines not shown") for line in lines)
    assert sum(made.EAGER in line for line in lines) == 1


def test_rows_that_are_unsure_for_one_reason_share_a_line(eager, same) -> None:
    sides = (
        Side("a", made.ENVIRONMENT, {one.id: one for one in (eager, same)}),
        Side("b", Environment(hard={"cpu": "B"}),
             {n: made.record(n, [[10]] * 3, ensemble="z") for n in (eager.id, same.id)}),
    )  # fmt: skip

    found = reasons.notes(gate.judge(gate.compare(*sides), defaults()))

    assert "2 specs: latency: incomparable: measured in different environments" in found


def test_times_that_were_measured_side_by_side_do_not_mind_other_software() -> None:
    lines = reasons.captions(by_ab(outcome(CALM), head=Environment(hard={"cpu": "B"})))

    assert any(
        line.startswith("different environments, timing was measured side by side: ")
        for line in lines
    )


def test_how_to_accept_a_change_is_said_once_and_only_where_something_regressed(judgement) -> None:
    remedy = Acceptance("cnnbench baseline update b.json RUN --replace", "RUN is a new run")
    asked = replace(judgement, comparison=replace(judgement.comparison, remedy=remedy))
    calm = side_by_side.with_outcomes(asked.comparison, [outcome(CALM)])

    assert reasons.notes(asked)[-1] == f"if the change is intended: {remedy.text}"
    assert "meant" not in " ".join(reasons.notes(judgement))
    assert "meant" not in " ".join(reasons.notes(gate.judge(calm, defaults())))


def test_what_was_measured_now_says_what_waited_and_what_can_be_resolved() -> None:
    lines = reasons.notes(by_ab(outcome(SLOWER, waited=2)))

    assert (
        f"{made.EAGER}: another process used its core; the time spent waiting for it is"
        " excluded (2 of 3 pairs)" in lines
    )
    assert any(line.startswith("smallest detectable change in this noise, with ") for line in lines)
    compared = "; check compares it with a baseline file, bisect --structure-only between commits"
    only = "were compared, not the structure of the networks"
    assert f"only times and outputs {only}{compared}" in lines
    unknown = outcome(SLOWER, runs={})
    assert f"only times {only}{compared}" in reasons.notes(by_ab(unknown))


def test_every_reason_of_a_fresh_measurement_names_its_spec() -> None:
    unsure = outcome((0.02, 0.03, 0.025))

    (line,) = (one for one in reasons.notes(by_ab(unsure)) if "inconclusive" in one)

    assert line.startswith(f"{made.EAGER}: latency: inconclusive: the interval is too wide")


def test_pretended_measurements_are_said_wherever_they_are_compared() -> None:
    fake = Environment(hard={"fake": True})

    assert "FAKE EXECUTOR" in reasons.captions(by_ab(outcome(CALM), head=fake))[0]
    assert "FAKE" not in " ".join(reasons.captions(by_ab(outcome(CALM))))
