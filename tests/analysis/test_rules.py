"""The table: consistent, extensible in one line, and honest about what it does not know."""

from __future__ import annotations

import inspect

import pytest
import torch
import torchvision
from torch import nn

from cnnbench.analysis import analyze, register_rule, rules
from cnnbench.analysis.scratch import SCRATCH


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


def test_no_name_of_a_rule_s_parameter_can_meet_an_operator_s_keyword():
    functions = {
        function
        for rule in rules.RULES.values()
        for function in (rule.macs, rule.bias, rule.flops)
        if function is not None
    } | {*SCRATCH.values()}
    for function in functions:
        kinds = [one.kind for one in inspect.signature(function).parameters.values()]
        assert inspect.Parameter.POSITIONAL_OR_KEYWORD not in kinds, function


@pytest.mark.parametrize(
    ("function", "macs"),
    [
        (lambda x, out: torch.mm(x, x, out=out), 64),
        (lambda x, out: torch.matmul(x, x, out=out), 64),
        (lambda x, out: torch.bmm(x[None], x[None], out=out[None]), 64),
        (lambda x, out: torch.addmm(x, x, x, out=out), 64),
        (lambda x, out: torch.sigmoid(x, out=out), 0),
        (lambda x, out: torch.sum(x, 0, out=out[0]), 0),
        (lambda x, out: torch.max(x, 0, out=(out[0], out[1].long())), 0),
        (lambda x, out: nn.functional.normalize(x, out=out), 0),
    ],
)
@pytest.mark.parametrize("real", [False, True], ids=["meta", "real"])
@pytest.mark.filterwarnings("ignore:An output with one or more elements was resized")
def test_results_may_be_given(function, macs, real):
    analysis = analyze(Calling(function), (torch.ones(4, 4), torch.ones(4, 4)), real=real)

    assert analysis.macs == macs
    assert analysis.uncounted == {}


@pytest.mark.parametrize("real", [False, True], ids=["meta", "real"])
def test_results_may_be_given_that_forward_makes_itself(real):
    def chain(x):
        out = torch.empty(4, 4)
        torch.mm(x, x, out=out)
        torch.add(out, x, out=out)
        return torch.mm(out, x)

    assert analyze(Calling(chain), (torch.ones(4, 4),), real=real).macs == 2 * 64


def test_spectral_norm_can_be_trained():
    conv = nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 8, 3))

    analysis = analyze(conv, (torch.zeros(1, 3, 8, 8),), phase="training")

    # The convolution, and one step of power iteration with its norm in 8 and 27 dimensions.
    assert (analysis.macs, analysis.uncounted) == (36 * 8 * 27 + 8 * 27 + 8, {})


class Calling(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def loss_of(function):
    return lambda x: function(x * 2, torch.ones_like(x))


WITHOUT_MACS = {
    "floor division": lambda x: x.long() // 2 + x,
    "glu": lambda x: nn.functional.glu(x * 2),
    "hardshrink": lambda x: nn.functional.hardshrink(x * 2),
    "mse": loss_of(nn.functional.mse_loss),
    "huber": loss_of(nn.functional.huber_loss),
    "smooth l1": loss_of(nn.functional.smooth_l1_loss),
    "cross entropy": lambda x: nn.functional.binary_cross_entropy(x.sigmoid(), x.detach() * 0),
    "bags": lambda x: x + nn.functional.embedding_bag(x.long(), x.detach(), mode="sum"),
    "fourier": lambda x: torch.fft.irfft2(torch.fft.rfft2(x * 2)),
    "boxes": lambda x: torchvision.ops.roi_align(
        (x * 2)[None, None], torch.zeros(1, 5, device=x.device), 2
    ),
}


@pytest.mark.parametrize("case", WITHOUT_MACS)
def test_what_cannot_multiply_leaves_totals_complete(case):
    network = Calling(lambda x, y: WITHOUT_MACS[case](x * y))
    inputs = torch.zeros(4, 4), torch.zeros(4, 4, requires_grad=True)

    analysis = analyze(network, inputs, phase="training")

    assert (analysis.macs, analysis.training_macs, analysis.uncounted) == (0, 0, {})


MULTIPLYING = {
    "conv_tbc": (lambda x: torch.conv_tbc(x, x.new_ones(3, 4, 5), x.new_ones(5)), (7, 2, 4),
                 5 * 2 * 5 * 3 * 4),
    "cdist": (lambda x: torch.cdist(x, x), (2, 6, 3), 2 * 6 * 6 * 3),
    "affine grid": (lambda x: nn.functional.affine_grid(x, (2, 1, 5, 5), align_corners=False),
                    (2, 2, 3), 2 * 25 * 2 * 3),
}  # fmt: skip


@pytest.mark.parametrize("case", MULTIPLYING)
@pytest.mark.parametrize("real", [False, True], ids=["meta", "real"])
def test_rare_contractions(case, real):
    function, shape, macs = MULTIPLYING[case]

    analysis = analyze(Calling(function), (torch.ones(shape),), real=real)

    assert (analysis.macs, analysis.uncounted) == (macs, {})


def test_a_fourier_transform_has_flops_and_no_macs():
    real = analyze(Calling(torch.fft.rfft), (torch.ones(3, 8),)).inference
    both = analyze(Calling(lambda x: torch.fft.fft(x.to(torch.complex64))), (torch.ones(3, 8),))

    assert real.elementwise_flops == 3 * 8 * 3 * 2.5
    assert both.inference.elementwise_flops == 3 * 8 * 3 * 5


def test_recurrent_backward_on_real_tensors():
    layer, macs = nn.LSTM(8, 16), 10 * 4 * 4 * 16 * (8 + 16)
    network = Calling(lambda x, y: layer(x * y)[0])
    network.layer = layer
    inputs = torch.ones(10, 4, 8), torch.ones(10, 4, 8, requires_grad=True)

    analysis = analyze(network, inputs, phase="training", real=True)

    assert (analysis.forward.macs, analysis.backward.macs) == (macs, 2 * macs)
    assert analysis.uncounted == {}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_quantised_layers():
    quantized = torch.ao.nn.quantized
    network = nn.Sequential(
        quantized.Quantize(0.1, 0, torch.quint8), quantized.Conv2d(3, 8, 3), nn.Flatten(),
        quantized.Linear(8, 5), quantized.DeQuantize(),
    )  # fmt: skip

    analysis = analyze(network, (torch.ones(2, 3, 3, 3),), real=True)

    assert (analysis.macs, analysis.uncounted) == (2 * (8 * 27 + 8 * 5), {})


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
    assert rules.rule_for(aten.linalg_qr.default) is rules.UNKNOWN


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
