"""How fast hosts are, learned from what they took: values only."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.runner.cluster.pace import HostPace, slowness


def pace(*ratios: float) -> HostPace:
    found = HostPace()
    for one in ratios:
        found = found.after(10.0, 10.0 * one)
    return found


def test_while_nothing_is_known_all_hosts_are_alike() -> None:
    assert slowness({}, ["a", "b"]) == {"a": 1.0, "b": 1.0}
    assert slowness({"a": HostPace()}, ["a"]) == {"a": 1.0}


def test_hosts_that_differ_clearly_are_known_as_they_are() -> None:
    found = slowness({"a": pace(3, 3, 3), "b": pace(1, 1, 1)}, ["a", "b", "new"])

    assert found["a"] == pytest.approx(3)
    assert found["b"] == pytest.approx(1)
    assert found["new"] == pytest.approx(math.sqrt(3))


def test_one_group_says_half() -> None:
    found = slowness({"a": pace(4), "b": pace(1)}, ["a", "b"])

    assert found["a"] == pytest.approx(2 * math.sqrt(2))
    assert found["b"] == pytest.approx(math.sqrt(2))


def test_what_differs_on_each_host_as_much_says_nothing_of_hosts() -> None:
    found = slowness({"a": pace(0.5, 2), "b": pace(0.25, 4)}, ["a", "b"])

    assert found == {"a": 1.0, "b": 1.0}


def test_a_group_without_a_time_says_nothing() -> None:
    assert HostPace().after(0.0, 3.0) == HostPace().after(3.0, 0.0) == HostPace()


def test_speeds_between_one_and_three_are_found_in_rough_times() -> None:
    chance = random.Random(3)
    true = {f"h{number}": chance.uniform(1, 3) for number in range(100)}
    seen = {
        host: pace(*(one * chance.lognormvariate(0, 0.5) for _ in range(12)))
        for host, one in true.items()
    }
    found = slowness(seen, true)
    wrong = [abs(math.log(found[host] / true[host])) for host in true]
    plain = [abs(seen[host].total / 12 - math.log(true[host])) for host in true]

    assert sum(wrong) < sum(plain)
    assert sum(wrong) / len(wrong) < 0.15


@given(st.lists(st.lists(st.floats(0.01, 100), min_size=1, max_size=5), min_size=1, max_size=5))
def test_no_host_is_believed_to_be_beyond_what_was_seen(ratios: list[list[float]]) -> None:
    paces = {str(number): pace(*some) for number, some in enumerate(ratios)}
    every = [one for some in ratios for one in some]

    found = slowness(paces, [*paces, "new"])

    assert all(min(every) * 0.999 <= one <= max(every) * 1.001 for one in found.values())
