from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cnnbench import metrics
from cnnbench.environment import Environment
from cnnbench.errors import WorkerDied, WorkerRaised, WorkerTimeout
from cnnbench.facts import Reference
from cnnbench.plan import Plan
from cnnbench.requests import ComputeReference
from cnnbench.runner import reference
from cnnbench.runner.process import StarterDied
from cnnbench.runner.session import Session
from cnnbench.runner.subject import batches
from tests import made
from tests.runner.conftest import Ear, Heard, Trouble, specs

if TYPE_CHECKING:
    from cnnbench.record import Record
    from cnnbench.spec import Spec

MODES = ("eager", "channels_last", "amp=bf16")


def measure(trouble: Trouble, work: list[list[Spec]], **plan: Any) -> dict[str, Any]:
    """Records by mode and model."""
    session = Session(
        trouble, Plan(**({"rounds": 3, "slices": 3} | plan)), Environment({"fake": True}), Ear()
    )
    found = {record.id: record for records in session.run(work) for record in records}
    assert not any(record.unfinished for record in found.values())
    # In the order of the specs, not of their ends.
    return {spec.id: found[spec.id] for specs in work for spec in specs}


def only(what: str, mode: str, error: Exception):
    return lambda heard: error if (heard.what, heard.mode) == (what, mode) else None


def test_everything_is_measured_in_every_round() -> None:
    work = specs(*MODES, models=("lenet", "alexnet"))

    records = measure(Trouble(), [work], rounds=4)

    assert list(records) == [spec.id for spec in work]
    for record in records.values():
        assert record.status == "ok"
        assert [run.round for run in record.runs] == [0, 1, 2, 3]
        assert None not in (record.cost, record.reference, record.memory)


def test_modes_of_a_workload_share_their_ensembles_and_workloads_do_not() -> None:
    records = list(measure(Trouble(), [specs("eager", "fp16", models=("a", "b"))]).values())
    names = [{run.ensemble for run in record.runs} for record in records]

    assert names[0] == names[1]
    assert len(names[0]) == 3
    assert not names[0] & names[2]


def test_ensembles_of_two_sessions_never_pair_up() -> None:
    one, other = (next(iter(measure(Trouble(), [specs("eager")]).values())) for _ in range(2))

    assert not {run.ensemble for run in one.runs} & {run.ensemble for run in other.runs}
    assert metrics.speedup(one, other) is None


def test_every_round_is_a_pool_of_its_own() -> None:
    trouble = Trouble()
    measure(trouble, [specs("eager"), specs("fp16")], rounds=3)

    assert trouble.pools == 6
    assert {h.pool for h in trouble.heard if h.what == "slice"} == {1, 2, 3, 4, 5, 6}


def test_cost_and_reference_are_asked_once_per_workload_and_memory_once_per_spec() -> None:
    trouble = Trouble()
    measure(trouble, [specs(*MODES)])

    asked = [(heard.what, heard.mode) for heard in trouble.heard if heard.pool == 1]
    assert [what for what, _ in asked].count("analyze") == 1
    assert [one for one in asked if one[0] == "reference"] == [("reference", "eager")]
    assert [mode for what, mode in asked if what == "memory"] == list(MODES)
    assert {h.what for h in trouble.heard if h.pool > 1} == {"measure", "slice", "finish"}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (WorkerRaised("ValueError: x"), "error"),
        (WorkerRaised("out of memory", "out_of_memory"), "out_of_memory"),
        (WorkerDied("killed by SIGKILL"), "died"),
        (WorkerTimeout("no answer"), "timeout"),
    ],
)
@pytest.mark.parametrize("what", ["measure", "slice", "finish"])
def test_a_spec_in_trouble_has_a_row_and_the_others_have_numbers(
    what: str, error: Exception, kind: str
) -> None:
    work = specs(*MODES)

    records = measure(Trouble(only(what, "channels_last", error)), [work])

    assert [record.status for record in records.values()] == ["ok", "failed", "ok"]
    failure = records[work[1].id].failure
    assert (failure.phase, failure.kind, failure.message) == (what, kind, str(error))


def test_a_failed_spec_is_not_asked_again_in_later_rounds() -> None:
    trouble = Trouble(only("measure", "channels_last", WorkerDied("gone")))
    measure(trouble, [specs(*MODES)])

    asked = [h.pool for h in trouble.heard if (h.what, h.mode) == ("measure", "channels_last")]
    assert asked == [1]
    assert "channels_last" not in {h.mode for h in trouble.heard if h.what == "memory"}


