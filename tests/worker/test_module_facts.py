"""What modules are and do, without a clock."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from cnnbench.gate.differing import of_one
from cnnbench.worker.build import Step
from cnnbench.worker.devices import Cpu
from cnnbench.worker.inputs import Given
from cnnbench.worker.module_facts import facts


class Twice(nn.Module):
    """Calls its only child twice, and copies in between."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU()
        self.unused = nn.Linear(1, 1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.act(self.act(x).contiguous(memory_format=torch.channels_last))
        return result


def known(net: nn.Module) -> dict[str, Any]:
    value = torch.ones(2, 3, 8, 8)

    def call() -> Any:
        with torch.inference_mode():
            return net(value)

    found = facts(Step(call, lambda result: [result], net, Given.of(value)), Cpu())
    assert found.missing == {}
    return {one.name: one for one in found.modules}


def test_geometry_parameters_and_output_of_a_module() -> None:
    conv = known(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))["0"]

    assert (conv.type, conv.calls, conv.params, conv.dtype) == ("Conv2d", 1, 112, "float32")
    assert conv.geometry.startswith("3, 4, kernel_size=(3, 3)")
    assert conv.output == "float32[2,4,6,6]"
    assert conv.operators["aten::conv2d"] == 1
    assert "aten::relu" not in conv.operators


def test_a_parents_own_work_its_childrens_calls_and_layouts() -> None:
    found = known(Twice())

    assert found["act"].calls == 2
    assert found[""].output == "float32[2,3,8,8] channels_last"
    assert found[""].operators["aten::contiguous"] == 1
    assert "unused" not in found


def test_what_is_changed_in_one_module_is_its_reason() -> None:
    class Copies(nn.ReLU):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.double()).float()

    before, after = known(nn.Sequential(nn.ReLU())), known(nn.Sequential(Copies()))

    lines = of_one(before["0"], after["0"])
    assert lines[0] == "ReLU -> Copies"
    assert any("aten::_to_copy none -> 2" in line for line in lines)


def test_modules_that_do_the_same_have_no_reason() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
    one, other = known(net), known(net)

    assert [of_one(one[name], other[name]) for name in one] == [()] * len(one)
