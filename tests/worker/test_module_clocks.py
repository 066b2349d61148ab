"""Modules timed turn by turn: a clock that counts, so that every number is known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from cnnbench.errors import Unsupported
from cnnbench.messages import Request
from cnnbench.plan import Plan
from cnnbench.requests import ClockModules, Finish, TakeClocks
from cnnbench.spec import Spec
from cnnbench.worker.devices import Cpu
from cnnbench.worker.module_clocks import Clocks, ThreadClock, clock_modules
from tests.worker.test_layer_times import Counting, step


def test_a_turn_gives_the_own_time_of_every_part_that_was_at_work() -> None:
    clocks = Clocks(step(), Cpu(), Counting())

    turn = clocks.turn(3, 0.0)

    names = [part.name for part in clocks.parts]
    assert names == ["", "0", "1", "2", "3", "before forward"]
    assert [part.type for part in clocks.parts][:2] == ["Sequential", "Conv2d"]
    # The network is at work between its four modules, before and after them.
    assert dict(zip(names, turn.own_ns, strict=True)) == {
        "": 5, "0": 1, "1": 1, "2": 1, "3": 1, "before forward": 2,
    }  # fmt: skip
    assert (turn.turn, turn.steps, turn.plain_ns, turn.timed_ns) == (3, 2, 1, 11)
    assert sum(part.readings for part in clocks.parts) == 11


def test_backward_and_forward_of_a_module_are_one_part() -> None:
    clocks = Clocks(step(training=True), Cpu(), Counting())

    names = [part.name for part in clocks.parts]

    assert len(names) == len(set(names))
    assert {"0", "3", "loss", "optimizer"} <= set(names)
    readings = {part.name: part.readings for part in clocks.parts}
    assert readings["0"] > 1


def test_a_module_called_like_a_part_of_the_step_is_not_taken_for_it() -> None:
    net = nn.ModuleDict({"loss": nn.ReLU()})
    net.forward = lambda value: net["loss"](value)  # type: ignore[method-assign]
    one = step()
    one.module, one.call = net, lambda: net(torch.ones(1))

    clocks = Clocks(one, Cpu(), Counting())

    assert [(part.name, part.type) for part in clocks.parts if part.name == "loss"] == [
        ("loss", "ReLU")
    ]


def test_the_clock_of_the_thread_stands_still_while_it_sleeps() -> None:
    assert ThreadClock().between([1, 5, 6]) == [4, 1]
    assert ThreadClock.read() <= ThreadClock.read()


class Told:
    """Talks to a task: hands it commands, keeps its answers."""

    def __init__(self, *commands: Request[Any]) -> None:
        self.commands = [*commands]
        self.answers: list[Any] = []

    def enter(self, phase: str) -> None:
        del phase

    def answer(self, result: Any) -> None:
        self.answers.append(result)

    def next(self) -> Request[Any]:
        return self.commands.pop(0)


def test_the_task_answers_every_turn_at_once() -> None:
    spec = Spec.parse("lenet/inference-b1-3x32x32/eager/cpu-t1")
    request = ClockModules.planned(spec, Plan(warm_up_calls=2, warm_up_seconds=0.0), cpu_time=True)
    talk = Told(TakeClocks(turn=0, seconds=0.0), TakeClocks(turn=1, seconds=0.0, move=True),
                Finish())  # fmt: skip

    clock_modules(request, talk)  # type: ignore[arg-type]

    known, *turns = talk.answers
    assert [one.turn for one in turns] == [0, 1]
    assert {len(one.own_ns) for one in turns} == {len(known.parts)}
    assert all(one.plain_ns > 0 and min(one.own_ns) >= 0 for one in turns)


def test_compiled_code_has_no_modules() -> None:
    spec = Spec.parse("lenet/inference-b1-3x32x32/compile/cpu-t1")

    with pytest.raises(Unsupported, match="layers cannot be separated in compiled code"):
        clock_modules(ClockModules.planned(spec, Plan()), Told())  # type: ignore[arg-type]
