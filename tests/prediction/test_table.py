from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from cnnbench.errors import SchemaError, StoreError
from cnnbench.prediction import table
from tests.prediction.made import ENVIRONMENT, network, timed

ROWS = (timed(8, 1e-6), timed(9, 2e-6), network("a", 1e-3, 9e-4))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "new" / table.file_name(ENVIRONMENT)
    with table.adding(found, ENVIRONMENT) as writer:
        writer.add(ROWS)
    return found


def _head(**more: object) -> str:
    return json.dumps({"cnnbench_operators": 1, "environment": {"hard": {}, "soft": {}}} | more)


def test_a_table_is_read_as_it_was_written(path: Path) -> None:
    found = table.read(path)

    assert found.environment.fingerprint == ENVIRONMENT.fingerprint
    assert [*found.operators.values(), *found.networks.values()] == [*ROWS]
    assert found.timed(1).keys() == {ROWS[0].call, ROWS[1].call}
    assert found.timed(2) == {}
    assert found.measured("eager", 1) == [ROWS[2]]
    assert found.measured("channels_last", 1) == []


def test_a_later_line_counts_in_place_of_an_earlier_one(path: Path) -> None:
    with table.adding(path, ENVIRONMENT) as writer:
        writer.add([timed(8, 5e-6)])

    assert table.read(path).timed(1)[ROWS[0].call].seconds == 5e-6


def test_every_prefix_of_a_file_is_read_and_written_on(path: Path) -> None:
    whole = path.read_bytes()
    begins = whole.index(b"\n") + 1
    for end in range(begins, len(whole), 7):
        path.write_bytes(whole[:end])
        with table.adding(path, ENVIRONMENT) as writer:
            writer.add([timed(77, 3e-6)])

        assert table.read(path).timed(1)[timed(77, 0).call].seconds == 3e-6


def test_what_was_timed_is_at_the_usual_pace_of_its_threads(path: Path) -> None:
    slow = [replace(timed(n, 2e-6), pace=3e-3) for n in (20, 21, 22)]
    fast = replace(timed(23, 1e-6), pace=1e-3)
    two = replace(timed(24, 5e-6), pace=7e-3, threads=2)
    net = replace(network("b", 1e-3, 9e-4), pace=1e-3)
    with table.adding(path, ENVIRONMENT) as writer:
        writer.add([*slow, fast, two, net])

    known = table.read(path)

    assert (known.usual_pace(1), known.usual_pace(2), known.usual_pace(3)) == (3e-3, 7e-3, None)
    found = known.timed(1)
    assert [found[one.call].seconds for one in (*slow, fast)] == pytest.approx([2e-6] * 3 + [3e-6])
    # Without a pace, as in older tables, times are as they are.
    assert found[ROWS[0].call] == ROWS[0]
    assert known.timed(2)[two.call] == two
    old, new = known.measured("eager", 1)
    assert old == ROWS[2]
    assert (new.seconds, new.alone) == pytest.approx((3e-3, 27e-4))


@pytest.mark.parametrize("pace", [1e-300, 1e-9, 1e-3 / 21, 21e-3, 1e3, 1e300])
def test_a_row_whose_pace_no_machine_has_is_left_out_and_said(path: Path, pace: float) -> None:
    usual = [replace(timed(n, 2e-6), pace=1e-3) for n in (20, 21, 22)]
    odd = [replace(timed(23, 1e-6), pace=pace), replace(network("b", 1e-3, 9e-4), pace=pace)]
    slow = replace(timed(24, 1e-6), pace=15e-3)
    with table.adding(path, ENVIRONMENT) as writer:
        writer.add([*usual, *odd, slow])

    known = table.read(path)

    assert known.timed(1).keys() == {one.call for one in (*ROWS[:2], *usual, slow)}
    assert known.measured("eager", 1) == [ROWS[2]]
    assert known.problems == (f"{path}: 2 rows skipped: the pace is over 20 times off",)


@pytest.mark.parametrize("pace", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("row", [ROWS[0], ROWS[2]])
def test_a_pace_is_a_time(row: object, pace: float) -> None:
    with pytest.raises(SchemaError, match="which is no time"):
        replace(row, pace=pace)


def test_a_second_writer_is_refused(path: Path) -> None:
    with (
        table.adding(path, ENVIRONMENT),
        pytest.raises(StoreError, match="another cnnbench is adding to this table"),
        table.adding(path, ENVIRONMENT),
    ):
        pass


def test_nothing_is_written_through_a_link(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.jsonl"
    link.symlink_to(path)

    with pytest.raises(StoreError), table.adding(link, ENVIRONMENT):
        pass


@pytest.mark.parametrize(
    ("lines", "part"),
    [
        ([], "no operator table"),
        (["hello"], "no operator table"),
        (["[1]"], "no operator table"),
        ([_head(cnnbench_operators=9)], "schema 9 is not known"),
        ([_head(environment=3)], "Environment"),
    ],
)
def test_what_is_no_table_is_refused_in_a_line(tmp_path: Path, lines: list[str], part: str) -> None:
    path = tmp_path / "table.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines))

    with pytest.raises(StoreError, match=part):
        table.read(path)


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("{}", ":2: line skipped: neither an operator nor a network"),
        ('{"operator": 3}', ":2: line skipped: neither an operator nor a network"),
        ('{"operator": {"call": {"operator": "os::system"}}}', ":2: line skipped: a call of"),
        (json.dumps({"network": {"spec": "x"}}), ":2: line skipped: "),
    ],
)
def test_a_line_that_is_none_costs_itself_alone_and_is_said(
    tmp_path: Path, line: str, part: str
) -> None:
    path = tmp_path / "table.jsonl"
    path.write_text(f"{_head()}\n{line}\n")

    found = table.read(path)

    assert not found.operators
    assert not found.networks
    (said,) = found.problems
    assert part in said


@pytest.mark.parametrize("seconds", [-1.0, float("inf"), float("nan")])
def test_a_time_is_a_time(seconds: float) -> None:
    with pytest.raises(SchemaError, match="no time"):
        timed(8, seconds)
    with pytest.raises(SchemaError, match="no time"):
        network("a", seconds, 1.0)
