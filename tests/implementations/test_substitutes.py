from __future__ import annotations

from math import prod

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cnnbench import analysis
from cnnbench.conv import layers
from cnnbench.conv.problem import ConvProblem
from cnnbench.errors import UnknownName, UsageError
from cnnbench.implementations.substitute import Substitute
from cnnbench.implementations.substitutes import SUBSTITUTES, substitute, tabled

# What every substitute can stand for at least one of.
LAYERS = [
    *[layer.problem(2) for layer in layers.suite("classic").layers],
    ConvProblem(2, 32, 28, 28, 64, 5, 5, padding=(2, 2)),
    ConvProblem(1, 64, 28, 28, 96, 3, 3, stride=(2, 2), padding=(1, 1)),
    ConvProblem(1, 8, 12, 10, 8, 1, 7, padding=(0, 3)),
    ConvProblem(3, 512, 7, 7, 1000, 7, 7),
    ConvProblem(3, 512, 1, 1, 1000, 1, 1),
    ConvProblem(1, 64, 9, 9, 64, 3, 3, stride=(2, 1), padding=(1, 1), groups=2),
    ConvProblem(1, 16, 7, 7, 8, 4, 4, stride=(2, 2), padding=(1, 1), transposed=True),
]
PAIRS = [
    (name, problem)
    for name, one in SUBSTITUTES.items()
    for problem in LAYERS
    if not one.applies(problem)
]


def counted(one: Substitute, problem: ConvProblem) -> analysis.Analysis:
    module = analysis.build_on_meta(lambda: one.build(problem))
    return analysis.analyze(module, (torch.empty(problem.input_shape, device="meta"),))


def test_every_substitute_stands_for_something() -> None:
    assert {name for name, _ in PAIRS} == set(SUBSTITUTES)


@pytest.mark.parametrize(("name", "problem"), PAIRS, ids=lambda one: getattr(one, "text", one))
def test_shape_is_the_layers_and_counts_are_the_static_analysers(
    name: str, problem: ConvProblem
) -> None:
    one = SUBSTITUTES[name]

    found = counted(one, problem)

    assert tuple(found.ops[-1].output) == problem.output_shape
    assert (found.params, found.macs) == (one.params(problem), one.macs(problem))


