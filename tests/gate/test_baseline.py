from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench import metrics, store
from cnnbench.errors import Incomparable, SchemaError, StoreError
from cnnbench.facts import Sketch, Structure, Values
from cnnbench.gate import baseline
from cnnbench.gate.baseline import Baseline, Source
from cnnbench.gate.noise import Noise
from cnnbench.record import Record
from cnnbench.slices import Slice
from tests import made


def kept(path, *records: Record) -> Baseline:
    run = store.read(made.directory(path, records))
    return baseline.of_run(run, Source("abc123", dirty=False))


@pytest.fixture
def one(tmp_path, eager) -> Baseline:
    structured = replace(eager, structure=Structure(operators={"aten::relu": 2}, reorders=3))
    return kept(tmp_path / "one", structured)


def test_what_is_kept_reads_back_the_same(tmp_path, one) -> None:
    baseline.write(tmp_path / "b.json", one)

    assert baseline.read(tmp_path / "b.json") == one


def test_records_made_of_it_have_the_medians_of_the_run(tmp_path) -> None:
    record = made.record(made.EAGER, [[10, 11, 30], [12, 12, 13], [9, 8, 10]])

    again = kept(tmp_path / "run", record).records()[made.EAGER]

    assert metrics.latency(again) == metrics.latency(record)
    assert (again.cost, again.memory) == (record.cost, record.memory)
    assert again.check == record.check


@given(st.lists(st.integers(1, 10**10), min_size=1, max_size=30), st.integers(1, 1000))
def test_a_slice_keeps_its_median(ns: list[int], iterations: int) -> None:
    whole = Slice(0, iterations, tuple(ns))

    back = baseline._slice(0, baseline._summary(whole))

    assert back.ns[0] <= back.ns[1] <= back.ns[2]
    assert metrics.slice_seconds(back) == pytest.approx(
        metrics.slice_seconds(whole), abs=1e-9 / iterations
    )


def test_outputs_alone_are_taken_from_another_machine(one) -> None:
    computed = Values((Sketch("", 1, 1.0, (1.0,)),), None, "calibrated", 2, "float64")
    specs = {name: replace(entry, values=computed) for name, entry in one.specs.items()}
    there = replace(one, specs=specs, fingerprint="another")
    other = replace(there, specs={name: replace(e, cost=None) for name, e in specs.items()})

    found = baseline.with_values(one, there)

    assert baseline.only_values(one, there)
    assert not baseline.only_values(one, one)
    assert not baseline.only_values(one, other)
    assert found.specs[made.EAGER].values == computed
    assert replace(found, specs=one.specs) == one
    assert baseline.with_values(found, replace(there, specs=one.specs)) == found


def test_it_says_where_it_came_from(one) -> None:
    assert (one.source.revision, one.source.torch, one.source.python) == ("abc123", "2.0", "3.11.0")
    assert one.fingerprint == one.environment.fingerprint == made.ENVIRONMENT.fingerprint


def test_the_revision_is_that_of_the_run_and_not_of_the_moment(tmp_path, eager) -> None:
    run = store.read(made.directory(tmp_path / "run", [eager]))
    known = replace(run, manifest=replace(run.manifest, revision="def456", dirty=True))

    found = baseline.of_run(known, Source("abc123", dirty=False)).source

    assert (found.revision, found.dirty) == ("def456", True)


def test_restless_facts_are_not_kept(one) -> None:
    assert "load" not in one.soft
    assert "memory_limit" not in one.plan


def test_the_file_is_stable_and_has_a_line_per_part(one) -> None:
    text = baseline.render(one)

    assert text == baseline.render(one)
    assert json.loads(text)["specs"][made.EAGER]["cost"]["params"] == made.COST.params
    lines = [line.strip() for line in text.splitlines()]
    assert [line.split(":")[0] for line in lines if line.startswith('"kind"')] == ['"kind"']
    assert sum(line.startswith('{"session"') for line in lines) == 3
    assert sum(line.startswith('"structure"') for line in lines) == 1
    assert sum(line.startswith('"cpu"') for line in lines) == 1


def test_a_change_of_one_spec_changes_few_lines(tmp_path, eager, same) -> None:
    before = kept(tmp_path / "a", eager, same)
    after = replace(before, specs={
        **before.specs,
        made.EAGER: replace(before.specs[made.EAGER], cost=replace(made.COST, params=1)),
    })  # fmt: skip

    pairs = zip(
        baseline.render(before).splitlines(), baseline.render(after).splitlines(), strict=True
    )
    assert sum(old != new for old, new in pairs) == 1


def test_specs_that_failed_are_left_out_and_nothing_left_is_refused(
    tmp_path, eager, failed
) -> None:
    assert list(kept(tmp_path / "some", eager, failed).specs) == [made.EAGER]
    with pytest.raises(StoreError, match="nothing to keep"):
        kept(tmp_path / "none", failed)


