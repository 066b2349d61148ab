"""Networks that public reports say break tools that count: what each costs, by its definition.

Every case is written here from the report's title; the report is where somebody met its kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from cnnbench.analysis import analyze
from cnnbench.errors import Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGE = torch.zeros(2, 3, 8, 8)
# A 3x3 convolution from 3 to 4 channels on it: 2 pictures, 4 x 6 x 6 results, 27 products each.
CONV, CONV_PARAMS = 2 * 4 * 36 * 27, 112


class Net(nn.Module):
    """A convolution and what a function does around it."""

    def __init__(self, function: Callable[..., Any], **parts: Any) -> None:
        super().__init__()
        self.function, self.conv = function, nn.Conv2d(3, 4, 3)
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *given: Any, **named: Any) -> Any:
        return self.function(self, *given, **named)


class Hidden(Net):
    """Its own parameters, and another convolution in a plain list."""

    def __init__(self) -> None:
        super().__init__(lambda net, x: net.hidden[0](net.conv(x)))
        self.hidden = [nn.Conv2d(4, 4, 3)]

    def parameters(self, recurse: bool = True) -> Any:
        return [self.conv.weight]


def same(width: int = 4) -> nn.Conv2d:
    return nn.Conv2d(width, width, 3, padding=1)


class Block(nn.Module):
    """Two layers, and an activation that all blocks share."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.layers, self.activation = nn.ModuleList([same(3), same(3)]), activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = self.activation(layer(x))
        return x


def shared() -> nn.Module:
    activation = nn.ReLU()
    return nn.Sequential(*[Block(activation) for _ in range(3)])


def tied() -> nn.Module:
    first, second = same(3), same(3)
    second.weight = first.weight
    return nn.Sequential(first, nn.ReLU(), second)


def twice() -> nn.Module:
    rectifier, conv = nn.ReLU(), same(3)
    return nn.Sequential(conv, rectifier, conv, rectifier)


def with_total_ops() -> nn.Module:
    net = nn.Conv2d(3, 4, 3)
    net.register_buffer("total_ops", torch.zeros(1))
    net.total_params = 7  # type: ignore[assignment]
    return net


def ode(net: Any, x: torch.Tensor) -> torch.Tensor:
    for _ in range(30):
        x = x + 0.1 * torch.tanh(net.right(x))
    return x


def dynamic(net: Any, x: torch.Tensor) -> torch.Tensor:
    kernels = net.generate(x.mean((2, 3))).view(-1, 3, 3, 3)
    return functional.conv2d(x.reshape(1, -1, 8, 8), kernels, groups=2)


def transformed(net: Any, x: torch.Tensor) -> torch.Tensor:
    theta = net.locate(x.mean((2, 3))).view(-1, 2, 3)
    grid = functional.affine_grid(theta, list(x.shape), align_corners=False)
    return net.conv(functional.grid_sample(x, grid, align_corners=False))


def quantised(net: Any, x: torch.Tensor) -> torch.Tensor:
    pixels = x.movedim(1, -1).reshape(-1, 3)
    return net.codes(torch.cdist(pixels, net.codes.weight).argmin(1))


def recurrent(net: Any, x: torch.Tensor) -> Any:
    return net.rnn(net.conv(x).flatten(2).transpose(1, 2))