# 64 maps to 128 with 3x3 on 28x28: kernel, C, K, pixels.
KK, C, K, PIXELS = 9, 64, 128, 28 * 28
PLAIN = ConvProblem(1, C, 28, 28, K, 3, 3, padding=(1, 1))


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("dense_5x5", 25 * C * K),
        ("dense_7x7", 49 * C * K),
        ("pointwise", C * K),
        ("depthwise", KK * K),
        ("depthwise_separable", KK * C + C * K),
        ("grouped_4", KK * C * K // 4),
        ("grouped_32", KK * C * K // 32),
        ("grouped_shuffle", KK * C * K // 4),
        ("dilated", KK * C * K),
        ("bottleneck", C * 32 + KK * 32**2 + 32 * K),
        ("reduce", C * 42 + KK * 42 * K),
        ("asymmetric", 3 * C * K + 3 * K**2),
        ("inverted_residual", 6 * C * (C + KK + K)),
        ("ghost", KK * C * 64 + 9 * 64),
    ],
)
def test_weights_and_macs_are_those_of_the_papers_formulas(name: str, weights: int) -> None:
    one = SUBSTITUTES[name]
    biases = sum(stage.k for stage in one.stages(PLAIN))

    assert one.params(PLAIN) - biases == weights
    assert one.macs(PLAIN) == weights * PIXELS


def test_stacked_kernels_have_the_field_of_the_large_one() -> None:
    large = ConvProblem(1, 32, 28, 28, 48, 7, 7, padding=(3, 3))
    one = SUBSTITUTES["stacked_3x3"]

    assert one.macs(large) == (9 * 32 * 48 + 2 * 9 * 48**2) * 28 * 28
    assert counted(one, large).ops[-1].field.size == (7.0, 7.0)


def test_octave_does_seven_sixteenths_of_the_work() -> None:
    assert SUBSTITUTES["octave"].macs(PLAIN) == PLAIN.macs * 7 // 16


def test_the_lectures_reduction_to_sixteen_maps() -> None:
    direct = ConvProblem(1, 480, 14, 14, 48, 5, 5, padding=(2, 2))
    one = SUBSTITUTES["reduce"]

    assert (direct.macs, one.macs(direct)) == (112_896_000, 5_268_480)
    assert (direct.params - 48, one.params(direct) - 16 - 48) == (576_000, 26_880)


def test_a_fully_connected_layer_is_a_convolution_as_large_as_its_input() -> None:
    problem = ConvProblem(2, 6, 5, 4, 7, 5, 4)
    conv = torch.nn.Conv2d(6, 7, (5, 4)).double()
    module = SUBSTITUTES["fully_connected"].build(problem).double()
    x = torch.randn(problem.input_shape, dtype=torch.float64)
    with torch.no_grad():
        module.linear.weight.copy_(conv.weight.flatten(1))
        module.linear.bias.copy_(conv.bias)

    assert torch.allclose(module(x), conv(x), rtol=1e-12)
    assert SUBSTITUTES["fully_connected"].same_function


def test_a_fully_connected_layer_per_pixel_is_a_1x1_convolution() -> None:
    conv, linear = torch.nn.Conv2d(6, 7, 1).double(), torch.nn.Linear(6, 7).double()
    x = torch.randn(2, 6, 5, 4, dtype=torch.float64)
    with torch.no_grad():
        linear.weight.copy_(conv.weight.flatten(1))
        linear.bias.copy_(conv.bias)

    assert torch.allclose(linear(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), conv(x), rtol=1e-12)


def test_pooling_before_or_after_a_1x1_convolution_is_the_same_head() -> None:
    head = SUBSTITUTES["global_average_pooling"].build(ConvProblem(2, 6, 5, 5, 7, 5, 5)).double()
    x = torch.randn(2, 6, 5, 5, dtype=torch.float64)

    after = head[1](x).mean((2, 3), keepdim=True)

    assert torch.allclose(head(x), after, rtol=1e-12)


def test_only_equal_functions_say_so() -> None:
    assert [name for name, one in SUBSTITUTES.items() if one.same_function] == ["fully_connected"]


@pytest.mark.parametrize(
    ("name", "problem", "reason"),
    [
        ("pointwise", ConvProblem(1, 4, 8, 8, 4, 1, 1), "1x1 kernel already"),
        ("pointwise", ConvProblem(1, 4, 8, 8, 4, 3, 3), "3x3 kernel with padding 0"),
        ("depthwise", ConvProblem(1, 6, 8, 8, 9, 3, 3), "6 input channels"),
        ("depthwise", ConvProblem(1, 6, 8, 8, 6, 3, 3, groups=6), "group per channel already"),
        ("grouped_4", ConvProblem(1, 6, 8, 8, 8, 3, 3), "input channels that 4 divides, not 6"),
        ("stacked_3x3", ConvProblem(1, 4, 8, 8, 4, 3, 3, padding=(1, 1)), "from 5x5, not 3x3"),
        ("octave", ConvProblem(1, 4, 7, 8, 4, 3, 3, padding=(1, 1)), "rows, not 7"),
        ("fully_connected", ConvProblem(1, 4, 8, 8, 4, 3, 3), "not 3x3 on 8x8"),
        ("dense_3x3", ConvProblem(1, 4, 8, 8, 4, 3, 3), "the layer itself"),
    ],
)
def test_what_cannot_stand_for_a_layer_says_why(name: str, problem, reason: str) -> None:
    said = SUBSTITUTES[name].applies(problem)

    assert said.startswith(name)
    assert reason in said


@given(
    st.tuples(st.integers(1, 2), *[st.integers(1, 12)] * 4),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.tuples(*[st.integers(1, 3)] * 4, *[st.integers(0, 3)] * 2),
    st.sampled_from([1, 2, 4]),
)
def test_any_layer_has_a_substitute_of_its_shape_or_a_reason(shape, kernel, geometry, groups):
    n, c, h, w, k = shape
    a, b, d, e, p, q = geometry
    try:
        problem = ConvProblem(
            n, c * groups, h, w, k * groups, *kernel, stride=(a, b), padding=(p, q),
            dilation=(d, e), groups=groups,
        )  # fmt: skip
    except UsageError:
        return
    for one in SUBSTITUTES.values():
        if one.applies(problem):
            continue
        with torch.device("meta"):
            output = one.build(problem)(torch.empty(problem.input_shape))
        assert tuple(output.shape) == problem.output_shape, one.name
        assert one.macs(problem) > 0


def _no_passes(_: ConvProblem) -> int:
    """Nothing follows the convolution of a plain layer."""
    return 0


def test_a_substitute_moves_the_bytes_of_all_its_layers() -> None:
    one, plain = SUBSTITUTES["grouped_shuffle"], SUBSTITUTES["grouped_4"]

    shuffled, grouped = one.algorithm(PLAIN, _no_passes), plain.algorithm(PLAIN, _no_passes)

    assert shuffled.moved_bytes - grouped.moved_bytes == 2 * 4 * prod(PLAIN.output_shape)
    assert grouped.executed_macs == PLAIN.macs // 4
    assert (shuffled.name, shuffled.workspace_bytes) == ("~grouped_shuffle", None)


def test_an_unknown_substitute_comes_with_the_closest() -> None:
    with pytest.raises(UnknownName, match="unknown substitute 'gost'; did you mean ghost"):
        substitute("gost")


def test_a_name_is_taken_once() -> None:
    with pytest.raises(ValueError, match="'ghost' is registered twice"):
        tabled([SUBSTITUTES["ghost"], Substitute(**{**vars(SUBSTITUTES["ghost"]), "passes": 2})])
