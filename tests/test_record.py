from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench import metrics, record
from cnnbench.environment import Environment
from cnnbench.errors import CnnbenchError, SchemaError
from cnnbench.facts import Check, ColdStart
from cnnbench.record import Failure, Record
from cnnbench.slices import Slice, Slices
from tests import made

SCHEMAS = Path(__file__).parent / "schemas"
COUNTS = st.none() | st.integers(0, 2**62)

SLICES = st.builds(
    Slice, st.integers(0, 9), st.integers(1, 99),
    st.lists(st.integers(1, 10**12), min_size=1, max_size=4).map(tuple), COUNTS, COUNTS,
)  # fmt: skip
CHECKS = st.builds(
    Check, st.sampled_from(["ok", "loose", "wrong", "unchecked"]),
    st.none() | st.floats(0, 10), reason=st.text(),
)  # fmt: skip
RUNS = st.builds(
    record.Run, st.integers(0, 9), st.text(), st.lists(SLICES, max_size=3).map(Slices.of),
    st.lists(st.integers(0, 10**12), max_size=3).map(tuple), st.integers(0, 10**12), CHECKS,
    flags=st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text()),
)  # fmt: skip
RECORDS = st.builds(
    Record, st.sampled_from([made.EAGER, made.BF16]), st.text(), st.text(),
    cost=st.none() | st.just(made.COST), runs=st.lists(RUNS, max_size=2).map(tuple),
    failure=st.none() | st.builds(Failure, st.text(), st.text(), st.text()),
    notes=st.lists(st.text(), max_size=2).map(tuple),
)  # fmt: skip


def through_text(one: Record) -> Record:
    return record.from_json(json.loads(json.dumps(record.to_json(one))))


@given(RECORDS)
def test_records_survive_the_way_through_json_text(one: Record) -> None:
    assert through_text(one) == one


def test_records_by_meaning_survive_too(eager, twice_as_fast, failed, wrong) -> None:
    for one in (eager, twice_as_fast, failed, wrong):
        assert through_text(one) == one


@pytest.mark.parametrize("data", [None, [], 3, "x", {}, {"schema": "1"}, {"id": made.EAGER}])
def test_what_has_no_schema_is_no_record(data: Any) -> None:
    with pytest.raises(SchemaError, match="no schema number"):
        record.from_json(data)


@pytest.mark.parametrize(
    ("schema", "said"),
    [(record.SCHEMA + 1, "is not known.*install a newer"), (0, "is none: they begin at 1"),
     (-1, "is none: they begin at 1")],
)  # fmt: skip
def test_an_unknown_schema_asks_for_a_newer_version_where_there_may_be_one(
    eager: Record, schema: int, said: str
) -> None:
    with pytest.raises(SchemaError, match=f"schema {schema} {said}"):
        record.from_json(record.to_json(eager) | {"schema": schema})


@pytest.mark.parametrize(
    "change", [{"id": "nonsense"}, {"runs": None}, {"extra": 1}, {"cost": {"params": 1}}]
)
def test_a_record_that_is_not_whole_is_refused(eager: Record, change: dict[str, Any]) -> None:
    with pytest.raises(CnnbenchError):
        record.from_json(record.to_json(eager) | change)


def test_a_status_that_nobody_knows_is_refused_when_read(eager: Record) -> None:
    data = json.loads(json.dumps(record.to_json(eager)))
    data["runs"][0]["check"]["status"] = "splendid"

    with pytest.raises(SchemaError, match="splendid"):
        record.from_json(data)


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.jsonl")), ids=lambda path: path.name)
def test_old_schemas_are_read_for_ever(path: Path) -> None:
    lines = path.read_text(encoding="utf8").splitlines()

    records = [record.from_json(json.loads(line)) for line in lines]

    assert [one.status for one in records] == ["ok", "failed", "wrong"]


def test_every_schema_has_a_file() -> None:
    numbers = {int(path.stem) for path in SCHEMAS.glob("*.jsonl")}

    assert numbers == set(range(1, record.SCHEMA + 1))


