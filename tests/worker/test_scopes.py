"""Who is at work: marks of a step on small networks, without any clock."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from cnnbench.worker.layer_times import entered, segments_of
from cnnbench.worker.scopes import Scopes, Teller, owners


class Block(nn.Module):
    """Work of its own between its children: an addition."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        out = self.conv(value)
        out = self.relu(out) + value
        return functional.avg_pool2d(self.relu(out), 2)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = Block()
        self.head = nn.Linear(2, 3)

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return self.head(self.block(value).mean((2, 3)))


def marks_of(net: nn.Module, *, training: bool) -> tuple[Scopes, list[int]]:
    scopes, marks = Scopes(net), list[int]()
    parameters = list(net.parameters())
    optimizer = torch.optim.SGD(parameters, lr=0.0) if training else None
    with Teller(scopes, marks.append, optimizer) as teller:
        teller.begin()
        out = net(torch.ones(1, 2, 4, 4))
        if optimizer is not None:
            out.sum().backward()
            optimizer.step()
    return scopes, marks


def said(scopes: Scopes, marks: list[int]) -> list[tuple[str | None, str]]:
    places = [scopes.place(mark) for mark in marks]
    return [(None if index is None else scopes.names[index], part) for index, part in places]


def test_the_innermost_module_is_at_work_and_its_parent_between_its_children() -> None:
    scopes, marks = marks_of(Net(), training=False)

    assert [name for name, _ in said(scopes, marks)] == [
        None, "", "block", "block.conv", "block", "block.relu", "block", "block.relu", "block",
        "", "head", "", None,
    ]  # fmt: skip


def test_a_module_is_entered_as_often_as_it_is_called() -> None:
    scopes, marks = marks_of(Net(), training=False)

    times = entered(marks)

    calls = {name: times.get(index, 0) for index, name in enumerate(scopes.names)}
    assert calls == {"": 1, "block": 1, "block.conv": 1, "block.relu": 2, "head": 1}


def test_the_backward_pass_visits_modules_in_reverse_and_functional_parts_are_the_parents() -> None:
    scopes, marks = marks_of(Net(), training=True)

    backward = [name for name, part in said(scopes, marks) if part == "backward"]
    steps = [name for i, name in enumerate(backward) if i == 0 or backward[i - 1] != name]
    # head, the mean, the pooling, relu, the addition, relu again, the convolution
    assert steps == ["head", "", "block", "block.relu", "block", "block.relu", "block.conv"]


def test_parts_outside_the_network_stand_in_their_order() -> None:
    scopes, marks = marks_of(Net(), training=True)

    outside = [part for name, part in said(scopes, marks) if name is None]
    assert outside == ["before forward", "before forward", "not counted", "loss", "optimizer",
                       "after"]  # fmt: skip


def test_every_node_has_one_owner_and_none_accumulates() -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(inplace=True))
    first = net[0](torch.ones(1, 1, 2, 2))
    left = [(1, first.grad_fn)]
    second = net[1](first)
    left.append((2, second.grad_fn))

    found = owners(left)

    assert {type(node).__name__: scope for node, scope in found.items()} == {
        "ConvolutionBackward0": 1, "ReluBackward0": 2,
    }  # fmt: skip


def test_outputs_and_gradients_are_the_same_to_the_bit() -> None:
    torch.manual_seed(0)
    net = Net()
    value = torch.randn(1, 2, 4, 4)
    net(value).sum().backward()
    plain = [parameter.grad.clone() for parameter in net.parameters()]
    net.zero_grad()

    with Teller(Scopes(net), lambda _: None, torch.optim.SGD(net.parameters())) as teller:
        teller.begin()
        net(value).sum().backward()

    assert all(
        torch.equal(one, parameter.grad)
        for one, parameter in zip(plain, net.parameters(), strict=True)
    )


def test_nothing_is_left_behind_even_when_the_network_raises() -> None:
    net = Net()
    before = {name: dict(vars(child)) for name, child in net.named_modules()}
    optimizer = torch.optim.SGD(net.parameters())

    teller = Teller(Scopes(net), lambda _: None, optimizer)

    def step() -> None:
        with teller:
            teller.begin()
            net(torch.ones(1, 5, 4, 4))

    with pytest.raises(RuntimeError):
        step()

    assert {name: dict(vars(child)) for name, child in net.named_modules()} == before
    assert not optimizer._optimizer_step_pre_hooks


def test_modules_without_a_python_forward_are_left_alone() -> None:
    net = nn.Sequential(torch.jit.script(nn.ReLU()), nn.ReLU())

    scopes, marks = marks_of(net, training=False)

    assert [name for name, _ in said(scopes, marks)] == [None, "", "1", "", None]


def test_segments_of_one_place_add_up() -> None:
    assert segments_of([4, 1, 4], [10, 20, 30]) == {4: 40, 1: 20}
