from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from cnnbench import analysis
from cnnbench.analysis import operators
from cnnbench.errors import Unsupported
from cnnbench.prediction.operators import OperatorCall


def _block() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(8, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5),
    )  # fmt: skip


class Heard(TorchDispatchMode):
    """The operators of a real pass, with the layout of their first tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[int, ...]]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        tensors = [one for one in args if isinstance(one, torch.Tensor)]
        light = operators.is_view(func) or func.name() == "aten::empty.memory_format"
        if tensors and not light:
            self.found.append((func.name(), tuple(tensors[0].stride())))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_operators_and_layouts_are_those_of_a_real_pass(layout: torch.memory_format) -> None:
    module = _block().eval().to(memory_format=layout)
    given = torch.rand(2, 8, 12, 12).to(memory_format=layout)
    with torch.no_grad(), Heard() as heard:
        module(given)

    trace = analysis.calls(analysis.copy_to_meta(module), (given,))

    calls = {one.call: OperatorCall.parse(one.call) for one in trace.calls}
    assert {(one.operator, one.tensors[0].strides) for one in calls.values()} == {*heard.found}
    assert sum(one.count for one in trace.calls) == len(heard.found)


def test_equal_calls_are_one_with_its_count_and_its_work() -> None:
    module = analysis.build_on_meta(lambda: nn.Sequential(*(nn.Conv2d(4, 4, 1) for _ in range(3))))

    (call,) = analysis.calls(module, (torch.empty(1, 4, 5, 5),)).calls

    assert (call.count, call.macs, call.written_bytes) == (3, 4 * 4 * 25, 4 * 4 * 25)


def test_parameters_and_buffers_are_held_and_inputs_are_not() -> None:
    module = analysis.build_on_meta(lambda: nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)))

    trace = analysis.calls(module, (torch.empty(1, 4, 5, 5),))

    held = [[one.held for one in OperatorCall.parse(call.call).tensors] for call in trace.calls]
    assert held == [[False, True, True], [False, True, True, True, True]]


def test_what_depends_on_values_is_refused() -> None:
    class Looks(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(Unsupported, match="cannot be traced without values"):
        analysis.calls(Looks(), (torch.empty(2, 2),))


def test_a_trace_ends_where_it_is_more_work_than_was_asked_about() -> None:
    module = analysis.build_on_meta(lambda: nn.Sequential(*(nn.Conv2d(4, 4, 1) for _ in range(3))))
    given = (torch.empty(1, 4, 5, 5),)
    one = 4 * 4 * 25

    part = analysis.calls(module, given, most_macs=one)
    whole = analysis.calls(module, given, most_macs=3 * one)

    assert (part.whole, part.macs) == (False, 2 * one)
    assert whole == analysis.calls(module, given)
    assert (whole.whole, whole.macs) == (True, 3 * one)