def test_schema_10_says_what_the_convolutions_of_a_substitute_take() -> None:
    good = record.from_json(json.loads((SCHEMAS / "10.jsonl").read_text().splitlines()[0]))

    assert good.algorithm is not None
    assert list(good.algorithm.stage_ns.items()) == [
        ("n1c64h56w56-k64-3x3-p1-g64", 70_000), ("n1c64h56w56-k64-1x1", 150_000), ("", 30_000),
    ]  # fmt: skip


def test_schema_9_says_what_a_cold_start_takes() -> None:
    good = record.from_json(json.loads((SCHEMAS / "9.jsonl").read_text().splitlines()[0]))

    whole = metrics.metric("cold_start").of(good).point
    parts = [metrics.metric(f"cold_{one}").of(good).point for one in ("import", "load", "first")]

    # Two processes took 1.9 s and 2.021 s; Python's own start is the 20 ms beside the parts.
    assert whole == pytest.approx((1.9 + 2.021) / 2)
    assert parts == pytest.approx([1.55, 0.305, 0.085])
    assert whole - sum(parts) == pytest.approx(0.0205, abs=1e-3)


def test_a_cold_start_has_all_parts_of_every_process() -> None:
    with pytest.raises(SchemaError, match="same number of processes"):
        ColdStart((1, 2), (1,), (1, 2), (1, 2))
    with pytest.raises(SchemaError, match="same number of processes"):
        ColdStart((), (), (), ())


def test_schema_8_says_how_a_network_came_to_run_in_a_runtime() -> None:
    good = record.from_json(json.loads((SCHEMAS / "8.jsonl").read_text().splitlines()[0]))

    assert good.runs[0].deployment.precision == "float32"
    assert metrics.metric("export_time").of(good).point == pytest.approx(20)
    assert metrics.metric("load_time").of(good).point == pytest.approx(1.26)
    assert metrics.metric("artefact").of(good).point == 46_000_000
    assert good.runs[1].deployment is None


def test_schema_1_is_read_with_its_numbers() -> None:
    lines = (SCHEMAS / "1.jsonl").read_text(encoding="utf8").splitlines()

    good, bad, wrong = (record.from_json(json.loads(line)) for line in lines)

    assert good.id == "resnet18?num_classes=10/inference-b8-3x224x224/compile+channels_last/cpu-t2"
    assert good.spec.workload.keywords == {"num_classes": 10}
    assert metrics.latency(good).point == pytest.approx(0.021)
    assert good.cost.macs == 14_512_287_744
    assert good.reference.subnormal_share == 0.25
    assert good.memory.missing == {"cpu_high_water_bytes": "the kernel does not say"}
    assert good.runs[0].flags == {"collector": False, "omp": None}
    assert [run.compile_cache for run in good.runs] == ["cold", "warm"]
    assert bad.failure == Failure("first call", "out_of_memory", "no memory left", "Traceback")
    assert bad.notes == ("static cost not known: no rule",)
    assert wrong.check.reason == "relative error 0.5"
    assert wrong.spec.device.text == "cuda:1"


def test_the_worst_check_of_all_runs_counts() -> None:
    runs = [made.run(0, [1], check=Check(status)) for status in ("ok", "wrong", "loose")]

    one = Record(made.EAGER, "", "", runs=tuple(runs))

    assert (one.status, one.check.status) == ("wrong", "wrong")


def test_unchecked_is_worse_than_ok_and_better_than_loose() -> None:
    def status(*texts: str) -> str:
        runs = tuple(made.run(0, [1], check=Check(text)) for text in texts)
        return Record(made.EAGER, "", "", runs=runs).status

    assert status("ok", "unchecked") == "unchecked"
    assert status("unchecked", "loose") == "loose"


def test_a_record_without_runs_or_with_a_failure_is_failed(eager: Record) -> None:
    assert replace(eager, runs=()).status == "failed"
    assert replace(eager, failure=Failure("measure", "died", "gone")).status == "failed"


