"""Transposed convolutions: every implementation computes torch's function."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cnnbench import analysis
from cnnbench.conv.problem import ConvProblem
from cnnbench.implementations import IMPLEMENTATIONS, implementation
from cnnbench.implementations.substitutes import SUBSTITUTES
from cnnbench.spec import Device, Mode, Spec
from cnnbench.worker import build, convolution, modes
from cnnbench.worker.memory import allocator_peak
from tests.implementations.loops import by_torch, computed, data, error
from tests.implementations.test_formulas import Multiplications
from tests.layers import transposed_problems

OURS = [
    one
    for one in IMPLEMENTATIONS.values()
    if "transposed" in one.computes and not one.flags and one.name != "folded"
]
JUDGED = [implementation(""), *OURS]
SEEDS = st.integers(0, 2**31)
UNET = ConvProblem.parse("n1c32h14w14-k16-2x2-s2-t")
USUAL = ("n1c16h14w14-k8-4x4-s2-p1-t", "n2c12h7w9-k6-3x3-s2-p1-t1-g3", "n1c4h9w9-k4-3x3-p1-d2-t",
         "n1c6h5w5-k6-3x3-d3-t2")  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread():
    with modes.restored():
        modes.set_flags(Mode(), 1)
        yield


def test_there_are_three_of_our_own() -> None:
    assert {one.name for one in OURS} == {"zero_insertion", "col2im", "subpixel"}


def scattered(x: Tensor, weight: Tensor, bias: Tensor, problem: ConvProblem) -> Tensor:
    """The definition, in loops over Python numbers."""
    given, weights = x.tolist(), weight.tolist()
    y = bias.double().view(1, -1, 1, 1).repeat(problem.n, 1, problem.p, problem.q)
    per_group, inputs = problem.k // problem.groups, problem.c // problem.groups
    sizes = (problem.n, problem.c, problem.h, problem.w, per_group, problem.r, problem.s)
    for n, c, h, w, k, r, s in itertools.product(*map(range, sizes)):
        row = h * problem.stride[0] - problem.padding[0] + r * problem.dilation[0]
        column = w * problem.stride[1] - problem.padding[1] + s * problem.dilation[1]
        if 0 <= row < problem.p and 0 <= column < problem.q:
            channel = c // inputs * per_group + k
            y[n, channel, row, column] += given[n][c][h][w] * weights[c][k][r][s]
    return y


@settings(max_examples=40, deadline=None)
@given(transposed_problems(most=3, formats=("contiguous",), dtypes=("fp64",)), SEEDS)
def test_float64_of_the_library_is_the_definition(problem: ConvProblem, seed: int) -> None:
    tensors = data(problem, seed)

    gap = (by_torch(tensors, problem) - scattered(*tensors, problem)).abs().max()

    assert gap <= 1e-13 * problem.taps


@settings(max_examples=300, deadline=None, derandomize=True)
@given(transposed_problems(dtypes=("fp32", "bf16", "fp64")), SEEDS)
def test_every_implementation_is_within_its_tolerance_of_float64(
    problem: ConvProblem, seed: int
) -> None:
    tensors = data(problem, seed)
    before = [tensor.clone() for tensor in tensors]
    for how in JUDGED:
        assert not how.applies(problem, "cpu")
        got = computed(how, tensors, problem)
        assert got.shape == problem.output_shape
        assert error(got, tensors, problem) <= how.tolerance(problem), how.name
        assert torch.equal(got, computed(how, tensors, problem)), how.name
    assert all(map(torch.equal, tensors, before))


@settings(max_examples=100, deadline=None)
@given(transposed_problems(dtypes=("fp32",)), SEEDS)
def test_small_integers_are_bit_exact(problem: ConvProblem, seed: int) -> None:
    tensors = data(problem, seed, integers=3)
    for how in JUDGED:
        assert torch.equal(computed(how, tensors, problem).double(), by_torch(tensors, problem))


@pytest.mark.parametrize("how", OURS, ids=lambda how: how.name)
@pytest.mark.parametrize("text", USUAL)
def test_executed_macs_are_those_of_the_operators_called(how, text: str) -> None:
    problem = ConvProblem.parse(text)
    x, weight, bias = data(problem, 0)
    prepared = how.prepare(weight, bias, problem)
    with torch.no_grad(), Products() as counted:
        how.convolve(x, prepared, problem)

    assert counted.count == how.algorithm(problem).executed_macs


class Products(Multiplications):
    """Counts those of convolutions as well."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.overloadpacket.__name__ != "convolution":
            return super().__torch_dispatch__(function, types, args, kwargs)
        y = function(*args, **(kwargs or {}))
        self.count += y.numel() * args[1][0].numel()
        return y


