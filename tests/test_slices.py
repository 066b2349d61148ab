from __future__ import annotations

import json
import statistics
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.codec import decode, encode
from cnnbench.errors import SchemaError
from cnnbench.facts import Check
from cnnbench.record import Run, run_from_json
from cnnbench.slices import WITNESSES, Slice, Slices, columns
from tests import made

COUNTS = st.none() | st.integers(0, 2**62)
SLICE = st.builds(
    Slice, st.integers(0, 99), st.integers(1, 99),
    st.lists(st.integers(1, 10**12), min_size=1, max_size=5).map(tuple),
    **dict.fromkeys(WITNESSES, COUNTS),
    canaries_ns=st.dictionaries(st.sampled_from(["matmul", "python"]), st.integers(1, 10**6)),
    device=st.dictionaries(st.sampled_from(["sm_clock_mhz", "throttle"]), st.integers()),
)  # fmt: skip
SEVERAL = st.lists(SLICE, max_size=4)


@given(SEVERAL)
def test_columns_give_back_the_slices_they_were_made_of(some: list[Slice]) -> None:
    found = Slices.of(some)

    assert list(found) == some
    assert len(found) == len(some)
    assert [found[index] for index in range(-len(some), len(some))] == some + some
    assert found[::-1] == Slices.of(some[::-1])


@given(SEVERAL)
def test_columns_survive_the_way_through_json_text(some: list[Slice]) -> None:
    found = Slices.of(some)

    assert decode(Slices, json.loads(json.dumps(encode(found)))) == found


@given(SEVERAL)
def test_a_list_of_objects_as_it_used_to_be_is_read_as_columns(some: list[Slice]) -> None:
    text = json.dumps([encode(one) for one in some])

    assert decode(Slices, columns(json.loads(text))) == Slices.of(some)


@given(SEVERAL)
def test_what_is_asked_of_columns_is_what_the_slices_say(some: list[Slice]) -> None:
    found = Slices.of(some)

    assert list(found.seconds) == [one.seconds for one in some]
    assert list(found.seconds) == [statistics.median(one.ns) / one.iterations / 1e9 for one in some]
    assert found.sampled_ns == sum(sum(one.ns) for one in some)
    assert list(found.calls) == [one.iterations * len(one.ns) for one in some]
    assert found.per_call_ns == [ns / one.iterations for one in some for ns in one.ns]
    for name in WITNESSES:
        values = [getattr(one, name) for one in some]
        assert found.total(name) == (None if None in values else sum(values))


def test_a_witness_that_no_slice_has_takes_no_room() -> None:
    assert encode(Slices.of([Slice(0, 1, (5,)), Slice(1, 1, (6,))])) == {
        "turn": [0, 1], "iterations": [1, 1], "ns": [[5], [6]], "canaries_ns": {},
    }  # fmt: skip


def test_an_index_beyond_the_last_is_an_error() -> None:
    with pytest.raises(IndexError):
        Slices.of([Slice(0, 1, (5,))])[1]


SLICE_JSON = {"turn": 0, "iterations": 1, "ns": [1]}
COLUMNS = encode(
    Slices.of([Slice(0, 1, (5,), 1, canaries_ns={"python": 1}, device={"a": 1})] * 2)
)  # fmt: skip


@pytest.mark.parametrize("name", ["turn", "iterations", "ns", "cpu_ns", "device"])
def test_a_column_that_is_too_short_is_refused(name: str) -> None:
    with pytest.raises(SchemaError, match=r"^Slices: columns are of unequal length; 'turn' has"):
        decode(Slices, COLUMNS | {name: COLUMNS[name][:1]})


