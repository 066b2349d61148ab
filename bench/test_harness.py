"""What the harness itself costs: a slice of nothing, records to disk and back, a comparison."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from cnnbench import gate, store
from cnnbench.gate import Side, thresholds
from cnnbench.gate.rule import SequentialRule, decide
from cnnbench.record import from_json, to_json
from cnnbench.spec import Device, Spec
from cnnbench.worker import sampling
from cnnbench.worker.devices import open_device

KEPT = Path(__file__).parents[1] / "results" / "quick-cpu"


def test_a_slice_of_nothing(benchmark: Any) -> None:
    device = open_device(Device())

    def slice_of_nothing() -> Any:
        return sampling.take_slice(lambda: None, device, 0, 1000, 0.001, 1e-7)

    found = benchmark.pedantic(slice_of_nothing, rounds=20)

    assert found.ns
    # What one call of nothing takes is what every sample is too long by.
    benchmark.extra_info["ns_per_call"] = min(found.ns) / found.iterations


def test_a_record_to_json_and_back(benchmark: Any) -> None:
    record = store.read(KEPT).records[0]

    back = benchmark(lambda: from_json(json.loads(json.dumps(to_json(record)))))

    assert back == record


def test_reading_a_run(benchmark: Any) -> None:
    assert benchmark(lambda: store.read(KEPT)).records


def test_a_spec_id_and_back(benchmark: Any) -> None:
    text = "resnet50?width=2/inference-b8-3x224x224/compile+channels_last+amp=bf16/cpu-t2"

    assert benchmark(lambda: Spec.parse(text).id) == text


def test_comparing_two_runs(benchmark: Any) -> None:
    side = gate.side_of(store.read(KEPT))
    other = Side("other", side.environment, side.records)

    found = benchmark(lambda: gate.judge(gate.compare(side, other), thresholds.defaults()))

    assert len(found.rows) == len(side.records)


def test_one_look_of_the_gate(benchmark: Any) -> None:
    pairs = [0.01, -0.01, 0.02, 0.0, 0.01, -0.02, 0.0, 0.01]

    assert benchmark(lambda: decide(pairs, SequentialRule(0.05))).pairs == len(pairs)


def test_the_command_line_starts(benchmark: Any) -> None:
    command = [sys.executable, "-m", "cnnbench", "--help"]

    done = benchmark.pedantic(
        lambda: subprocess.run(command, capture_output=True, check=True), rounds=5
    )

    assert b"compare" in done.stdout
