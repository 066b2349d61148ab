"""What the formulas state is what torch's allocator sees and what the algorithms multiply."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cnnbench.conv.problem import ConvProblem
from cnnbench.implementations import IMPLEMENTATIONS
from cnnbench.worker.memory import allocator_peak
from tests.implementations.loops import data

LAYERS = (
    "n2c64h28w28-k64-3x3-p1",
    "n2c16h14w14-k48-5x5-p2",
    "n2c32h28w28-k32-3x3-p1-g32",
    "n2c64h28w28-k32-1x1",
    "n2c32h28w30-k64-3x3-p1-d2",
    "n1c3h48w48-k16-7x7-s2-p3",
    "n1c32h15w13-k48-3x3-p1",
    # Less output than input, and fewer columns than input.
    "n2c64h29w29-k16-3x3-s2-p2-d2-g2",
    "n2c64h29w29-k16-1x1-s2",
)
# Those with formulas: a library does not tell what it takes.
OWN = [
    name
    for name, one in IMPLEMENTATIONS.items()
    if one.algorithm(ConvProblem.parse(LAYERS[0])).workspace_bytes is not None
]
SLOW = ("toeplitz_dense", "toeplitz_sparse", "direct")
CELLS = [
    (name, text + layout)
    for text in LAYERS
    for layout in ("", "-channels_last")
    for name in OWN
    if not IMPLEMENTATIONS[name].applies(ConvProblem.parse(text + layout), "cpu")
    # Slow to prepare, or thousands of operators: on a small layer below.
    and name not in SLOW
]
CELLS += [(name, "n2c4h19w19-k6-3x3-p1-g2-channels_last") for name in SLOW]


@pytest.mark.parametrize(("name", "text"), CELLS)
def test_measured_workspace_and_preparation_are_the_formulas(name: str, text: str) -> None:
    problem, how = ConvProblem.parse(text), IMPLEMENTATIONS[name]
    x, weight, bias = data(problem, 0)
    stated = how.algorithm(problem)
    with torch.inference_mode():
        prepared = how.prepare(weight, bias, problem)
        how.convolve(x, prepared, problem)
        peak = allocator_peak(lambda: how.convolve(x, prepared, problem))
    held = sum(_bytes(one, weight) for one in prepared.weights)

    # 1 KiB: every block is rounded up to 64 bytes.
    assert peak - problem.output_bytes == pytest.approx(stated.workspace_bytes, rel=0.05, abs=1024)
    assert held == pytest.approx(stated.prepared_bytes, rel=0.05, abs=1024)


def _bytes(tensor: torch.Tensor, weight: torch.Tensor) -> int:
    if tensor.layout == torch.sparse_csr:
        parts = (tensor.values(), tensor.crow_indices(), tensor.col_indices())
        return sum(part.nbytes for part in parts)
    return 0 if tensor.data_ptr() == weight.data_ptr() else tensor.nbytes


class Multiplications(TorchDispatchMode):
    """Counts multiply-accumulates of real numbers, operator by operator."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__.rstrip("_")
        if name in {"mm", "bmm"}:
            left, right = args[:2]
            # A product of complex numbers is four of real ones.
            self.count += left.numel() * right.shape[-1] * (4 if left.is_complex() else 1)
        elif name in {"addmm", "baddbmm"}:
            self.count += args[1].numel() * args[2].shape[-1]
        elif name == "addmv":
            self.count += args[1].values().numel()
        elif name == "addcmul":
            self.count += args[0].numel()
        elif name in {"matmul", "linear", "einsum", "convolution", "mv", "dot"}:
            raise AssertionError(f"no rule for {name}")
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(("name", "text"), CELLS)
def test_executed_macs_are_those_of_the_operators_called(name: str, text: str) -> None:
    problem, how = ConvProblem.parse(text), IMPLEMENTATIONS[name]
    x, weight, bias = data(problem, 0)
    prepared = how.prepare(weight, bias, problem)
    with torch.no_grad(), Multiplications() as counted:
        how.convolve(x, prepared, problem)

    assert counted.count == how.algorithm(problem).executed_macs


def test_winograd_saves_what_the_paper_says() -> None:
    problem = ConvProblem(1, 512, 24, 24, 512, 3, 3, padding=(1, 1))
    saved = {
        m: problem.macs / (IMPLEMENTATIONS[f"winograd_f{m}"].algorithm(problem).executed_macs or 1)
        for m in (2, 4, 6)
    }

    # 2.25, 4 and 5.0625 (Lavin, Gray 2015, section 4.1) less the transforms.
    assert saved == pytest.approx({2: 2.25, 4: 4.0, 6: 5.0625}, rel=0.06)


def test_figures_of_a_known_layer() -> None:
    problem = ConvProblem(8, 64, 56, 56, 64, 3, 3, padding=(1, 1))

    im2col = IMPLEMENTATIONS["im2col"].algorithm(problem)
    fft = IMPLEMENTATIONS["fft"].algorithm(problem)

    assert im2col.workspace_bytes == 57_802_752
    assert im2col.executed_macs == problem.macs
    assert fft.prepared_bytes == 8 * 64 * 64 * 60 * 31
    assert IMPLEMENTATIONS["prepacked"].algorithm(problem).workspace_bytes is None