def test_a_spec_that_fails_in_a_later_round_keeps_its_runs_and_has_no_number() -> None:
    def raises(heard: Heard) -> Exception | None:
        late = (heard.what, heard.mode, heard.pool) == ("measure", "eager", 2)
        return WorkerDied("gone") if late else None

    record = measure(Trouble(raises), [specs("eager", "fp16")])[specs("eager")[0].id]

    assert (len(record.runs), record.status) == (1, "failed")
    assert metrics.latency(record) is None


def test_all_specs_failing_is_a_row_each() -> None:
    records = measure(Trouble(lambda heard: WorkerDied("gone")), [specs(*MODES)])

    assert [record.status for record in records.values()] == ["failed"] * 3


def test_a_spec_lost_once_with_the_pool_is_tried_again_alone() -> None:
    told = []

    def raises(heard: Heard) -> Exception | None:
        first = heard.turn == 1 and heard.pool == 1 and len(told) < 3
        if first:
            told.append(heard.mode)
        return StarterDied("the process that supervises the workers was killed") if first else None

    trouble = Trouble(raises)
    records = measure(trouble, [specs(*MODES)])

    assert sorted(told) == sorted(MODES)
    assert [record.status for record in records.values()] == ["ok"] * 3
    assert [len(record.runs) for record in records.values()] == [3] * 3
    alone = [record.runs[0].ensemble for record in records.values()]
    assert len(set(alone)) == 3


def test_a_spec_lost_twice_is_a_failed_row_and_the_innocent_are_measured() -> None:
    def raises(heard: Heard) -> Exception | None:
        guilty = heard.mode == "channels_last" and heard.turn == 0
        return StarterDied("killed") if guilty else None

    work = specs(*MODES)
    records = measure(Trouble(raises), [work])

    assert [record.status for record in records.values()] == ["ok", "failed", "ok"]
    assert records[work[1].id].failure.kind == "died"


def test_when_no_worker_starts_every_spec_is_a_failed_row() -> None:
    trouble = Trouble(on_start=lambda pool: StarterDied("no worker process can be started: x"))

    records = measure(trouble, [specs(*MODES)])

    assert [record.failure.kind for record in records.values()] == ["died"] * 3


def test_without_a_reference_specs_are_still_measured() -> None:
    trouble = Trouble(only("reference", "eager", WorkerRaised("ValueError: x")))

    (record,) = measure(trouble, [specs("channels_last")]).values()

    assert record.reference is None
    assert len(record.runs) == 3


def test_a_network_whose_reference_hangs_is_not_waited_for_in_every_mode() -> None:
    trouble = Trouble(only("reference", "eager", WorkerTimeout("no answer")))

    records = measure(trouble, [specs(*MODES, models=("a",)), specs("eager", models=("b",))])

    assert [h.what for h in trouble.heard if h.workload == "a"] == ["reference"]
    assert {record.failure.kind for record in records.values()} == {"timeout"}


def test_a_reference_too_large_for_float64_is_taken_without() -> None:
    def raises(heard: Heard) -> Exception | None:
        return WorkerTimeout("no answer") if heard.what == "reference float64" else None

    trouble = Trouble(raises, wide=True)
    (record,) = measure(trouble, [specs("eager")]).values()

    asked = [heard.what for heard in trouble.heard[:2]]
    assert asked == ["reference float64", "reference"]
    assert record.reference is not None


@pytest.mark.parametrize(
    ("task", "note"),
    [("analyze", "static cost not known: x"), ("memory", "memory not measured: x")],
)
def test_what_fails_beside_the_timing_is_a_note(task: str, note: str) -> None:
    trouble = Trouble(lambda heard: WorkerRaised("x") if heard.what == task else None)

    (record,) = measure(trouble, [specs("eager")]).values()

    assert (record.status, record.notes) == ("ok", (note,))
    assert getattr(record, {"analyze": "cost"}.get(task, task)) is None


def test_the_order_of_turns_is_a_matter_of_the_seed() -> None:
    def turns(seed: int) -> list[tuple[str, int | None]]:
        trouble = Trouble()
        measure(trouble, [specs(*MODES)], seed=seed, slices=8)
        return [(heard.mode, heard.turn) for heard in trouble.heard if heard.what == "slice"]

    assert turns(3) == turns(3)
    assert turns(3) != turns(4)


