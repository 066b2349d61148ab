"""Traces of the profiler: who called whom, what was allocated, what ran on the device."""

from __future__ import annotations

import pytest
import torch

from cnnbench.worker import events
from cnnbench.worker.devices import Cpu


def op(name: str, start: float, length: float, thread: int = 1) -> events.Event:
    return {"ph": "X", "cat": "cpu_op", "name": name, "ts": start, "dur": length, "tid": thread}


def memory(start: float, size: int, kind: int = 0) -> events.Event:
    return {
        "ph": "i",
        "name": "[memory]",
        "ts": start,
        "args": {"Bytes": size, "Device Type": kind},
    }


CONVOLUTION = [
    op("aten::conv2d", 10.0, 10.0),
    op("aten::convolution", 10.0, 9.0),  # begins at the same instant as its caller
    op("aten::empty", 12.0, 1.0),
    op("aten::relu_", 20.0, 1.0),
]


def test_only_operators_that_nobody_called_are_counted() -> None:
    assert events.operators(reversed(CONVOLUTION)) == {"aten::conv2d": 1, "aten::relu_": 1}
    assert events.every_operator(CONVOLUTION)["aten::empty"] == 1


def test_threads_do_not_hide_each_others_operators() -> None:
    seen = [op("aten::conv2d", 0.0, 10.0, 1), op("aten::mm", 5.0, 1.0, 2)]

    assert events.operators(seen) == {"aten::conv2d": 1, "aten::mm": 1}


@pytest.mark.parametrize(
    "name",
    [
        "autograd::engine::evaluate_function: ConvolutionBackward0",
        "ConvolutionBackward0",
        "## Call CompiledFxGraph fooo ##",
        "Torch-Compiled Region: 0/0",
        "autograd::thing",
    ],
)
def test_what_is_not_an_operator_hides_none(name: str) -> None:
    seen = [op(name, 0.0, 100.0), op("aten::mm", 1.0, 1.0), op("mine::op", 3.0, 1.0)]

    assert events.operators(seen) == {"aten::mm": 1, "mine::op": 1}


def test_memory_is_told_apart_by_device() -> None:
    seen = [memory(1, 64), memory(2, 512, kind=1), memory(3, -64), *CONVOLUTION]

    assert events.memory_changes(seen, "cpu") == [(1, 64), (3, -64)]
    assert events.memory_changes(seen, "cuda") == [(2, 512)]


def test_what_runs_on_a_device_is_counted_by_its_name() -> None:
    names = [("kernel", "sgemm_128"), ("kernel", "sgemm_128"), ("gpu_memcpy", "Memcpy DtoD")]
    seen = [{"ph": "X", "cat": cat, "name": name, "ts": 0, "dur": 1} for cat, name in names]

    assert events.device_kernels([*seen, *CONVOLUTION]) == {"sgemm_128": 2, "Memcpy DtoD": 1}


@pytest.mark.parametrize(
    ("spans", "busy"),
    [
        ([], 0),
        ([(0, 2), (5, 1)], 3000),
        # On two streams at once, and one inside the other.
        ([(0, 4), (2, 4)], 6000),
        ([(0, 9), (2, 1), (3, 2.5)], 9000),
        ([(5, 1), (0, 2)], 3000),
    ],
)
def test_a_device_is_busy_while_it_has_anything_to_do(spans, busy: int) -> None:
    seen = [{"cat": "kernel", "name": "k", "ts": ts, "dur": dur} for ts, dur in spans]

    assert events.busy_ns([*seen, *CONVOLUTION]) == busy


def test_a_real_call_is_seen() -> None:
    given = torch.ones(32, 32)

    seen = events.of_call(lambda: (given @ given).relu(), Cpu())

    assert events.operators(seen) == {"aten::matmul": 1, "aten::relu": 1}
    changes = [change for _, change in events.memory_changes(seen, "cpu")]
    assert sorted(changes) == [-4096, -4096, 4096, 4096]
