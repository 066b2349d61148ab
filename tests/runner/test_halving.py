"""A batch that is too large for the device has a row, and half of it is measured instead."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cnnbench import store
from cnnbench.environment import Environment
from cnnbench.errors import WorkerDied, WorkerRaised
from cnnbench.plan import Plan
from cnnbench.record import Failure, Record
from cnnbench.runner import campaign, halving
from cnnbench.runner.session import Session
from cnnbench.runner.subject import Group
from cnnbench.spec import Device, Mode, Spec, Workload
from cnnbench.suite import Grid
from cnnbench.usual import USUAL
from tests.runner.conftest import Ear, Heard, Trouble

FULL = WorkerRaised("OutOfMemoryError: CUDA out of memory", "out_of_memory")


def specs(*batches: int, modes: tuple[str, ...] = ("eager", "tf32")) -> list[Spec]:
    return [
        Spec(Workload("lenet", batch, (1, 8, 8)), Mode.parse(mode, "cuda"), Device("cuda"), 1)
        for batch in batches
        for mode in modes
    ]


def too_much(most: dict[str, int]) -> Trouble:
    """No memory in a mode beyond a batch; workers are told apart by what they were last asked."""

    def raises(heard: Heard) -> Exception | None:
        full = heard.what == "measure" and heard.batch > most.get(heard.mode, 1 << 20)
        return FULL if full else None

    return Trouble(raises)


def measure(who: Trouble, work: list[Spec], **plan: object) -> tuple[dict[str, Record], Ear]:
    ear = Ear()
    how = Plan(**({"rounds": 2, "slices": 3, "halve_batch": True} | plan))
    session = Session(who, how, Environment({"fake": True}), ear)
    return {one.id: one for some in session.run([work]) for one in some}, ear


def by_batch(found: dict[str, Record], mode: str) -> dict[int, str]:
    """Batch -> the kind of failure, or nothing."""
    some = [one for one in found.values() if one.spec.mode.text == mode]
    kinds = {one.spec.workload.batch: one.failure for one in some}
    return {batch: "" if failed is None else failed.kind for batch, failed in kinds.items()}


def test_what_does_not_fit_is_halved_until_it_does_and_says_so() -> None:
    found, ear = measure(too_much({"eager": 64, "tf32": 128}), specs(1, 256))

    full = "out_of_memory"
    assert by_batch(found, "eager") == {1: "", 256: full, 128: full, 64: ""}
    assert by_batch(found, "tf32") == {1: "", 256: full, 128: "", 64: ""}
    notes = {one.id: " ".join(one.notes) for one in found.values()}
    eager, tf32 = (one.id for one in specs(256))
    assert f"batch 64 was measured instead: {specs(64)[0].id}" in notes[eager]
    assert f"batch 128 was measured instead: {specs(128)[1].id}" in notes[tf32]
    assert "batch 256 does not fit" in notes[specs(64)[0].id]
    assert "not finished" not in " ".join(notes.values())
    assert {one.rounds for one in found.values() if one.failure is None} == {2}
    assert sorted(one.id for one in ear.records) == sorted(found)


@pytest.mark.parametrize("plan", [{"halve_batch": False}, {}])
def test_a_batch_that_was_asked_for_or_has_no_half_stays_a_failure(plan: dict[str, bool]) -> None:
    work = specs(1) if not plan else specs(256)

    found, _ = measure(too_much({"eager": 0}), work, **plan)

    assert set(found) == {one.id for one in work}
    assert found[work[0].id].failure.kind == "out_of_memory"
    assert not any("instead" in note for one in found.values() for note in one.notes)


def test_it_ends_where_nothing_fits_or_the_half_is_measured_anyway() -> None:
    found, _ = measure(too_much({"eager": 0}), specs(1, 8, modes=("eager",)))

    assert by_batch(found, "eager") == dict.fromkeys([1, 8, 4, 2], "out_of_memory")
    note = " ".join(found[specs(8)[0].id].notes)
    assert "out_of_memory at batch 8; no smaller batch could be measured" in note


def test_with_a_budget_too() -> None:
    found, _ = measure(too_much({"eager": 8}), specs(16, modes=("eager",)), budget=60.0)

    assert by_batch(found, "eager") == {16: "out_of_memory", 8: ""}


def test_an_interrupted_run_goes_on_with_the_half() -> None:
    """A kill before the half was measured leaves the failure open."""
    session = Session(
        too_much({"eager": 8}), Plan(rounds=1, slices=3, halve_batch=True),
        Environment({"fake": True}), Ear(),
    )  # fmt: skip
    (first,) = next(iter(session.run([specs(16, modes=("eager",))])))

    assert first.failure.kind == "out_of_memory"
    assert first.unfinished


@pytest.mark.parametrize("error", [WorkerDied("gone"), WorkerRaised("no", "error")])
def test_other_failures_are_no_reason(error: Exception) -> None:
    who = Trouble(lambda heard: error if heard.what == "measure" else None)

    found, _ = measure(who, specs(16, modes=("eager",)))

    assert set(found) == {specs(16)[0].id}


def test_what_failed_otherwise_is_left_out_of_the_half() -> None:
    group = Group("0", specs(16))
    group.subjects[0].failure = Failure("build", "error", "no")
    group.subjects[1].failure = Failure("build", halving.FULL, "no")

    assert [one.id for one in halving.smaller(group, halving.Known())] == [specs(8)[1].id]


@pytest.mark.parametrize("kind", sorted(USUAL))
def test_what_is_not_asked_for_is_what_is_usual_on_the_device(kind: str) -> None:
    usual, grid = USUAL[kind], Grid(("lenet",), (), (), device=Device(kind))

    job = campaign.prepare(grid, Plan(), "fake", free=True)

    assert {one.workload.batch for one in job.specs} == set(usual.batches)
    assert list(dict.fromkeys(one.mode.text for one in job.specs)) == list(usual.modes)
    assert job.plan.rounds == usual.rounds
    assert job.plan.halve_batch is usual.halved


def test_what_is_asked_for_is_what_is_measured() -> None:
    grid = Grid(("lenet",), ("eager",), (256,), device=Device("cuda"))

    job = campaign.prepare(grid, Plan(rounds=7), "fake")

    assert [one.id for one in job.specs] == [specs(256)[0].id.replace("1x8x8", "3x32x32").replace(
        "-t1", f"-t{job.specs[0].threads}")]  # fmt: skip
    assert job.plan.rounds == 7
    assert job.plan.halve_batch is False


def test_resuming_measures_the_half_of_what_was_left_open(tmp_path, monkeypatch) -> None:
    grid = Grid(("lenet",), ("eager",), (), device=Device("cuda"), threads=(1,))
    job = campaign.prepare(grid, Plan(rounds=1, slices=3), "fake")
    stop = iter(range(2))

    class Killed(Ear):
        def working(self, what: str, done: int, total: int) -> None:
            if "b128" in what and next(stop, None) is not None:
                raise KeyboardInterrupt

    who = too_much({"eager": 128})
    monkeypatch.setattr("cnnbench.runner.campaign.executor", lambda name: who)
    job = replace(job, executor=who)
    with pytest.raises(KeyboardInterrupt):
        campaign.start(job, tmp_path / "run", Killed())
    left = store.read(tmp_path / "run")
    assert [Spec.parse(name).workload.batch for name in left.unfinished] == [256]

    done = campaign.resume(tmp_path / "run", Ear())

    assert {one.spec.workload.batch for one in done.records} == {1, 256, 128}
    assert not done.unfinished
