from __future__ import annotations

import copy
import functools
import json
import math
import operator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench import imported, metrics
from cnnbench.errors import Incomparable, StoreError, UnknownName
from cnnbench.record import from_json, to_json
from cnnbench.spec import Spec


def file(path: Path, *times: float, name: str = "tests/test_a.py::test[x/y]", **more) -> Path:
    stats = {"median": times[0], "iterations": 2, "data": list(times)} | more.pop("stats", {})
    machine = {"machine": "x86_64", "python_version": "3.11.0", "system": "Linux",
               "cpu": {"brand_raw": "A Processor", "count": 2}}  # fmt: skip
    data = {
        "machine_info": machine | more.pop("machine", {}),
        "benchmarks": [{"fullname": name, "stats": stats}],
        "datetime": "2026-01-02T03:04:05",
    } | more
    path.write_text(json.dumps(data), encoding="utf8")
    return path


def test_one_file_is_one_round_with_all_samples(tmp_path) -> None:
    environment, (record,) = imported.read([file(tmp_path / "a", 0.010, 0.011, 0.012)])

    assert environment.hard["cpu"] == "A Processor"
    assert environment.hard["imported"] == "pytest-benchmark"
    (run,) = record.runs
    assert run.slices[0].ns == (20_000_000, 22_000_000, 24_000_000)
    assert metrics.latency(record).point == pytest.approx(0.011)
    assert metrics.latency(record).low is None
    assert record.status == "unchecked"


def test_several_files_are_several_rounds(tmp_path) -> None:
    paths = [file(tmp_path / str(n), time) for n, time in enumerate((0.010, 0.012, 0.011))]

    _, (record,) = imported.read(paths)

    estimate = metrics.latency(record)
    assert (estimate.rounds, estimate.point) == (3, pytest.approx(0.011))
    assert len({run.ensemble for run in record.runs}) == 3


def test_the_spec_says_that_it_is_imported_and_of_what(tmp_path) -> None:
    _, (record,) = imported.read([file(tmp_path / "a", 0.01)])

    assert record.spec.workload.architecture == "imported:tests/test_a.py::test[x/y]"
    assert Spec.parse(record.id) == record.spec
    assert any("placeholders" in note for note in record.notes)
    assert from_json(to_json(record)) == record


JUNK = (
    None,
    [],
    {},
    "x",
    -1,
    0,
    1.5,
    True,
    "\ud800",
    "a\nb",
    1e400,
    math.nan,
    2**70,
    [1],
    {"a": 1},
)


def places(data, path=()):
    """Every place in JSON data."""
    yield path
    keys = data if isinstance(data, dict) else range(len(data) if isinstance(data, list) else 0)
    for key in keys:
        yield from places(data[key], (*path, key))


def test_whatever_stands_in_a_file_it_is_read_or_refused_and_can_be_kept(tmp_path) -> None:
    whole = json.loads(file(tmp_path / "whole", 0.1, 0.2, commit_info={"id": "a"}).read_bytes())
    path = tmp_path / "file.json"
    for *way, last in list(places(whole))[1:]:
        for junk in JUNK:
            data = copy.deepcopy(whole)
            functools.reduce(operator.getitem, way, data)[last] = junk
            path.write_text(json.dumps(data))
            try:
                _, records = imported.read([path, path])
            except (StoreError, Incomparable):
                continue
            assert [from_json(json.loads(json.dumps(to_json(one)))) for one in records]


@pytest.mark.parametrize("junk", ["x", 3, [1], True])
@pytest.mark.parametrize("name", ["machine_info", "commit_info"])
def test_a_foreign_file_with_a_part_of_another_type_is_one_line(
    cnnbench_cli, tmp_path, name: str, junk: object
) -> None:
    data = json.loads(file(tmp_path / "whole", 0.1).read_bytes()) | {name: junk}
    (tmp_path / "file.json").write_text(json.dumps(data))

    done = cnnbench_cli("import", "file.json", "--out", "run")

    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert f"file.json.{name}: expected an object" in done.stderr
    assert not (tmp_path / "run").exists()


@given(st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable()))
def test_any_name_is_a_spec(name: str) -> None:
    spec = imported.spec_of(name)

    assert Spec.parse(spec.id).workload.architecture == f"imported:{name}"


def test_a_file_without_samples_says_so(tmp_path) -> None:
    _, (record,) = imported.read([file(tmp_path / "a", 0.01, stats={"data": []})])

    assert metrics.latency(record).point == pytest.approx(0.01)
    assert any("contains no samples" in note for note in record.notes)


def test_a_benchmark_that_not_all_files_have_has_fewer_rounds(tmp_path) -> None:
    paths = [file(tmp_path / "a", 0.01), file(tmp_path / "b", 0.01, name="other")]

    _, records = imported.read(paths)

    assert [len(one.runs) for one in records] == [1, 1]


def test_files_of_unlike_machines_do_not_join(tmp_path) -> None:
    paths = [
        file(tmp_path / "a", 0.01),
        file(tmp_path / "b", 0.01, machine={"python_version": "3.12.0"}),
    ]

    with pytest.raises(Incomparable, match=r"another machine than .*\(different: python\)"):
        imported.read(paths)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON"),
        ("[]", "it has no 'benchmarks'"),
        ('{"benchmarks": []}', "its list of 'benchmarks' is empty"),
        (
            '{"benchmarks": [{"fullname": "a", "stats": {"median": 1},'
            ' "extra_info": {"round_samples": [2]}}]}',
            "its rounds do not have as many samples",
        ),
        (
            '{"benchmarks": [{"fullname": "a", "stats": {"median": 1},'
            ' "extra_info": {"round_samples": ["x"]}}]}',
            "its rounds do not have as many samples",
        ),
        ('{"benchmarks": [{}]}', r"benchmarks\[0\]: not a benchmark"),
        ('{"benchmarks": [3]}', r"benchmarks\[0\]: not a benchmark"),
        ('{"benchmarks": [{"fullname": "a", "stats": {"median": "x"}}]}', "not a benchmark"),
        ('{"benchmarks": [{"fullname": "a", "stats": {"median": -1}}]}', "not positive"),
        ('{"benchmarks": [{"fullname": "a", "stats": {"median": Infinity}}]}', "not a benchmark"),
    ],
)
def test_what_is_not_of_that_tool_is_refused(tmp_path, text: str, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text, encoding="utf8")

    with pytest.raises(StoreError, match=message):
        imported.read([path])


def test_a_file_or_a_format_that_is_not_there_is_named(tmp_path) -> None:
    with pytest.raises(StoreError, match="gone: No such file"):
        imported.read([tmp_path / "gone"])
    with pytest.raises(UnknownName, match="unknown import format 'asv'"):
        imported.read([tmp_path / "gone"], "asv")
