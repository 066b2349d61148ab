"""Whole networks through pytest-benchmark: the very step that cnnbench times, in one process.

For what is to be compared, ``cnnbench run`` is better: one process has the luck of one process.
"""

from __future__ import annotations

from typing import Any

import pytest

from cnnbench.spec import Spec
from cnnbench.worker import build, modes

NETWORKS = (
    "lenet/inference-b1-3x32x32",
    "squeezenet1_1/inference-b1-3x224x224",
    "mobilenet_v3_small/inference-b1-3x224x224",
    "resnet18/inference-b1-3x224x224",
)


@pytest.mark.parametrize("mode", ["eager", "channels_last"])
@pytest.mark.parametrize("network", NETWORKS)
def test_step(benchmark: Any, network: str, mode: str, threads: int) -> None:
    spec = Spec.parse(f"{network}/{mode}/cpu-t{threads}")
    modes.set_flags(spec.mode, spec.threads)
    architecture, module = build.construct(spec.workload, 0)
    step = build.step(spec, architecture, module, 0)
    benchmark.group = network
    benchmark.extra_info["spec"] = spec.id

    result = benchmark.pedantic(step.call, rounds=10, warmup_rounds=3)

    assert step.observe(result)