def test_the_watcher_hears_of_every_record_after_it_was_handed_over() -> None:
    ear = Ear()
    session = Session(Trouble(), Plan(rounds=3, slices=1), Environment({}), ear)
    finished = []
    for records in session.run([specs("eager"), specs("fp16", "bf16")]):
        assert len(ear.records) == len(finished)
        finished += [record for record in records if not record.unfinished]

    assert ear.records == finished
    assert len(finished) == 3


def test_every_ensemble_is_handed_over_as_soon_as_it_has_been_measured() -> None:
    trouble = Trouble()
    session = Session(trouble, Plan(rounds=3, slices=1), Environment({}), Ear())

    measured, times = 0, 0
    for records in session.run([specs("eager", "fp16", models=("a", "b"))]):
        now = sum(one.what == "finish" for one in trouble.heard)
        # Two modes in one ensemble, or the passes without a clock after it.
        assert now - measured in {0, 2}
        measured, times = now, times + 1
        assert {record.spec.workload.architecture for record in records} in ({"a"}, {"b"})

    assert (measured, times) == (12, 2 * (3 + 1))


def test_a_record_says_that_rounds_are_missing_until_it_has_them_all() -> None:
    session = Session(Trouble(), Plan(rounds=2, slices=1), Environment({}), Ear())

    found = [record for (record,) in session.run([specs("eager")])]

    missing = ("not finished: 1 of 2 rounds",)
    assert [record.notes for record in found] == [missing, missing, ()]
    assert [len(record.runs) for record in found] == [1, 1, 2]


def test_a_session_goes_on_where_another_was_stopped() -> None:
    work, plan = [specs(*MODES)], Plan(rounds=3, slices=1)
    first = Session(Trouble(), plan, Environment({}), Ear()).run(work)
    kept = {record.id: record for _ in range(3) for record in next(first)}
    first.close()
    trouble = Trouble()

    session = Session(trouble, plan, Environment({}), Ear(), kept=kept)
    found = {record.id: record for records in session.run(work) for record in records}

    for name, record in found.items():
        assert record.runs[:2] == kept[name].runs
        assert [run.round for run in record.runs] == [0, 1, 2]
        assert not record.unfinished
        assert record.memory is not None
    assert trouble.pools == 1


def test_kept_rounds_that_some_of_a_group_lack_are_measured_again() -> None:
    work, plan = [specs("eager", "fp16")], Plan(rounds=2, slices=1)
    (one, _) = next(Session(Trouble(), plan, Environment({}), Ear()).run(work))

    session = Session(Trouble(), plan, Environment({}), Ear(), kept={one.id: one})
    found = {record.id: record for records in session.run(work) for record in records}

    assert [[run.round for run in record.runs] for record in found.values()] == [[0, 1]] * 2
    assert one.runs[0].ensemble not in {run.ensemble for run in found[one.id].runs}


def again(trouble: Trouble, asked: list[list[Spec]], ear: Ear | None = None) -> dict[str, Any]:
    """Records of a session that is told who has further rounds."""

    class Asked:
        precisions = ("fp16",)

        def __call__(self, records: object, passed: float) -> list[Spec]:
            return next(rounds, [])

    rounds = iter(asked)
    session = Session(trouble, Plan(rounds=2, slices=3), Environment({"fake": True}),
                      ear or Ear(), again=Asked())  # fmt: skip
    found = session.run([specs("eager", "amp=bf16", "channels_last")])
    return {record.spec.mode.text: record for records in found for record in records}


def test_those_who_are_asked_for_have_further_rounds_and_the_others_rest() -> None:
    two = specs("eager", "channels_last")
    found = again(Trouble(), [two, two])

    assert {mode: len(one.runs) for mode, one in found.items()} == {
        "eager": 4, "amp=bf16": 2, "channels_last": 4,
    }  # fmt: skip
    assert not any(one.unfinished for one in found.values())
    assert len(metrics.timing.log_speedups(found["channels_last"], found["eager"])) == 4


def test_one_that_comes_in_later_has_everything_and_is_announced() -> None:
    trouble, ear = Trouble(), Ear()
    late = specs("eager", "fp16")
    found = again(trouble, [late, late], ear)

    assert found["fp16"].status == "ok"
    assert (len(found["fp16"].runs), len(found["amp=bf16"].runs)) == (2, 2)
    assert None not in (found["fp16"].memory, found["fp16"].structure, found["fp16"].cost)
    assert [one.id for one in ear.records].count(found["fp16"].id) == 1


