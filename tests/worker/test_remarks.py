"""A mode that changed nothing, or less than it says, gets a line; others get none."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import nn

from cnnbench.spec import Device, Mode, Spec, Workload
from cnnbench.worker import build, modes, remarks
from cnnbench.worker.inputs import Given

DENSE = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))
POOL = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
COMPLETE = {"stats": {"unique_graphs": 1}, "frames": {"total": 1, "ok": 1}}


@pytest.fixture(autouse=True)
def _flags_restored():
    with modes.restored():
        yield


def said(module: nn.Module, mode: Mode) -> list[str]:
    spec = Spec(Workload("mine:net", 1, (3, 8, 8)), mode, Device(), 1)
    step = build.inference(spec, copy.deepcopy(module), Given.of(torch.rand(1, 3, 8, 8)))
    return remarks.remarks(spec, step)


@pytest.mark.parametrize(
    ("module", "mode"),
    [
        (nn.Conv2d(3, 4, 3), Mode()),
        (nn.Conv2d(3, 4, 3), Mode(memory_format="channels_last")),
        (nn.Conv2d(3, 4, 3), Mode(precision="amp=bf16")),
        (nn.Conv2d(3, 4, 3), Mode(precision="bf16")),
        (DENSE, Mode(precision="amp=bf16")),
    ],
)
def test_a_mode_that_did_its_work_gets_no_remark(module: nn.Module, mode: Mode) -> None:
    assert said(module, mode) == []


@pytest.mark.parametrize("module", [POOL, DENSE])
def test_channels_last_without_a_weight_that_has_the_format(module: nn.Module) -> None:
    assert said(module, Mode(memory_format="channels_last")) == [
        "channels_last changed no weight: the network has no 2-d or 3-d convolution"
    ]


def test_precisions_without_anything_to_do() -> None:
    assert said(POOL, Mode(precision="amp=bf16")) == [
        "amp=bf16 changed nothing: no operator of the network runs in bfloat16 under autocast"
    ]
    assert said(POOL, Mode(precision="bf16")) == [
        "bf16 changed no weight: the network has none in floating point"
    ]
    own = nn.Conv2d(3, 4, 3).bfloat16()
    assert said(own, Mode(precision="bf16")) == [
        "bf16 changed nothing: the network's own weights are bfloat16"
    ]


@pytest.mark.parametrize(
    ("word", "capability", "variables", "lines"),
    [
        ("eager", (7, 5), {}, []),
        ("tf32", (8, 0), {"NVIDIA_TF32_OVERRIDE": "1", "CUDA_LAUNCH_BLOCKING": "0"}, []),
        ("tf32", (7, 5), {"NVIDIA_TF32_OVERRIDE": "0"},
         ["tf32 changed nothing: the GPU is of compute capability 7.5, and TF32 begins with 8.0"]),
        ("tf32=cudnn", (9, 0), {"NVIDIA_TF32_OVERRIDE": "0"},
         ["tf32=cudnn changed nothing: NVIDIA_TF32_OVERRIDE=0 forbids TF32 to NVIDIA's libraries"]),
        ("eager", (9, 0), {"NVIDIA_TF32_OVERRIDE": "0"}, []),
        ("amp=bf16", (7, 0), {}, ["amp=bf16 is emulated: the GPU is of compute capability 7.0, and"
                                  " units for bfloat16 begin with 8.0"]),
        ("bf16", (8, 6), {}, []),
        ("eager", (9, 0), {"CUDA_LAUNCH_BLOCKING": "1"},
         ["CUDA_LAUNCH_BLOCKING: the host waited for every kernel before it launched the next"]),
        ("eager", (9, 0), {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"},
         ["PYTORCH_NO_CUDA_MEMORY_CACHING: every tensor was allocated by the driver, which is"
          " slow"]),
    ],
)  # fmt: skip
def test_what_a_gpu_or_its_variables_keep_from_being_so_is_said(
    monkeypatch, word, capability, variables, lines
) -> None:
    for name in ("NVIDIA_TF32_OVERRIDE", "CUDA_LAUNCH_BLOCKING", "PYTORCH_NO_CUDA_MEMORY_CACHING"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _index: capability)
    on = Spec(Workload("mine:net", 1, (3, 8, 8)), Mode.parse(word, "cuda"), Device("cuda", 0), 1)

    assert remarks.device(on) == lines
    assert remarks.device(replace(on, mode=Mode(), device=Device())) == []


LIMIT = "Dynamo recompile limit exceeded\n  Explanation: …"
BREAK = "Call to `torch._dynamo.graph_break()`\n  Explanation: …"


@pytest.mark.parametrize(
    ("counters", "disabled", "lines"),
    [
        (COMPLETE, "", []),
        ({}, "TORCHDYNAMO_DISABLE",
         ["compile compiled nothing: the compiler is disabled by TORCHDYNAMO_DISABLE"]),
        ({}, "", ["compile compiled nothing: 0 graphs"]),
        ({**COMPLETE, "inductor": {"cudagraph_skips": 2, "pattern_matcher_count": 3}}, "",
         ["compile means CUDA graphs, but the compiler made none for 2 graphs"]),
        ({**COMPLETE, "graph_break": {BREAK: 2}}, "",
         ["compile is interrupted by 2 graph breaks: Call to `torch._dynamo.graph_break()`"]),
        ({**COMPLETE, "unimplemented": {LIMIT: 1}, "frames": {"total": 9, "ok": 8}}, "",
         ["compile reached torch's limit of recompilations; later calls run without it"]),
        ({"stats": {"calls_captured": 1}, "frames": {"total": 1}}, "",
         ["compile compiled nothing: 0 graphs", "compile failed on 1 frame, which run without it"]),
    ],
)  # fmt: skip
def test_what_the_compiler_left_out(
    counters: Mapping[str, Mapping[str, int]], disabled: str, lines: list[str]
) -> None:
    assert remarks.compiler_words("default", counters, disabled=disabled) == lines


class Greedy(nn.Module):
    """Takes the threads that it likes in every call."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.set_num_threads(2)
        return x * 2


def test_flags_that_a_network_sets_are_set_back_and_said(monkeypatch, tmp_path) -> None:
    (tmp_path / "greedy_nets.py").write_text(
        "import torch\n"
        "torch.set_num_threads(3)\n"
        "def net():\n"
        "    torch.set_num_threads(5)\n"
        "    torch.use_deterministic_algorithms(True)\n"
        "    return torch.nn.Conv2d(3, 4, 3)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    modes.set_flags(Mode(), 1)

    step = build.built(Spec(Workload("greedy_nets:net", 1, (3, 8, 8)), Mode(), Device(), 1), 0)

    assert torch.get_num_threads() == 1
    assert not torch.are_deterministic_algorithms_enabled()
    (line,) = remarks.global_flags(step)
    assert line == (
        "the network's code set threads 1 -> 5, deterministic False -> True, which was set back"
    )


def test_flags_that_a_network_sets_in_every_call_make_its_times_untrue() -> None:
    modes.set_flags(Mode(), 1)
    spec = Spec(Workload("mine:net", 1, (3, 8, 8)), Mode(), Device(), 1)
    step = build.inference(spec, Greedy(), Given.of(torch.rand(1, 3, 8, 8)))
    step.call()

    (line,) = remarks.remarks(spec, step)

    assert "threads 1 -> 2 whenever it is called" in line
    assert torch.get_num_threads() == 1
