"""Quantised after training: that runtimes do it, say so, and that the answer is still one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from cnnbench.conv.problem import ConvProblem
from cnnbench.deployment import missing
from cnnbench.mode import Mode
from cnnbench.spec import Device, Spec, Workload
from cnnbench.worker import build, compiling, convolution
from cnnbench.worker.inputs import Given
from cnnbench.worker.runtimes.protocol import described, remarks

MODES = ("onnxruntime+int8", "openvino+int8", "aoti+freezing+int8")
REAL = [
    pytest.param(
        Mode.parse(text, "cpu"),
        id=text,
        marks=pytest.mark.skipif(
            bool(missing(Mode.parse(text, "cpu"))), reason="needs the extra cnnbench[int8]"
        ),
    )
    for text in MODES
]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 16, 3, padding=1)
        self.relu = nn.ReLU()
        self.last = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        features = self.relu(self.first(x))
        # One module called twice, as in a residual block.
        features = self.relu(self.second(features) + features)
        found: Tensor = self.last(features.mean((2, 3)))
        return found


@pytest.mark.slow
@pytest.mark.parametrize("mode", REAL)
def test_a_single_layer_is_within_its_bound(
    mode: Mode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "_kept", [tmp_path])
    spec = Spec(ConvProblem.parse("c16h28w28-k16-3x3-p1").workload(), mode, Device(), 1)
    architecture, module = build.construct(spec.workload, 0)
    step = build.step(spec, architecture, module, 0)
    with torch.no_grad():
        expected = module(*step.given.args)
    (got,) = step.observe(step.call())
    error = float((got - expected).norm() / expected.norm())

    assert 1e-4 < error < convolution.tolerance(spec)


@pytest.mark.slow
@pytest.mark.parametrize("mode", REAL)
def test_a_runtime_quantises_and_says_so(
    mode: Mode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "_kept", [tmp_path])
    torch.manual_seed(0)
    module = Net().eval()
    given = Given.of(torch.randn(2, 3, 16, 16))
    spec = Spec(
        Workload("tests:net", 2, (3, 16, 16)),
        mode,
        Device(),
        1,
    )
    step = build.inference(spec, module, given)

    got = step.call()

    with torch.no_grad():
        expected = module(*given.args)
    error = float((got - expected).norm() / expected.norm())
    found = step.deployment()
    assert found is not None
    assert found.precision == "int8"
    # A grid of 256 steps shows, and does not lead far in three layers.
    assert 1e-5 < error < 0.1


@pytest.mark.parametrize(
    ("precision", "layers", "said"),
    [
        ("fp32", {"float32": 20}, ()),
        ("fp32", {}, ()),
        ("int8", {"int8": 20}, ()),
        (
            "fp32",
            {"bfloat16": 20, "float32": 1},
            ("fp32 is not all of it: R computes in bfloat16 in 20 layers, float32 in 1 layers",),
        ),
        ("fp32", {"bfloat16": 20}, ("fp32 changed nothing: R computes in bfloat16",)),
        ("amp=bf16", {"float32": 20}, ("amp=bf16 changed nothing: R computes in float32",)),
        ("int8", {"float32": 3}, ("int8 changed nothing: R computes in float32",)),
    ],
)
def test_what_layers_do_not_do_is_said(
    precision: str, layers: dict[str, int], said: tuple[str, ...]
) -> None:
    assert remarks("R", precision, layers) == said


def test_types_are_named_with_their_layers_where_there_are_several() -> None:
    assert described({}) == ""
    assert described({"float32": 7}) == "float32"
    assert described({"float32": 1, "int8": 7}) == "int8 in 7 layers, float32 in 1 layers"
