"""The search over a line of commits: where it looks, when it ends, and what it never says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import bisection_simulation
from cnnbench.errors import Inconclusive, SomeFailed, UsageError
from cnnbench.gate import bisection, family
from cnnbench.gate.bisected import Bisection, Commit, StructureChange, conclude
from cnnbench.gate.bisection import PATIENCE, BisectionStep, Search, allowed, halvings, of_steps
from cnnbench.gate.facets import Difference
from cnnbench.gate.rule import ALPHA, Verdict

SPEC = "a"
Judge = Callable[[int, int], Verdict]


def step(place: int, verdict: Verdict, against: int = 0, **more: float) -> BisectionStep:
    return BisectionStep(place, against, SPEC, verdict, **more)


def searched(
    last: int, judge: Judge, suspects: tuple[int, ...] = ()
) -> tuple[Search, list[BisectionStep]]:
    """Everything that is measured until the search ends."""
    steps = [step(last, judge(last, 0))]
    while (wanted := of_steps(last, steps, suspects).next) is not None:
        steps.append(step(wanted[0], judge(*wanted), wanted[1]))
        assert len(steps) < 200
    return of_steps(last, steps, suspects), steps


def slower_from(culprit: int, skipped: frozenset[int] = frozenset()) -> Judge:
    def judge(place: int, against: int) -> Verdict:
        if place in skipped:
            return "failed"
        return "regression" if against < culprit <= place else "unchanged"

    return judge


LINES = st.integers(1, 64).flatmap(
    lambda last: st.tuples(
        st.just(last), st.integers(1, last), st.frozensets(st.integers(1, max(1, last - 1)))
    )
)


@given(LINES)
def test_what_is_named_is_the_culprit_and_a_range_holds_it_and_what_cannot_be_measured(
    line: tuple[int, int, frozenset[int]],
) -> None:
    last, culprit, skipped = line[0], line[1], line[2] - {line[0]}

    found, steps = searched(last, slower_from(culprit, skipped))

    assert found.good < culprit <= found.bad
    if found.in_doubt < PATIENCE:
        assert {*range(found.good + 1, found.bad)} <= skipped
    assert found.named in {None, culprit}
    assert (found.named is None) == (found.bad - found.good > 1)
    assert found.looks <= allowed(last)
    assert len({one.place for one in steps if one.against == 0}) == len(
        [one for one in steps if one.against == 0]
    ), "nothing is measured twice"


@pytest.mark.parametrize("culprit", range(1, 33))
def test_a_line_that_builds_takes_a_comparison_per_halving_and_two_for_the_ends(
    culprit: int,
) -> None:
    found, steps = searched(32, slower_from(culprit))

    assert found.named == culprit
    assert len(steps) <= halvings(32) + 2 == 7
    first = of_steps(32, steps[:1])
    assert len(steps) <= 1 + first.left


def test_the_answer_is_measured_against_the_commit_before_it() -> None:
    _, steps = searched(32, slower_from(20))
    _, of_the_first = searched(32, slower_from(1))

    assert (steps[-1].place, steps[-1].against) == (20, 19)
    assert {one.against for one in of_the_first} == {0}, "GOOD is the commit before it"


def test_a_suspect_is_found_at_once_and_a_wrong_one_costs_little() -> None:
    right, few = searched(64, slower_from(50), suspects=(50,))
    wrong, more = searched(64, slower_from(13), suspects=(50,))

    assert (right.named, len(few)) == (50, 4)
    assert wrong.named == 13
    assert len(more) <= halvings(64) + 3


def test_one_commit_that_does_not_build_beside_the_culprit_leaves_a_range() -> None:
    found, _ = searched(32, slower_from(20, frozenset({19})))

    assert (found.good, found.bad, found.named) == (18, 20, None)


def test_where_nothing_can_be_judged_it_ends() -> None:
    found, steps = searched(
        32, lambda place, against: "regression" if place == 32 else "inconclusive"
    )

    assert (found.good, found.bad, found.named) == (0, 32, None)
    assert len(steps) == 1 + PATIENCE


def test_an_effect_that_is_half_there_for_a_while_ends_in_the_range_that_holds_it() -> None:
    def judge(place: int, against: int) -> Verdict:
        if place < 12:
            return "unchanged"
        return "regression" if place >= 18 else "inconclusive"

    found, _ = searched(32, judge)

    assert found.named is None
    assert found.good < 12
    assert found.bad >= 18


@pytest.mark.parametrize("at", [(9, 0), (10, 0), (10, 9)])
def test_what_was_in_doubt_is_looked_at_once_more_and_may_be_clear_then(
    at: tuple[int, int],
) -> None:
    doubts = iter(["inconclusive"])

    def judge(place: int, against: int) -> Verdict:
        clear = slower_from(10)(place, against)
        return next(doubts, clear) if (place, against) == at else clear  # type: ignore[return-value]

    found, steps = searched(32, judge)

    assert found.named == 10
    assert [(one.place, one.against) for one in steps].count(at) == 2


def test_what_stays_in_doubt_is_looked_at_twice_and_no_more() -> None:
    found, steps = searched(
        32, lambda *at: "inconclusive" if at == (9, 0) else slower_from(10)(*at)
    )

    assert (found.good, found.bad, found.named) == (8, 10, None)
    assert [one.place for one in steps].count(9) == 2


def test_a_doubt_about_a_commit_takes_nothing_from_its_comparison_with_its_neighbour() -> None:
    doubts = {(10, 0): 1, (10, 9): 1}

    def judge(place: int, against: int) -> Verdict:
        doubts[place, against] = doubts.get((place, against), 0) - 1
        if doubts[place, against] >= 0:
            return "inconclusive"
        return slower_from(10)(place, against)

    found, steps = searched(32, judge)

    assert found.named == 10
    assert [(one.place, one.against) for one in steps].count((10, 9)) == 2


@given(LINES)
def test_no_commit_is_named_for_a_verdict_that_was_not_confirmed(
    line: tuple[int, int, frozenset[int]],
) -> None:
    last, culprit, skipped = line[0], line[1], line[2] - {line[0]}

    found, steps = searched(last, slower_from(culprit, skipped))

    if found.named is not None:
        neighbours = [one for one in steps if (one.place, one.against) == (culprit, culprit - 1)]
        assert neighbours[-1].verdict == "regression"
        assert bisection.confirms(culprit, culprit - 1, last)


def test_a_wrong_verdict_on_the_way_is_noticed_and_measured_again() -> None:
    lies = iter(["unchanged"])

    def judge(place: int, against: int) -> Verdict:
        # The first comparison in the middle misses the slow-down, so all after it seem slower.
        if place == 16 and against == 0:
            return next(lies, "regression")  # type: ignore[return-value]
        return slower_from(10)(place, against)

    found, steps = searched(32, judge)

    assert found.named == 10
    assert found.repeated == 1
    assert [one.against for one in steps].count(16) == 1


def test_measurements_that_contradict_each_other_again_name_nothing() -> None:
    def judge(place: int, against: int) -> Verdict:
        return "regression" if place > 16 and against == 0 else "unchanged"

    found, _ = searched(32, judge)

    assert found.named is None
    assert found.repeated == 2
    assert found.next is None


def test_an_answer_that_is_not_clearly_slower_than_the_one_before_it_is_not_named() -> None:
    found, _ = searched(32, lambda *at: "inconclusive" if at == (20, 19) else slower_from(20)(*at))

    assert (found.good, found.bad, found.named) == (19, 20, None)


def test_the_error_of_a_look_shrinks_with_the_line_and_never_exceeds_a_single_one() -> None:
    errors = [bisection.error(last) for last in (1, 2, 32, 1000)]

    assert errors == sorted(errors, reverse=True)
    assert errors[0] <= ALPHA
    assert family.share(1) == ALPHA
    assert bisection.error(32) * allowed(32) == pytest.approx(family.ERROR)


def test_every_spec_in_which_the_ends_are_compared_takes_its_share_of_the_error() -> None:
    assert bisection.error(32, 20) * (allowed(32) + 19) == pytest.approx(family.ERROR)


def test_a_comparison_without_a_verdict_counts_too_and_one_that_was_not_measured_does_not() -> None:
    unclear = of_steps(32, [step(32, "regression"), step(16, "inconclusive"), step(8, "failed")])

    assert unclear.looks == 2


def test_the_simulation_counts_what_was_named_and_what_was_not() -> None:
    calm = bisection_simulation.row(0.005, False, 10, seed=1)
    loud = bisection_simulation.row(0.5, False, 5, seed=1)

    assert calm.startswith("| 0.5 % | 100.0 | 0.0 | 0.0 | 0.0 (<=")
    assert loud.startswith("| 50.0 % | 0.0 | 0.0 | 100.0 | 0.0 (<=")


def test_the_spec_that_is_slower_most_clearly_is_followed() -> None:
    wide = BisectionStep(4, 0, "wide", "regression", 0.5, 0.03, 0.9)
    narrow = BisectionStep(4, 0, "narrow", "regression", 0.1, 0.09, 0.11)

    assert bisection.clearest([wide, narrow, step(4, "unchanged")]) is narrow
    assert bisection.clearest([step(4, "unchanged")]) is None


@given(
    st.lists(st.booleans(), min_size=1, max_size=64),
    st.frozensets(st.integers(1, 63)),
)
def test_every_change_of_structure_that_can_be_seen_is_found(
    changes: list[bool], broken: frozenset[int]
) -> None:
    last = len(changes)
    # Never back to what it was, so that equal ends mean that nothing changed.
    level = [sum(changes[:place]) for place in range(last + 1)]
    known: dict[int, int | None] = {0: level[0], last: level[last]}
    while (place := bisection.inspected_next(last, known, int.__ne__)) is not None:
        assert place not in known
        known[place] = None if place in broken else level[place]

    found = bisection.changes(known, int.__ne__)

    truth = [place for place in range(1, last + 1) if changes[place - 1]]
    for place in truth:
        assert any(before < place <= after for before, after in found)
    for before, after in found:
        assert level[before] != level[after]
    if sum(changes) <= 2 and not broken:
        assert [after for _, after in found] == truth
        assert all(after - before == 1 for before, after in found)


# --- The exit code.

COMMITS = tuple(Commit(f"{place:040x}", f"change {place}") for place in range(5))
CHANGE = StructureChange(1, 2, {SPEC: (Difference("cost", "parameters: 1 -> 2 (+1)"),)})


def bisection_of(*steps: BisectionStep, **more: object) -> Bisection:
    followed = any(one.verdict == "regression" for one in steps)
    search = of_steps(4, steps) if followed else None
    fields = {"spec": SPEC if followed else "", "steps": steps, "search": search} | more
    return Bisection(COMMITS, ("v1", "main"), 0.05, **fields)  # type: ignore[arg-type]


NAMED = (step(4, "regression"), step(2, "regression"), step(1, "unchanged"),
         step(2, "regression", 1))  # fmt: skip


@pytest.mark.parametrize(
    ("found", "error", "said"),
    [
        (bisection_of(*NAMED[:2], step(1, "failed")), Inconclusive, "it is one of 2 commits: the"),
        (bisection_of(*NAMED[:3], step(2, "inconclusive", 1)), Inconclusive, "1 commit: slower"),
        (bisection_of(step(4, "unchanged")), UsageError, "nothing to bisect: main is not slower"),
        (bisection_of(timed=False), UsageError, "nothing to bisect: the structure of both is"),
        (bisection_of(step(4, "failed", reason="build: x")), SomeFailed, "a: build: x"),
        (bisection_of(step(4, "inconclusive", reason="noisy")), Inconclusive, "cannot be decided"),
        (bisection_of(step(4, "inconclusive", reason="noisy"), changes=(CHANGE,)), Inconclusive,
         "cannot be decided: noisy"),
    ],
)  # fmt: skip
def test_what_is_not_named_has_an_exit_code(found: Bisection, error: type, said: str) -> None:
    with pytest.raises(error, match=said):
        conclude(found)
    assert found.culprit is None


def test_a_named_commit_and_a_changed_structure_are_answers() -> None:
    named = bisection_of(*NAMED)

    conclude(named)
    conclude(bisection_of(step(4, "unchanged"), changes=(CHANGE,)))
    conclude(bisection_of(timed=False, changes=(CHANGE,)))
    assert named.culprit == COMMITS[2]
    assert named.between == (1, 2)
