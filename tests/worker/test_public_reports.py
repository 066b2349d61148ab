"""Networks that public reports say break tools of this kind: what they answer is judged rightly.

Every case is written here from the report's title; the report is where somebody met its kind.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from cnnbench import analysis
from cnnbench.errors import Unsupported
from cnnbench.facts import Check
from cnnbench.spec import Device, Mode, Spec, Workload
from cnnbench.worker import build, calibration, checking, modes
from cnnbench.worker import reference as references
from cnnbench.worker.inputs import Given

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SPEC = Spec(Workload("object:Net", 2, (3, 8, 8)), Mode(), Device(), 1)


def image() -> torch.Tensor:
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """A convolution and what a function does around it."""

    def __init__(self, function: Callable[..., Any], **parts: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.function, self.conv = function, nn.Conv2d(3, 4, 3)
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *given: Any, **named: Any) -> Any:
        return self.function(self, *given, **named)


@pytest.fixture(autouse=True)
def _flags() -> Iterator[None]:
    with modes.restored():
        modes.set_flags(Mode(), 1)
        yield


def judged(network: Callable[[], nn.Module], folder: Path) -> Check:
    """The check of a step that has been timed for a while, as its worker makes it."""

    def step(of: Spec) -> build.Step:
        made = build.inference(of, network().eval(), Given.of(image()))
        made.others = lambda: map(Given.of, (image().flip(-1), image().flip(-2), image().mT))
        return made

    path = folder / "reference.npz"
    known = references.compute(SPEC, step, 0, path)
    timed = step(SPEC)
    return checking.check(SPEC, timed, 0, path, known, timed.call())


def counting() -> nn.Module:
    calls = itertools.count()
    return Net(lambda net, x: net.conv(x) * (1 + next(calls) % 2))


def growing() -> nn.Module:
    def forward(net: Any, x: torch.Tensor) -> torch.Tensor:
        net.seen += 1
        return net.conv(x) * net.seen

    return Net(forward, seen=nn.Buffer(torch.zeros(())))


def energy(net: Any, x: torch.Tensor) -> torch.Tensor:
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return torch.autograd.grad(net.conv(x).square().sum(), x)[0]


def several(net: Any, x: torch.Tensor) -> torch.Tensor:
    states = torch.func.stack_module_state(list(net.heads))
    return torch.vmap(lambda p, b: torch.func.functional_call(net.heads[0], (p, b), (x,)))(*states)


def partly_compiled() -> nn.Module:
    return Net(
        lambda net, x: net.compiled(x), compiled=torch.compile(nn.Conv2d(3, 4, 3), backend="eager")
    )


def without_cudnn(net: Any, x: torch.Tensor) -> torch.Tensor:
    with torch.backends.cudnn.flags(enabled=False):
        return net.conv(x)


# Report, what was tried, network, status, words of the reason.
JUDGED = [
    ("johnmarktaylor91/torchlens#47", "a counter that changes in forward",
     growing, "unchecked", "two fp32"),
    ("johnmarktaylor91/torchlens#17", "every second call answers otherwise",
     counting, "unchecked", "two fp32"),
    ("TylerYep/torchinfo#152", "NumPy arrays as output",
     lambda: Net(lambda net, x: net.conv(x).numpy(force=True)), "ok", ""),
    ("sksq96/pytorch-summary#110", "a number beside a tensor",
     lambda: Net(lambda net, x: (net.conv(x), 0)), "ok", ""),
    ("TylerYep/torchinfo#329", "a distribution as output",
     lambda: Net(lambda net, x: torch.distributions.Categorical(logits=net.conv(x))), "ok", ""),
    ("johnmarktaylor91/torchlens#167", "the input itself as output", nn.Identity, "ok", ""),
    ("intel/ipex-llm#2838", "the input is overwritten",
     lambda: Net(lambda net, x: net.conv(x.div_(255))), "unchecked", "writes into its input"),
    ("Lightning-AI/pytorch-lightning#19910", "gradients are computed in forward",
     lambda: Net(energy), "ok", ""),
    ("TylerYep/torchinfo#55", "a scripted part",
     lambda: Net(lambda net, x: net.part(x), part=torch.jit.script(nn.ReLU())), "ok", ""),
    ("pytorch/functorch#1108", "a vmapped ensemble",
     lambda: Net(several, heads=nn.ModuleList([nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)])), "ok", ""),
    ("sovrasov/flops-counter.pytorch#110", "a part that is compiled already",
     partly_compiled, "ok", ""),
    ("pytorch/pytorch#179445", "cuDNN's flags are set in forward",
     lambda: Net(without_cudnn), "ok", ""),
]  # fmt: skip


@pytest.mark.filterwarnings(
    "ignore:.*jit.script.*:FutureWarning", "ignore:.*jit.script.*:DeprecationWarning"
)
@pytest.mark.parametrize(("report", "_tried", "network", "status", "words"), JUDGED)
def test_an_answer_is_judged_rightly(report, _tried, network, status, words, tmp_path) -> None:
    check = judged(network, tmp_path)

    assert (check.status, words in check.reason) == (status, True), (report, check)


def test_a_generator_is_refused_because_nothing_would_be_timed(tmp_path: Path) -> None:
    """sksq96/pytorch-summary#136: several outputs, one after the other."""
    with pytest.raises(Unsupported, match=r"returns a generator.*return a list"):
        judged(lambda: Net(lambda net, x: (net.conv(one[None]) for one in x)), tmp_path)


def test_a_compiled_network_is_refused_as_no_mode_would_be_what_it_says() -> None:
    """sovrasov/flops-counter.pytorch#110."""
    with pytest.raises(Unsupported, match=r"compiled already.*choose the mode compile"):
        modes.refuse_compiled(torch.compile(nn.ReLU(), backend="eager"))  # type: ignore[arg-type]


def test_a_kept_calibration_leaves_the_state_of_spectral_norm_alone(tmp_path: Path) -> None:
    """pytorch/pytorch#8208: looking at a weight in training mode changes the network."""

    def network() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 4, 3)))

    first, second = network(), network()
    calibration.save(tmp_path / "w.npz", calibration.calibrate(first, Given.of(image())))
    calibration.load(second, tmp_path / "w.npz")

    assert second.training
    for one, other in zip(first.buffers(), second.buffers(), strict=True):
        assert torch.equal(one, other)


def test_networks_with_methods_of_their_own_are_built() -> None:
    """Zhenye-Na/DA-RNN#21, deepinv/deepinv#257: ``train`` and ``to`` of another kind."""

    class Own(Net):
        def train(self):
            raise AssertionError("it would be fitted now")

        def to(self, device):
            return super().to(device)

    made = Own(lambda net, x: net.conv(x))
    analysis.set_training(made, training=False)
    step = build.inference(SPEC, made, Given.of(image()))

    assert isinstance(step.call(), torch.Tensor)


def test_an_exported_network_keeps_the_mode_it_has() -> None:
    """pytorch/pytorch#151726."""
    made: Any = torch.export.export(nn.Sequential(nn.Conv2d(3, 4, 3)), (image(),)).module()

    analysis.set_training(made, training=False)
    with pytest.raises(Unsupported, match="exported"):
        analysis.set_training(made, training=True)
