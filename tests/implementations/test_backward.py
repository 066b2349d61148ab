"""Backward passes by themselves: every way to compute one agrees with torch's autograd."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from cnnbench.conv.problem import ConvProblem
from cnnbench.errors import Unsupported
from cnnbench.implementations import DTYPES, IMPLEMENTATIONS, Implementation
from cnnbench.implementations.implementation import FORMATS
from cnnbench.implementations.substitute import layer
from cnnbench.implementations.substitutes import SUBSTITUTES
from cnnbench.spec import Device, Mode, Spec
from cnnbench.worker import build, convolution, modes
from cnnbench.worker.memory import allocator_peak
from tests.implementations.test_transposed import Products
from tests.layers import conv_problems, transposed_problems

SEEDS = st.integers(0, 2**31)
WAYS = st.sampled_from(("bwd_d", "bwd_w"))
OURS = [IMPLEMENTATIONS[name] for name in ("zero_insertion", "col2im", "subpixel", "im2col")]
TEXTS = ("n2c8h12w11-k16-3x3-s2-p1-g2", "n1c8h9w9-k8-3x3-p1-d2", "n3c4h7w8-k6-2x1-s1x3",
         "n2c8h7w6-k6-3x3-s2-p1-t1", "n1c4h9w9-k4-3x3-p1-t-g4")  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread():
    with modes.restored():
        modes.set_flags(Mode(), 1)
        yield


def drawn(problem: ConvProblem, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Input, gradient of the output, weights."""
    generator = torch.Generator().manual_seed(seed)
    shapes = (problem.input_shape, problem.output_shape, problem.weight_shape)
    x, gradient, weight = (torch.randn(one, generator=generator) for one in shapes)
    dtype, layout = DTYPES[problem.dtype], FORMATS[problem.memory_format]
    x, gradient = (one.to(dtype).contiguous(memory_format=layout) for one in (x, gradient))
    return x, gradient, weight.to(dtype)


def by_autograd(tensors: tuple[Tensor, Tensor, Tensor], problem: ConvProblem) -> Tensor:
    """float64, through the forward pass."""
    x, gradient, weight = (one.double() for one in tensors)
    wanted = (x if problem.direction == "bwd_d" else weight).requires_grad_()
    where = (problem.stride, problem.padding)
    if problem.transposed:
        y = functional.conv_transpose2d(
            x, weight, None, *where, problem.output_padding, problem.groups, problem.dilation
        )
    else:
        y = functional.conv2d(x, weight, None, *where, problem.dilation, problem.groups)
    (found,) = torch.autograd.grad(y, wanted, gradient)
    return found


def by_library(tensors: tuple[Tensor, Tensor, Tensor], problem: ConvProblem) -> Tensor:
    x, gradient, weight = tensors
    module = layer(problem)
    module.weight = torch.nn.Parameter(weight)
    with torch.inference_mode():
        return module(x, gradient)


def by(how: Implementation, tensors: tuple[Tensor, Tensor, Tensor], problem: ConvProblem) -> Tensor:
    x, gradient, weight = tensors
    module = layer(problem).to(weight.dtype)
    module.weight = torch.nn.Parameter(weight)
    with torch.inference_mode():
        return convolution.Implemented(module, how, problem)(x, gradient)


def applying(problem: ConvProblem) -> list[Implementation]:
    some = [one for one in IMPLEMENTATIONS.values() if not one.flags and "cpu" in one.kinds]
    return [one for one in some if not one.applies(problem, "cpu")]


@settings(max_examples=120, deadline=None)
@given(conv_problems(dtypes=("fp64",)) | transposed_problems(dtypes=("fp64",)), WAYS, SEEDS)
def test_every_way_agrees_with_autograd_in_float64(
    problem: ConvProblem, direction: str, seed: int
) -> None:
    problem = replace(problem, direction=direction)
    tensors = drawn(problem, seed)
    exact = by_autograd(tensors, problem)
    limit = 1e-9 * max(1.0, float(exact.abs().max()))

    assert float((by_library(tensors, problem) - exact).abs().max()) <= limit
    for how in applying(problem):
        got = by(how, tensors, problem)
        assert got.shape == exact.shape, how.name
        assert float((got - exact).abs().max()) <= limit, how.name


