"""Which modes advice tries."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cnnbench import store
from cnnbench.plan import Plan
from cnnbench.runner import advise, campaign, fake
from cnnbench.runner.advise import AdviceOrder, measure, prepare
from cnnbench.spec import Device
from cnnbench.suite import Grid
from tests.runner.conftest import Ear

if TYPE_CHECKING:
    from pathlib import Path


def modes(**more) -> list[str]:
    # Where nothing is pretended to compile, the compiled ones are those that are left out.
    asked = prepare(Grid(("lenet",), device=Device("cpu"), **more), Plan(), "fake")
    assert {spec.id for spec in asked.specs} <= set(asked.job.macs)
    return [*(spec.mode.text for spec in asked.specs), *asked.untried]


def test_of_inference_the_compiled_nhwc_modes_have_frozen_weights() -> None:
    found = modes()

    assert found[0] == "eager"
    assert [one for one in found if "compile" in one] == [
        "compile+freezing+channels_last", "compile+freezing+channels_last+amp=bf16", "compile",
    ]  # fmt: skip


def test_what_cannot_be_measured_is_still_known_under_its_new_mode(monkeypatch) -> None:
    real = campaign.prepare

    def refusing(*words: Any) -> campaign.Job:
        job = real(*words)
        environment = replace(job.environment, soft={"compiler": "g++"})
        impossible = {spec.id: "no" for spec in job.specs}
        return replace(job, environment=environment, impossible=impossible)

    monkeypatch.setattr(campaign, "prepare", refusing)
    job = prepare(Grid(("lenet",), device=Device("cpu")), Plan(), "fake").job

    assert any(spec.mode.freezing == "on" for spec in job.specs)
    assert {spec.id for spec in job.specs} <= {*job.impossible}


def test_a_training_step_has_none() -> None:
    found = modes(phases=("training",), batches=(8,))

    assert "compile+channels_last" in found
    assert not any("freezing" in one for one in found)


@pytest.mark.parametrize(
    ("sets", "tried"),
    [((), True), (("avx2",), False), (("avx512f",), False), (("avx512f", "avx512_bf16"), True),
     (("asimd", "bf16"), True)],
)  # fmt: skip
def test_bf16_is_tried_where_the_processor_computes_in_it(monkeypatch, sets, tried) -> None:
    real = campaign.prepare

    def having(*words: Any) -> campaign.Job:
        job = real(*words)
        hard = {**job.environment.hard, "instruction_sets": list(sets)}
        return replace(job, environment=replace(job.environment, hard=hard, soft={"compiler": "g"}))

    monkeypatch.setattr(campaign, "prepare", having)
    asked = prepare(Grid(("lenet",), device=Device("cpu")), Plan(), "fake")

    modes = {spec.mode.text for spec in asked.specs}
    assert {"eager", "channels_last", "compile+freezing+channels_last"} <= modes
    assert ("channels_last+amp=bf16" in modes) == tried
    why = "this processor has no instructions for bf16"
    assert (why in asked.untried.values()) == (not tried)


# A budget.


def begun(budget: float, monkeypatch, took: float = 1.0) -> AdviceOrder:
    real = campaign.prepare

    def compiling(*words: Any) -> campaign.Job:
        job = real(*words)
        return replace(job, environment=replace(job.environment, soft={"compiler": "g++"}))

    with monkeypatch.context() as patch:
        patch.setattr(campaign, "prepare", compiling)
        # Preparing takes a second, which is of the budget.
        patch.setattr(advise, "time", SimpleNamespace(monotonic=iter([0.0, took]).__next__))
        return prepare(Grid(("lenet",), device=Device("cpu")), Plan(budget=budget), "fake")


def test_what_surely_fits_begins_and_the_likeliest_of_the_others_waits_first(monkeypatch) -> None:
    asked = begun(45.0, monkeypatch)

    assert [spec.mode.text for spec in asked.job.specs] == [
        "eager", "channels_last", "channels_last+amp=bf16",
    ]  # fmt: skip
    assert [spec.mode.text for spec in asked.waiting] == [
        "compile+freezing+channels_last", "compile+freezing+channels_last+amp=bf16", "amp=bf16",
        "compile",
    ]  # fmt: skip
    assert asked.job.plan.budget is None
    assert (asked.budget, asked.took) == (45.0, 1.0)


def test_the_budget_that_is_named_is_one_with_which_a_mode_begins(monkeypatch) -> None:
    for took in (1.0, 9.0):
        for spec, enough in begun(60.0, monkeypatch, took).waiting.items():
            assert spec in begun(enough, monkeypatch, took).job.specs
            # What it says more is for a preparation that takes longer.
            assert spec in begun(enough, monkeypatch, 1.03 * took).job.specs
            assert spec not in begun(enough / 1.06 - 1, monkeypatch, took).job.specs


@pytest.mark.parametrize(("budget", "took"), [(1.0, 1.0), (5.0, 6.0), (0.01, 3.0)])
def test_a_budget_that_preparing_has_used_up_leaves_eager(monkeypatch, budget, took) -> None:
    asked = begun(budget, monkeypatch, took)

    assert [spec.mode.text for spec in asked.job.specs] == ["eager"]
    assert asked.job.plan.budget is None


# Milliseconds of a call: the fastest is one that waits.
TIMES = {
    "eager": 10.0, "channels_last": 6.0, "channels_last+amp=bf16": 5.0, "amp=bf16": 9.0,
    "compile": 3.0, "compile+freezing+channels_last": 2.0,
    "compile+freezing+channels_last+amp=bf16": 1.2,
}  # fmt: skip


@pytest.mark.parametrize("budget", [66.0, 75.0, 84.0])
def test_the_fastest_is_chosen_whenever_it_came_in(
    monkeypatch, tmp_path: Path, budget: float
) -> None:
    monkeypatch.setattr(fake, "_seconds", lambda spec: TIMES[spec.mode.text] / 1e3)
    asked = begun(budget, monkeypatch)
    assert "compile+freezing+channels_last+amp=bf16" in {one.mode.text for one in asked.waiting}
    evidence = measure(asked, tmp_path / "run", Ear(), "run")

    assert evidence.recommended is not None
    assert evidence.recommended.spec.mode.text == "compile+freezing+channels_last+amp=bf16"
    stored = store.read(tmp_path / "run")
    assert (stored.missing, stored.unfinished) == ((), ())
    assert {one.id for one in evidence.records} == {*stored.manifest.specs}


def test_what_waits_comes_in_and_is_no_longer_untried(monkeypatch, tmp_path: Path) -> None:
    # Pretended workers take no time, so that everything fits in the end.
    asked = replace(begun(60.0, monkeypatch), budget=1000.0)
    evidence = measure(asked, tmp_path / "run", Ear(), "run")

    assert {one.spec.mode.text for one in evidence.records} == {
        spec.mode.text for spec in asked.specs
    }
    assert evidence.untried == {}


def test_what_is_slow_for_a_budget_gets_fewer_calls(monkeypatch) -> None:
    short, long = (begun(budget, monkeypatch).job for budget in (45.0, 4500.0))
    turns = len(short.specs) * short.plan.rounds

    assert short.plan.turn_budget < long.plan.turn_budget == Plan().turn_budget
    assert short.plan.warm_up_limit <= 0.25 * 45.0 / turns
    # What takes no time for its calls has all of them.
    assert short.plan.turn_budget >= short.plan.slices * short.plan.slice_seconds
    # All modes share one reference: resnet50 is still compared with it.
    assert short.plan.float64_macs > 4.1e9
    assert short.plan.budget is long.plan.budget is None


def test_a_slower_machine_begins_with_less(monkeypatch) -> None:
    usual, slow, slowest = (begun(84.0, monkeypatch, took).job for took in (3.0, 12.0, 40.0))

    assert len(slow.specs) < len(usual.specs)
    # A module that takes half of the time to be imported says less of the machine.
    assert [spec.mode.text for spec in slowest.specs] == ["eager"]


def test_a_budget_that_is_over_leaves_the_rest_untried(monkeypatch, tmp_path: Path) -> None:
    late = replace(begun(60.0, monkeypatch), took=55.0)
    evidence = measure(late, tmp_path / "run", Ear(), "run")

    assert len(evidence.records) == len(late.job.specs)
    assert {*evidence.untried} == {spec.mode.text for spec in late.waiting}
    assert all(
        re.search(r"--budget \d+s would be enough", why) for why in evidence.untried.values()
    )