# Report, what was tried, network, inputs, MACs, parameters.
COUNTED = [
    ("TylerYep/torchinfo#327", "one activation in every block", shared, (IMAGE,),
     6 * 2 * 3 * 64 * 27, 6 * 84),
    ("TylerYep/torchinfo#377", "tied weights", tied, (IMAGE,), 2 * 2 * 3 * 64 * 27, 81 + 3 + 3),
    ("TylerYep/torchinfo#262", "a layer twice in one Sequential", twice, (IMAGE,),
     2 * 2 * 3 * 64 * 27, 84),
    ("sksq96/pytorch-summary#201", "a layer called on two inputs",
     lambda: Net(lambda net, x, y: (net.conv(x), net.conv(y))), (IMAGE, IMAGE),
     2 * CONV, CONV_PARAMS),
    ("johnmarktaylor91/torchlens#43", "a list as the only argument",
     lambda: Net(lambda net, xs: net.conv(torch.cat(xs))), ([IMAGE, IMAGE],),
     2 * CONV, CONV_PARAMS),
    ("sksq96/pytorch-summary#149", "nested dictionaries as output",
     lambda: Net(lambda net, x: {"a": {"b": net.conv(x)}, "n": 1}), (IMAGE,), CONV, CONV_PARAMS),
    ("sksq96/pytorch-summary#143", "an LSTM behind a convolution",
     lambda: Net(recurrent, rnn=nn.LSTM(4, 5, batch_first=True)), (IMAGE,),
     CONV + 2 * 36 * 4 * 5 * (4 + 5), CONV_PARAMS + 4 * 5 * (4 + 5) + 40),
    ("facebookresearch/fvcore#109", "DataParallel inside a network",
     lambda: nn.Sequential(nn.DataParallel(nn.Conv2d(3, 4, 3))), (IMAGE,), CONV, CONV_PARAMS),
    ("facebookresearch/fvcore#143", "an unrolled ODE of small operators",
     lambda: Net(ode, right=same(3)), (IMAGE,), 30 * 2 * 3 * 64 * 27, CONV_PARAMS + 84),
    ("pytorch/pytorch#102981", "weight norm as a hook, and called before", lambda: _called(
        nn.Sequential(nn.utils.weight_norm(nn.Conv2d(3, 4, 3)))), (IMAGE,), CONV, CONV_PARAMS + 4),
    ("ultralytics/thop#151", "attributes that counters use", with_total_ops, (IMAGE,),
     CONV, CONV_PARAMS),
    ("deepspeedai/DeepSpeed#8323", "grouped transposed convolution",
     lambda: nn.ConvTranspose2d(6, 6, 2, stride=2, groups=3), (torch.zeros(1, 6, 8, 8),),
     6 * 64 * 2 * 4, 6 * 2 * 4 + 6),
    ("deepspeedai/DeepSpeed#1949", "Conv1d", lambda: nn.Conv1d(10, 10, 3, padding=1),
     (torch.zeros(1, 10, 12),), 10 * 12 * 30, 310),
    ("deepspeedai/DeepSpeed#7256", "slices through one layer",
     lambda: Net(lambda net, x: [net.fc(one) for one in x.chunk(3, 1)], fc=nn.Linear(4, 4)),
     (torch.zeros(1, 12),), 3 * 16, CONV_PARAMS + 20),
    ("deepspeedai/DeepSpeed#1467", "operators of tensors instead of layers",
     lambda: Net(lambda net, x: x.flatten(1) @ net.w, w=nn.Parameter(torch.zeros(192, 5))),
     (IMAGE,), 2 * 192 * 5, CONV_PARAMS + 960),
    ("sovrasov/flops-counter.pytorch#105", "einsum",
     lambda: Net(lambda net, x: torch.einsum("bchw,cd->bdhw", x, net.w),
                 w=nn.Parameter(torch.zeros(3, 5))), (IMAGE,), 2 * 64 * 15, CONV_PARAMS + 15),
    ("sovrasov/flops-counter.pytorch#149", "transposed convolution by its input",
     lambda: nn.ConvTranspose2d(3, 1, 2, stride=2), (torch.zeros(1, 3, 2, 2),), 12 * 4, 13),
    ("sovrasov/flops-counter.pytorch#115", "a convolution generated for every sample",
     lambda: Net(dynamic, generate=nn.Linear(3, 81)), (IMAGE,),
     2 * 3 * 81 + 2 * 3 * 36 * 27, CONV_PARAMS + 4 * 81),
    ("pytorch/pytorch#131041", "a spatial transformer",
     lambda: Net(transformed, locate=nn.Linear(3, 6)), (IMAGE,),
     CONV + 2 * 18 + 2 * 64 * 2 * 3, CONV_PARAMS + 24),
    ("pytorch/pytorch#131041", "distances to a code book",
     lambda: Net(quantised, codes=nn.Embedding(30, 3)), (IMAGE,),
     2 * 64 * 30 * 3, CONV_PARAMS + 90),
    ("sksq96/pytorch-summary#103", "traced TorchScript",
     lambda: torch.jit.trace(nn.Conv2d(3, 4, 3), IMAGE), (IMAGE,), CONV, CONV_PARAMS),
    ("TylerYep/torchinfo#55", "a scripted part", lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3), torch.jit.script(nn.ReLU())), (IMAGE,), CONV, CONV_PARAMS),
    ("Lightning-AI/pytorch-lightning#7642", "lazy layers", lambda: nn.Sequential(
        nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(5)), (IMAGE,),
     CONV + 2 * 144 * 5, CONV_PARAMS + 8 + 145 * 5),
    ("pytorch/pytorch#151726", "an exported module",
     lambda: torch.export.export(nn.Sequential(nn.Conv2d(3, 4, 3)), (IMAGE,)).module(), (IMAGE,),
     CONV, CONV_PARAMS),
    ("sksq96/pytorch-summary#142", "parameters() overridden, layers in a list", Hidden, (IMAGE,),
     CONV + 2 * 4 * 16 * 36, CONV_PARAMS),
]  # fmt: skip