def test_noise_within_a_session_is_the_spread_of_its_rounds(tmp_path) -> None:
    found = kept(tmp_path / "run", made.record(made.EAGER, [[10], [20], [40]]))

    assert found.specs[made.EAGER].noise.rounds == pytest.approx(math.log(2), abs=1e-6)
    assert found.specs[made.EAGER].noise.sessions is None


def test_sessions_join_and_teach_the_noise_between_them(tmp_path) -> None:
    made_of = [
        kept(tmp_path / f"s{n}", made.record(made.EAGER, [[time]] * 2))
        for n, time in enumerate((10, 20, 40))
    ]

    joined = baseline.updated(baseline.updated(made_of[0], made_of[1]), made_of[2])

    entry = joined.specs[made.EAGER]
    assert joined.sessions == ("s0", "s1", "s2")
    assert len(entry.rounds) == 6
    assert entry.noise.sessions == pytest.approx(math.log(2), abs=1e-6)
    assert entry.noise.rounds == 0


def test_the_same_run_twice_is_there_once(one) -> None:
    assert len(baseline.updated(one, one).specs[made.EAGER].rounds) == 3


def test_what_changed_is_replaced_and_what_is_new_is_added(tmp_path, eager, same) -> None:
    old = kept(tmp_path / "old", eager)
    new = kept(tmp_path / "new", replace(eager, cost=replace(made.COST, params=1)), same)

    joined = baseline.updated(old, new)

    assert {one.session for one in joined.specs[made.EAGER].rounds} == {"new"}
    assert made.CHANNELS_LAST in joined.specs


def test_the_revision_stays_that_of_the_times(tmp_path, one, eager) -> None:
    later = Source("def456", dirty=False)
    timed = replace(one, source=later)
    bare = {name: replace(entry, rounds=()) for name, entry in one.specs.items()}
    looked = replace(one, source=later, specs=bare)

    assert baseline.updated(one, timed).source.revision == "def456"
    assert baseline.updated(one, looked).source.revision == "abc123"
    assert baseline.updated(one, looked).specs[made.EAGER].rounds == one.specs[made.EAGER].rounds
    assert baseline.updated(replace(one, specs=bare), looked).source.revision == "def456"


def test_rounds_of_unlike_machines_do_not_join(one) -> None:
    other = replace(one, fingerprint="other", specs={})

    with pytest.raises(Incomparable, match="another environment"):
        baseline.updated(other, one)
    assert baseline.updated(other, one, replace_all=True) == one


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("", StoreError, "it is not JSON"),
        ("[]", StoreError, "make one with 'cnnbench baseline save'"),
        ('{"id": 1}', StoreError, "make one with"),
        ('{"kind": "cnnbench baseline", "schema": 7}', Incomparable, "schema 7"),
        ('{"kind": "cnnbench baseline", "schema": 1}', StoreError, "missing"),
    ],
)
def test_what_is_no_baseline_is_refused(tmp_path, text: str, kind, message: str) -> None:
    path = tmp_path / "b.json"
    path.write_text(text, encoding="utf8")

    with pytest.raises(kind, match=message):
        baseline.read(path)


def test_a_field_of_the_wrong_type_is_named(tmp_path, one) -> None:
    data = json.loads(baseline.render(one))
    data["specs"][made.EAGER]["rounds"] = 3
    (tmp_path / "b.json").write_text(json.dumps(data), encoding="utf8")

    with pytest.raises(StoreError, match="rounds: expected a list"):
        baseline.read(tmp_path / "b.json")


def test_files_that_cannot_be_read_or_written_are_named(tmp_path, one) -> None:
    with pytest.raises(StoreError, match=r"gone\.json: No such file"):
        baseline.read(tmp_path / "gone.json")
    (tmp_path / "file").write_text("", encoding="utf8")
    with pytest.raises(StoreError, match="file"):
        baseline.write(tmp_path / "file" / "b.json", one)


def test_a_baseline_is_a_side_with_its_noise(tmp_path, eager) -> None:
    run = store.read(made.directory(tmp_path / "run", [eager]))
    kept = baseline.of_run(run, Source())
    entry = replace(kept.specs[made.EAGER], noise=Noise(0.01, 0.02))

    side = baseline.side(replace(kept, specs={made.EAGER: entry}), "baseline.json")

    assert (side.noise, side.sessions) == ({made.EAGER: 0.02}, {made.EAGER: 1})


@pytest.mark.parametrize("value", [300.0, -0.1, math.nan, math.inf])
def test_a_noise_that_no_machine_has_is_refused(value: float) -> None:
    with pytest.raises(SchemaError, match="expected a standard deviation of log time"):
        Noise(0.01, value)