def test_the_first_failure_is_kept(eager: Record) -> None:
    first, second = Failure("build", "error", "1"), Failure("measure", "died", "2")

    assert record.with_failure(record.with_failure(eager, first), second).failure == first


def test_the_fingerprint_is_of_the_hard_part_only() -> None:
    one = Environment({"cpu": "a", "cores": 2}, {"load": [1]})

    assert one.fingerprint == Environment({"cores": 2, "cpu": "a"}, {"load": [9]}).fingerprint
    assert one.fingerprint != Environment({"cores": 3, "cpu": "a"}).fingerprint


def test_flops_are_two_per_multiply_accumulate() -> None:
    assert made.COST.flops == 2 * made.COST.macs


def test_schema_2_keeps_what_it_added() -> None:
    line = (SCHEMAS / "2.jsonl").read_text(encoding="utf8").splitlines()[0]

    kept = record.from_json(json.loads(line))

    assert kept.structure is not None
    assert kept.structure.graph_breaks == {"call to print": 1}
    assert kept.algorithm is not None
    assert kept.algorithm.workspace_bytes == 3000
    assert [one.dispatch_ns for one in kept.ceilings] == [900]
    parts = [part.name for part in kept.runs[0].parts]
    assert parts == ["forward", "loss", "backward", "optimizer"]
    assert kept.runs[0].slices[0].canaries_ns == {"matmul": 310000, "python": 290000}


def test_schema_3_keeps_what_it_added_and_schema_2_lacks_it() -> None:
    old, new = (
        record.from_json(json.loads((SCHEMAS / name).read_text(encoding="utf8").splitlines()[0]))
        for name in ("2.jsonl", "3.jsonl")
    )

    assert (old.algorithm.primitive_ns, old.algorithm.allocator) == ((), "")
    assert metrics.metric("reorder_share").of(old) is None
    assert metrics.metric("reorder_share").of(new).point == pytest.approx(0.25)
    assert new.algorithm.allocator == "glibc 2.36"


def test_schema_6_keeps_what_it_added_and_schema_5_lacks_it() -> None:
    old, new = (
        record.from_json(json.loads((SCHEMAS / name).read_text(encoding="utf8").splitlines()[0]))
        for name in ("5.jsonl", "6.jsonl")
    )

    assert (old.reference.notes, old.reference.accuracy_top1) == ((), None)
    assert metrics.metric("accuracy_top1").of(old) is None
    found = metrics.metric("accuracy_top1").of(new)
    assert (found.point, metrics.metric("top1_pictures").of(new).point) == (0.75, 32)
    assert 0.5 < found.low < 0.75 < found.high < 0.9
    assert metrics.metric("accuracy_fp32_top1").of(new).point == 0.78125


def test_schema_8_says_which_gpu_it_was_and_schema_7_does_not() -> None:
    old, new = (
        record.from_json(json.loads((SCHEMAS / name).read_text(encoding="utf8").splitlines()[0]))
        for name in ("7.jsonl", "8.jsonl")
    )

    assert {run.gpu for run in old.runs} == {None}
    gpu = new.runs[0].gpu
    assert (gpu.index, gpu.uuid[:8], gpu.cores) == (2, "5f2c0000", (4, 5))
    assert gpu.neighbours == {"0": ("resnet50/inference-b8-3x224x224",)}
    assert record.from_json(record.to_json(new)) == new


def test_a_record_of_schema_1_is_one_of_schema_2_without_what_it_added() -> None:
    line = (SCHEMAS / "1.jsonl").read_text(encoding="utf8").splitlines()[0]

    migrated = record.from_json(json.loads(line))

    assert migrated.schema == record.SCHEMA
    assert (migrated.structure, migrated.algorithm, migrated.ceilings) == (None, None, ())


def test_a_run_with_cold_caches_says_so(eager: Record) -> None:
    cold = [replace(run, flags={**run.flags, "l2": "cold"}) for run in eager.runs]

    assert record.notes_of(eager.spec.mode, cold) == ("caches flushed before every sample",)
    assert record.notes_of(eager.spec.mode, eager.runs) == ()