def test_how_a_precision_rounds_is_known_before_it_comes_in() -> None:
    trouble = Trouble()
    again(trouble, [specs("eager", "fp16"), specs("eager", "amp=bf16")])

    assert [one.precisions for one in trouble.heard if one.what == "reference"] == [
        ("amp=bf16", "fp16"),
    ]  # fmt: skip


def test_progress_with_further_rounds_never_runs_backwards_or_past_its_end() -> None:
    ear = Ear()
    late = specs("eager", "fp16")
    again(Trouble(), [late, late, specs("eager", "channels_last")], ear)

    done = [step[1] for step in ear.steps]
    assert done == sorted(done)
    assert all(done <= total for _, done, total in ear.steps)
    assert not any(re.search(r"round (\d+) of (?!\1)[0-1]\b", what) for what, _, _ in ear.steps)
    rounds = [re.search(r"round (\d+) of (\d+)", what) for what, _, _ in ear.steps]
    assert all(int(one[1]) <= int(one[2]) for one in rounds if one)


def test_a_further_round_is_owed_to_nobody() -> None:
    """A kill while a late spec's passes run leaves no row that looks interrupted."""
    late, seen = specs("eager", "fp16"), []

    class Asked:
        precisions = ("fp16",)

        def __call__(self, records: object, passed: float) -> list[Spec]:
            return late if not seen else []

    session = Session(Trouble(), Plan(rounds=2, slices=3), Environment({"fake": True}), Ear(),
                      again=Asked())  # fmt: skip
    for records in session.run([specs("eager", "channels_last")]):
        if any(one.spec.mode.text == "fp16" for one in records):
            seen.append(records)
    (first, *_) = seen
    assert not any(one.unfinished for one in first)
    late_one = next(one for one in first if one.spec.mode.text == "fp16")
    assert any("memory and structure not measured" in note for note in late_one.notes)
    others = [one for one in first if one is not late_one]
    assert not any("not measured" in note for one in others for note in one.notes)


def test_a_budget_pays_for_rounds_and_not_for_idle_pools_while_it_is_open_what_to_use() -> None:
    trouble, ear = Trouble(), Ear()
    plan = Plan(rounds=3, slices=3, budget=1000.0, most_rounds=7)
    session = Session(trouble, plan, Environment({}), ear, clock=Clock(trouble))
    found = {one.id: one for some in session.run([specs("eager", "fp16")]) for one in some}

    counts = {len(one.runs) for one in found.values()}
    assert len(counts) == 1
    assert 3 <= counts.pop() <= 7
    assert trouble.pools <= 8


def test_progress_never_runs_backwards_or_past_its_end() -> None:
    ear = Ear()
    session = Session(Trouble(), Plan(rounds=3, slices=1), Environment({}), ear)
    for _ in session.run([specs(*MODES), specs("fp16")]):
        pass

    done = [done for _, done, _ in ear.steps]
    assert done == sorted(done)
    assert all(done <= total == 16 for _, done, total in ear.steps)


def test_batches_keep_workloads_whole() -> None:
    work = specs(*MODES, models=("a", "b", "c", "d"))

    found = list(batches(work, lambda spec: 20.0))

    assert [spec for batch in found for spec in batch] == work
    assert [len(batch) for batch in found] == [3, 3, 3, 3]
    assert [len(batch) for batch in batches(work, lambda spec: 14.0)] == [6, 6]
    assert [len(batch) for batch in batches(work, lambda spec: 1.0)] == [12]


def test_a_workload_that_is_too_long_for_a_batch_is_a_batch() -> None:
    assert [len(batch) for batch in batches(specs(*MODES), lambda spec: 1e6)] == [3]
    assert list(batches([], lambda spec: 1.0)) == []


class Clock:
    """A clock that a test moves; every pool takes ten seconds."""

    def __init__(self, trouble: Trouble) -> None:
        self._trouble = trouble

    def __call__(self) -> float:
        return 10.0 * self._trouble.pools


def handed(trouble: Trouble, work: list[list[Spec]], **plan: Any) -> list[list[Record]]:
    """What a session with a budget hands over, time by time."""
    session = Session(
        trouble, Plan(slices=2, **plan), Environment({"fake": True}), Ear(), clock=Clock(trouble)
    )
    return list(session.run(work))


