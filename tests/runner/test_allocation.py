"""What a step takes without kept blocks: when it is measured, and of what."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from cnnbench import allocator, machine
from cnnbench.plan import Plan
from cnnbench.runner import allocation, campaign
from cnnbench.runner.campaign import Job
from cnnbench.runner.fake import Fake
from cnnbench.spec import Device
from cnnbench.suite import Grid

KEPT = dict(allocator.CONDITIONS["kept"].variables)


class Slower(Fake):
    """One that is half slower where malloc is left as it comes."""

    def with_allocator(self, condition: str) -> Fake:
        return Fake(slowdown=0.5 if condition == "system" else 0.0)


@pytest.fixture(autouse=True)
def _not_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in os.environ if one.startswith(machine.ALLOCATOR)]:
        monkeypatch.delenv(name)


def job(variables: dict[str, str] = KEPT) -> Job:
    found = campaign.prepare(Grid(("lenet",), device=Device("cpu")), Plan(slices=4), Slower())
    there = found.environment
    return replace(found, environment=replace(there, hard={**there.hard, "variables": variables}))


def test_the_ratio_is_of_the_system_s_malloc_to_kept_blocks() -> None:
    found = allocation.unkept(job(), job().specs[0])

    assert found is not None
    assert found.spec == job().specs[0].id
    assert found.ratio.point == pytest.approx(1.5, rel=0.1)
    assert found.ratio.low is not None
    assert found.ratio.low > 1


def test_it_is_not_said_of_another_condition_nor_where_malloc_is_the_user_s(monkeypatch) -> None:
    assert allocation.unkept(job({}), job().specs[0]) is None
    # The same variables, but of the user's: nothing can take them away from one side.
    for name, value in KEPT.items():
        monkeypatch.setenv(name, value)
    assert allocation.unkept(job(), job().specs[0]) is None