@settings(max_examples=80, deadline=None, derandomize=True)
@given(conv_problems(dtypes=("fp32", "bf16")), WAYS, SEEDS)
def test_ours_are_within_their_tolerance(problem: ConvProblem, direction: str, seed: int) -> None:
    problem = replace(problem, direction=direction)
    tensors = drawn(problem, seed)
    exact = by_autograd(tensors, problem)
    positive = by_autograd(tuple(one.abs() for one in tensors), problem)
    scale = max(float(exact.norm()), float(positive.norm()) / problem.summed**0.5) or 1.0
    for how in OURS:
        if how.applies(problem, "cpu"):
            continue
        got = by(how, tensors, problem)
        error = float((got.double() - exact).norm()) / scale
        assert error <= how.tolerance(how.solved(problem)), how.name
        assert got.is_contiguous(memory_format=FORMATS[problem.memory_format])


@given(conv_problems(), WAYS)
def test_the_adjoint_leads_back_to_the_input(problem: ConvProblem, direction: str) -> None:
    problem = replace(problem, direction=direction)

    assert problem.adjoint.input_shape == problem.output_shape
    assert problem.adjoint.output_shape == problem.input_shape
    assert problem.adjoint.weight_shape == problem.weight_shape
    assert problem.adjoint.macs == problem.macs == replace(problem, direction="").macs


def test_each_pass_has_ways_of_our_own() -> None:
    def names(text: str) -> set[str]:
        found = applying(ConvProblem.parse(text))
        return {one.name for one in found}

    assert names("n1c8h9w9-k8-3x3-p1-bwd_d") == {"zero_insertion", "col2im", "subpixel"}
    assert names("n1c8h9w9-k8-3x3-p1-bwd_w") == {"im2col"}
    assert {"im2col", "im2col_nhwc", "winograd_f2"} < names("n1c8h9w9-k8-3x3-p1-t-bwd_d")
    assert names("n1c8h9w9-k8-3x3-p1-t-bwd_w") == set()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("im2col", "n1c8h9w9-k8-3x3-bwd_d",
         "im2col computes convolutions; this gradient of an input is a transposed one"),
        ("col2im", "n1c8h9w9-k8-3x3-t-bwd_d",
         "col2im computes transposed convolutions; this gradient of an input is a convolution"),
        ("col2im", "n1c8h9w9-k8-3x3-bwd_w", "col2im computes no gradient of weights"),
        ("im2col", "n1c8h9w9-k8-3x3-t-bwd_w",
         "im2col computes no gradient of transposed convolutions' weights"),
        ("im2col", "n1c6h5w5-k6-3x3-d3-t2-bwd_d",
         "im2col needs output padding below the stride for the gradient of an input"),
        ("folded", "n1c8h9w9-k8-3x3-bwd_w", "folded computes forward passes only"),
    ],
)  # fmt: skip
def test_what_does_not_apply_says_why(name: str, text: str, said: str) -> None:
    assert IMPLEMENTATIONS[name].applies(ConvProblem.parse(text), "cpu") == said


def test_no_substitute_stands_for_a_backward_pass() -> None:
    problem = ConvProblem.parse("n1c8h8w8-k8-3x3-p1-bwd_d")

    assert all("backward pass" in one.applies(problem) for one in SUBSTITUTES.values())


def spec(problem: ConvProblem, mode: str, phase: str = "inference") -> Spec:
    return Spec(problem.workload(phase), Mode.parse(mode, "cpu"), Device(), 1)


@pytest.mark.parametrize("mode", ["onnxruntime", "openvino", "amp=bf16"])
def test_modes_without_a_backward_pass_by_itself_say_so(mode: str) -> None:
    with pytest.raises(Unsupported, match="backward pass by itself"):
        convolution.check(spec(ConvProblem.parse("n1c8h8w8-k8-3x3-p1-bwd_w"), mode))


