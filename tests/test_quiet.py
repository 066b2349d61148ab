from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench import quiet
from cnnbench.quiet import CoreUse

if TYPE_CHECKING:
    from collections.abc import Iterator

STAT = """cpu  99 99 99 99 99 99 99 99 99 99
cpu0 10 20 30 100 5 1 2 3 7 7
cpu1 1 1 1 200 0 0 0 0 0 0
cpu10 4 4 4 4 4 4 4 4 4 4
intr 12345 0
"""


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(quiet, "time", made)
    return made


def test_ticks_are_those_of_the_cores_asked_for_without_idle_and_guests() -> None:
    assert quiet.ticks(STAT, frozenset({0})) == (66, 171)
    assert quiet.ticks(STAT, frozenset({0, 1})) == (69, 374)
    assert quiet.ticks(STAT, frozenset({0, 2})) is None
    assert quiet.ticks("", frozenset({0})) is None


def test_a_clock_that_stands_still_tells_nothing() -> None:
    assert quiet.share((1, 2), (1, 2)) is None
    assert quiet.share(None, (1, 2)) is None
    assert quiet.share((1, 2), (4, 8)) == 0.5


@given(
    st.floats(0, 64), st.integers(1, 64), st.none() | st.floats(0.1, 64),
    st.none() | st.floats(0, 64),
)  # fmt: skip
def test_what_is_free_is_never_negative_nor_more_than_there_is(
    busy: float, cores: int, quota: float | None, group: float | None
) -> None:
    use = CoreUse(busy, cores, quota, group)

    assert 0 <= use.free <= use.limit <= cores


def test_the_sample_of_this_machine_lies_between_nothing_and_all(clock: Clock) -> None:
    """Where time stands still in between, the kernel's clocks may as well."""
    use = quiet.read()

    assert clock.now == quiet.SAMPLE_SECONDS
    assert use is None or 0 <= use.busy <= use.cores


def readings(*calm: bool) -> Iterator[bool]:
    yield from calm
    while True:
        yield calm[-1]


def test_several_quiet_samples_in_a_row_are_waited_for(clock: Clock) -> None:
    samples = readings(True, True, False, True, True, True, False)

    assert quiet.until_quiet(60, lambda: next(samples))
    assert clock.now == 5 * quiet.PAUSE_SECONDS


def test_what_never_gets_quiet_is_waited_for_no_longer_than_asked(clock: Clock) -> None:
    assert not quiet.until_quiet(7.5, lambda: False)
    assert clock.now == 7.5


def test_with_no_time_for_several_samples_the_last_decides(clock: Clock) -> None:
    assert quiet.until_quiet(0.5, lambda: True)
    assert clock.now == 0.5


def stats(*readings: dict[int, tuple[int, int]]) -> Iterator[str]:
    """Texts of /proc/stat: a core's busy and idle ticks."""
    for one in readings:
        yield "".join(f"cpu{n} {busy} 0 0 {idle} 0 0 0 0\n" for n, (busy, idle) in one.items())


@pytest.mark.parametrize(
    ("after", "siblings", "core"),
    [
        ({0: (20, 0), 1: (2, 18)}, {}, 1),
        ({0: (2, 18), 1: (20, 0)}, {}, 0),
        # Quiet, but beside a hyperthread that is not: what slows it is seen nowhere else.
        ({0: (1, 19), 1: (12, 8), 2: (20, 0), 3: (0, 20)}, {0: "0,2", 2: "0,2", 1: "1,3"}, 1),
    ],
)
def test_the_freest_core(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, after: dict[int, tuple[int, int]],
    siblings: dict[int, str], core: int,
) -> None:  # fmt: skip
    usable = {0, 1}
    before = dict.fromkeys(after, (0, 0))
    monkeypatch.setattr(quiet, "_usable", lambda: frozenset(usable))

    def read(path: object) -> str | None:
        if str(path) == "/proc/stat":
            (text,) = stats(after if clock.now else before)
            return text
        found = {n: text for n, text in siblings.items() if f"cpu{n}/" in str(path)}
        return next(iter(found.values()), None)

    monkeypatch.setattr(quiet.machine, "read_text", read)

    assert quiet.freest_core() == core


def test_one_core_is_the_freest_without_looking(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr(quiet, "_usable", lambda: frozenset({3}))

    assert quiet.freest_core() == 3
    assert clock.now == 0.0


def test_where_processes_stay_on_no_core_none_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quiet, "_usable", frozenset)

    assert quiet.freest_core() is None