def test_with_a_budget_everything_has_an_answer_before_anything_has_a_second() -> None:
    work = [specs("eager", models=("a",)), specs("eager", models=("b",))]

    found = handed(Trouble(), work, budget=50.0, rounds=9)

    assert [len(records[0].runs) for records in found[:2]] == [1, 1]
    assert {record.id for records in found[:2] for record in records} == {
        spec.id for batch in work for spec in batch
    }


def test_a_budget_is_spent_on_further_rounds_and_not_exceeded_by_more_than_one() -> None:
    trouble = Trouble()

    found = handed(trouble, [specs(*MODES)], budget=100.0, rounds=50)

    assert 8 <= trouble.pools <= 11
    assert len(found[-1][0].runs) == trouble.pools


def test_a_budget_that_is_too_small_still_gives_every_spec_an_answer() -> None:
    work = [specs("eager", models=(name,)) for name in "abcd"]

    found = handed(Trouble(), work, budget=1.0, rounds=9)

    assert [len(record.runs) for records in found for record in records] == [1] * 4


def test_a_budget_is_not_spent_on_what_is_known_well_enough() -> None:
    trouble = Trouble()

    handed(trouble, [specs("eager")], budget=1e6, rounds=40, precision=0.9)

    assert trouble.pools < 40


def test_the_time_left_is_that_of_the_work_where_a_budget_has_more() -> None:
    trouble, ear = Trouble(), Ear()
    plan = Plan(slices=2, budget=1e6, rounds=3)
    session = Session(trouble, plan, Environment({}), ear, clock=Clock(trouble))
    for _ in session.run([specs(*MODES)]):
        pass

    totals = [total for _, _, total in ear.steps]
    # Before the first round nobody knows.
    assert totals[0] == 1e6
    assert totals[-1] < 1000
    assert all(done <= total for _, done, total in ear.steps)


def test_a_spec_is_announced_once_however_often_it_is_refined() -> None:
    trouble, ear = Trouble(), Ear()
    plan = Plan(slices=2, budget=100.0, rounds=9)
    session = Session(trouble, plan, Environment({}), ear, clock=Clock(trouble))
    for _ in session.run([specs(*MODES)]):
        pass

    assert len(ear.records) == 3


def test_precision_ends_a_group_early_and_no_sooner_than_three_rounds() -> None:
    records = measure(Trouble(), [specs("eager")], rounds=30, precision=0.99)

    (record,) = records.values()
    assert 3 <= len(record.runs) < 30


def test_a_mode_in_float64_is_left_out_where_it_would_take_too_much_of_the_budget() -> None:
    trouble = Trouble(wide=True)
    session = Session(
        trouble, Plan(rounds=1, float64_macs=10), Environment({}), Ear(),
        macs={specs("eager")[0].id: 11},
    )  # fmt: skip

    *_, (record,) = session.run([specs("eager")])

    assert trouble.heard[0].what == "reference"
    assert record.notes == ("not compared with float64, which would take too much of the budget",)


def test_the_structure_comes_from_the_process_that_measured_memory() -> None:
    trouble = Trouble()

    records = measure(trouble, [specs("eager")])

    asked = [heard.what for heard in trouble.heard]
    assert asked[asked.index("memory") + 1] == "structure"
    assert all(record.structure is not None for record in records.values())


def test_a_structure_that_cannot_be_had_costs_no_memory_figure() -> None:
    trouble = Trouble(lambda heard: WorkerRaised("x") if heard.what == "structure" else None)

    (record,) = measure(trouble, [specs("eager")]).values()

    assert (record.status, record.notes) == ("ok", ("structure not known: x",))
    assert record.memory is not None


def test_with_a_budget_memory_waits_until_every_spec_has_its_first_answer() -> None:
    trouble = Trouble()
    work = [specs("eager", models=("a",)), specs("eager", models=("b",))]

    found = handed(trouble, work, budget=100.0, rounds=3)

    asked = [(heard.what, heard.workload) for heard in trouble.heard]
    assert asked.index(("memory", "a")) > asked.index(("slice", "b"))
    assert found[0][0].notes == ("memory and structure not measured: the budget left no time",)
    last = {record.id: record for records in found for record in records}
    assert all(record.memory is not None and not record.notes for record in last.values())


def test_a_budget_that_is_spent_leaves_a_note_for_what_was_left_out() -> None:
    ((record,),) = handed(Trouble(), [specs("eager")], budget=1.0, rounds=3)

    assert (record.status, record.memory) == ("ok", None)
    assert record.notes == ("memory and structure not measured: the budget left no time",)


