from __future__ import annotations

import itertools
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from cnnbench import analysis
from cnnbench.prediction.operators import PACE, OperatorCall, TensorLayout, TorchName
from cnnbench.requests import TimeOperators, TraceEach, TraceOperators
from cnnbench.runner.inquiry import ask
from cnnbench.runner.process import Processes
from cnnbench.worker.operator_times import OperatorTimer, ParameterMemory, take_turns

if TYPE_CHECKING:
    from collections.abc import Callable

NETWORK = "lenet/inference-b2-3x32x32/channels_last/cpu-t1"


def _timed(
    *calls: OperatorCall, pace: str = PACE.call, clock: Callable[[], int] = time.perf_counter_ns
) -> list:
    timers, memory = [OperatorTimer(call.text) for call in calls], ParameterMemory()
    beside = OperatorTimer(pace)
    for timer in (beside, *timers):
        timer.prepare(memory)
    take_turns(timers, beside, clock)
    return [timer.found for timer in timers]


def test_the_operators_of_a_network_are_traced_and_timed_by_workers(tmp_path: Path) -> None:
    with Processes().open(tmp_path) as pool:
        trace = ask(pool, TraceOperators(spec=NETWORK, seed=0), 120)
        calls = tuple(one.call for one in trace.calls)
        found = ask(pool, TimeOperators(calls=calls, threads=1), 120)

    names = {OperatorCall.parse(call).operator for call in calls}
    assert {"aten::convolution", "aten::addmm"} <= names
    assert [one.call for one in found] == [*calls]
    assert all(one.seconds is not None and one.seconds >= 0 for one in found)
    assert max(one.seconds for one in found) > 0


# The meta device has no values, which this constructor asks for.
ONLY_REAL = """
import torch

def net():
    return torch.nn.Conv2d(3, int(torch.ones(1).item()), 3)
"""


def test_several_networks_are_traced_in_one_process_and_one_that_fails_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, nobody = (
        NETWORK.replace("channels_last", "eager"),
        "x.y:z/inference-b1-3x8x8/eager/cpu-t1",
    )
    small = NETWORK.replace("3x32x32", "3x4x4")
    (tmp_path / "onlyreal.py").write_text(ONLY_REAL, encoding="utf8")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    real = "onlyreal:net/inference-b1-3x8x8/eager/cpu-t1"
    with Processes().open(tmp_path) as pool:
        alone = ask(pool, TraceOperators(spec=NETWORK, seed=0), 120)
        found = ask(pool, TraceEach(specs=(NETWORK, nobody, other, small, real)), 120)
        (part,) = ask(pool, TraceEach(specs=(NETWORK,), most_macs=1), 120)

    assert found[0].trace == alone
    assert (found[1].trace, found[1].built) == (None, False)
    assert "x.y" in found[1].why
    assert found[2].trace is not None
    assert (found[3].trace, found[3].built) == (None, True)
    assert (found[4].trace, found[4].built) == (None, True)
    assert part.trace is not None
    assert not part.trace.whole


