"""Which modes advice tries."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cnnbench.plan import Plan
from cnnbench.runner import campaign
from cnnbench.runner.advise import prepare
from cnnbench.spec import Device
from cnnbench.suite import Grid


def modes(**more) -> list[str]:
    # Where nothing is pretended to compile, the compiled ones are those that are left out.
    asked = prepare(Grid(("lenet",), device=Device("cpu"), **more), Plan(), "fake")
    assert {spec.id for spec in asked.specs} <= set(asked.job.macs)
    return [*(spec.mode.text for spec in asked.specs), *asked.untried]


def test_of_inference_the_compiled_nhwc_modes_have_frozen_weights() -> None:
    found = modes()

    assert found[0] == "eager"
    assert [one for one in found if "compile" in one] == [
        "compile", "compile+freezing+channels_last", "compile+freezing+channels_last+amp=bf16",
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