@pytest.mark.parametrize(
    ("phase", "kind", "left"),
    [
        ("reference float64", "timeout", {"float64": False}),
        ("rounding bf16", "out_of_memory", {"precisions": ("fp16",)}),
        ("reference on every picture", "timeout", {"every_image": False}),
        ("calibrate", "out_of_memory", {"calibrate": None}),
        ("calibrate", "timeout", None),
        ("reference fp32", "error", None),
    ],
)
def test_a_reference_is_taken_without_the_part_that_failed(phase: str, kind: str, left) -> None:
    error = WorkerRaised("no memory left", kind)
    error.phase = phase
    request = ComputeReference(
        spec=made.EAGER, seed=0, reference_path="x", float64=True, precisions=("bf16", "fp16"),
        calibrate="y", every_image=True,
    )  # fmt: skip

    found = reference._without(request, error)

    assert found == (None if left is None else replace(request, **left))


def test_where_not_every_picture_could_be_looked_at_a_note_says_so(monkeypatch) -> None:
    def ask(pool, request, timeout) -> Reference:
        if request.every_image:
            error = WorkerTimeout("no answer within 9 s; raise --timeout")
            error.phase = "reference on every picture"
            raise error
        return Reference(True, 0.0, 0.0, nonfinite=False)

    monkeypatch.setattr(reference, "ask", ask)
    request = ComputeReference(
        spec=made.EAGER, seed=0, reference_path="x", float64=True, every_image=True
    )

    found = reference.ask_reference(None, request, 9.0)

    assert found.notes == (
        "--images: modes did not answer for all of the pictures: no answer within 9 s;"
        " raise --timeout",
    )


def test_the_reference_mode_stays_as_long_as_another_mode_does() -> None:
    # Pretended: eager takes 6.45 ms, amp=bf16 4.32 ms, channels_last 4.02 ms.
    work = specs("eager", "channels_last", "amp=bf16")

    eager, kept, dropped = measure(Trouble(), [work], max_latency=0.0042).values()

    assert [one.rounds for one in (eager, kept, dropped)] == [3, 3, 1]
    assert metrics.speedup(kept, eager) is not None
    assert (dropped.status, dropped.memory) == ("ok", None)
    assert dropped.notes == (
        "not measured further: every slice was slower than --max-latency 4.20 ms",
    )


def test_a_workload_that_is_slow_in_every_mode_has_one_round() -> None:
    trouble = Trouble()

    records = measure(trouble, [specs("eager", "channels_last")], max_latency=0.001)

    assert [one.rounds for one in records.values()] == [1, 1]
    assert trouble.pools == 1
    assert not any(one.what == "memory" for one in trouble.heard)


def test_an_interrupted_run_goes_on_without_what_was_dropped() -> None:
    work = specs("eager", "channels_last", "amp=bf16")
    plan = Plan(rounds=3, slices=3, max_latency=0.0042)
    first = next(Session(Trouble(), plan, Environment({}), Ear()).run([work]))
    left = [one for one in first if one.unfinished]

    session = Session(Trouble(), plan, Environment({}), Ear(), kept={one.id: one for one in left})
    *_, last = session.run([[one.spec for one in left]])

    assert [one.spec.mode.text for one in left] == ["eager", "channels_last"]
    assert [(one.rounds, one.unfinished) for one in last] == [(3, False)] * 2


def test_a_first_answer_is_told_after_one_round() -> None:
    ear = Ear()
    work = specs("eager", "channels_last")
    session = Session(Trouble(), Plan(rounds=3, slices=1), Environment({}), ear)

    list(session.run([work]))

    assert ear.early == [[spec.id for spec in work]]
    ear.early.clear()
    list(Session(Trouble(), Plan(rounds=1, slices=1), Environment({}), ear).run([work]))
    assert ear.early == []


@pytest.mark.parametrize(
    ("mode", "phase", "needed"),
    [
        ("eager", "inference", False),
        ("channels_last", "inference", False),
        ("compile", "inference", True),
        ("aoti", "inference", True),
        ("onnxruntime", "inference", False),
        ("eager", "training", True),  # by torch's optimizers
    ],
)
def test_the_compiler_is_imported_once_where_a_round_needs_it(mode, phase, needed: bool) -> None:
    trouble = Trouble()
    measure(trouble, [[replace(one, workload=replace(one.workload, phase=phase))
                       for one in specs(mode)]], rounds=2)  # fmt: skip

    assert trouble.compiling == [needed, needed]
