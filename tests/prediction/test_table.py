from __future__ import annotations

import json
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
