"""Kernels of compiled code have names, and know their modules."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch._inductor.codegen.cpp import CppScheduling

from cnnbench.spec import Device, Mode
from cnnbench.worker import fused

COMPILED = Mode(compiler="default")


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.act(self.norm(x)) + x
        return found


@pytest.mark.slow
def test_every_kernel_of_a_compiled_network_is_announced_with_its_modules() -> None:
    net = nn.Sequential(Block(), Block()).eval()
    x = torch.randn(2, 4, 8, 8)
    original = CppScheduling.define_kernel
    torch._dynamo.reset()
    with torch.no_grad():
        step = torch.compile(net)
        with fused.named(COMPILED, Device("cpu")) as kernels:
            step(x)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            step(x)
    torch._dynamo.reset()

    found = {e.key: kernels.modules(e.key) for e in profile.key_averages()}
    announced = [of for name, of in found.items() if "cpp_fused" in name]
    assert announced
    assert {path for of in announced for path in of} == {
        "0", "0.act", "0.norm", "1", "1.act", "1.norm"
    }  # fmt: skip
    assert all(of == () for name, of in found.items() if "cpp_fused" not in name)
    assert CppScheduling.define_kernel is original


class Broken(nn.Module):
    """Two graphs, each with one kernel of the same name."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        torch._dynamo.graph_break()
        found: Tensor = self.second(x)
        return found


@pytest.mark.slow
def test_kernels_of_one_name_in_two_graphs_are_told_apart() -> None:
    x = torch.randn(2, 4, 8, 8)
    torch._dynamo.reset()
    with torch.no_grad():
        step = torch.compile(Broken())
        with fused.named(COMPILED, Device("cpu")) as kernels:
            step(x)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            step(x)
    torch._dynamo.reset()

    found = [kernels.modules(e.key) for e in profile.key_averages() if "cpp_fused" in e.key]
    assert sorted(found) == [("first",), ("second",)]


def test_what_does_not_compile_on_the_cpu_is_left_alone() -> None:
    original = CppScheduling.define_kernel
    for mode, device in ((Mode(), Device("cpu")), (COMPILED, Device("cuda"))):
        with fused.named(mode, device) as kernels:
            assert CppScheduling.define_kernel is original
        assert kernels.modules("graph_0_cpp_fused_relu_0") == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("L['self'].layer1.0.bn1", "layer1.0.bn1"),
        ("L['self']._modules['layer1']._modules['0'].bn1", "layer1.0.bn1"),
        ("L['self']", ""),
        ("L['fn'].1.norm", "1.norm"),
    ],
)
def test_a_module_s_path_is_the_network_s_own(text: str, said: str) -> None:
    assert fused.path(text) == said
