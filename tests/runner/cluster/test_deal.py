"""Who has which group next: values only."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.runner.cluster.deal import MOST_LOSSES, Deal, Parcel, expected


def deal(*seconds: float, kind: str = "") -> Deal:
    return Deal().with_more(Parcel(number, one, kind) for number, one in enumerate(seconds))


def test_the_longest_group_is_handed_out_first_and_once() -> None:
    found = deal(1, 9, 5).joined("a", "K").joined("b", "K")
    first = found.choice("a")
    assert first is not None
    found = found.handed("a", first)
    second = found.choice("b")

    assert first.seconds == 9
    assert second is not None
    assert second.seconds == 5
    assert found.choice("a") is None
    assert found.free == ["b"]


def test_what_a_lost_host_had_goes_to_another_and_comes_at_its_place() -> None:
    found = deal(9, 5, 1).joined("a", "K").joined("b", "K")
    found = found.handed("a", found.left[0]).lost("a")

    assert [one.seconds for one in found.left] == [9, 5, 1]
    assert found.left[0].losses == 1
    assert found.choice("a") is None
    assert found.choice("b") == found.left[0]


def test_a_group_that_every_host_is_lost_with_is_given_up() -> None:
    found = deal(9, 1)
    for number in range(MOST_LOSSES):
        host = f"h{number}"
        found = found.joined(host, "K")
        found = found.handed(host, found.left[0]).lost(host)

    assert [one.seconds for one in found.given_up] == [9]
    assert [one.seconds for one in found.left] == [1]


def test_a_host_that_had_nothing_costs_nothing() -> None:
    assert deal(1).joined("a", "K").lost("a") == deal(1)


def test_what_is_for_one_kind_waits_for_it() -> None:
    found = deal(9, kind="A").with_more([Parcel(1, 1.0)]).joined("b", "B")
    other = found.choice("b")

    assert other is not None
    assert other.seconds == 1
    found = found.joined("a", "A")
    assert found.choice("a") == found.left[0]


def test_it_is_over_when_nobody_has_anything() -> None:
    found = deal(1).joined("a", "K")
    assert not found.over
    found = found.handed("a", found.left[0])
    assert not found.over
    assert found.done("a").over


def test_an_expected_end_is_that_of_the_longest_first() -> None:
    assert expected([3, 3, 2, 2, 2], 2) == 7
    assert expected([4], 3) == 4
    assert expected([], 0) == 0


def simulated(
    seconds: list[float], hosts: int, chance: random.Random, losses: float = 0.0,
    wrong: float = 0.0, times: Sequence[float] = (1.0,),
) -> tuple[float, float, dict[int, int]]:  # fmt: skip
    """When everything is done, seconds of work, and how often each group was measured."""
    state = Deal().with_more(Parcel(number, one) for number, one in enumerate(seconds))
    real = [one * chance.lognormvariate(0, wrong) for one in seconds]
    events: list[tuple[float, str, bool]] = []
    measured: dict[int, int] = {}
    slow = {f"h{number}": times[number % len(times)] for number in range(hosts)}
    now, names = 0.0, [f"h{number}" for number in range(hosts)]
    for name in names:
        state = state.joined(name, "K")
    while not state.over:
        chosen = state.choices(now)
        assert chosen or state.taken, "somebody always works"
        for name, parcel in chosen.items():
            state = state.handed(name, parcel, now)
            fails = chance.random() < losses and len(state.hosts) > 1
            length = slow[name] * real[parcel.group] * (chance.random() if fails else 1)
            heapq.heappush(events, (now + length, name, fails))
        now, name, fails = heapq.heappop(events)
        if fails and len(state.hosts) > 1:
            state = state.lost(name)
        else:
            parcel = state.taken[name]
            measured[parcel.group] = measured.get(parcel.group, 0) + 1
            state = state.done(name, now)
    for parcel in state.given_up:
        measured[parcel.group] = measured.get(parcel.group, 0) + 1
    return now, sum(real), measured


@pytest.mark.parametrize("wrong", [0.0, 0.5])
def test_hosts_are_hardly_idle(wrong: float) -> None:
    """A fifth of what bench/cluster_simulation.py simulates."""
    chance = random.Random(1)
    seconds = [chance.lognormvariate(3, 1) for _ in range(500)]
    end, work, _ = simulated(seconds, 40, chance, wrong=wrong)
    least = max(work / 40, max(seconds))

    assert end <= 1.05 * least + (max(seconds) if wrong else 0)


def test_hosts_that_differ_by_three_are_hardly_idle() -> None:
    chance = random.Random(1)
    seconds = [chance.lognormvariate(3, 1) for _ in range(500)]
    end, work, _ = simulated(seconds, 40, chance, times=(1.0, 1 / 3))
    least = max(work / 80, max(seconds) / 3)

    assert end <= 1.05 * least


def test_a_slow_host_leaves_the_last_group_to_one_that_ends_it_sooner() -> None:
    found = deal(10, 9, 8, 1, 1, 1).joined("slow", "K").joined("fast", "K")
    for number, (host, took) in enumerate((("slow", 3.0), ("fast", 1.0)) * 2):
        place = -1 if number < 3 else 2
        parcel = found.left[place]
        found = found.handed(host, parcel, 0.0).done(host, took * parcel.seconds)
    assert [one.seconds for one in found.left] == [10, 9]
    found = found.handed("fast", found.left[0], 100.0)

    assert found.choices(100.0) == {}
    assert found.choices(112.0) == {}
    # It does not end, so that nobody knows when it will.
    assert found.choices(140.0) == {"slow": found.left[0]}
    assert found.lost("fast").choice("slow", 100.0) == Parcel(0, 10, losses=1)


def test_a_host_that_nothing_is_known_of_begins_with_a_short_group() -> None:
    many = [90.0, *[60.0] * 10, *[10.0] * 5]
    found = deal(*many).joined("a", "K").joined("b", "K")
    short = found.choice("a")
    assert short is not None
    assert short.seconds == 10
    found = found.handed("a", short, 0.0).done("a", 10.0)

    assert found.choice("a", 10.0) == found.left[0]
    alone = deal(*many).joined("a", "K")
    assert alone.choice("a") == alone.left[0]
    few = deal(9, 8, 7, 6, 5).joined("a", "K").joined("b", "K")
    assert few.choice("a") == few.left[0]


@given(
    st.lists(st.floats(0.1, 100), min_size=1, max_size=30), st.integers(1, 8),
    st.floats(0, 0.5), st.integers(0, 1000),
)  # fmt: skip
def test_every_group_is_measured_or_given_up_once(
    seconds: list[float], hosts: int, losses: float, seed: int
) -> None:
    _, _, times = simulated(seconds, hosts, random.Random(seed), losses)

    assert times == dict.fromkeys(range(len(seconds)), 1)
