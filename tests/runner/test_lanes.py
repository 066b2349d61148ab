"""Groups shared out among GPUs: nothing lost, nothing twice, never two at once on one GPU."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from cnnbench import metrics, store
from cnnbench.asking import AllGpus
from cnnbench.codec import decode
from cnnbench.environment import Environment
from cnnbench.errors import Incomparable, Unsupported, WorkerDied, WorkerError, WorkerRaised
from cnnbench.plan import Plan
from cnnbench.record import Record
from cnnbench.runner import campaign, tasks
from cnnbench.runner.executor import EXECUTORS
from cnnbench.runner.lanes import GpusLost, Lanes, home
from cnnbench.spec import Spec
from cnnbench.suite import Grid
from tests.runner.conftest import Ear
from tests.runner.gpus import (
    Heard,
    SeveralGpus,
    lanes,
    never_two_at_once,
    one_gpu_each,
    specs,
    uuid,
)

MODELS = ("lenet", "alexnet", "vgg11", "vgg16", "resnet18", "resnet34", "resnet50", "googlenet")
PLAN = Plan(rounds=3, slices=3)


def measure(
    who: SeveralGpus, work: list[Spec], count: int, plan: Plan = PLAN, **more: Any
) -> dict[str, Record]:
    """The last record of each spec, by id."""
    watcher, kept = more.pop("watcher", Ear()), more.pop("kept", {})
    session = Lanes(who, plan, who.environment, watcher, {}, kept)
    homes = {name: home(one) for name, one in kept.items()}
    cut = tasks.cut(work, lambda _: 10.0, count, homes, whole=plan.budget is not None)
    return {record.id: record for found in session.run(lanes(count), cut) for record in found}


@pytest.mark.parametrize("count", [1, 2, 4])
def test_every_spec_is_measured_once_whatever_the_number_of_gpus(count: int) -> None:
    who, work, ear = SeveralGpus(), specs(*MODELS), Ear()

    records = measure(who, work, count, watcher=ear)

    assert {*records} == {spec.id for spec in work}
    for record in records.values():
        assert record.status == "ok"
        assert [run.round for run in record.runs] == [0, 1, 2]
        assert not record.unfinished
    assert sorted(one.id for one in ear.records) == sorted(records)
    asked = [(heard.model, heard.mode) for heard in who.heard if heard.what == "measure"]
    assert len(asked) == 3 * len({*asked}) == 3 * len(work)
    never_two_at_once(records.values())
    one_gpu_each(records.values())
    used = {run.gpu.uuid for record in records.values() for run in record.runs}
    assert used == {uuid(n) for n in range(count)}


def test_where_nothing_can_be_measured_the_gpus_have_nothing_to_do() -> None:
    """Every row may be impossible, as one of a module of the user's that cannot be imported."""
    assert measure(SeveralGpus(), [], 2) == {}


def test_ctrl_c_before_all_threads_have_begun_is_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    start, begun = threading.Thread.start, []

    def starts(self: threading.Thread) -> None:
        if begun:
            raise KeyboardInterrupt
        begun.append(self)
        start(self)

    monkeypatch.setattr(threading.Thread, "start", starts)
    with pytest.raises(KeyboardInterrupt):
        measure(SeveralGpus(), specs("lenet"), 2)

    assert not begun[0].is_alive()


def test_a_record_says_which_gpu_with_which_cores_and_beside_what() -> None:
    records = measure(SeveralGpus(), specs(*MODELS), 2)

    beside = []
    for record in records.values():
        for run in record.runs:
            assert run.gpu.uuid == uuid(run.gpu.index)
            assert run.gpu.cores == (2 * run.gpu.index, 2 * run.gpu.index + 1)
            assert str(run.gpu.index) not in run.gpu.neighbours
            beside += [name for some in run.gpu.neighbours.values() for name in some]
    assert {*beside} <= {record.spec.workload.id for record in records.values()}
    assert beside


def test_modes_of_a_workload_are_compared_on_one_gpu() -> None:
    records = measure(SeveralGpus(), specs(*MODELS), 4)

    for record in records.values():
        baseline = records[record.spec.baseline.id]
        if record.id != baseline.id:
            assert metrics.speedup(record, baseline) is not None
    first, second = (records[spec.id] for spec in specs("lenet", "alexnet", modes=("eager",)))
    assert metrics.speedup(first, second) is None


