"""Objects that are not plain modules on plain tensors: counted, or refused with what does count.

Expected counts are those of a 3x3 convolution from 3 to 4 channels, a linear layer, a recurrent
layer or an attention, by their definitions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import rnn

import cnnbench
from cnnbench.analysis import analyze
from cnnbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*torch.jit.*:DeprecationWarning",
    "ignore:.*torch.jit.*:FutureWarning",
    "ignore:.*quanti.*:DeprecationWarning",
    "ignore:.*quanti.*:UserWarning",
    "ignore:.*reduce_range.*:UserWarning",
    "ignore:.*nested tensors.*:UserWarning",
    "ignore:.*flex_attention called without torch.compile.*:UserWarning",
    "ignore:Sparse .* tensor support is in beta state:UserWarning",
)

IMAGE = torch.rand(2, 3, 8, 8)
STEPS = torch.rand(2, 6, 4)
CONV, LINEAR = 2 * 4 * 36 * 27, 2 * 144 * 5
# Gates x hidden x (input + hidden) at each of the 12 steps of both sequences; 8 without padding.
LSTM_STEP, GRU_STEP = 4 * 5 * (4 + 5), 3 * 5 * (4 + 5)


class Net(nn.Module):
    """A convolution, a linear layer, and a function that is its forward."""

    def __init__(self, function: Callable[..., Any], **parts: Any) -> None:
        super().__init__()
        self.function, self.conv, self.linear = function, nn.Conv2d(3, 4, 3), nn.Linear(4, 5)
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *given: Any) -> Any:
        return self.function(self, *given)


def plain() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)).eval()


def dynamic(module: nn.Module, kind: type[nn.Module]) -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(module.eval(), {kind})


def static() -> nn.Module:
    quantisation = torch.ao.quantization
    module = nn.Sequential(quantisation.QuantStub(), *plain(), quantisation.DeQuantStub()).eval()
    module.qconfig = quantisation.get_default_qconfig(torch.backends.quantized.engine)
    prepared = quantisation.prepare(quantisation.fuse_modules(module, [["1", "2"]]))
    prepared(IMAGE)
    return quantisation.convert(prepared)


OLDER = torch.__version__ < "2.14"

BATCH = torch.export.Dim("batch")
COUNTED = {
    "scripted": (lambda: torch.jit.script(plain()), IMAGE, CONV + LINEAR),
    "frozen": (lambda: torch.jit.freeze(torch.jit.script(plain())), IMAGE, CONV + LINEAR),
    "traced": (lambda: torch.jit.trace(plain(), IMAGE), IMAGE, CONV + LINEAR),
    "traced by fx": (lambda: torch.fx.symbolic_trace(plain()), IMAGE, CONV + LINEAR),
    "program": (lambda: torch.export.export(plain(), (IMAGE,)), IMAGE, CONV + LINEAR),
    "of a program": (
        lambda: torch.export.export(plain(), (IMAGE,), dynamic_shapes=({0: BATCH},)).module(),
        IMAGE, CONV + LINEAR),
    "compiled part": (lambda: nn.Sequential(torch.compile(plain())), IMAGE, CONV + LINEAR),
    "vmap over weights": (
        lambda: Net(lambda net, x: torch.vmap(lambda one: functional.conv2d(x, one))(
            net.conv.weight.expand(3, -1, -1, -1, -1))), IMAGE, 3 * CONV),
    "padded": (lambda: nn.LSTM(4, 5, batch_first=True), STEPS, 12 * LSTM_STEP),
}  # fmt: skip


@pytest.mark.parametrize("real", [False, True], ids=["meta", "real"])
@pytest.mark.parametrize("case", COUNTED)
def test_it_is_counted_as_what_it_computes(case: str, real: bool) -> None:
    if case == "traced" and not real and OLDER:
        pytest.skip("the interpreter of TorchScript in torch 2.11 runs nothing on the meta device")
    make, given, macs = COUNTED[case]

    found = cnnbench.cost(make(), given, real=real)

    assert (found.macs, found.uncounted) == (macs, {})


def _packed() -> rnn.PackedSequence:
    return rnn.pack_padded_sequence(STEPS, [5, 3], batch_first=True)


def _unpadded(net: Any, x: torch.Tensor) -> torch.Tensor:
    packed = rnn.pack_padded_sequence(x, [5, 3], batch_first=True)
    return rnn.pad_packed_sequence(net.rnn(packed)[0], batch_first=True)[0]


WITH_VALUES = {
    "quantised": (static, IMAGE, CONV + LINEAR),
    "dynamic linear": (lambda: dynamic(plain(), nn.Linear), IMAGE, CONV + LINEAR),
    "dynamic lstm": (
        lambda: dynamic(nn.Sequential(nn.LSTM(4, 5, batch_first=True)), nn.LSTM),
        STEPS, 12 * LSTM_STEP),
    "dynamic lstm both ways": (
        lambda: dynamic(nn.Sequential(nn.LSTM(4, 5, 2, bidirectional=True)), nn.LSTM),
        STEPS, 12 * 2 * (LSTM_STEP + 4 * 5 * (2 * 5 + 5))),
    "dynamic lstm of a packed sequence": (
        lambda: dynamic(nn.Sequential(nn.LSTM(4, 5)), nn.LSTM)[0], _packed(), 8 * LSTM_STEP),
    "dynamic gru": (
        lambda: dynamic(nn.Sequential(nn.GRU(4, 5)), nn.GRU), STEPS, 12 * GRU_STEP),
    "dynamic cell": (
        lambda: dynamic(nn.Sequential(nn.LSTMCell(4, 5)), nn.LSTMCell), STEPS[:, 0],
        2 * LSTM_STEP),
    "packed input": (lambda: nn.LSTM(4, 5), _packed(), 8 * LSTM_STEP),
    "packed inside": (
        lambda: Net(_unpadded, rnn=nn.LSTM(4, 5, batch_first=True)), STEPS, 8 * LSTM_STEP),
    "numpy": (
        lambda: Net(lambda net, x: torch.from_numpy(net.conv(x).numpy())), IMAGE, CONV),
}  # fmt: skip


@pytest.mark.parametrize("case", WITH_VALUES)
def test_what_has_no_form_on_meta_says_so_and_is_counted_with_values(case: str) -> None:
    make, given, macs = WITH_VALUES[case]

    with pytest.raises(UsageError, match="pass real=True") as refused:
        cnnbench.cost(make(), given)
    found = cnnbench.cost(make(), given, real=True)

    assert len(str(refused.value).splitlines()) == 1
    assert (found.macs, found.uncounted) == (macs, {})


def test_parameters_leave_out_packed_weights_and_a_note_says_so() -> None:
    found = cnnbench.cost(dynamic(plain(), nn.Linear), IMAGE, real=True)

    assert found.params == 3 * 4 * 9 + 4
    assert "params leaves out the packed weights of quantised layers (1)" in found.assumptions


def test_the_array_of_a_meta_tensor_is_named() -> None:
    with pytest.raises(UsageError, match=r"Net .*Tensor\.numpy has no meta form"):
        cnnbench.cost(Net(lambda net, x: net.conv(x).numpy()), IMAGE)


def _flex(net: Any, x: torch.Tensor) -> torch.Tensor:
    from torch.nn.attention.flex_attention import flex_attention

    del net
    return flex_attention(x, x, x)


def _nested(layout: torch.layout) -> Callable[..., torch.Tensor]:
    def forward(net: Any, x: torch.Tensor) -> torch.Tensor:
        nested = torch.nested.nested_tensor([x[0, :3], x[1, :5]], layout=layout)
        out: torch.Tensor = net.linear(nested)
        return out.to_padded_tensor(0.0)

    return forward


def _padded(net: Any, x: torch.Tensor) -> torch.Tensor:
    nested = torch.nested.nested_tensor([x[0, :3], x[1, :5]])
    out: torch.Tensor = net.linear(nested.to_padded_tensor(0.0))
    return out


TOKENS = torch.rand(2, 2, 16, 8)
ROWS = STEPS[0]
NESTED = [STEPS[0, :3], STEPS[1, :5]]

# What is refused; what the line names, and its remedy: another network or input, and its MACs.
REFUSED = {
    "vmap": lambda: (
        Net(lambda net, x: torch.vmap(net.conv)(x)), IMAGE, "torch.vmap.*on the whole batch",
        Net(lambda net, x: net.conv(x)), IMAGE, CONV),
    "grad": lambda: (
        Net(lambda net, x: torch.func.grad(lambda y: net.conv(y).sum())(x)), IMAGE,
        "torch.func.grad.*the module itself", nn.Conv2d(3, 4, 3), IMAGE, CONV),
    "cond": lambda: (
        Net(lambda net, x: torch.cond(x.sum() > 0, net.conv, net.conv, (x,))), IMAGE,
        "torch.cond.*a plain call of one of the branches", Net(lambda net, x: net.conv(x)), IMAGE,
        CONV),
    "while_loop": lambda: (
        Net(lambda net, x: torch.while_loop(
            lambda i, _: i < 3, lambda i, y: (i + 1, y @ y), (torch.tensor(0), x))[1]),
        torch.rand(4, 4), "while_loop.*plain operators", Net(lambda net, x: x @ x @ x),
        torch.rand(4, 4), 2 * 4**3),
    "flex_attention": lambda: (
        Net(_flex), TOKENS, "flex_attention.*with scaled_dot_product_attention",
        Net(lambda net, x: functional.scaled_dot_product_attention(x, x, x)), TOKENS,
        2 * 2 * 16 * 16 * (8 + 8)),
    "nested input": lambda: (
        nn.Linear(4, 5), torch.nested.nested_tensor(NESTED), r"a nested.*to_padded_tensor\(0\.0\)",
        nn.Linear(4, 5), torch.nested.nested_tensor(NESTED).to_padded_tensor(0.0), 2 * 5 * 20),
    "jagged input": lambda: (
        nn.Linear(4, 5), torch.nested.nested_tensor(NESTED, layout=torch.jagged),
        r"a nested.*to_padded_tensor\(0\.0\)", nn.Linear(4, 5), torch.nested.nested_tensor(
            NESTED, layout=torch.jagged).to_padded_tensor(0.0), 2 * 5 * 20),
    "nested inside": lambda: (
        Net(_nested(torch.strided)), STEPS, "nested tensors.*to_padded_tensor",
        nn.Linear(4, 5), STEPS[:, :5], 2 * 5 * 20),
    "jagged inside": lambda: (
        Net(_nested(torch.jagged)), STEPS, "nested tensors.*to_padded_tensor",
        nn.Linear(4, 5), STEPS[:, :5], 2 * 5 * 20),
    "sparse input": lambda: (
        Net(lambda net, x: x @ net.linear.weight.t()), ROWS.to_sparse(),
        r"torch\.sparse_coo.*tensor\.to_dense\(\)", Net(lambda net, x: x @ net.linear.weight.t()),
        ROWS.to_sparse().to_dense(), 6 * 20),
    "sparse rows": lambda: (
        Net(lambda net, x: x @ net.linear.weight.t()), ROWS.to_sparse_csr(),
        r"torch\.sparse_csr.*tensor\.to_dense\(\)", Net(lambda net, x: x @ net.linear.weight.t()),
        ROWS.to_sparse_csr().to_dense(), 6 * 20),
    "sparse weight": lambda: (
        Net(lambda net, x: torch.sparse.mm(net.w, x), w=nn.Parameter(torch.eye(6).to_sparse())),
        ROWS, r"torch\.sparse_coo.*tensor\.to_dense\(\)",
        Net(lambda net, x: net.w @ x, w=nn.Parameter(torch.eye(6).to_sparse().to_dense())), ROWS,
        6 * 6 * 4),
    "sparse inside": lambda: (
        Net(lambda net, x: torch.sparse.mm(x.to_sparse(), net.linear.weight.t())), ROWS,
        r"sparse tensors.*to_dense\(\)", Net(lambda net, x: x @ net.linear.weight.t()), ROWS,
        6 * 20),
    "no CUDA": lambda: (
        Net(lambda net, x: net.conv(x) + torch.zeros(1, device="mps")), IMAGE,
        r"a device that is not here.*x\.device.*MPS",
        Net(lambda net, x: net.conv(x) + torch.zeros(1, device=x.device)), IMAGE, CONV),
}  # fmt: skip


@pytest.mark.parametrize("real", [False, True], ids=["meta", "real"])
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_followed_is_one_line_whose_remedy_counts(case: str, real: bool) -> None:
    if case == "jagged inside" and OLDER:
        pytest.skip("torch 2.11 has no sizes of jagged tensors, and says only that")
    module, given, said, instead, other, macs = REFUSED[case]()

    with pytest.raises(UsageError, match=said) as refused:
        cnnbench.cost(module, given, real=real)

    assert len(str(refused.value).splitlines()) == 1
    assert "real=True" not in str(refused.value)
    assert cnnbench.cost(instead, other, real=real).macs == macs


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda x: x, "not function; call it in the forward of one"),
        (torch.vmap(nn.Linear(2, 2)), "not function; call it in the forward of one"),
        (nn.Linear, "not the class Linear; make one of it"),
        (nn.Linear(2, 2).state_dict(), "not OrderedDict; pass the network itself"),
        ([nn.Linear(2, 2)], "not list; pass the network itself"),
        (IMAGE, "not Tensor; pass the network itself"),
        (None, "not NoneType; pass the network itself"),
    ],
)
def test_what_is_no_module_is_refused_at_the_door(given: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        cnnbench.cost(given, IMAGE)


class Late(nn.Module):
    """Makes its layer in its first call."""

    def __init__(self):
        super().__init__()
        self.layer = None

    def forward(self, x):
        if self.layer is None:
            self.layer = nn.Conv2d(x.shape[1], 4, 3).to(x)
        return self.layer(x)


@pytest.mark.parametrize("real", [False, True])
def test_parameters_that_come_late_are_not_silently_left_out(real):
    found = analyze(Late(), (torch.ones(1, 3, 5, 5),), real=real)

    assert (found.params, found.macs) == (0, 4 * 9 * 27)
    assert "params leaves out 112 that the network makes when it is called" in found.assumptions


def test_weights_that_are_constants_are_not_silently_left_out():
    frozen = torch.jit.freeze(torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3)).eval()))

    found = analyze(frozen, (torch.ones(1, 3, 5, 5),), real=True)

    assert (found.params, found.macs) == (0, 4 * 9 * 27)
    assert any("weights that are constants" in one for one in found.assumptions)
