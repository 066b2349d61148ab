"""Which GPUs share work, how many at once, with which cores."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.environment import Environment
from cnnbench.errors import Unsupported
from cnnbench.runner import gpus
from cnnbench.runner.gpus import Gpu, Host
from tests.runner.gpus import specs, uuid

A = {"name": "A", "memory_bytes": 80 << 30, "driver": "580.1"}


def environment(*kinds: dict[str, Any], **place: Any) -> Environment:
    places = [{"uuid": uuid(n)} | place for n in range(len(kinds))]
    return Environment({"cpu": "x", "gpus": list(kinds)}, {"gpu_places": places})


def host(cores: int, threads_each: int = 1, **more: Any) -> Host:
    """Cores that are numbered as Linux does: the second hyperthreads follow all the first."""
    numbered = [tuple(core + cores * n for n in range(threads_each)) for core in range(cores)]
    return Host(tuple(numbered), **more)


def some(count: int, *near: tuple[int, ...]) -> list[Gpu]:
    return [Gpu(n, uuid(n), near[n] if near else ()) for n in range(count)]


def test_alike_gpus_are_found_each_by_its_name() -> None:
    found = gpus.found(environment(A, A, cores_near=[0, 1]))

    assert [(one.index, one.uuid, one.text) for one in found] == [
        (0, "uuid-0", "cuda:0"),
        (1, "uuid-1", "cuda:1"),
    ]
    assert found[0].near == (0, 1)
    assert [one.visible for one in found] == ["GPU-uuid-0", "GPU-uuid-1"]


def test_a_single_gpu_is_not_named_because_an_instance_has_another_kind_of_name() -> None:
    assert [one.visible for one in gpus.found(environment(A))] == [""]


@pytest.mark.parametrize(
    "other", [A | {"name": "B"}, A | {"memory_bytes": 40 << 30}, A | {"driver": "1"}]
)
def test_unlike_gpus_are_refused_whatever_they_differ_in(other: dict[str, Any]) -> None:
    with pytest.raises(Unsupported, match=r"the GPUs are not alike \(cuda:0 A, cuda:1 A, cuda:2"):
        gpus.found(environment(A, A, other))


def test_gpus_without_names_cannot_be_told_apart() -> None:
    nameless = Environment({"gpus": [A, A]}, {"gpu_places": [{"uuid": ""}, {"uuid": ""}]})

    with pytest.raises(Unsupported, match="UUIDs"):
        gpus.found(nameless)


def test_those_like_the_first_run_are_chosen() -> None:
    found = gpus.found(environment(A | {"name": "B"}, A, A), like=A)

    assert [one.index for one in found] == [1, 2]


@pytest.mark.parametrize(
    ("cores", "hyper", "threads", "count", "at_once"),
    [
        (16, 1, 1, 4, 4),
        (2, 1, 1, 4, 2),  # a core each
        (16, 1, 4, 8, 4),
        (16, 2, 4, 8, 8),  # hyperthreads are threads
        (2, 2, 1, 4, 2),  # but two GPUs never share a core
        (3, 2, 3, 2, 1),  # 1.5 cores each are not enough
        (4, 1, 64, 2, 1),  # never none
    ],
)
def test_as_many_work_at_once_as_find_cores(
    cores: int, hyper: int, threads: int, count: int, at_once: int
) -> None:
    work = [one.__class__(one.workload, one.mode, one.device, threads) for one in specs("lenet")]
    share = gpus.share(some(count), host(cores, hyper), work)

    assert len(share.lanes) == at_once
    assert [one.index for one in share.idle] == list(range(at_once, count))
    assert bool(share.why) == (at_once < count)


def test_a_quota_of_core_time_is_divided_too() -> None:
    share = gpus.share(some(4), host(16, quota=2.5), specs("lenet"))

    assert len(share.lanes) == 2
    assert share.why == "16 cores and a quota of 2.5 for 1 thread each"


def test_memory_of_the_host_for_all_workers_of_an_ensemble() -> None:
    work = specs("lenet", modes=("eager", "tf32", "fp16", "bf16"))
    share = gpus.share(some(4), host(16, memory=17 << 30), work)

    assert len(share.lanes) == 2
    assert "memory" in share.why


def test_cores_near_a_gpu_are_its_own() -> None:
    """Two sockets of four cores; GPUs 0 and 2 are at the second."""
    share = gpus.share(some(3, (4, 5, 6, 7), (0, 1, 2, 3), (4, 5, 6, 7)), host(8), specs("lenet"))

    assert [lane.cores for lane in share.lanes] == [(4, 5), (0, 1), (6, 7)]


def test_what_pretends_divides_no_cores() -> None:
    share = gpus.share(some(3), Host(), specs("lenet"))

    assert [lane.cores for lane in share.lanes] == [(), (), ()]


def test_no_gpu_is_no_lane() -> None:
    assert gpus.share([], host(4), specs("lenet")) == gpus.GpuShare()


@given(
    count=st.integers(1, 16),
    cores=st.integers(1, 64),
    hyper=st.integers(1, 2),
    near=st.lists(st.integers(0, 127), max_size=32),
)
def test_cores_are_whole_disjoint_and_as_many_for_each(
    count: int, cores: int, hyper: int, near: list[int]
) -> None:
    here = host(cores, hyper)
    share = gpus.share(some(count, *[tuple(near)] * count), here, specs("lenet"))

    taken = [core for lane in share.lanes for core in lane.cores]
    assert len(taken) == len({*taken})
    assert {*taken} <= {core for one in here.cores for core in one}
    assert len({len(lane.cores) for lane in share.lanes}) == 1
    for lane in share.lanes:
        whole = [one for one in here.cores if {*one} & {*lane.cores}]
        assert sum(map(len, whole)) == len(lane.cores)


def test_the_number_of_gpus_makes_no_other_environment() -> None:
    two, four = (environment(*[A] * count) for count in (2, 4))
    one, other = (
        gpus.seen_by_each(found, gpus.share(gpus.found(found), Host(), [])) for found in (two, four)
    )

    assert two.fingerprint != four.fingerprint
    assert one.fingerprint == other.fingerprint
    assert other.gpus == ["4 x A"]
    assert [row["uuid"] for row in one.soft["gpus_sharing"]] == ["uuid-0", "uuid-1"]