def lose(who: SeveralGpus, index: int, model: str, what: str = "slice") -> None:
    """A GPU goes away while it measures a model; without a name, at its first model."""

    def raises(heard: Heard) -> Exception | None:
        if (
            heard.gpu == uuid(index)
            and heard.what == what
            and heard.model in (model or heard.model)
        ):
            who.gone.add(heard.gpu)
            return WorkerRaised("CUDA error: unspecified launch failure")
        return None

    who.raises = raises


@pytest.mark.parametrize("what", ["measure", "slice", "finish"])
@pytest.mark.parametrize("count", [2, 4])
def test_a_lost_gpu_costs_the_rows_at_work_and_the_others_take_the_rest(
    count: int, what: str
) -> None:
    who, work, ear = SeveralGpus(), specs(*MODELS), Ear()
    lose(who, 1, "", what)

    records = measure(who, work, count, watcher=ear)

    assert {*records} == {spec.id for spec in work}
    failed = [one for one in records.values() if one.failure is not None]
    assert len(failed) == 2
    assert len({one.spec.workload for one in failed}) == 1
    for one in failed:
        assert "cuda:1 (uuid-1) does not answer any more" in " ".join(one.notes) + one.reason
    good = [one for one in records.values() if one.failure is None]
    assert {one.rounds for one in good} == {3}
    assert not any(one.unfinished for one in records.values())
    never_two_at_once(good)
    one_gpu_each(good)
    assert sorted(one.id for one in ear.records) == sorted(records)


def test_a_gpu_that_is_lost_in_a_later_round_takes_no_group_with_it_but_that_one() -> None:
    """What had a round on it begins anew elsewhere: no latency is of two GPUs."""
    who, work = SeveralGpus(), specs(*MODELS)
    seen: list[str] = []

    def raises(heard: Heard) -> Exception | None:
        if heard.gpu == uuid(0) and heard.what == "measure":
            seen.append(heard.model)
            if seen.count(heard.model) > 2:  # both modes in the first round, then the second
                who.gone.add(heard.gpu)
                return WorkerDied("gone")
        return None

    who.raises = raises
    records = measure(who, work, 2)

    assert {*records} == {spec.id for spec in work}
    failed = {one.spec.workload for one in records.values() if one.failure is not None}
    assert len(failed) == 1
    one_gpu_each(one for one in records.values() if one.failure is None)
    assert {one.rounds for one in records.values() if one.failure is None} == {3}


def test_a_network_that_fails_by_itself_costs_no_gpu() -> None:
    who = SeveralGpus(raises=lambda heard: WorkerDied("x") if heard.model == "vgg11" else None)

    records = measure(who, specs(*MODELS), 2)

    status = {one.spec.workload.model for one in records.values() if one.status == "failed"}
    assert status == {"vgg11"}
    assert not any("does not answer" in one.reason for one in records.values())
    assert {run.gpu.index for one in records.values() for run in one.runs} == {0, 1}


def test_without_a_gpu_left_what_was_measured_is_kept_and_the_rest_is_missing() -> None:
    who, work = SeveralGpus(), specs(*MODELS)
    who.raises = lambda heard: (
        who.gone.update({uuid(0), uuid(1)}) or WorkerDied("x") if len(who.heard) > 60 else None
    )
    kept: dict[str, Record] = {}
    session = Lanes(who, PLAN, who.environment, Ear())

    def follow() -> None:
        for found in session.run(lanes(2), tasks.cut(work, lambda _: 10.0, 2)):
            kept.update({one.id: one for one in found})

    with pytest.raises(GpusLost, match=r"^no GPU answers any more \(cuda:[01]: .*; cuda:[01]: "):
        follow()

    assert 0 < len(kept) < len(work)
    assert any(one.status == "ok" for one in kept.values())


def test_closing_the_records_ends_every_thread() -> None:
    before = threading.active_count()
    session = Lanes(SeveralGpus(), PLAN, Environment({}), Ear()).run(
        lanes(4), tasks.cut(specs(*MODELS), lambda _: 10.0, 4)
    )
    next(session)
    assert threading.active_count() == before + 4

    session.close()

    assert threading.active_count() == before


