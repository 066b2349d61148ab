"""Depth in weighted layers: the longest path of convolutions and products with weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from cnnbench.analysis import analyze


class Net(nn.Module):
    """Three 3x3 convolutions of equal width, a projection, and a function that is its forward."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        for name in "abc":
            setattr(self, name, nn.Conv2d(4, 4, 3, padding=1))
        self.project = nn.Conv2d(4, 4, 1)
        self.linear = nn.Linear(4, 4)
        self.mixing = nn.Parameter(torch.zeros(8, 8))

    def forward(self, x):
        return self.function(self, x)


def _in_place(net, x):
    target = torch.zeros_like(x)
    target[:, :2] = net.a(x)[:, :2]
    target += net.b(net.c(x))
    return target


def _attention(net, x):
    tokens = net.linear(x.flatten(2).mT)
    return functional.scaled_dot_product_attention(tokens, tokens, tokens) @ tokens.mT


CASES = {
    "chain": (lambda net, x: net.c(net.b(net.a(x)).relu()), 3),
    "shortcut": (lambda net, x: net.b(net.a(x)) + net.project(x), 2),
    "branches": (lambda net, x: torch.cat([net.a(x), net.c(net.b(x))], 1), 2),
    "one layer twice": (lambda net, x: net.a(net.a(x)), 2),
    "functional": (lambda net, x: functional.conv2d(x, net.a.weight) @ net.mixing[:6, :6], 2),
    "in place": (_in_place, 2),
    "attention has a layer before it": (_attention, 1),
    "products of activations": (lambda net, x: x @ x @ x, 0),
    "a squeeze beside": (lambda net, x: net.a(x) * net.linear(net.a(x).mean((2, 3)))[..., None,
                                                                                  None], 2),
    "weights made of weights": (lambda net, x: x @ (net.mixing @ net.mixing), 1),
    "not of the input": (lambda net, x: x + net.a(torch.zeros_like(net.a.weight[:1])).mean(), 0),
}  # fmt: skip


@pytest.mark.parametrize("phase", ["inference", "training"])
@pytest.mark.parametrize("case", CASES)
def test_depth_is_that_of_the_longest_path(case, phase):
    function, depth = CASES[case]
    given = torch.zeros(2, 4, 8, 8, requires_grad=True)

    assert analyze(Net(function), (given,), phase=phase).depth == depth


@pytest.mark.parametrize(
    ("module", "shape", "depth"),
    [
        (nn.MultiheadAttention(8, 2, batch_first=True), (2, 5, 8), 2),
        (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (2, 5, 8), 4),
        (nn.ConvTranspose2d(3, 4, 2), (1, 3, 8, 8), 1),
        (nn.Bilinear(3, 4, 5), (2, 3), 1),
        (nn.Flatten(), (2, 3, 4), 0),
    ],
)
def test_depth_of_layers(module, shape, depth):
    given = [torch.zeros(shape)] * (3 if isinstance(module, nn.MultiheadAttention) else 1)
    if isinstance(module, nn.Bilinear):
        given.append(torch.zeros(2, 4))

    assert analyze(module, tuple(given)).depth == depth


RECURRENT = {
    "lstm": (nn.LSTM(4, 4, 2), 2),
    "lstm of two directions": (nn.LSTM(4, 4, 2, bidirectional=True), 2),
    "lstm with projections": (nn.LSTM(4, 4, proj_size=2), 1),
    "gru": (nn.GRU(4, 4), 1),
    "rnn": (nn.RNN(4, 4, 3), 3),
}


@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
@pytest.mark.parametrize("case", RECURRENT)
@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("real", [False, True], ids=["meta", "real"])
def test_steps_of_a_recurrent_module_add_no_depth(case, steps, real):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.before, self.inner = nn.Linear(4, 4), RECURRENT[case][0]
            self.after = nn.LazyLinear(3)

        def forward(self, x):
            return self.after(self.inner(self.before(x))[0])

    network, given = Net(), torch.zeros(steps, 2, 4)
    network(given)

    assert analyze(network, (given,), real=real).depth == 1 + RECURRENT[case][1] + 1


class Recycled(nn.Module):
    """Returns a constant that no operator made, and that lies where a result has been."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3)
        self.met = []

    def forward(self, x):
        self.met.clear()
        for _ in range(100):
            gone = self.conv(self.conv(x))
            key = gone.untyped_storage()._cdata
            del gone
            constant = torch.as_tensor([[1.0, 2.0, 3.0, 4.0]], device=x.device)
            if constant.untyped_storage()._cdata == key:
                self.met.append(key)
                break
        return constant


class TakesConstant(nn.Module):
    """The only path from the input to the result has no weights."""

    def __init__(self):
        super().__init__()
        self.anchors, self.last = Recycled(), nn.Linear(4, 4)

    def forward(self, x):
        return self.last(self.anchors(x)) + x.mean((2, 3))


def test_a_constant_is_not_what_has_been_at_its_place():
    network = TakesConstant().to("meta")

    analysis = analyze(network, (torch.zeros(1, 4, 8, 8, device="meta"),), own=True)

    assert network.anchors.met
    fields = {row.name: row.field for row in analysis.layers}
    assert analysis.depth == 2  # the convolutions; nothing leads to the linear layer
    assert fields["anchors.conv"] is not None
    assert fields["anchors"] is fields["last"] is None
