"""The table: consistent, extensible in one line, and honest about what it does not know."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cnnbench.analysis import analyze, register_rule, rules


@pytest.fixture
def table(monkeypatch):
    monkeypatch.setattr(rules, "RULES", dict(rules.RULES))


@pytest.fixture
def custom():
    """A custom product that the table does not know."""
    library = torch.library.Library("cnnbench_test", "FRAGMENT")
    library.define("product(Tensor a, Tensor b) -> Tensor")
    library.impl("product", lambda a, b: a.new_empty(a.shape[0], b.shape[1]), "Meta")
    library.impl("product", lambda a, b: torch.zeros(a.shape[0], b.shape[1]), "CPU")
    yield torch.ops.cnnbench_test.product
    library._destroy()


class Product(nn.Module):
    def __init__(self, operator):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4, 5))
        self.operator = [operator.default]

    def forward(self, x):
        return self.operator[0](x, self.weight)


def test_every_kind_is_declared():
    assert {rule.kind for rule in rules.RULES.values()} | {"view"} <= set(rules.KINDS)


def test_only_contractions_have_macs():
    for name, rule in rules.RULES.items():
        assert (rule.macs is not None) == (rule.kind == "contraction"), name


def test_what_has_no_rule_is_listed(table, custom):
    analysis = analyze(Product(custom), (torch.zeros(3, 4),))

    assert analysis.uncounted == {"cnnbench_test.product.default": 1}
    assert analysis.cost().uncounted == analysis.uncounted
    assert analysis.to_json()["complete"] is False


def test_a_rule_in_one_line(table, custom):
    register_rule("cnnbench_test::product", lambda out, a, b: out.numel() * a.shape[-1])

    analysis = analyze(Product(custom), (torch.zeros(3, 4),))

    assert analysis.macs == 3 * 4 * 5
    assert analysis.uncounted == {}


@pytest.mark.parametrize("spelling", ["cnnbench_test.product.default", "cnnbench_test::product"])
def test_spellings(table, custom, spelling):
    register_rule(spelling, lambda out, a, b: 7)

    assert analyze(Product(custom), (torch.zeros(3, 4),)).macs == 7


def test_an_overload_object(table, custom):
    register_rule(custom.default, lambda out, a, b: 7)

    assert analyze(Product(custom), (torch.zeros(3, 4),)).macs == 7


def test_a_second_rule_is_refused(table):
    with pytest.raises(ValueError, match="aten::mm"):
        register_rule("aten::mm", lambda out, a, b: 0)


def test_in_place_and_pointwise_need_no_row():
    aten = torch.ops.aten

    assert rules.rule_for(aten.add_.Tensor) is rules.RULES["aten::add.Tensor"]
    assert rules.rule_for(aten.atan2.default).kind == "arithmetic"
    assert rules.rule_for(aten.view.default).kind == "view"
    assert rules.rule_for(aten._fft_r2c.default) is rules.UNKNOWN


def test_classes_of_elementwise_flops():
    network = nn.Sequential(
        nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Upsample(scale_factor=2, mode="bilinear")
    )

    flops = analyze(network, (torch.zeros(1, 3, 8, 8),)).inference.elementwise

    assert flops == {
        "norm": 2 * 192,
        "activation": 192,
        "pooling": 3 * 48,
        "resize": 7 * 192,
    }
