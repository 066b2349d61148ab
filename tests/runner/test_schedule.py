from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.facts import Check
from cnnbench.plan import Plan
from cnnbench.record import Failure, Run
from cnnbench.runner import schedule
from cnnbench.runner.subject import Group, groups
from cnnbench.slices import Slice, Slices
from cnnbench.spec import Spec
from tests.runner.conftest import specs

BYTES = st.integers(1, 100)


def run_of(seconds: float, number: int, ensemble: str = "") -> Run:
    one = Slice(0, 1, (round(seconds * 1e9),))
    return Run(number, ensemble or f"e{number}", Slices.of([one]), (1,), 1, Check("ok"))


def group_of(*times: float, takes: float = 1.0, name: str = "a") -> Group:
    """A group of one spec that took so long in each round."""
    group = Group(name, specs("eager", models=(name,)))
    group.subjects[0].runs = [run_of(seconds, number) for number, seconds in enumerate(times)]
    group.rounds = len(times)
    group.round_seconds = takes
    group.complete = True
    return group


def names(found: list[Group]) -> list[str]:
    return [group.name for group in found]


def test_one_round_gives_no_interval_and_equal_rounds_a_narrow_one() -> None:
    assert group_of(1.0).margin() is None
    assert group_of(1.0, 1.0, 1.0).margin() == pytest.approx(0)
    assert group_of(1.0, 2.0, 3.0).margin() > 0.5


def test_the_margin_is_that_of_the_least_certain_figure() -> None:
    group = Group("a", specs("eager", "channels_last"))
    for number, seconds in enumerate((1.0, 1.0, 1.0)):
        group.subjects[0].runs.append(run_of(seconds, number))
    for number, seconds in enumerate((1.0, 2.0, 3.0)):
        group.subjects[1].runs.append(run_of(seconds, number))

    assert group.margin() > 0.5


@pytest.mark.parametrize(
    ("times", "plan", "expected"),
    [
        ((1.0, 1.0), {"rounds": 5}, False),
        ((1.0,) * 5, {"rounds": 5}, True),
        ((1.0, 1.0, 1.0), {"rounds": 9, "precision": 0.02}, True),
        ((1.0, 1.0), {"rounds": 9, "precision": 0.02}, False),
        ((1.0, 1.0), {"rounds": 2, "precision": 0.02}, True),
        ((1.0, 1.5, 2.0), {"rounds": 9, "precision": 0.02}, False),
    ],
)
def test_when_a_group_is_settled(
    times: tuple[float, ...], plan: dict[str, Any], expected: bool
) -> None:
    assert schedule.settled(group_of(*times), Plan(**plan)) is expected


def test_a_group_in_which_nothing_lives_is_settled() -> None:
    group = group_of(1.0)
    group.subjects[0].failure = Failure("measure", "died", "gone")

    assert schedule.settled(group, Plan())


def test_time_goes_first_to_what_has_no_interval_then_to_the_widest() -> None:
    everything = [
        group_of(1.0, 1.1, name="narrow"), group_of(1.0, 3.0, name="wide"),
        group_of(1.0, takes=9.0, name="slow"), group_of(1.0, takes=2.0, name="quick"),
    ]  # fmt: skip

    assert names(schedule.next_groups(everything, Plan(), 1e6)) == [
        "quick",
        "slow",
        "wide",
        "narrow",
    ]


def test_what_lacks_memory_comes_before_what_is_merely_uncertain() -> None:
    lacking = group_of(1.0, 1.01, takes=9.0, name="lacking")
    lacking.complete = False

    found = schedule.next_groups([group_of(1.0, 3.0, name="wide"), lacking], Plan(), 1e6)

    assert names(found) == ["lacking", "wide"]
    assert schedule.expected(lacking) > 9.0


def test_a_group_with_all_its_rounds_is_visited_for_what_it_lacks() -> None:
    group = group_of(1.0, 1.0, name="a")
    group.complete = False

    assert not schedule.settled(group, Plan(rounds=2))


def test_what_no_longer_fits_is_passed_over_for_what_does() -> None:
    everything = [group_of(1.0, takes=50.0, name="slow"), group_of(1.0, 1.1, name="b")]

    assert names(schedule.next_groups(everything, Plan(), 20.0)) == ["b"]
    assert schedule.next_groups(everything, Plan(), 3.0) == []


def test_a_pool_gets_no_more_than_a_batch_unless_one_group_is_more() -> None:
    everything = [group_of(1.0, takes=40.0, name=name) for name in "abc"]
    giant = [group_of(1.0, takes=400.0)]

    assert len(schedule.next_groups(everything, Plan(), 1e6)) == 2
    assert len(schedule.next_groups(giant, Plan(), 1e6)) == 1


def test_specs_that_fit_are_one_ensemble() -> None:
    group = Group("a", specs("eager", "channels_last", "bf16"))

    assert schedule.ensembles(group, [10, 10, 10], None) == [group.subjects]
    assert schedule.ensembles(group, [10, 10, 10], 30) == [group.subjects]


def test_specs_that_do_not_fit_are_measured_each_beside_its_baseline() -> None:
    group = Group("a", specs("eager", "channels_last", "bf16", "fp16"))

    found = schedule.ensembles(group, [10, 10, 10, 10], 30)

    modes = [[one.spec.mode.text for one in ensemble] for ensemble in found]
    assert modes == [["eager", "channels_last", "bf16"], ["eager", "fp16"]]


