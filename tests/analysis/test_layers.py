"""Rows per layer and operator, receptive fields, and the JSON that a table is made of."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn
from torchvision import models

from cnnbench.analysis import analyze, build_on_meta


def on_meta(*shape):
    return torch.empty(shape, device="meta")


@pytest.fixture(scope="module")
def resnet():
    module = build_on_meta(lambda: models.resnet50(weights=None))
    return analyze(module, (on_meta(2, 3, 224, 224),), name="resnet50")


def rows(analysis):
    return {row.name: row for row in analysis.layers}


def test_the_stem(resnet):
    row = rows(resnet)["conv1"]

    assert (row.type, row.depth, row.leaf, row.calls) == ("Conv2d", 1, True, 1)
    assert (row.kernel, row.stride, row.padding, row.groups) == ((7, 7), (2, 2), (3, 3), 1)
    assert (row.input, row.output) == ((2, 3, 224, 224), (2, 64, 112, 112))
    assert row.params == row.own_params == 9408
    assert row.totals.macs == 2 * 112 * 112 * 64 * 147
    assert row.activation_bytes == 2 * 64 * 112 * 112 * 4


def test_parents_hold_their_children(resnet):
    table = rows(resnet)
    blocks = [table[f"layer3.{index}"] for index in range(6)]

    assert table["layer3"].totals.macs == sum(block.totals.macs for block in blocks)
    assert table[""].totals == resnet.inference
    assert table[""].params == resnet.params == 25_557_032
    assert sum(row.own_params for row in resnet.layers) == resnet.params


def test_operators_add_up(resnet):
    assert sum(op.macs for op in resnet.ops) == resnet.macs
    assert {op.layer for op in resnet.ops} <= set(rows(resnet))
    conv = next(op for op in resnet.ops if op.layer == "conv1")
    image, weight, out = 2 * 3 * 224 * 224 * 4, 9408 * 4, 2 * 64 * 112 * 112 * 4
    assert (conv.read_bytes, conv.written_bytes) == (image + weight, out)
    assert conv.arithmetic_intensity == 2 * conv.macs / (image + weight + out)


# By hand: 7, 11 after the pool, then 3x3 kernels at strides 4, 8, 16, 32 (stride in the 3x3: v1.5).
def test_receptive_fields_of_resnet(resnet):
    table = rows(resnet)

    assert (table["conv1"].field.size, table["conv1"].field.stride) == ((7, 7), (2, 2))
    assert table["maxpool"].field.size == (11, 11)
    assert table["layer4"].field.stride == (32, 32)
    assert table["layer4"].field.size == (427, 427)
    assert table["avgpool"].field.size is None


def test_receptive_fields_of_vgg():
    analysis = analyze(
        build_on_meta(lambda: models.vgg16(weights=None)), (on_meta(1, 3, 224, 224),)
    )

    field = rows(analysis)["features"].field
    assert (field.size, field.stride) == ((212, 212), (32, 32))


@pytest.mark.parametrize(
    ("network", "size", "stride"),
    [
        (nn.Conv2d(3, 3, 3, dilation=2), (5, 5), (1, 1)),
        (nn.Sequential(nn.Conv2d(3, 3, 3), nn.MaxPool2d(2)), (4, 4), (2, 2)),
        (nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(3, 3, 3)), (6, 6), (2, 2)),
        (nn.Sequential(nn.AvgPool2d(2), nn.ConvTranspose2d(3, 3, 2, 2)), (2, 2), (1, 1)),
        (nn.Sequential(nn.AvgPool2d(4), nn.Upsample(scale_factor=2)), (4, 4), (2, 2)),
    ],
)
def test_receptive_fields(network, size, stride):
    field = analyze(network, (torch.zeros(1, 3, 16, 16),)).layers[0].field

    assert (field.size, field.stride) == (size, stride)


def test_branches_take_the_widest():
    class Inception(nn.Module):
        def __init__(self):
            super().__init__()
            self.small = nn.Conv2d(3, 4, 1)
            self.large = nn.Conv2d(3, 4, 5, padding=2)

        def forward(self, x):
            return torch.cat([self.small(x), self.large(x)], 1)

    assert analyze(Inception(), (torch.zeros(1, 3, 8, 8),)).layers[0].field.size == (5, 5)


def test_a_module_called_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)
            self.spare = nn.Linear(4, 4)

        def forward(self, x):
            return self.layer(self.layer(x))

    analysis = analyze(Twice(), (torch.zeros(1, 4),))
    table = rows(analysis)

    assert (table["layer"].calls, table["layer"].totals.macs) == (2, 32)
    assert (table["spare"].calls, table["spare"].output) == (0, None)
    assert analysis.auxiliary_params == 20


def test_json_is_plain_and_complete(resnet):
    facts = resnet.to_json()

    assert json.loads(json.dumps(facts)) == facts
    assert {
        "name", "batch", "input", "params", "trainable_params", "buffers", "macs", "flops",
        "mult_adds", "activation_peak_bytes", "memory_peak_bytes", "uncounted", "layers", "ops",
    } <= set(facts)  # fmt: skip
    assert (facts["name"], facts["batch"]) == ("resnet50", 2)
    assert facts["flops"] == 2 * facts["macs"]
    assert facts["layers"][0]["share"] == 1.0
    stem = next(row for row in facts["layers"] if row["name"] == "conv1")
    assert stem["kernel"] == [7, 7]
    assert stem["mult_adds"] == stem["macs"]
    assert (facts["layers"][0]["calls"], stem["calls"], stem["operators"]) == (1, 1, 1)
    assert sum(row["own"]["macs"] for row in facts["layers"]) == facts["macs"]
    assert "layers" not in resnet.to_json(rows=False)


def test_a_cost_prints_as_a_short_table_and_gives_a_frame(resnet):
    frame = resnet.frame()

    assert str(resnet) == repr(resnet)
    assert len(repr(resnet)) < 2000
    assert "layer4" in repr(resnet)
    assert "<td>layer4</td>" in resnet._repr_html_()
    assert frame["macs"].sum() == resnet.frame(1)["macs"].sum() == resnet.macs
    assert frame["params"].sum() == resnet.params
    assert list(resnet.frame(0)["name"]) == [""]


def test_the_footer_is_what_torchinfo_prints():
    """ResNet-152 as in torchinfo's own README: 0.60, 360.87, 240.77, 602.25."""
    network = build_on_meta(lambda: models.resnet152(weights=None))

    footer = analyze(network, (on_meta(1, 3, 224, 224),)).footer().splitlines()

    assert [line.partition(": ")[2] for line in footer[:4]] == [
        "0.60",
        "360.87",
        "240.77",
        "602.25",
    ]


def test_cost(resnet):
    cost = resnet.cost()

    assert cost.macs == 2 * 4_089_184_256
    assert cost.param_bytes == 4 * cost.params
    assert cost.input_bytes == 2 * 3 * 224 * 224 * 4
    assert cost.training_macs is None
    assert cost.memory_peak_bytes == (
        cost.param_bytes + cost.buffer_bytes + cost.input_bytes + cost.activation_peak_bytes
    )
    assert cost.method == "cnnbench.analysis"


def test_lecture_networks():
    """Bias-inclusive totals as torchinfo and the lecture print them, from the project's notes."""
    layers = []
    for taken, given, kernel, pad in ((3, 192, 5, 2), (192, 160, 1, 0), (160, 96, 1, 0)):
        layers += [nn.Conv2d(taken, given, kernel, padding=pad), nn.ReLU()]
    analysis = analyze(nn.Sequential(*layers), (torch.zeros(1, 3, 32, 32),))

    assert analysis.inference.mult_adds == 32 * 32 * analysis.params