def test_ctrl_c_ends_all_gpus_and_what_is_known_can_be_gone_on_with() -> None:
    who, ear, before = SeveralGpus(), Ear(), threading.active_count()

    def pressed(*_: object) -> None:
        if len(who.heard) > 60:
            raise KeyboardInterrupt

    ear.working = pressed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        measure(who, specs(*MODELS), 2, watcher=ear)

    assert threading.active_count() == before


def test_an_error_of_the_program_is_raised_where_the_run_is_waited_for() -> None:
    def raises(heard: Heard) -> BaseException | None:
        return ZeroDivisionError("a bug") if heard.gpu == uuid(1) else None

    before = threading.active_count()
    with pytest.raises(ZeroDivisionError, match="a bug"):
        measure(SeveralGpus(raises=raises), specs(*MODELS), 2)

    assert threading.active_count() == before


def test_with_a_budget_each_gpu_has_a_share_and_every_spec_an_answer() -> None:
    work = specs(*MODELS)
    records = measure(SeveralGpus(), work, 2, replace(PLAN, budget=1.0))

    assert {*records} == {spec.id for spec in work}
    assert all(one.status == "ok" for one in records.values())
    never_two_at_once(records.values())
    one_gpu_each(records.values())


def test_a_batch_that_is_halved_is_measured_once_though_gpus_meet_at_it() -> None:
    """Batches 8 and 9 both have the half 4."""
    work = [Spec.parse(f"lenet/inference-b{batch}-3x32x32/eager/cuda:0-t1") for batch in (8, 9, 2)]
    full = WorkerRaised("CUDA out of memory", "out_of_memory")
    original = SeveralGpus.start

    class Full(SeveralGpus):
        def seeing(self, gpu: str, halt: Any) -> Full:
            found = super().seeing(gpu, halt)
            return Full(**vars(found))

        def start(self) -> Any:
            worker = original(self)
            ask = worker.ask

            def limited(message: dict[str, Any], timeout: float) -> Any:
                name = message["spec"] if message.get("task") == "measure" else "-b4-"
                if "-b4-" not in name and "-b2-" not in name:
                    raise full
                return ask(message, timeout)

            worker.ask = limited  # type: ignore[method-assign]
            return worker

    who = Full()
    records = measure(who, work, 2, replace(PLAN, halve_batch=True))

    batches = {one.spec.workload.batch: one.status for one in records.values()}
    assert batches == {8: "failed", 9: "failed", 4: "ok", 2: "ok"}
    built = [heard for heard in who.heard if heard.what == "reference"]
    assert len(built) == 4


# Through campaign: prepared, kept, resumed.


def prepare(monkeypatch, who: SeveralGpus, **change: Any) -> campaign.Job:
    monkeypatch.setitem(EXECUTORS, "fake", lambda: who)
    grid = Grid(MODELS, ("eager", "tf32"), device=AllGpus())
    monkeypatch.setattr(campaign.Job, "seconds", lambda self, spec: 10.0)
    return campaign.prepare(replace(grid, **change), PLAN, "fake")


def test_a_run_is_shared_and_its_environment_is_that_of_one_gpu(monkeypatch, tmp_path) -> None:
    job = prepare(monkeypatch, SeveralGpus(["A"] * 4))

    stored = campaign.start(job, tmp_path / "run", Ear())

    assert {spec.device.text for spec in job.specs} == {"cuda:0"}
    assert {spec.threads for spec in job.specs} == {1}
    assert stored.missing == ()
    assert stored.manifest.shared
    assert stored.environment.hard["gpus"] == [{"name": "A"}]
    assert [one["uuid"] for one in stored.environment.soft["gpus_sharing"]] == list(
        map(uuid, range(4))
    )
    assert [record.id for record in stored.records] == list(stored.manifest.specs)
    never_two_at_once(stored.records)
    one_gpu_each(stored.records)