def _called(module: nn.Module) -> nn.Module:
    module(IMAGE)
    return module


quiet = pytest.mark.filterwarnings(
    "ignore:.*torch.jit.*:DeprecationWarning",
    "ignore:.*torch.jit.*:FutureWarning",
    "ignore:.*weight_norm.*:FutureWarning",
)


@quiet
@pytest.mark.parametrize(("report", "_tried", "network", "given", "macs", "params"), COUNTED)
def test_a_network_of_a_public_report_is_counted(report, _tried, network, given, macs, params):
    if "traced TorchScript" in _tried and torch.__version__ < "2.14":
        pytest.skip("the interpreter of TorchScript in torch 2.11 runs nothing on the meta device")
    analysis = analyze(network(), given)

    assert (analysis.macs, analysis.params, analysis.uncounted) == (macs, params, {}), report


@quiet
@pytest.mark.parametrize(
    ("report", "network"),
    [
        ("pytorch/pytorch#12737", lambda: nn.utils.spectral_norm(nn.Conv2d(3, 4, 3))),
        (
            "pytorch/pytorch#28594",
            lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)),
        ),
        ("sksq96/pytorch-summary#142", Hidden),
        ("facebookresearch/fvcore#109", lambda: nn.DataParallel(nn.Conv2d(3, 4, 3))),
    ],
)
def test_its_training_is_counted_too(report, network):
    analysis = analyze(network(), (IMAGE,), phase="training")

    assert analysis.training_macs >= 2 * CONV, report
    assert analysis.uncounted == {}


VALUES = [
    ("TylerYep/torchinfo#152", "arrays of NumPy",
     lambda: Net(lambda net, x: net.conv(x).detach().numpy())),
    ("nmhkahn/torchsummaryX#6", "a packed sequence", lambda: Net(
        lambda net, x: nn.utils.rnn.pack_padded_sequence(net.conv(x).flatten(2), [4, 3], True))),
    ("johnmarktaylor91/torchlens#47", "a branch on values",
     lambda: Net(lambda net, x: net.conv(x) if x.sum() < 1 else x)),
]  # fmt: skip


@pytest.mark.parametrize(("report", "_tried", "network"), VALUES)
def test_what_needs_values_says_so_and_is_counted_with_them(report, _tried, network):
    with pytest.raises(Unsupported, match="real=True"):
        analyze(network(), (IMAGE,))

    assert analyze(network(), (IMAGE,), real=True).macs >= CONV, report


def test_a_recurrent_state_may_be_made_on_the_cpu():  # sksq96/pytorch-summary#33
    network = Net(
        lambda net, x: net.rnn(net.conv(x).flatten(2).mT, torch.zeros(1, 2, 5)),
        rnn=nn.GRU(4, 5, batch_first=True),
    )

    counted, real = (analyze(network, (IMAGE,), real=real).macs for real in (False, True))

    assert counted == real > CONV


def test_an_error_of_the_backward_pass_does_not_blame_the_input():
    """johnmarktaylor91/torchlens#167: in-place operations on what backward needs."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), Net(lambda net, x: x.sigmoid().add_(1)))

    assert analyze(network, (IMAGE,)).macs == CONV
    with pytest.raises(Unsupported, match=r"backward pass of Sequential fails.*inplace"):
        analyze(network, (IMAGE,), phase="training")
