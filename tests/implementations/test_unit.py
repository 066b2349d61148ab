"""A unit of convolution, norm and activation: folded the same function, replaced by units."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cnnbench.conv.problem import UNITS, ConvProblem
from cnnbench.implementations import IMPLEMENTATIONS, implementation
from cnnbench.implementations.substitute import layer
from cnnbench.implementations.substitutes import SUBSTITUTES
from cnnbench.implementations.unit import ConvUnit, folded
from cnnbench.spec import Device, Mode, Spec, Workload
from cnnbench.worker import algorithm, applicability, build, convolution, modes
from cnnbench.worker.devices import open_device
from tests.layers import conv_problems

UNIT = ConvProblem.parse("n2c8h12w12-k16-3x3-p1-bn-relu")
WITH_NORM = tuple(name for name in UNITS if "bn" in name)


@pytest.fixture(autouse=True)
def _one_thread():
    with modes.restored():
        modes.set_flags(Mode(), 1)
        yield


def built(problem: ConvProblem, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return layer(problem).eval()


def spec(mode: str, problem: ConvProblem = UNIT, phase: str = "inference", other: str = "") -> Spec:
    workload = problem.workload(phase)
    workload = replace(workload, architecture=workload.architecture + other)
    return Spec(workload, Mode.parse(mode, "cpu"), Device(), 1)


@settings(max_examples=60, deadline=None)
@given(conv_problems(dtypes=("fp64",), units=WITH_NORM), st.integers(0, 2**31))
def test_folding_leaves_the_function_as_it_is(problem: ConvProblem, seed: int) -> None:
    unit = built(problem, seed).double()
    x = torch.randn(problem.input_shape, dtype=torch.float64)
    folds = IMPLEMENTATIONS["folded"]
    with torch.inference_mode():
        expected = unit(x)
        got = folds.run(x, folds.prepare(*folded(unit), problem), problem)
    got = got.relu() if problem.activated else got

    assert torch.allclose(got, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", ["", *(n for n, one in IMPLEMENTATIONS.items() if not one.flags)])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("unit", UNITS)
def test_every_implementation_computes_the_same_unit(name: str, dtype: str, unit: str) -> None:
    shapes = ("n2c8h12w12-k16-3x3-p1", "n1c8h9w9-k8-3x3-p1-g8", "n1c8h9w9-k16-1x1")
    problems = [
        replace(ConvProblem.parse(shape), dtype=dtype, post_ops=UNITS[unit]) for shape in shapes
    ]
    fit = [one for one in problems if not implementation(name).applies(one, "cpu")]
    if not fit:
        pytest.skip(f"{name} applies to none of the layers")
    for problem in fit:
        of = spec("eager", problem)
        mode = Mode(precision=dtype, implementation=name)
        exact = build.built(replace(of, mode=Mode(precision="fp64")), 0).call()
        got = build.built(replace(of, mode=mode), 0).call()
        error = float((got.double() - exact).norm() / exact.norm())
        assert got.shape == problem.output_shape
        assert error <= convolution.tolerance(replace(of, mode=mode)), (name, problem.text)
        assert not problem.activated or float(got.min()) == 0.0


def test_random_norms_are_worth_folding() -> None:
    unit = built(UNIT, 0)
    weight, bias = folded(unit)

    assert not torch.allclose(weight, unit.get_submodule("conv").weight, rtol=0.05)
    assert float(bias.abs().max()) > 0.1


@pytest.mark.parametrize("name", SUBSTITUTES)
def test_a_substitute_is_made_of_units(name: str) -> None:
    one = SUBSTITUTES[name]
    layers = (UNIT, ConvProblem.parse("n2c32h7w7-k32-5x5-p2-bn-relu"),
              ConvProblem.parse("n2c8h7w7-k16-7x7-bn-relu"),
              ConvProblem.parse("n2c32h7w7-k32-3x3-p1-bn-relu"))  # fmt: skip
    problem = next((each for each in layers if not one.applies(each)), None)
    if problem is None:
        why = one.applies(ConvProblem.parse("n2c8h8w8-k8-3x3-p1-bn-relu"))
        assert {"octave": "units", "resize_conv": "transposed"}[name] in why
        return
    module = one.build(problem).train()
    kinds = [type(each) for each in module.modules()]
    y = module(torch.randn(problem.input_shape))

    assert y.shape == problem.output_shape
    count = 1 if one.same_function else len(one.stages(problem))
    assert kinds.count(nn.BatchNorm2d) == count
    linear = name == "inverted_residual"
    assert kinds.count(nn.ReLU) == count - linear
    assert one.params(problem) == sum(each.numel() for each in module.parameters()) or (
        one.same_function
    )


def test_what_operators_move_beside_the_convolution_is_counted() -> None:
    def beyond(mode: str, problem: ConvProblem = UNIT) -> float:
        moved = applicability.described(spec(mode, problem)).moved_bytes
        return (moved - problem.compulsory_bytes) / problem.output_bytes

    # Norm and activation each read and write the whole output; folded, the activation alone does.
    assert [beyond(mode) for mode in ("eager", "impl=folded", "impl=prepacked")] == [4, 2, 0]
    assert [beyond(mode) for mode in ("compile", "compile+freezing")] == [2, 0]
    assert beyond("eager", replace(UNIT, post_ops=("relu",))) == 2
    assert beyond("eager", replace(UNIT, post_ops=())) == 0

    separable = SUBSTITUTES["depthwise_separable"]
    first, second = separable.stages(UNIT)
    moved = applicability.described(spec("eager", other="~depthwise_separable")).moved_bytes
    whole = sum(one.compulsory_bytes + 4 * one.output_bytes for one in (first, second))
    assert moved == whole


def test_operators_of_a_unit_are_timed_singly_and_stages_with_what_follows_them() -> None:
    device = open_device(Device())
    alone = algorithm.measure(spec("eager"), 0, device).stage_ns
    parts = algorithm.measure(spec("eager", other="~depthwise_separable"), 0, device).stage_ns
    plain = algorithm.measure(spec("eager", replace(UNIT, post_ops=())), 0, device).stage_ns

    assert list(alone)[:4] == ["", "n2c8h12w12-k16-3x3-p1", "bn", "relu"]
    stages = [one.text for one in SUBSTITUTES["depthwise_separable"].stages(UNIT)]
    assert [text for text in parts if text] == stages
    assert min(alone.values()) > 0
    assert plain == {}


def test_a_unit_trains_unfolded_in_both_directions() -> None:
    made = build.built(spec("eager", phase="training"), 0)
    loss, norms, _ = made.observe(made.call())

    assert torch.isfinite(loss)
    assert isinstance(made.module, ConvUnit)
    # Gradients for the weights, the norm's scales and shifts, and the input.
    assert norms.numel() == 4
    assert "inference only" in applicability._answer(spec("impl=folded", phase="training")).reason


def test_folding_is_for_units_with_a_norm() -> None:
    reason = IMPLEMENTATIONS["folded"].applies(replace(UNIT, post_ops=("relu",)), "cpu")

    assert "batch norm (--unit conv+bn+relu)" in reason


def test_the_layer_that_a_substitute_stands_for_is_the_unit() -> None:
    workload = Workload("conv:k16-3x3-p1-bn-relu~depthwise_separable", 2, (8, 12, 12))
    module = convolution.architecture(workload).build()

    assert [type(one) for one in module.children()] == [ConvUnit, ConvUnit]