@pytest.mark.parametrize(("before", "after"), [(4, 2), (2, 4), (4, 1), (2, 2)])
def test_a_run_is_resumed_with_another_number_of_gpus(
    monkeypatch, tmp_path, before: int, after: int
) -> None:
    path = tmp_path / "run"
    who = SeveralGpus(["A"] * before)
    job = prepare(monkeypatch, who)

    who.raises = lambda heard: KeyboardInterrupt() if len(who.heard) > 250 else None
    with pytest.raises(KeyboardInterrupt):
        campaign.start(job, path, Ear())
    halfway = {one.id: one for one in store.read(path).records}
    complete = {name for name, one in halfway.items() if not one.unfinished}
    assert complete
    again = SeveralGpus(["A"] * after)
    monkeypatch.setitem(EXECUTORS, "fake", lambda: again)

    stored = campaign.resume(path, Ear())

    assert stored.missing == stored.unfinished == ()
    assert len(stored.records) == len(job.specs) == len({one.id for one in stored.records})
    assert all(halfway[name] in stored.records for name in complete)
    assert {one.rounds for one in stored.records} == {3}
    one_gpu_each(stored.records)
    never_two_at_once(stored.records)
    measured = {f"{one.model}/{one.mode}" for one in again.heard if one.what == "measure"}
    assert not measured & {
        f"{one.spec.workload.model}/{one.spec.mode.text}"
        for one in halfway.values()
        if one.id in complete
    }


def test_what_was_begun_on_a_gpu_goes_on_there(monkeypatch, tmp_path) -> None:
    path = tmp_path / "run"
    who = SeveralGpus(["A"] * 2)
    job = prepare(monkeypatch, who)
    who.raises = lambda heard: KeyboardInterrupt() if len(who.heard) > 250 else None
    with pytest.raises(KeyboardInterrupt):
        campaign.start(job, path, Ear())
    begun = {one.id: one for one in store.read(path).records if one.unfinished}
    again = SeveralGpus(["A"] * 2)
    monkeypatch.setitem(EXECUTORS, "fake", lambda: again)

    stored = campaign.resume(path, Ear())

    assert begun
    for one in stored.records:
        if one.id in begun:
            assert one.runs[: len(begun[one.id].runs)] == begun[one.id].runs


def test_a_run_on_other_gpus_is_not_gone_on_with(monkeypatch, tmp_path) -> None:
    path = tmp_path / "run"
    job = prepare(monkeypatch, SeveralGpus(["A", "A"]))
    campaign.start(job, path, Ear())
    (path / store.RECORDS).write_text("")
    monkeypatch.setitem(EXECUTORS, "fake", lambda: SeveralGpus(["B", "B"]))

    with pytest.raises(Incomparable, match=r"another environment \(different: gpus\)"):
        campaign.resume(path, Ear())


def test_a_run_goes_on_on_those_of_its_kind(monkeypatch, tmp_path) -> None:
    path = tmp_path / "run"
    campaign.start(prepare(monkeypatch, SeveralGpus(["A", "A"])), path, Ear())
    (path / store.RECORDS).write_text("")
    monkeypatch.setitem(EXECUTORS, "fake", lambda: SeveralGpus(["B", "A", "A"]))

    stored = campaign.resume(path, Ear())

    assert {run.gpu.index for one in stored.records for run in one.runs} == {1, 2}


def test_unlike_gpus_never_share(monkeypatch) -> None:
    with pytest.raises(Unsupported, match=r"not alike \(cuda:0 A, cuda:1 B\).*--device cuda:0$"):
        prepare(monkeypatch, SeveralGpus(["A", "B"]))


def test_when_every_gpu_is_lost_the_message_says_how_to_go_on(monkeypatch, tmp_path) -> None:
    who = SeveralGpus()
    job = prepare(monkeypatch, who)
    who.raises = lambda heard: (
        who.gone.update({uuid(0), uuid(1)}) or WorkerDied("x") if len(who.heard) > 60 else None
    )

    with pytest.raises(WorkerError, match=r"continue with: cnnbench run --resume '.*a run'"):
        campaign.start(job, tmp_path / "a run", Ear())
    monkeypatch.setitem(EXECUTORS, "fake", SeveralGpus)

    stored = campaign.resume(tmp_path / "a run", Ear(), retry_failed=True)

    assert stored.missing == stored.failed == ()
    assert decode(Plan, dict(stored.manifest.plan), "") == job.plan
