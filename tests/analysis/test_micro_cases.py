"""Small networks whose MACs are plain from their definition; every peer gets some of them wrong."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional

from cnnbench.analysis import analyze


class Call(nn.Module):
    """A network made of one function."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *inputs):
        return self.function(self, *inputs)


def parameter(*shape):
    return nn.Parameter(torch.zeros(shape))


class MyConv(nn.Conv2d):
    pass


def deformable(self, x, offset):
    return self.conv(x, offset)


IMAGE = (1, 3, 32, 32)

CASES = {
    "linear on (B, N, C)": (nn.Linear(16, 32), [(2, 5, 16)], 2 * 5 * 16 * 32),
    "x @ W": (Call(lambda s, x: x @ s.w, w=parameter(16, 32)), [(2, 5, 16)], 2 * 5 * 16 * 32),
    "x @ v": (Call(lambda s, x: x @ s.w, w=parameter(16)), [(10, 16)], 160),
    "einsum": (
        Call(lambda s, x: torch.einsum("bnc,cd->bnd", x, s.w), w=parameter(16, 32)),
        [(2, 5, 16)],
        5120,
    ),
    "functional conv": (
        Call(lambda s, x: functional.conv2d(x, s.w, padding=1), w=parameter(16, 3, 3, 3)),
        [IMAGE],
        32 * 32 * 16 * 27,
    ),
    "subclass of Conv2d": (MyConv(3, 16, 3, padding=1), [IMAGE], 32 * 32 * 16 * 27),
    "depthwise": (nn.Conv2d(8, 8, 3, padding=1, groups=8), [(1, 8, 16, 16)], 16 * 16 * 8 * 9),
    "transposed": (nn.ConvTranspose2d(8, 16, 2, stride=2), [(1, 8, 8, 8)], 64 * 8 * 16 * 4),
    "transposed in groups": (
        nn.ConvTranspose2d(8, 16, 2, stride=2, groups=4),
        [(1, 8, 8, 8)],
        64 * 8 * 4 * 4,
    ),
    "shared, called twice": (
        Call(lambda s, x: s.c(s.c(x)), c=nn.Conv2d(8, 8, 3, padding=1)),
        [(1, 8, 16, 16)],
        2 * 256 * 8 * 72,
    ),
    "scaled dot product": (
        Call(lambda s, q, k, v: functional.scaled_dot_product_attention(q, k, v)),
        [(2, 4, 32, 16)] * 3,
        2 * 4 * 32 * 32 * 32,
    ),
    "multi-head attention": (
        Call(lambda s, x: s.a(x, x, x, need_weights=False)[0], a=nn.MultiheadAttention(32, 4)),
        [(10, 2, 32)],
        2 * (10 * 4 * 32 * 32 + 10 * 10 * 64),
    ),
    "LSTM": (nn.LSTM(8, 16), [(10, 4, 8)], 10 * 4 * 4 * 16 * (8 + 16)),
    "padding same": (nn.Conv2d(3, 16, 3, padding="same"), [IMAGE], 32 * 32 * 16 * 27),
    "batch of 4": (nn.Conv2d(3, 16, 3, padding=1), [(4, 3, 32, 32)], 4 * 32 * 32 * 16 * 27),
    "unbatched": (nn.Conv2d(3, 16, 3, padding=1), [(3, 32, 32)], 32 * 32 * 16 * 27),
    "bilinear": (nn.Bilinear(8, 16, 20), [(1, 8), (1, 16)], 8 * 16 * 20),
    "deformable": (
        Call(deformable, conv=torchvision.ops.DeformConv2d(3, 16, 3, padding=1)),
        [IMAGE, (1, 18, 32, 32)],
        32 * 32 * 16 * 27,
    ),
    "relu only": (nn.ReLU(), [IMAGE], 0),
    "unused layer": (
        Call(lambda s, x: s.used(x), used=nn.Linear(16, 16), unused=nn.Linear(16, 99)),
        [(1, 16)],
        256,
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("real", [False, True], ids=["meta", "real"])
def test_macs(case, real):
    module, shapes, expected = CASES[case]
    inputs = tuple(torch.zeros(shape) for shape in shapes)

    analysis = analyze(module, inputs, real=real)

    assert analysis.macs == expected
    assert analysis.uncounted == {}


@pytest.mark.parametrize("axes", [1, 3])
def test_other_ranks(axes):
    conv = {1: nn.Conv1d, 3: nn.Conv3d}[axes](4, 6, 3, padding=1, stride=2)

    analysis = analyze(conv, (torch.zeros(2, 4, *([9] * axes)),))

    assert analysis.macs == 2 * 6 * 5**axes * 4 * 3**axes


def test_gru_and_rnn_gates():
    for layer, gates in ((nn.GRU(8, 16), 3), (nn.RNN(8, 16), 1)):
        assert analyze(layer, (torch.zeros(10, 4, 8),)).macs == 10 * 4 * gates * 16 * 24


def test_inference_mode_inside_the_network_hides_nothing():
    def forward(self, x):
        with torch.inference_mode():
            return self.layer(x)

    network = Call(forward, layer=nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 2)))

    assert analyze(network, (torch.zeros(2, 3, 3, 3),)).macs == 2 * (27 * 8 + 16)


def test_called_under_inference_mode():
    with torch.inference_mode():
        analysis = analyze(nn.Linear(4, 5), (torch.zeros(3, 4),))

    assert analysis.macs == 60


def test_batch_and_per_sample():
    analysis = analyze(nn.Conv2d(3, 16, 3, padding=1), (torch.zeros(4, 3, 32, 32),))

    assert analysis.batch == 4
    assert analysis.to_json()["macs_per_sample"] == 32 * 32 * 16 * 27
    assert analyze(nn.Conv2d(3, 16, 3), (torch.zeros(3, 32, 32),)).batch == 1
    assert analyze(nn.Linear(16, 3), (torch.zeros(2, 5, 16),)).batch == 2


def test_bias_adds_make_mult_adds():
    analysis = analyze(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Flatten(), nn.Linear(32, 10)),
                       (torch.zeros(1, 3, 2, 2),))  # fmt: skip

    assert analysis.inference.bias_adds == 8 * 4 + 10
    assert analysis.inference.mult_adds == analysis.macs + 42
    assert analysis.cost().flops == 2 * analysis.macs
