"""Hooks of pytest-benchmark: the machine as cnnbench describes it, so that files say what they are.

pytest bench --benchmark-only
pytest bench/test_models.py --benchmark-only --benchmark-json bench.json
cnnbench import bench.json -o results/bench
"""

from __future__ import annotations

import pytest
import torch

from cnnbench import machine
from cnnbench.report.exporting import machine_info as described
from cnnbench.version import VERSION
from cnnbench.worker import environment


def pytest_benchmark_update_machine_info(machine_info: dict) -> None:
    """Put the fingerprint in; take out the clock rate, which differs from second to second."""
    here = environment.describe()
    machine_info.update(described(here))
    machine_info["flags"] = dict(here.soft["flags"])


def pytest_benchmark_update_json(output_json: dict) -> None:
    """Say who wrote it."""
    output_json["cnnbench"] = VERSION


@pytest.fixture(autouse=True)
def threads() -> int:
    """As many threads as can run at the same time, in every benchmark."""
    count = machine.default_threads()
    torch.set_num_threads(count)
    return count
