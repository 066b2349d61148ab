"""What every cluster keeps to: the pretended one of the tests, and Ray where it is installed."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cnnbench.codec import decode, encode
from cnnbench.environment import Environment
from cnnbench.errors import UsageError
from cnnbench.plan import Plan
from cnnbench.quiet import CoreUse
from cnnbench.record import from_json
from cnnbench.runner.cluster import on_ray, serving
from cnnbench.runner.cluster.address import LOCAL
from cnnbench.runner.cluster.hosts import Cluster, Finished, HostAnswered, HostLost, Measured
from cnnbench.runner.cluster.serving import GroupOrder, HostAsked, Introduction, introduction
from cnnbench.runner.fake import Fake
from cnnbench.version import VERSION
from tests.runner.cluster.pretended import Host, PretendedCluster

ASKED = HostAsked(VERSION, "fake", "cpu")
NAMES = tuple(f"lenet/inference-b1-3x32x32/{mode}/cpu-t1" for mode in ("eager", "channels_last"))
ORDER = GroupOrder(NAMES, Plan(rounds=2, slices=2), "fake")

with_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs ray")


# One at a time: a process is connected to one Ray cluster.
@pytest.fixture(params=["pretended", pytest.param("ray", marks=[with_ray, pytest.mark.slow])])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster of one host."""
    found: Any = (
        on_ray.RayHosts(LOCAL) if request.param == "ray" else PretendedCluster({"a": Host()})
    )
    yield found
    found.close()


def heard(cluster: Cluster) -> Any:
    """The next event."""
    for _ in range(60):
        if (event := cluster.wait(2.0)) is not None:
            return event
    raise AssertionError("nothing was heard")


@pytest.mark.filterwarnings("ignore")
def test_a_host_is_invited_measures_a_group_and_is_free_for_another(cluster: Cluster) -> None:
    (node,) = cluster.nodes()
    assert list(cluster.unfit()) == []

    cluster.invite(node, dict(encode(ASKED)))
    first = heard(cluster)
    events: list[Any] = []
    for _ in range(2):
        cluster.hand(node, dict(encode(ORDER)))
        events.append(heard(cluster))
        while not isinstance(events[-1], Finished):
            assert isinstance(events[-1], Measured), events[-1]
            events.append(heard(cluster))

    assert isinstance(first, HostAnswered)
    found = decode(Introduction, first.message, "introduction")
    assert found.refused == found.machine == ""
    assert found.environment is not None
    assert found.environment.hard["fake"]
    records = [from_json(one) for one in events[-2].records]
    assert [one.id for one in records] == [*NAMES]
    assert all(one.rounds == 2 and not one.unfinished for one in records)
    assert {one.environment for one in records} == {found.environment.fingerprint}
    assert {event.node.id for event in events} == {node.id}
    assert sum(isinstance(event, Finished) for event in events) == 2


@pytest.mark.slow
@with_ray
@pytest.mark.filterwarnings("ignore")
def test_what_measures_on_a_host_of_ray_has_the_hosts_own_variables(monkeypatch) -> None:
    """Ray sets OMP_NUM_THREADS to 1 in what it starts, and hides GPUs."""
    for name in on_ray.RAYS_OWN:
        monkeypatch.delenv(name, raising=False)

    class Telling(on_ray.agent()):  # type: ignore[misc]
        def introduce(self, asked: Any) -> Any:
            import sys

            before = {name: os.environ.get(name) for name in on_ray.RAYS_OWN}
            message = super().introduce(asked)
            after = {name: os.environ.get(name) for name in on_ray.RAYS_OWN}
            torch = "torch" in sys.modules
            return message | {"before": before, "after": after, "torch": torch}

    cluster = on_ray.RayHosts(LOCAL, lambda: Telling)
    try:
        (node,) = cluster.nodes()
        cluster.invite(node, dict(encode(ASKED)))
        message = heard(cluster).message
        assert message["after"] == dict.fromkeys(on_ray.RAYS_OWN)
        assert message["before"]["OMP_NUM_THREADS"] is not None
        assert not message["torch"]
        cluster.leave(node)
        cluster.invite(node, dict(encode(replace(ASKED, version="0.0"))))
        assert f"it has cnnbench {VERSION}, not 0.0" in heard(cluster).message["refused"]
    finally:
        cluster.close()


