"""Which modes advice tries."""

from __future__ import annotations

from cnnbench.plan import Plan
from cnnbench.runner.advise import prepare
from cnnbench.spec import Device
from cnnbench.suite import Grid


def modes(**more) -> list[str]:
    # Where nothing is pretended to compile, the compiled ones are those that are left out.
    job, untried = prepare(Grid(("lenet",), device=Device("cpu"), **more), Plan(), "fake")
    assert {spec.id for spec in job.specs} <= set(job.macs)
    return [*(spec.mode.text for spec in job.specs), *untried]


def test_of_inference_the_compiled_nhwc_modes_have_frozen_weights() -> None:
    found = modes()

    assert found[0] == "eager"
    assert [one for one in found if "compile" in one] == [
        "compile", "compile+freezing+channels_last", "compile+freezing+channels_last+amp=bf16",
    ]  # fmt: skip


def test_a_training_step_has_none() -> None:
    found = modes(phases=("training",), batches=(8,))

    assert "compile+channels_last" in found
    assert not any("freezing" in one for one in found)
