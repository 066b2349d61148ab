"""Training MACs against the analytic truth: any groups, dilation, stride, transposition."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cnnbench.analysis import analyze, build_on_meta
from cnnbench.architectures.training import Training
from cnnbench.errors import Unsupported, UsageError

CONVS = {
    (1, False): nn.Conv1d, (2, False): nn.Conv2d, (3, False): nn.Conv3d,
    (1, True): nn.ConvTranspose1d, (2, True): nn.ConvTranspose2d, (3, True): nn.ConvTranspose3d,
}  # fmt: skip


@st.composite
def convolutions(draw, axes, channels):
    """A convolution from ``channels`` to some number of channels, and that number."""
    groups = draw(st.sampled_from([g for g in (1, 2, 3, 4, 6, 12) if channels % g == 0]))
    out = groups * draw(st.integers(1, 3))
    transposed = draw(st.booleans())
    kernel = draw(st.integers(1, 3))
    dilation = draw(st.integers(1, 2))
    layer = CONVS[axes, transposed](
        channels,
        out,
        kernel,
        stride=draw(st.integers(1, 2)),
        padding=0 if transposed else dilation * (kernel // 2),
        dilation=dilation,
        groups=groups,
        bias=draw(st.booleans()),
    )
    return layer, out


@st.composite
def networks(draw):
    axes = draw(st.integers(1, 3))
    channels = draw(st.sampled_from([2, 4, 6, 12]))
    layers, width = [], channels
    for _ in range(draw(st.integers(1, 3))):
        layer, width = draw(convolutions(axes, width))
        layers.append(layer)
    shape = (draw(st.integers(1, 3)), channels, *([draw(st.integers(5, 8))] * axes))
    return nn.Sequential(*layers), shape


def forward_macs(layer, taken, given):
    kernel = math.prod(layer.kernel_size)
    if layer.transposed:
        return math.prod(taken) * (layer.out_channels // layer.groups) * kernel
    return math.prod(given) * (layer.in_channels // layer.groups) * kernel


@settings(max_examples=150, deadline=None)
@given(networks())
def test_random_convolutions(case):
    network, shape = case
    truth = []
    value = torch.zeros(shape, device="meta")
    for layer in network:
        result = layer.to("meta")(value)
        truth.append(forward_macs(layer, value.shape, result.shape))
        value = result

    analysis = analyze(network, (torch.zeros(shape),), phase="training")

    assert analysis.macs == sum(truth)
    # every layer: forward, gradient of the weight; all but the first: gradient of the input
    assert analysis.training_macs == 3 * sum(truth) - truth[0]
    per_layer = [row.backward.macs for row in analysis.layers if row.leaf]
    assert per_layer == [truth[0], *(2 * macs for macs in truth[1:])]


def test_depthwise_networks_are_not_multiplied_by_their_groups():
    from torchvision import models

    module = build_on_meta(lambda: models.mobilenet_v2(weights=None))

    analysis = analyze(module, (torch.empty(1, 3, 224, 224, device="meta"),), phase="training")

    first = 112 * 112 * 32 * 27
    assert analysis.training_macs == 3 * analysis.macs - first


def test_an_input_that_wants_a_gradient_costs_one_more():
    image = torch.zeros(1, 3, 8, 8, requires_grad=True)
    conv = nn.Conv2d(3, 4, 3)

    assert analyze(conv, (image,), phase="training").training_macs == 3 * 36 * 4 * 27


# conv1 (new or not), conv2, fc: which of their gradients a step needs.
NETWORK = ((3, 8), (8, 6), (6 * 4 * 4, 10))
PARTS = [
    ("head", ["w2"]),
    ("last=1", ["w2", "x2", "w1"]),
    ("0", ["x2", "x1", "w0"]),
    ("head,0", ["w2", "x2", "x1", "w0"]),
    ("2.bias", ["x2"]),
    ("all", ["w2", "x2", "w1", "x1", "w0"]),
]


def three_layers() -> nn.Sequential:
    (first, second), (_, third), (flat, classes) = NETWORK
    return nn.Sequential(
        nn.Conv2d(first, second, 3, padding=1), nn.BatchNorm2d(second),
        nn.Conv2d(second, third, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(flat, classes),
    )  # fmt: skip


@pytest.mark.parametrize(("text", "gradients"), PARTS)
def test_backward_reaches_down_to_the_first_layer_that_is_trained(text, gradients) -> None:
    network, image = three_layers(), torch.randn(2, 3, 8, 8)
    macs = (2 * 64 * 3 * 8 * 9, 2 * 16 * 8 * 6 * 9, 2 * 96 * 10)

    found = analyze(
        network, (image,), phase="training", trained=Training(text).choose,
        loss=lambda output, _: output.sum(),
    )  # fmt: skip

    assert found.macs == sum(macs)
    assert found.backward.macs == sum(macs[int(name[1])] for name in gradients)
    # As torch counts a real step, two FLOPs per multiply-accumulate.
    Training(text).choose(network.train())
    with FlopCounterMode(display=False) as counter:
        network(image).sum().backward()
    assert counter.get_total_flops() == 2 * found.training_macs
    assert sorted(name for name, one in network.named_parameters() if one.grad is not None) == (
        sorted(name for name, one in network.named_parameters() if one.requires_grad)
    )
    assert found.trainable_params == sum(
        one.numel() for one in network.parameters() if one.requires_grad
    )


@pytest.mark.parametrize(
    ("name", "text"),
    # No groups, whose gradients FlopCounterMode counts as if they were dense.
    [("resnet18", "last=1"), ("resnet18", "head,conv1"), ("alexnet", "last=2")],
)
def test_networks_trained_in_part_as_torch_counts_them(name: str, text: str) -> None:
    from torchvision import models

    module = build_on_meta(lambda: models.get_model(name, weights=None))
    image = torch.empty(2, 3, 64, 64, device="meta")

    found = analyze(module, (image,), phase="training", trained=Training(text).choose)

    Training(text).choose(module.train())
    with FlopCounterMode(display=False) as counter:
        module(image).sum().backward()
    assert counter.get_total_flops() == 2 * found.training_macs


def test_a_module_is_left_as_it_was() -> None:
    network = three_layers()

    found = analyze(
        network, (torch.zeros(2, 3, 8, 8),), phase="training", trained=Training("head").choose
    )

    assert (found.trained, found.trainable_params) == ("5", 970)
    assert all(one.requires_grad for one in network.parameters())


def test_what_is_frozen_already_stays_frozen():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 10))
    network[2].requires_grad_(requires_grad=False)

    analysis = analyze(network, (torch.zeros(2, 3, 8, 8),), phase="finetune")

    assert analysis.trainable_params == 112
    assert analysis.training_macs == analysis.macs + 2 * 1440 + 2 * 36 * 4 * 27


def test_a_loss_of_the_user():
    network = nn.Linear(4, 3)

    analysis = analyze(
        network, (torch.zeros(2, 4),), phase="training", loss=lambda out, _: out.square().mean()
    )

    assert analysis.training_macs == 2 * 24
    assert any(op.name == "aten.mean.default" for op in analysis.ops)


def test_auxiliary_heads_train():
    from torchvision import models

    module = build_on_meta(lambda: models.googlenet(weights=None, init_weights=False))

    analysis = analyze(module, (torch.empty(2, 3, 224, 224, device="meta"),), phase="training")

    assert analysis.forward.macs > analysis.macs
    rows = {row.name: row for row in analysis.layers}
    assert rows["aux1"].calls == 1
    assert rows["aux1"].backward.macs > 0


def test_nothing_to_train():
    network = nn.Linear(4, 3).requires_grad_(requires_grad=False)

    with pytest.raises(Unsupported, match="nothing to train"):
        analyze(network, (torch.zeros(2, 4),), phase="training")


@pytest.mark.parametrize("wrong", [{"phase": "train"}, {"optimizer": "lion"}])
def test_unknown_words(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong.values()))):
        analyze(nn.Linear(1, 1), (torch.zeros(1, 1),), **wrong)


def test_attention_backward_is_twice_its_forward():
    attention = nn.MultiheadAttention(32, 4, batch_first=True)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(32, 32)
            self.attention = attention

        def forward(self, x):
            x = self.first(x)
            return self.attention(x, x, x, need_weights=False)[0]

    analysis = analyze(Net(), (torch.zeros(2, 10, 32),), phase="training")

    linear = 2 * 10 * 32 * 32
    assert analysis.training_macs == 3 * analysis.macs - linear
    assert list(itertools.islice(analysis.uncounted, 1)) == []


def test_batch_norm_on_one_value_per_channel_says_what_helps() -> None:
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(3))

    with pytest.raises(UsageError, match=r"layer '1' .* use --batch 2") as raised:
        analyze(network, (torch.zeros(1, 3, 8, 8),), phase="training")

    assert "does not take this input" not in str(raised.value)
    assert analyze(network, (torch.zeros(2, 3, 8, 8),), phase="training").params == 6
