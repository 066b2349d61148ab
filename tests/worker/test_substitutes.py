"""Substitutes as workloads: ``conv:k8-3x3-p1~ghost`` is built, counted and asked for its work."""

from __future__ import annotations

import pytest
import torch

from cnnbench.conv.problem import of_workload
from cnnbench.errors import UnknownName, Unsupported
from cnnbench.implementations.substitutes import SUBSTITUTES
from cnnbench.spec import Spec
from cnnbench.worker import algorithm, build
from cnnbench.worker.devices import open_device


def spec(name: str, mode: str = "eager") -> Spec:
    return Spec.parse(f"conv:k8-3x3-p1~{name}/inference-b2-8x8x8/{mode}/cpu-t1")


@pytest.mark.parametrize("mode", ["eager", "channels_last", "bf16"])
@pytest.mark.parametrize("name", ["ghost", "octave", "inverted_residual", "grouped_shuffle"])
def test_a_substitute_gives_an_output_of_the_layers_shape(name: str, mode: str) -> None:
    one = spec(name, mode)
    architecture, module = build.construct(one.workload, 0)
    step = build.step(one, architecture, module, 0)

    (output,) = step.observe(step.call())

    assert tuple(output.shape) == of_workload(one.workload).output_shape
    assert bool(torch.isfinite(output.float()).all())


def test_its_cost_is_its_own_and_not_the_layers() -> None:
    one = spec("ghost")
    problem = of_workload(one.workload)

    cost = build.counted(one.workload, 0).cost()

    assert cost.macs == SUBSTITUTES["ghost"].macs(problem) < problem.macs
    assert cost.params == SUBSTITUTES["ghost"].params(problem)


def test_its_work_is_its_own_and_not_the_layers() -> None:
    one = spec("bottleneck")

    found = algorithm.measure(one, 0, open_device(one.device))

    assert found.name == "~bottleneck"
    assert found.executed_macs == SUBSTITUTES["bottleneck"].macs(of_workload(one.workload))
    assert found.workspace_bytes is None
    assert found.measured_workspace_bytes > 0


def test_what_does_not_fit_says_why() -> None:
    with pytest.raises(Unsupported, match="stacked_3x3 needs a square odd kernel from 5x5"):
        build.construct(spec("stacked_3x3").workload, 0)
    with pytest.raises(UnknownName, match="unknown substitute 'gost'; did you mean ghost"):
        build.construct(spec("gost").workload, 0)