def test_subpixel_multiplies_no_zeros_that_were_put_in() -> None:
    macs = {how.name: how.algorithm(UNET).executed_macs for how in OURS}

    # Kernel and stride 2: every product of the definition once, or all four places for each.
    assert macs == {"subpixel": UNET.macs, "col2im": UNET.macs, "zero_insertion": 4 * UNET.macs}


@pytest.mark.parametrize("text", USUAL)
def test_col2ims_workspace_is_what_is_measured(text: str) -> None:
    problem, how = ConvProblem.parse(text), IMPLEMENTATIONS["col2im"]
    x, weight, bias = data(problem, 0)
    with torch.inference_mode():
        prepared = how.prepare(weight, bias, problem)
        peak = allocator_peak(lambda: how.convolve(x, prepared, problem))

    stated = how.algorithm(problem).workspace_bytes
    assert peak - problem.output_bytes == pytest.approx(stated, rel=0.05, abs=1024)


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_what_computes_convolutions_refuses_the_transposed(name: str) -> None:
    how = IMPLEMENTATIONS[name]
    kind = how.kinds[0]
    if "transposed" not in how.computes:
        assert "computes convolutions, not transposed ones" in how.applies(UNET, kind)
    if "conv" not in how.computes:
        plain = ConvProblem.parse("n1c8h9w9-k8-3x3")
        assert "computes transposed convolutions, not other ones" in how.applies(plain, kind)


@pytest.mark.parametrize("mode", ["eager", "channels_last", "amp=bf16", "impl=subpixel", "bf16",
                                  "impl=native", "impl=col2im", "impl=zero_insertion"])  # fmt: skip
@pytest.mark.parametrize("text", [*USUAL, "n1c16h7w7-k12-4x4-s2-p1-t-g2-bn-relu"])
def test_a_worker_computes_a_transposed_layer(mode: str, text: str) -> None:
    problem = ConvProblem.parse(text)
    spec = Spec(problem.workload(), Mode.parse(mode, "cpu"), Device(), 1)
    modes.set_flags(spec.mode, 1)
    exact_spec = Spec(problem.workload(), Mode(precision="fp64"), Device(), 1)
    exact = build.built(exact_spec, 0).call()
    got = build.built(spec, 0).call()

    assert got.shape == problem.output_shape
    assert float((got.double() - exact).norm() / exact.norm()) <= convolution.tolerance(spec)


@settings(max_examples=40, deadline=None)
@given(transposed_problems(most=4, dtypes=("fp32",)))
def test_the_usual_norm_is_that_of_torchs_layer(problem: ConvProblem) -> None:
    cost = build.counted(problem.workload(), 0).cost()

    assert (cost.macs, cost.params) == (problem.macs, problem.params)
    assert convolution.usual_norm(problem) >= 0


def test_usual_norm_is_near_what_is_drawn() -> None:
    problem = ConvProblem.parse("n8c64h14w14-k32-4x4-s2-p1-t")
    y = build.built(Spec(problem.workload(), Mode(), Device(), 1), 0).call()

    assert float(y.norm()) == pytest.approx(convolution.usual_norm(problem), rel=0.1)


def test_folding_a_norm_into_groups_is_the_same_function() -> None:
    problem = ConvProblem.parse("n2c6h5w5-k9-3x3-s2-t1-g3-bn")
    results = [
        build.built(Spec(problem.workload(), mode, Device(), 1), 0).call()
        for mode in (Mode(), Mode(implementation="folded"))
    ]

    assert torch.allclose(*results, rtol=1e-4, atol=1e-5)


def test_resizing_is_a_substitute_and_nothing_else_stands_for_a_transposed_layer() -> None:
    (name,) = [name for name, one in SUBSTITUTES.items() if not one.applies(UNET)]
    one = SUBSTITUTES[name]
    assert (name, one.same_function) == ("resize_conv", False)

    module = analysis.build_on_meta(lambda: one.build(UNET))
    found = analysis.analyze(module, (torch.empty(UNET.input_shape, device="meta"),))

    assert tuple(found.ops[-1].output) == UNET.output_shape
    assert (found.params, found.macs) == (one.params(UNET), one.macs(UNET))
    (stage,) = one.stages(UNET)
    moved = one.algorithm(UNET, lambda _: 0).moved_bytes
    assert moved == stage.compulsory_bytes + UNET.input_bytes + stage.input_bytes
    assert "stride above 1" in one.applies(ConvProblem.parse("n1c8h9w9-k8-3x3-p1-t"))
