"""Groups handed to the hosts of a pretended cluster: nothing lost, nothing twice, one at a time."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnbench import store
from cnnbench.asking import AllGpus
from cnnbench.errors import StoreError, UsageError, WorkerError
from cnnbench.plan import Plan
from cnnbench.runner.campaign import Job
from cnnbench.runner.cluster import directory, handing, serving, start
from cnnbench.runner.cluster.start import Over
from cnnbench.spec import Device
from cnnbench.store import StoredRun
from cnnbench.suite import Grid
from tests.runner.cluster.pretended import Ear, Host, PretendedCluster

PLAN = Plan(rounds=2, slices=2)
GONE = "lenet/inference-b1-3x32x32/channels_last/cpu-t1"
MODELS = ("lenet", "alexnet", "vgg11", "resnet18", "resnet50")


@cache
def job(*models: str, plan: Plan = PLAN, sizes: tuple[tuple[int, int], ...] = ()) -> Job:
    grid = Grid(models or MODELS, ("eager", "channels_last"), sizes=sizes, device=Device("cpu"),
                threads=(1,))  # fmt: skip
    return start.prepare(grid, plan, "fake")


def measure(
    monkeypatch: pytest.MonkeyPatch, cluster: PretendedCluster, out: Path, on: str = "any",
    ear: Ear | None = None, what: Job | None = None,
) -> list[StoredRun]:  # fmt: skip
    meet(monkeypatch, cluster)
    return start.begin(what or job(), Over("pretended", on), out, ear or Ear())


def meet(monkeypatch: pytest.MonkeyPatch, cluster: PretendedCluster) -> None:
    """Whoever connects to a cluster has this one, and its clock."""
    monkeypatch.setattr(start.on_ray, "RayHosts", lambda address: cluster)
    monkeypatch.setattr(handing.Handing.__init__, "__defaults__", (cluster.clock,))


def ids(runs: list[StoredRun]) -> Counter[str]:
    """How many whole records there are of each spec."""
    for run in runs:
        assert {one.environment for one in run.records} <= {run.environment.fingerprint}
        assert run.path.name == run.environment.fingerprint
    return Counter(one.id for run in runs for one in run.records if not one.unfinished)


def once(runs: list[StoredRun], what: Job) -> None:
    """Every spec has one record, in the run whose manifest holds it."""
    assert ids(runs) == Counter({spec.id: 1 for spec in what.specs})
    held = Counter(name for run in runs for name in run.manifest.specs)
    assert held == Counter({spec.id: 1 for spec in what.specs})
    for run in runs:
        assert run.missing == run.unfinished == ()
        assert {one.id for one in run.records} == {*run.manifest.specs}


def one_host_per_group(cluster: PretendedCluster, runs: list[StoredRun]) -> None:
    """A workload in all its modes is in one run."""
    places: dict[Any, set[str]] = {}
    for run in runs:
        for record in run.records:
            places.setdefault(record.spec.workload.group, set()).add(run.path.name)
    assert all(len(some) == 1 for some in places.values())


def test_every_spec_is_measured_once_on_whichever_host(monkeypatch, tmp_path) -> None:
    cluster, ear, what = PretendedCluster({"a": Host(), "b": Host()}), Ear(), job()

    runs = measure(monkeypatch, cluster, tmp_path / "out", ear=ear, what=what)

    once(runs, what)
    assert len(runs) == 1
    assert [one.id for one in runs[0].records] == [spec.id for spec in what.specs]
    assert {host for host, _ in cluster.orders} == {"a", "b"}
    assert all(one.rounds == 2 and one.status == "ok" for one in runs[0].records)
    assert sorted(one.id for one in ear.rows) == sorted(spec.id for spec in what.specs)
    assert cluster.closed
    assert {where for where, *_ in ear.shown} == {"a", "b"}
    assert max(done for *_, done, _ in ear.shown) == len(what.specs)


def test_the_longest_group_goes_out_first(monkeypatch, tmp_path) -> None:
    cluster = PretendedCluster({"a": Host()})

    measure(monkeypatch, cluster, tmp_path / "out")

    models = [names[0].partition("/")[0] for _, names in cluster.orders]
    assert models[0] == "vgg11"
    assert models[-1] == "lenet"


def test_each_kind_measures_everything_in_a_run_of_its_own(monkeypatch, tmp_path) -> None:
    hosts = {"a": Host(), "a2": Host(), "b": Host("B"), "late": Host("C", comes=9)}
    cluster, what = PretendedCluster(hosts), job()

    runs = measure(monkeypatch, cluster, tmp_path / "out", "each", what=what)

    assert sorted(run.environment.hard["kind"] for run in runs) == ["A", "B", "C"]
    for run in runs:
        once([run], what)


def test_groups_on_several_kinds_are_never_split(monkeypatch, tmp_path) -> None:
    hosts = {"a": Host(), "b": Host("B")}
    cluster, what = PretendedCluster(hosts), job()

    runs = measure(monkeypatch, cluster, tmp_path / "out", what=what)

    once(runs, what)
    one_host_per_group(cluster, runs)
    assert len(runs) == 2


def dies_at(host: str, events: int) -> Any:
    return lambda name, cluster: "gone" if name == host and len(cluster.heard) >= events else ""


@pytest.mark.parametrize("kind", ["A", "B"])
@pytest.mark.parametrize("events", [1, 4, 5, 6, 7, 9, 12])
def test_what_a_lost_host_had_goes_elsewhere(monkeypatch, tmp_path, events, kind) -> None:
    hosts = {"a": Host(), "b": Host(kind)}
    cluster, ear, what = PretendedCluster(hosts, dies_at("b", events)), Ear(), job()

    runs = measure(monkeypatch, cluster, tmp_path / "out", ear=ear, what=what)

    held = [run for run in runs if run.manifest.specs]
    once(held, what)
    one_host_per_group(cluster, runs)
    assert [line for line in ear.lines if line == "b: lost: gone"]
    assert sorted(one.id for one in ear.rows) == sorted(spec.id for spec in what.specs)
    assert all({run.round for run in one.runs} == {0, 1} for run in held for one in run.records)


def test_a_host_that_is_there_again_is_asked_again(monkeypatch, tmp_path) -> None:
    died: list[str] = []

    def loses(name: str, cluster: PretendedCluster) -> str:
        if len(cluster.heard) == 4:
            died.append(name)
            return "its memory was full"
        return ""

    cluster, what = PretendedCluster({"a": Host()}, loses, returns=True), job()

    once(measure(monkeypatch, cluster, tmp_path / "out", what=what), what)
    assert died == ["a"]


def test_a_host_that_says_nothing_of_a_group_is_taken_for_lost(monkeypatch, tmp_path) -> None:
    measured, asked = serving.measured, []

    def silent(message: Any, environment: Any) -> Any:
        asked.append(message["specs"])
        return iter(()) if len(asked) == 1 else measured(message, environment)

    monkeypatch.setattr(serving, "measured", silent)
    cluster, ear, what = PretendedCluster({"a": Host()}, returns=True), Ear(), job()

    once(measure(monkeypatch, cluster, tmp_path / "out", ear=ear, what=what), what)

    assert ear.lines == ["a: lost: it ended before everything was measured"]
    assert asked[0] == asked[1]
    assert cluster.left == ["a"]


def test_a_group_that_loses_every_host_has_rows_that_say_so(monkeypatch, tmp_path) -> None:
    def loses(name: str, cluster: PretendedCluster) -> str:
        last = [names for host, names in cluster.orders if host == name][-1:]
        return "crashed" if last and last[0][0].startswith("resnet18/") else ""

    hosts = {f"h{number}": Host() for number in range(5)}
    cluster, ear, what = PretendedCluster(hosts, loses), Ear(), job()

    runs = measure(monkeypatch, cluster, tmp_path / "out", ear=ear, what=what)

    once(runs, what)
    failed = {one.spec.workload.model: one for one in runs[0].records if one.failure is not None}
    assert {*failed} == {"resnet18"}
    assert failed["resnet18"].failure.kind == "host_lost"
    assert "crashed" in failed["resnet18"].reason
    assert len(cluster.nodes()) == 2


def test_without_a_host_left_the_rest_is_missing_and_can_be_resumed(monkeypatch, tmp_path) -> None:
    cluster, what = PretendedCluster({"a": Host()}, dies_at("a", 8)), job()

    with pytest.raises(WorkerError, match=r"a: lost: gone; continue with: cnnbench run --resume "):
        measure(monkeypatch, cluster, tmp_path / "out", what=what)

    (halfway,) = directory.runs(tmp_path / "out")
    assert 0 < len(halfway.records) < len(what.specs)
    assert halfway.missing == halfway.unfinished == ()
    meet(monkeypatch, PretendedCluster({"other": Host()}))
    once(start.resume(tmp_path / "out", Ear()), what)


@pytest.mark.parametrize("on", ["any", "each"])
@pytest.mark.parametrize("events", [0, 2, 5, 8, 11])
def test_a_lost_driver_resumes_with_the_same_specs(monkeypatch, tmp_path, on, events) -> None:
    hosts = {"a": Host(), "b": Host("B")}
    what, path = job(), tmp_path / "out"

    def stop(name: str, cluster: PretendedCluster) -> str:
        if len(cluster.heard) == events:
            raise KeyboardInterrupt
        return ""

    with pytest.raises(KeyboardInterrupt):
        measure(monkeypatch, PretendedCluster(hosts, stop), path, on, what=what)
    before = {(run.path.name, one.id): one for run in directory.runs(path) for one in run.records
              if not one.unfinished}  # fmt: skip
    meet(monkeypatch, again := PretendedCluster(hosts, seed=1))

    runs = start.resume(path, Ear())

    found = {(run.path.name, one.id): one for run in runs for one in run.records}
    assert before.items() <= found.items()
    for some in [runs] if on == "any" else [[run] for run in runs]:
        once([run for run in some if run.manifest.specs], what)
    asked = {name for _, names in again.orders for name in names}
    if on == "any":
        assert not asked & {name for _, name in before}
    assert start.resume(path, Ear()) == runs


def test_what_is_left_of_a_group_stays_at_its_kind(monkeypatch, tmp_path) -> None:
    path, what = tmp_path / "out", job("lenet", "alexnet")
    meet(monkeypatch, PretendedCluster({"a": Host()}))
    (run,) = start.begin(what, Over("x"), path, Ear())
    records = run.path / store.RECORDS
    lines = records.read_text().splitlines(keepends=True)
    records.write_text("".join(one for one in lines if not one.startswith(f'{{"id":"{GONE}"')))
    assert [one.id for one in start.wanted(path, retry_failed=False)] == [GONE]

    cluster = PretendedCluster({"b": Host("B")})
    meet(monkeypatch, cluster)
    with pytest.raises(WorkerError, match="no host of the cluster can measure what is left"):
        start.resume(path, Ear())
    assert cluster.orders == []
    meet(monkeypatch, again := PretendedCluster({"b": Host("B"), "a": Host()}))
    runs = [one for one in start.resume(path, Ear()) if one.records]
    assert [one.path for one in runs] == [run.path]
    assert again.orders == [("a", (GONE,))]
    once(runs, what)


def test_failed_rows_are_measured_again_on_request(monkeypatch, tmp_path) -> None:
    path, what = tmp_path / "out", job("lenet", "fake:raises")
    meet(monkeypatch, PretendedCluster({"a": Host()}))
    start.begin(what, Over("x"), path, Ear())
    assert start.wanted(path, retry_failed=False) == ()
    cluster = PretendedCluster({"a": Host()})
    meet(monkeypatch, cluster)

    once(start.resume(path, Ear(), retry_failed=True, allowed=["fake:raises"]), what)

    assert [names[0].partition("/")[0] for _, names in cluster.orders] == ["fake:raises"]


def test_hosts_that_cannot_measure_are_refused_in_a_line_and_the_others_go_on(
    monkeypatch, tmp_path
) -> None:
    hosts = {
        "good": Host(),
        "bare": Host(change={"refused": "no cnnbench there"}),
        "old": Host(change={"refused": "it has cnnbench 0.0, not 0.1"}),
        "silent": Host(silent=True),
    }
    cluster, ear, what = PretendedCluster(hosts), Ear(), job()

    once(measure(monkeypatch, cluster, tmp_path / "out", ear=ear, what=what), what)

    assert sorted(ear.lines) == [
        "bare: not used: no cnnbench there",
        "old: not used: it has cnnbench 0.0, not 0.1",
    ]
    assert {host for host, _ in cluster.orders} == {"good"}
    assert {*cluster.left} == {"bare", "old"}


def test_what_disturbs_a_host_is_said_and_it_takes_part(monkeypatch, tmp_path) -> None:
    hosts = {"a": Host(change={"remarks": ["other work keeps 2.0 of 4 cores busy"]})}
    cluster, ear, what = PretendedCluster(hosts), Ear(), job()

    once(measure(monkeypatch, cluster, tmp_path / "out", ear=ear, what=what), what)

    assert ear.lines == ["a: other work keeps 2.0 of 4 cores busy"]


def test_a_campaign_keeps_to_the_torch_that_it_was_begun_with(monkeypatch, tmp_path) -> None:
    asked: list[Any] = []
    introduction = serving.introduction
    monkeypatch.setattr(serving, "introduction", lambda one: asked.append(one) or introduction(one))
    what = job("lenet")
    described = replace(what.environment, hard={"fake": True, "torch": {"version": "2.14.1"}})
    cluster = PretendedCluster({"a": Host()}, dies_at("a", 3))
    with pytest.raises(WorkerError):
        measure(monkeypatch, cluster, tmp_path / "out", what=replace(what, environment=described))
    meet(monkeypatch, PretendedCluster({"a": Host()}))

    once(start.resume(tmp_path / "out", Ear()), what)

    assert [one["torch"] for one in asked] == ["2.14.1", "2.14.1"]


def test_two_hosts_of_one_machine_are_not_both_measured_on(monkeypatch, tmp_path) -> None:
    hosts = {name: Host(change={"machine": "m"}) for name in ("a", "b")}
    cluster, ear, what = PretendedCluster(hosts), Ear(), job()

    once(measure(monkeypatch, cluster, tmp_path / "out", ear=ear, what=what), what)

    assert len({host for host, _ in cluster.orders}) == 1
    assert "the same machine as" in ear.lines[0]


def test_where_no_host_can_measure_it_is_said_why(monkeypatch, tmp_path) -> None:
    cluster = PretendedCluster({"a": Host(change={"refused": "no such device"})})

    with pytest.raises(WorkerError, match="a: not used: no such device"):
        measure(monkeypatch, cluster, tmp_path / "out")


@pytest.mark.parametrize("on", ["any", "each"])
def test_a_host_that_never_answers_is_not_waited_for_without_end(monkeypatch, tmp_path, on) -> None:
    cluster = PretendedCluster({"a": Host(silent=True)})

    with pytest.raises(WorkerError, match="none has answered"):
        measure(monkeypatch, cluster, tmp_path / "out", on)
    assert cluster.now > handing.JOIN_SECONDS


def test_each_does_not_wait_without_end_for_a_silent_host(monkeypatch, tmp_path) -> None:
    cluster, what = PretendedCluster({"a": Host(), "b": Host(silent=True)}), job()

    once(measure(monkeypatch, cluster, tmp_path / "out", "each", what=what), what)


def test_what_is_heard_is_on_disk_before_the_next_group_is_handed_out(
    monkeypatch, tmp_path
) -> None:
    out = tmp_path / "out"

    def on_disk() -> None:
        there = {one.id for run in directory.runs(out) for one in run.records}
        heard = {one["id"] for event in cluster.heard for one in getattr(event, "records", ())}
        assert there == heard

    cluster = PretendedCluster({"a": Host(), "b": Host("B")}, on_hand=on_disk)

    measure(monkeypatch, cluster, out)


def test_what_is_not_possible_has_a_row_in_one_run_or_in_each(monkeypatch, tmp_path) -> None:
    what = job("lenet", "resnet18", sizes=((8, 8),))
    assert what.impossible
    hosts = {"a": Host(), "b": Host("B")}

    once(measure(monkeypatch, PretendedCluster(hosts), tmp_path / "any", what=what), what)
    runs = measure(monkeypatch, PretendedCluster(hosts), tmp_path / "each", "each", what=what)

    for run in runs:
        once([run], what)


def test_two_processes_do_not_write_one_campaign(monkeypatch, tmp_path) -> None:
    path = tmp_path / "out"
    directory.create(path, directory.Spread("x", "any", (), {}))
    what = directory.read(path)
    with (
        directory.Runs(path, what),
        pytest.raises(StoreError, match="another cnnbench is writing"),
    ):
        directory.Runs(path, what)


def test_a_directory_that_holds_something_is_refused(monkeypatch, tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="holds other files"):
        measure(monkeypatch, PretendedCluster({"a": Host()}), tmp_path)


def test_what_is_not_done_on_many_hosts_is_refused() -> None:
    with pytest.raises(UsageError, match="drop --budget"):
        job(plan=Plan(budget=60.0))
    with pytest.raises(UsageError, match="use --device cuda:0"):
        start.prepare(Grid(("lenet",), device=AllGpus()), PLAN, "fake")


@settings(max_examples=10)
@given(st.integers(0, 10_000), st.sampled_from(["any", "each"]))
def test_whatever_happens_no_row_is_lost_or_doubled(
    tmp_path_factory: pytest.TempPathFactory, seed: int, on: str
) -> None:
    """Hosts of two kinds are lost at random moments, drivers too, until all is measured."""
    chance = random.Random(seed)
    path, what = tmp_path_factory.mktemp("many") / "out", job("lenet", "alexnet", "vgg11")

    def loses(name: str, cluster: PretendedCluster) -> str:
        if chance.random() < 0.02:
            raise KeyboardInterrupt
        return "gone" if chance.random() < 0.05 else ""

    def hosts() -> Mapping[str, Host]:
        return {f"h{one}": Host(chance.choice("AB")) for one in range(chance.randint(1, 4))}

    with pytest.MonkeyPatch.context() as patch:
        for attempt in range(200):
            meet(patch, PretendedCluster(hosts(), loses, seed=seed + attempt))
            try:
                runs = (
                    start.resume(path, Ear()) if attempt and directory.holds(path)
                    else start.begin(what, Over("x", on), path, Ear())
                )  # fmt: skip
                if not start.wanted(path, retry_failed=False):
                    break
            except (KeyboardInterrupt, WorkerError):
                continue
    for some in [runs] if on == "any" else [[run] for run in runs]:
        once([run for run in some if run.manifest.specs], what)