@pytest.mark.slow
@with_ray
@pytest.mark.filterwarnings("ignore")
def test_an_error_on_a_host_is_a_loss_that_says_why() -> None:
    cluster = on_ray.RayHosts(LOCAL)
    try:
        (node,) = cluster.nodes()
        cluster.invite(node, dict(encode(ASKED)))
        heard(cluster)
        cluster.hand(node, dict(encode(replace(ORDER, executor="none"))))
        event = heard(cluster)
    finally:
        cluster.close()

    assert isinstance(event, HostLost)
    assert "unknown executor 'none'" in event.why


@pytest.mark.slow
@with_ray
@pytest.mark.filterwarnings("ignore")
def test_an_address_without_a_cluster_is_refused_before_ray_tries(monkeypatch) -> None:
    monkeypatch.setattr("ray.init", lambda *_, **__: pytest.fail("it tries for minutes"))
    with pytest.raises(UsageError, match=r"^--cluster 127\.0\.0\.1:1: no Ray cluster can be"):
        on_ray.RayHosts("127.0.0.1:1")


def test_what_cannot_be_measured_on_a_host_is_said_in_words() -> None:
    message = introduction(dict(encode(replace(ASKED, version="9"))) | {"unknown": 1})

    assert message["refused"] == (
        f"it has cnnbench {VERSION}, not 9; install that there with: pip install 'cnnbench[ray]==9'"
    )
    assert "environment" not in message


@pytest.mark.parametrize(
    ("asked", "found", "refused"),
    [
        ("2.14.1+cpu", "2.14.1+cu130", ""),
        ("", "2.14.1", ""),
        ("2.14.1", "", ""),
        (
            "2.14.1+cpu", "2.13.0+cpu",
            "it has torch 2.13.0+cpu, not 2.14.1; install that there with: pip install"
            " torch==2.14.1",
        ),
    ],
)  # fmt: skip
def test_a_host_with_another_torch_is_refused(monkeypatch, asked, found, refused) -> None:
    described = Environment(hard={"fake": True, "torch": {"version": found}})
    monkeypatch.setattr(serving, "describe", lambda pool: described)

    message = introduction(dict(encode(replace(ASKED, torch=asked))))

    assert message.get("refused", "") == refused
    assert ("environment" in message) == (not refused)


def test_a_host_says_what_else_is_at_work_there(monkeypatch) -> None:
    use = CoreUse(busy=3.5, cores=4)
    monkeypatch.setattr(Fake, "core_use", lambda self: use)

    message = introduction(dict(encode(replace(ASKED, threads=2))))

    (line,) = message["remarks"]
    assert line.startswith("other work")


def test_a_host_that_gives_way_says_so(monkeypatch) -> None:
    monkeypatch.setattr(Fake, "pretends", False)
    monkeypatch.setattr(os, "getpriority", lambda *_: 15)

    message = introduction(dict(encode(ASKED)))

    (line,) = message["remarks"]
    assert line.startswith("measures at niceness 15, so all other work there comes first")
    assert "RAY_worker_niceness=0" in line


def test_a_host_goes_where_the_command_was_given(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CNNBENCH_ALLOCATOR", raising=False)
    (tmp_path / "there").mkdir()
    asked = replace(ASKED, folder=str(tmp_path / "there"), allocator="system")

    introduction(dict(encode(asked)))

    assert Path.cwd() == tmp_path / "there"
    assert os.environ.pop("CNNBENCH_ALLOCATOR") == "system"
    introduction(dict(encode(replace(ASKED, folder=str(tmp_path / "nowhere")))))
    assert Path.cwd() == tmp_path / "there"