def test_a_canary_that_was_not_always_there_is_refused() -> None:
    with pytest.raises(SchemaError, match=r"^Slices: .*unequal length"):
        decode(Slices, COLUMNS | {"canaries_ns": {"python": [1]}})


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"ns": [[5], [True]]}, r"ns\[1\]\[0\]: expected int, found bool"),
        ({"ns": [[5], 6]}, r"ns\[1\]: expected a list, found int"),
        ({"ns": [[5], [6.5]]}, r"ns\[1\]\[0\]: expected int, found float"),
        ({"turn": [0, None]}, r"turn\[1\]: expected int, found NoneType"),
        ({"cpu_ns": [1, "2"]}, r"cpu_ns\[1\]: expected int, found str"),
        ({"speed": [1, 2]}, "speed: no such field"),
    ],
)
def test_a_column_of_something_else_is_refused_by_its_place(
    change: dict[str, Any], place: str
) -> None:
    with pytest.raises(SchemaError, match=f"^Slices.{place}"):
        decode(Slices, COLUMNS | change)


@pytest.mark.parametrize(
    "slices",
    [
        None, 3, "x", {}, [1], [[]], [{}], [{"turn": 0}], [SLICE_JSON | {"ns": None}],
        [SLICE_JSON | {"ns": []}], [SLICE_JSON | {"ns": [0]}], [SLICE_JSON | {"iterations": 0}],
        *([SLICE_JSON | {name: wrong}] for name in ("canaries_ns", "device")
          for wrong in (3, 0, None, "", [], False, [1])),
        [SLICE_JSON | {"canaries_ns": {"python": None}}],
        [SLICE_JSON | {"speed": 3}], [SLICE_JSON, {"turn": 1, "iterations": 1}],
    ],
)  # fmt: skip
def test_an_old_list_that_does_not_fit_is_refused_too(slices: Any) -> None:
    run = encode(made.run(0, [1.0])) | {"slices": slices}

    with pytest.raises(SchemaError, match="slices"):
        run_from_json(run)


def test_a_worker_of_an_older_version_is_understood() -> None:
    # A gate measures the program's own older revisions, whose workers answer with lists.
    run = made.run(0, [1.0, 2.0])
    old = encode(run) | {"slices": [encode(one) for one in run.slices]}

    assert run_from_json(old) == run_from_json(encode(run)) == run


def test_a_run_without_slices_has_no_time() -> None:
    run = Run(0, "e", Slices.of([]), (), 0, Check("ok"))

    assert run.seconds is None
    assert run.slices.total("cpu_ns") == 0
    assert not run.slices
    assert replace(run, slices=Slices.of([])) == run


@given(SLICE)
def test_awake_seconds_are_some_of_the_seconds_and_never_less_than_none(one: Slice) -> None:
    awake = one.awake_seconds

    assert (awake is None) == (one.run_delay_ns is None)
    assert awake is None or 0 <= awake <= one.seconds


def test_a_slice_that_never_waited_was_awake_all_the_time() -> None:
    one = Slice(0, 1, (10, 11, 30), cpu_ns=51, run_delay_ns=0)

    assert one.awake_seconds == one.seconds == pytest.approx(11e-9)


def test_waiting_is_taken_out_in_proportion_to_what_was_counted() -> None:
    # Of 240 ns counted, 120 were waiting; the samples are 200 of them, so 100 were.
    half = Slice(0, 1, (100, 100), cpu_ns=120, run_delay_ns=120)
    # What the code itself waits for stays: 200 ns of samples, of which 50 are computed.
    sleeps = Slice(0, 1, (100, 100), cpu_ns=50, run_delay_ns=50)

    assert half.awake_seconds == pytest.approx(50e-9)
    assert sleeps.awake_seconds == pytest.approx(75e-9)


def test_a_wait_that_hits_one_sample_does_not_move_the_median() -> None:
    one = Slice(0, 1, (10, 10, 10, 1000), cpu_ns=60, run_delay_ns=960)

    assert one.awake_seconds == pytest.approx(10e-9)


def test_cpu_seconds_are_per_call() -> None:
    assert Slice(0, 5, (100, 100), cpu_ns=120).cpu_seconds == pytest.approx(12e-9)
    assert Slice(0, 5, (100, 100)).cpu_seconds is None
    assert Slices.of([Slice(0, 1, (1,), cpu_ns=1), Slice(1, 1, (1,))]).cpu_seconds is None
