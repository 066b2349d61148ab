"""The peers' way of sampling: a real pytest-benchmark suite, and samples as asv takes them.

    CNNBENCH_LAYERS='{}' pytest bench/gate_peers.py --benchmark-json base.json

One test per workload. ``CNNBENCH_LAYERS`` maps workloads to the layer that is added, so that the
same file is the base's suite and the head's. pytest-benchmark runs with its defaults, but for
keeping every timing. Samples for asv's rule are taken in the same process before and after, five of
at least 10 ms each: asv itself takes them from two processes.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from bench import gate_networks, gate_rules
from cnnbench.worker import modes

LAYERS: dict[str, dict[str, int]] = json.loads(os.environ.get("CNNBENCH_LAYERS", "{}"))


@pytest.mark.parametrize("workload", gate_rules.WORKLOADS)
def test_step(workload: str, benchmark: Any) -> None:
    _, spec = gate_rules.specs_of(workload, LAYERS.get(workload))
    modes.set_flags(spec.mode, 1)
    step = gate_networks.step(spec)
    before = asv_samples(step.call)
    benchmark(step.call)
    benchmark.extra_info["asv"] = before + asv_samples(step.call)


def asv_samples(call: Callable[[], Any], repeat: int = 5, least: float = 0.01) -> list[float]:
    """Warm up for 0.1 s, then ``repeat`` samples of so many calls that each takes ``least``."""
    end, count = time.perf_counter() + 0.1, 0
    began = time.perf_counter()
    while time.perf_counter() < end or not count:
        call()
        count += 1
    number = max(1, round(least / ((time.perf_counter() - began) / count) + 0.5))
    found = []
    for _ in range(repeat):
        began = time.perf_counter()
        for _ in range(number):
            call()
        found.append((time.perf_counter() - began) / number)
    return found