def test_a_backward_pass_has_no_training_phase() -> None:
    with pytest.raises(Unsupported, match="no training phase"):
        build.built(spec(ConvProblem.parse("n1c8h8w8-k8-3x3-p1-bwd_w"), "eager", "training"), 0)


@pytest.mark.parametrize("mode", ["eager", "channels_last", "bf16", "impl=native", "impl=subpixel",
                                  "impl=im2col", "impl=im2col+channels_last"])  # fmt: skip
@pytest.mark.parametrize("direction", ["bwd_d", "bwd_w"])
@pytest.mark.parametrize("text", TEXTS)
def test_a_worker_computes_a_backward_pass(mode: str, direction: str, text: str) -> None:
    problem = replace(ConvProblem.parse(text), direction=direction)
    asked = spec(problem, mode)
    try:
        convolution.check(asked)
    except Unsupported as error:
        pytest.skip(str(error))
    modes.set_flags(asked.mode, 1)
    exact = build.built(replace(asked, mode=Mode(precision="fp64")), 0).call()
    got = build.built(asked, 0).call()

    assert got.shape == (problem.input_shape if direction == "bwd_d" else problem.weight_shape)
    assert float((got.double() - exact).norm() / exact.norm()) <= convolution.tolerance(asked)


@settings(max_examples=30, deadline=None)
@given(conv_problems(dtypes=("fp32",)) | transposed_problems(dtypes=("fp32",)), WAYS)
def test_counts_are_those_of_the_operator(problem: ConvProblem, direction: str) -> None:
    problem = replace(problem, direction=direction)
    cost = build.counted(problem.workload(), 0).cost()

    assert (cost.macs, cost.params) == (problem.macs, problem.params)


@pytest.mark.parametrize("direction", ["bwd_d", "bwd_w"])
@pytest.mark.parametrize("text", ["n8c64h14w14-k32-3x3-s2-p1", "n8c64h14w14-k32-4x4-s2-p1-t"])
def test_the_usual_norm_is_near_what_is_drawn(direction: str, text: str) -> None:
    problem = replace(ConvProblem.parse(text), direction=direction)
    found = build.built(spec(problem, "eager"), 0).call()

    assert float(found.norm()) == pytest.approx(convolution.usual_norm(problem), rel=0.1)


def test_bytes_are_those_that_are_read_and_written() -> None:
    # 64 of 256 inputs are touched; backward, all of the input's gradient is written.
    forward = ConvProblem.parse("n1c1h16w16-k2-1x1-s2")
    data, weights = (replace(forward, direction=one) for one in ("bwd_d", "bwd_w"))

    assert forward.compulsory_bytes == 4 * (64 + 2 + 2 + 128)
    assert data.compulsory_bytes == 4 * (128 + 2 + 256)
    assert weights.compulsory_bytes == 4 * (64 + 128 + 2)


@pytest.mark.parametrize("text", [one for one in TEXTS if "-t" not in one])
def test_what_im2col_states_of_the_weights_is_what_is_measured(text: str) -> None:
    problem, how = replace(ConvProblem.parse(text), direction="bwd_w"), IMPLEMENTATIONS["im2col"]
    tensors = drawn(problem, 0)
    with torch.inference_mode():
        module = convolution.Implemented(layer(problem), how, problem)
        peak = allocator_peak(lambda: module(*tensors[:2]))
        with Products() as counted:
            module(*tensors[:2])

    stated = how.algorithm(problem)
    assert peak - problem.weight_bytes == pytest.approx(stated.workspace_bytes, rel=0.05, abs=1024)
    assert counted.count == stated.executed_macs == problem.macs


def test_a_change_of_layout_is_counted() -> None:
    last = ConvProblem.parse("n2c8h9w9-k16-3x3-bwd_w-channels_last")
    first, how = replace(last, memory_format="contiguous"), IMPLEMENTATIONS["im2col"]
    more = how.algorithm(last).moved_bytes - how.algorithm(first).moved_bytes

    assert more == 2 * (last.input_bytes + last.output_bytes + last.weight_bytes)
