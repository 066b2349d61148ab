"""Who of the modes of a network has further rounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cnnbench.runner.race import Race
from cnnbench.runner.schedule import START_SECONDS
from cnnbench.spec import Spec
from tests import made

if TYPE_CHECKING:
    from cnnbench.record import Record

EAGER = (10.0, 10.01, 10.0)
FAST = (5.0, 5.01, 5.0)


def spec(mode: str) -> Spec:
    return Spec.parse(f"{made.WORKLOAD}/{mode}/cpu-t2")


def records(**times: tuple[float, ...]) -> list[Record]:
    """In rounds of milliseconds, by mode; ``_`` stands for ``+``."""
    return [
        made.record(
            spec(mode.replace("__", "+")).id, [[one] * 3 for one in rounds], ensemble="e",
            compile_cache="cold" if mode.startswith("compile") else None,
        )
        for mode, rounds in times.items()
    ]  # fmt: skip


def taken(race: Race, found: list[Record], passed: float = 0.0) -> list[str]:
    return [one.mode.text for one in race(found, passed)]


def test_what_is_certain_ends_the_race() -> None:
    race = Race(5)

    assert taken(race, records(eager=EAGER, channels_last=FAST)) == []
    assert taken(race, []) == []
    assert not race.again


def test_what_may_still_be_faster_is_measured_again_beside_the_choice_and_eager() -> None:
    race = Race(5)
    found = records(eager=EAGER, channels_last=FAST, compile=(4.5, 5.5, 5.0), fp16=(20.0, 20, 20))

    assert taken(race, found) == ["eager", "channels_last", "compile"]
    assert set(race.again.values()) == {1}
    assert len(race.again) == 3


def test_without_a_limit_of_time_there_are_as_many_further_rounds_as_said() -> None:
    race = Race(2)
    found = records(eager=EAGER, channels_last=FAST, compile=(4.5, 5.5, 5.0))

    assert [bool(taken(race, found)) for _ in range(4)] == [True, True, False, False]


def test_a_limit_of_time_ends_it_before_a_round_would_be_too_long() -> None:
    race = Race(1, until=60.0)
    found = records(eager=EAGER, channels_last=FAST, compile=(4.5, 5.5, 5.0))

    # Each round takes 20 s, as is seen after the first.
    assert [bool(taken(race, found, passed)) for passed in (0.0, 20.0, 40.0, 41.0)] == [
        True, True, True, False,
    ]  # fmt: skip


def test_what_waits_comes_in_alone_until_it_has_an_interval() -> None:
    waits = spec("compile")
    race = Race(5, [waits, spec("bf16")], until=1000.0)
    found = records(eager=EAGER, channels_last=FAST)

    assert taken(race, found) == ["eager", "channels_last", "compile"]
    found += records(compile=(4.0,))
    assert taken(race, found) == ["eager", "channels_last", "compile"]
    assert race.waiting == (spec("bf16"),)
    assert not race.again


def test_what_failed_as_it_came_in_is_not_tried_again() -> None:
    race = Race(5, [spec("compile")], until=1000.0)
    found = records(eager=EAGER, channels_last=FAST)

    assert taken(race, found)
    assert taken(race, [*found, made.failed(spec("compile").id)]) == []


@pytest.mark.parametrize(("seconds", "fits"), [(10.0, True), (60.0, False)])
def test_what_would_take_too_long_waits_to_the_end(seconds: float, fits: bool) -> None:
    waits = spec("aoti")
    until = 40.0 + 2 * START_SECONDS
    race = Race(5, [waits], until, lambda _: seconds)

    assert bool(taken(race, records(eager=EAGER, channels_last=FAST))) is fits
    assert race.waiting == (() if fits else (waits,))


def test_one_that_is_too_slow_is_passed_over_for_one_that_fits() -> None:
    slow, quick = spec("compile"), spec("bf16")
    race = Race(5, [slow, quick], 60.0, lambda one: 100.0 if one == slow else 0.0)

    assert taken(race, records(eager=EAGER, channels_last=FAST))[-1] == "bf16"
    assert race.waiting == (slow,)


def test_how_long_a_compiler_takes_is_learned_from_what_was_compiled() -> None:
    waits = spec("compile+channels_last")
    race = Race(5, [waits], 1000.0, lambda _: 500.0)
    before = race.seconds(waits)
    taken(race, records(eager=EAGER, compile=(12.0, 12.0, 12.0)))

    assert race.seconds(waits) < before - 400