class Joined(nn.Module):
    """Operators with a list of tensors, with names, in place and with whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.register_buffer("order", torch.tensor([3, 1, 2, 0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu_(self.norm(self.conv(x)))
        x = torch.cat([x, x.clone(memory_format=torch.contiguous_format)], 1)
        return x[:, self.order].to(torch.float64).mean((2, 3)).softmax(-1)


def test_every_operator_of_a_network_can_be_called_alone() -> None:
    module = analysis.build_on_meta(Joined)
    trace = analysis.calls(module, (torch.empty(1, 3, 8, 8),))
    calls = [OperatorCall.parse(one.call) for one in trace.calls]

    found = _timed(*calls)

    assert {call.operator for call in calls} >= {
        "aten::relu_", "aten::cat", "aten::clone", "aten::index.Tensor", "aten::_to_copy",
    }  # fmt: skip
    assert [one.why for one in found] == [""] * len(calls)
    assert all(4 <= one.samples <= 11 for one in found)


RELU = OperatorCall("aten::relu", (TensorLayout((8,), (1,), "float32"),))


class Swinging:
    """A clock of a machine that computes twice as slowly every now and then.

    It is read before and after every call; each takes a microsecond, or two.
    """

    def __init__(self, calls: int) -> None:
        self.reads, self.now, self._calls = 0, 0, calls

    def __call__(self) -> int:
        self.reads += 1
        slow = self.reads // 2 // self._calls % 2
        self.now += 1000 * (1 + slow)
        return self.now


def test_times_go_with_the_pace_of_their_moment() -> None:
    sizes = [RELU, *(OperatorCall("aten::relu", (TensorLayout((n,), (1,), "float32"),))
                     for n in range(9, 40))]  # fmt: skip

    found = _timed(*sizes, clock=Swinging(80))

    raw, paced = [one.seconds for one in found], [one.seconds / one.pace for one in found]
    assert max(raw) / min(raw) > 1.4
    assert max(paced) / min(paced) < 1.01


def test_the_pace_is_never_called_twice_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    called, call = [], OperatorTimer.call

    def listened(timer: OperatorTimer, *more: Any) -> None:
        called.append(timer._text == PACE.call)
        call(timer, *more)

    monkeypatch.setattr(OperatorTimer, "call", listened)
    _timed(*[RELU] * 20)

    # After the turn in which libraries prepare.
    later = called[21:]
    assert later[0]
    assert not any(one and other for one, other in itertools.pairwise(later))
    assert 4 * 2 <= sum(later) <= 11 * 2 + 1


@pytest.mark.parametrize("pace", [OperatorCall("aten::no_such_operator", ()).text, PACE.call])
def test_without_a_pace_there_are_times_all_the_same(pace: str) -> None:
    steady = iter(range(10**6)).__next__
    still = (lambda: 7) if pace == PACE.call else steady

    (one,) = _timed(RELU, pace=pace, clock=still)

    assert one.seconds is not None
    assert one.pace is None


def test_the_pace_is_an_operator_like_others_and_its_work_is_known() -> None:
    trace = analysis.calls(
        analysis.build_on_meta(lambda: nn.Conv2d(64, 64, 3, padding=1, bias=False)),
        (torch.empty(1, 64, 26, 26),),
    )

    assert trace.calls == (PACE,)


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (OperatorCall("aten::no_such_operator", ()), "there is no operator"),
        (OperatorCall("aten::__class__.__init__", ()), "there is no operator"),
        (OperatorCall("aten::relu", ()), "missing"),
        (OperatorCall("aten::relu", (TorchName("dtype", "no_such_type"),)), "there is no dtype"),
        (
            OperatorCall("aten::mm", (TensorLayout((2, 3), (3, 1), "float32"),) * 2),
            "cannot be multiplied",
        ),
    ],
    ids=lambda one: getattr(one, "operator", ""),
)
def test_a_call_that_fails_costs_its_own_time_only(call: OperatorCall, part: str) -> None:
    good = OperatorCall("aten::relu", (TensorLayout((8,), (1,), "float32"),))

    first, bad, last = _timed(good, call, good)

    assert bad.seconds is None
    assert part in bad.why
    assert first.seconds is not None
    assert last.seconds is not None


def test_parameters_of_several_operators_lie_apart_and_inputs_are_their_own() -> None:
    memory = ParameterMemory()
    layout = TensorLayout((64, 64), (64, 1), "float32", held=True)

    one, two = memory.parameter(layout), memory.parameter(layout)

    assert one.untyped_storage().data_ptr() == two.untyped_storage().data_ptr()
    assert two.data_ptr() - one.data_ptr() == 4 * 64 * 64
    assert memory.fresh(layout).untyped_storage().data_ptr() != one.untyped_storage().data_ptr()
    assert 0.5 <= float(one.min()) <= float(one.max()) <= 1.5
