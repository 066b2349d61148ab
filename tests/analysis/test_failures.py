"""What cannot be analysed says which layer, which operator, what was expected, and what to do."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cnnbench.analysis import WrongInput, analyze, build_on_meta
from cnnbench.errors import Unsupported, UsageError


class LooksAtValues(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return self.linear(x) if x.sum() > 0 else x


class Choosing(nn.Module):
    def forward(self, x):
        return x[:, int(x[0, 0])]


def test_values_are_refused_and_the_way_out_is_named():
    with pytest.raises(Unsupported, match=r"LooksAtValues.*_local_scalar_dense.*real=True"):
        analyze(LooksAtValues(), (torch.ones(1, 4),))


def test_the_way_out_works():
    analysis = analyze(LooksAtValues(), (torch.ones(1, 4),), real=True)

    assert analysis.macs == 16
    assert analysis.real
    assert analysis.cost().method == "cnnbench.analysis (real tensors)"


def test_the_failing_layer_is_named():
    network = nn.Sequential(nn.Linear(4, 4), Choosing())

    with pytest.raises(Unsupported, match=r"layer '1' \(Choosing\)"):
        analyze(network, (torch.ones(2, 4),))


@pytest.mark.parametrize(
    ("network", "shape", "message"),
    [
        (
            nn.Sequential(nn.Conv2d(3, 8, 3)),
            (1, 4, 8, 8),
            r"'0' \(Conv2d\).*3 channels.*\(1, 4, 8, 8\)",
        ),
        (nn.Sequential(nn.Conv2d(3, 8, 9)), (1, 3, 4, 4), r"Conv2d.*kernel.*\(1, 3, 4, 4\)"),
        (
            nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 2)),
            (1, 3, 8, 8),
            r"layer '2' \(Linear\).*expected 8 features.*got \(1, 288\)",
        ),
        (
            nn.Sequential(nn.BatchNorm2d(8)),
            (2, 4, 3, 3),
            r"BatchNorm2d.*8 channels.*\(2, 4, 3, 3\)",
        ),
        (nn.Sequential(nn.LayerNorm(8)), (2, 4), r"LayerNorm.*last axes \(8,\)"),
    ],
)
def test_wrong_shapes_say_expected_and_got(network, shape, message):
    with pytest.raises(WrongInput, match=message):
        analyze(network, (torch.zeros(shape),))


def test_assertions_of_the_network_are_passed_on():
    class Picky(nn.Module):
        def forward(self, x):
            assert x.shape[-1] == 7, "needs seven"
            return x

    with pytest.raises(WrongInput, match="needs seven"):
        analyze(nn.Sequential(Picky()), (torch.zeros(1, 3),))


def test_wrong_number_of_inputs():
    with pytest.raises(UsageError, match="argument"):
        analyze(nn.Linear(2, 2), (torch.zeros(1, 2), torch.zeros(1, 2)))


def test_builders_that_look_at_weights():
    def build():
        layer = nn.Linear(2, 2)
        if layer.weight.sum() > 0:
            layer = nn.Identity()
        return layer

    with pytest.raises(Unsupported, match="without weights"):
        build_on_meta(build)


def test_other_errors_of_builders_are_theirs():
    def build():
        raise RuntimeError("no such file")

    with pytest.raises(RuntimeError, match="no such file"):
        build_on_meta(build)


def test_modules_that_cannot_be_copied():
    network = nn.Linear(2, 2)
    network.generator = (item for item in ())

    with pytest.raises(Unsupported, match="cannot be copied"):
        analyze(network, (torch.zeros(1, 2),))


def test_an_exception_the_network_catches_does_not_confuse_layers():
    class Catching(nn.Module):
        def __init__(self):
            super().__init__()
            self.wrong = nn.Linear(3, 3)
            self.right = nn.Linear(4, 4)

        def forward(self, x):
            try:
                return self.wrong(x)
            except Exception:  # noqa: BLE001
                return self.right(x)

    rows = {row.name: row for row in analyze(Catching(), (torch.zeros(1, 4),)).layers}

    assert rows["right"].totals.macs == 16
    assert rows["wrong"].totals.macs == 0
    assert rows[""].totals.macs == 16


class Calling(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.function = function

    def forward(self, x):
        return self.function(self, x)


def _driver_is_missing(self, x):
    raise RuntimeError("Found no NVIDIA driver on your system.\nPlease check.")


# What runs neither on meta nor on real tensors names a remedy that works, and never real=True.
HOPELESS = {
    "sparse": (lambda s, x: torch.sparse.mm(x.to_sparse(), s.layer.weight), "to_dense"),
    "vmap": (lambda s, x: torch.vmap(s.layer)(x), "vmap.*whole batch"),
    "cond": (lambda s, x: torch.cond(x.sum() > 0, s.layer, s.layer, (x,)), "torch.cond.*plain"),
    "driver": (_driver_is_missing, r"device that is not here.*x\.device"),
    "bug": (lambda s, x: {}["key"], "KeyError: 'key'"),
}


@pytest.mark.parametrize("case", HOPELESS)
@pytest.mark.parametrize("real", [False, True], ids=["meta", "real"])
def test_what_cannot_be_counted_at_all_says_so_in_one_line(case, real):
    function, message = HOPELESS[case]

    with pytest.raises(UsageError, match=message) as refused:
        analyze(Calling(function), (torch.ones(2, 4),), real=real)

    assert "real=True" not in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def _through_numpy(self, x):
    return self.layer(torch.from_numpy(x.detach().numpy()))


@pytest.mark.parametrize(
    ("module", "given"),
    [
        (Calling(_through_numpy), torch.ones(2, 4)),
        (
            Calling(lambda self, x: self.layer(x.data)),
            nn.utils.rnn.pack_sequence([torch.ones(2, 4), torch.ones(1, 4)]),
        ),
    ],
)
def test_what_needs_real_tensors_says_so_and_runs_with_them(module, given):
    with pytest.raises(Unsupported, match="real=True"):
        analyze(module, (given,))

    assert analyze(module, (given,), real=True).macs > 0


def test_sparse_inputs_name_the_way_out():
    with pytest.raises(Unsupported, match="to_dense"):
        analyze(nn.Linear(4, 4), (torch.ones(2, 4).to_sparse(),))


def test_a_batch_of_one_in_training_is_offered_a_batch_of_two():
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(3))

    with pytest.raises(UsageError, match=r"layer '1' \(BatchNorm2d\).*--batch 2"):
        analyze(network, (torch.ones(1, 3, 4, 4),), phase="training")

    assert analyze(network, (torch.ones(2, 3, 4, 4),), phase="training").batch == 2


# torch's meta kernels of matrix products do not look at types.
@pytest.mark.parametrize(
    ("layer", "real"),
    [(nn.Conv2d(3, 4, 3), False), (nn.Sequential(nn.Flatten(), nn.Linear(75, 2)), True)],
)
def test_another_type_is_not_called_another_shape(layer: nn.Module, real: bool):
    with pytest.raises(UsageError, match="of different types; convert one of them") as caught:
        analyze(layer, (torch.ones(1, 3, 5, 5).half(),), real=real)

    assert "expected" not in str(caught.value).partition("(")[0]
    assert analyze(layer.half(), (torch.ones(1, 3, 5, 5).half(),)).macs


@pytest.mark.parametrize("given", [5, "lenet", len])
def test_only_modules_can_be_counted(given):
    with pytest.raises(UsageError, match=r"only a torch\.nn\.Module"):
        analyze(given, (torch.ones(2, 4),))


@pytest.mark.parametrize("real", [False, True], ids=["meta", "real"])
def test_an_encoder_with_padding_counts_as_dense(real):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    class Padded(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.TransformerEncoder(layer, 2)

        def forward(self, x, padding):
            return self.encoder(x, src_key_padding_mask=padding)

    padding = torch.tensor([[0, 0, 0, 0, 1], [0, 0, 0, 1, 1]], dtype=torch.bool)

    analysis = analyze(Padded(), (torch.ones(2, 5, 8), padding), real=real)

    assert analysis.macs == 2 * 2 * (5 * 4 * 64 + 5 * 5 * 16 + 5 * 2 * 8 * 16)


def _not_for_this(self, x):
    raise NotImplementedError("only causal masks")


@pytest.mark.parametrize("real", [False, True], ids=["meta", "real"])
def test_what_the_network_does_not_implement_is_no_operator(real):
    with pytest.raises(UsageError, match=r"Calling raises NotImplementedError: only") as refused:
        analyze(Calling(_not_for_this), (torch.ones(2, 4),), real=real)

    assert "operator" not in str(refused.value)
    assert "real=True" not in str(refused.value)


def test_a_module_on_meta_is_counted_without_real():
    module = nn.Sequential(nn.Linear(4, 4).to("meta"))

    with pytest.raises(UsageError, match=r"on meta.*; leave real=True out"):
        analyze(module, (torch.ones(2, 4),), real=True)

    assert analyze(module, (torch.ones(2, 4),)).macs == 32


def test_where_no_operator_failed_none_is_named():
    weight = torch.ones(4, requires_grad=True)

    def loss(output, inputs):
        return (output * weight).sum()

    with pytest.raises(Unsupported, match=r"values \(.*; pass real=True") as refused:
        analyze(nn.Linear(4, 4), (torch.ones(2, 4),), phase="training", loss=loss)

    assert "operator" not in str(refused.value)
    real = analyze(nn.Linear(4, 4), (torch.ones(2, 4),), phase="training", loss=loss, real=True)
    assert (real.macs, weight.grad) == (32, None)