@given(st.lists(BYTES, min_size=4, max_size=4), BYTES)
def test_no_spec_is_left_out_and_none_is_twice_in_an_ensemble(needs: list[int], room: int) -> None:
    group = Group("a", specs("eager", "channels_last", "bf16", "fp16"))

    found = schedule.ensembles(group, needs, room)

    assert {one.spec.id for ensemble in found for one in ensemble} == {
        one.spec.id for one in group.subjects
    }
    for ensemble in found:
        ids = [one.spec.id for one in ensemble]
        assert len(set(ids)) == len(ids)
        assert len(found) == 1 or group.subjects[0].spec.id in ids


def test_a_substitute_is_in_the_group_of_what_it_stands_for() -> None:
    ends = ("", "~ghost", "~pointwise")
    work = [Spec.parse(f"conv:k8-3x3{end}/inference-b1-3x8x8/eager/cpu-t1") for end in ends]
    other = Spec.parse("conv:k9-3x3/inference-b1-3x8x8/eager/cpu-t1")

    found = groups([*work, other])

    assert [len(group.subjects) for group in found] == [3, 1]
    assert len(found[0].shared) == 3


def test_pipelines_whose_workers_read_ahead_never_work_in_the_turns_of_others() -> None:
    ids = [f"input:mnist/inference-b8-1x28x28{workers}/{mode}/cpu-t1"
             for workers in ("", "-workers=2") for mode in ("eager", "impl=tensor")]  # fmt: skip
    together, apart = groups([*map(Spec.parse, ids)])

    assert schedule.ensembles(together, [10, 10], None) == [together.subjects]
    assert schedule.ensembles(apart, [10, 10], None) == [[one] for one in apart.subjects]


def test_what_remains_is_the_rounds_that_are_planned_and_no_more() -> None:
    plan = Plan(rounds=5, budget=1000.0)
    one, other = group_of(1.0, 1.0, takes=10.0), group_of(1.0, 1.0, 1.0, takes=2.0, name="b")

    # Three rounds of ten seconds and two of two, and a pool for each of three rounds.
    left = schedule.remaining([one, other], plan)

    assert left == pytest.approx(3 * 10 + 2 * 2 + 3 * schedule.START_SECONDS)
    assert schedule.remaining([group_of(*[1.0] * 5)], plan) == 0


def test_what_remains_is_not_known_before_anything_has_had_a_round() -> None:
    plan = Plan(rounds=5, budget=1000.0)

    assert schedule.remaining([group_of(), group_of(name="b")], plan) is None


def test_what_has_had_no_round_is_taken_to_be_like_what_has() -> None:
    plan = Plan(rounds=5, budget=1000.0)
    had, waits = group_of(1.0, takes=10.0), group_of(name="b")
    had.first_seconds = 14.0

    left = schedule.remaining([had, waits], plan)

    assert left == pytest.approx(4 * 10 + 14 + 4 * 10 + 5 * schedule.START_SECONDS)


def test_nothing_remains_of_what_is_dead() -> None:
    plan = Plan(rounds=5, budget=1000.0)
    dead = group_of()
    dead.subjects[0].failure = Failure("build", "error", "gone")

    assert schedule.remaining([dead], plan) == 0
    assert schedule.remaining([group_of(1.0), dead], plan) == (
        schedule.remaining([group_of(1.0)], plan)
    )


def test_what_passes_without_a_clock_take_is_learned_from_those_that_were_made() -> None:
    lacking, made_before = group_of(1e-3), group_of(1e-3, name="b")
    lacking.complete, made_before.untimed_seconds = False, 0.25

    guessed = schedule.expected(lacking)
    seen = schedule.seen_untimed([lacking, made_before])
    learned = schedule.expected(lacking, seen)

    assert learned == pytest.approx(1.0 + 0.25)
    assert learned < guessed
    assert [*seen] == [False]
    assert schedule.seen_untimed([lacking]) == {}


def test_passes_without_a_clock_take_less_of_a_layer_than_of_a_network() -> None:
    layer = Group("l", [Spec.parse("conv:k4-3x3-p1/inference-b1-3x8x8/eager/cpu-t1")])
    network = Group("n", specs("eager"))
    for group in (layer, network):
        group.subjects[0].runs = [run_of(1e-3, 0)]
        group.rounds, group.round_seconds = 1, 1.0

    assert 0 < schedule.expected(layer) < schedule.expected(network)


def test_a_budget_pays_for_more_rounds_while_a_mode_may_still_be_faster() -> None:
    plan = Plan(rounds=3, budget=1000.0, most_rounds=5)
    group = Group("a", specs("eager", "channels_last"))
    for number in range(4):
        group.subjects[0].runs.append(run_of(1.0 + 0.01 * number, number))
        group.subjects[1].runs.append(run_of((0.5, 1.5)[number % 2], number))
    group.complete = True

    found = {}
    for rounds in (3, 4, 5):
        group.rounds = rounds
        found[rounds] = schedule.settled(group, plan)
    assert found == {3: False, 4: False, 5: True}
    assert [schedule.allowed(group, replace(plan, budget=budget)) for budget in (1.0, None)] == [
        3,
        3,
    ]
    group.rounds = 4
    assert schedule.allowed(group, plan) == 5
    assert schedule.remaining([group], plan) > 0
    group.rounds = 10
    assert schedule.remaining([group], plan) == 0

    for run, seconds in zip(range(4), (0.5, 0.501, 0.5, 0.501), strict=True):
        group.subjects[1].runs[run] = run_of(seconds, run)
    group.rounds = 3
    assert schedule.settled(group, plan)
