"""A convolution as a value: its text forms read back, its counts are counted, nonsense is named."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.conv import arithmetic
from cnnbench.conv.problem import UNITS, ConvProblem, is_conv, of_workload
from cnnbench.errors import UsageError
from cnnbench.spec import Device, Mode, Spec, Workload
from tests.layers import conv_problems, transposed_problems

RESNET = ConvProblem(8, 64, 56, 56, 64, 3, 3, padding=(1, 1))


@given(conv_problems(units=tuple(UNITS)))
def test_a_text_reads_back(problem: ConvProblem) -> None:
    assert ConvProblem.parse(problem.text) == problem
    assert problem.text.split() == [problem.text]


@given(conv_problems(units=tuple(UNITS)))
def test_a_workload_and_mode_are_the_problem_again(problem: ConvProblem) -> None:
    spec = Spec(problem.workload(), problem.mode, Device(), 1)

    assert of_workload(spec.workload, spec.mode) == problem
    assert is_conv(spec.workload.architecture)


@given(transposed_problems())
def test_a_transposed_layer_reads_back_and_is_what_a_spec_says(problem: ConvProblem) -> None:
    spec = Spec.parse(Spec(problem.workload(), problem.mode, Device(), 1).id)

    assert ConvProblem.parse(problem.text) == problem
    assert of_workload(spec.workload, spec.mode) == problem


@given(transposed_problems(most=3))
def test_a_transposed_layer_counts_what_scattering_counts(problem: ConvProblem) -> None:
    per_group = problem.k // problem.groups
    sizes = (problem.n, problem.c, problem.h, problem.w, per_group, problem.r, problem.s)
    macs, read = 0, set()
    for _, _, h, w, _, r, s in itertools.product(*map(range, sizes)):
        macs += 1
        row = h * problem.stride[0] - problem.padding[0] + r * problem.dilation[0]
        column = w * problem.stride[1] - problem.padding[1] + s * problem.dilation[1]
        if 0 <= row < problem.p and 0 <= column < problem.q:
            read.add((h, w))

    assert problem.macs == macs
    assert problem.rows_read * problem.columns_read == len(read)
    shape = arithmetic.transposed_output
    assert problem.p == shape(
        problem.h, problem.r, stride=problem.stride[0], padding=problem.padding[0],
        output_padding=problem.output_padding[0], dilation=problem.dilation[0],
    )  # fmt: skip


@given(conv_problems(dtypes=("fp32", "bf16", "fp16"), units=tuple(UNITS)))
def test_a_spec_id_carries_the_problem(problem: ConvProblem) -> None:
    spec = Spec.parse(Spec(problem.workload(), problem.mode, Device(), 1).id)

    assert of_workload(spec.workload, spec.mode) == problem


@given(st.text(max_size=40))
def test_any_text_is_a_problem_or_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        ConvProblem.parse(text)


@given(conv_problems(most=4))
def test_counts_are_what_seven_loops_count(problem: ConvProblem) -> None:
    per_group = problem.c // problem.groups
    sizes = (problem.n, problem.k, problem.p, problem.q, per_group, problem.r, problem.s)
    read: set[tuple[int, int]] = set()
    macs = 0
    for _, _, p, q, _, r, s in itertools.product(*map(range, sizes)):
        macs += 1
        row = p * problem.stride[0] - problem.padding[0] + r * problem.dilation[0]
        column = q * problem.stride[1] - problem.padding[1] + s * problem.dilation[1]
        # The last tap of the last output lies inside the padded input.
        assert row < problem.h + problem.padding[0]
        assert column < problem.w + problem.padding[1]
        if 0 <= row < problem.h and 0 <= column < problem.w:
            read.add((row, column))
    elements = problem.n * problem.c * len(read) + problem.params
    elements += problem.n * problem.k * problem.p * problem.q

    assert problem.macs == macs
    assert problem.compulsory_bytes == problem.itemsize * elements


def test_a_layer_of_resnet() -> None:
    assert RESNET.text == "n8c64h56w56-k64-3x3-p1"
    assert RESNET.architecture == "conv:k64-3x3-p1"
    assert RESNET.output_shape == (8, 64, 56, 56)
    assert RESNET.macs == 8 * 115_605_504
    assert RESNET.params == 36_928
    assert RESNET.compulsory_bytes == 4 * (2 * 8 * 64 * 56 * 56 + 36_928)


def test_a_unit_has_the_arithmetic_of_its_convolution() -> None:
    unit = ConvProblem.parse("n8c64h56w56-k64-3x3-p1-bn-relu")

    assert unit.architecture == "conv:k64-3x3-p1-bn-relu"
    assert (unit.macs, unit.compulsory_bytes) == (RESNET.macs, RESNET.compulsory_bytes)
    # No bias, but a scale and a shift for every channel.
    assert unit.params == RESNET.params + 64


def test_unlike_values_are_written_as_pairs() -> None:
    problem = ConvProblem(
        1, 8, 9, 9, 8, 1, 7, (2, 1), (0, 3), (1, 1), 2, "bf16", "channels_last"
    )  # fmt: skip

    assert problem.text == "n1c8h9w9-k8-1x7-s2x1-p0x3-g2-bf16-channels_last"


def test_a_stride_larger_than_the_kernel_reads_a_part_of_the_input() -> None:
    problem = ConvProblem(1, 16, 8, 8, 4, 1, 1, (2, 2))

    assert problem.compulsory_bytes == 4 * (16 * 16 + 16 * 4 + 4 + 4 * 16)


def test_a_substitute_is_of_the_layer_that_it_stands_in_for() -> None:
    workload = Workload("conv:k64-3x3-p1~ghost", 8, (64, 56, 56))

    assert of_workload(workload) == RESNET


@pytest.mark.parametrize(
    ("precision", "dtype"), [("tf32", "fp32"), ("amp=bf16", "fp32"), ("fp16", "fp16")]
)
def test_the_dtype_is_that_of_the_tensors(precision: str, dtype: str) -> None:
    assert of_workload(RESNET.workload(), Mode(precision=precision)).dtype == dtype


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("n1c3h5w5-k8-7x7-p0", ["7x7 kernel", "5x5"]),
        ("n1c3h5w5-k8-3x3-d3", ["dilation 3", "7x7", "5x5"]),
        ("n1c3h5w9-k8-3x3-p0x2-d3x1", ["dilation 3x1", "7x3", "5x13", "padding 0x2"]),
        ("n1c6h5w5-k8-3x3-g4", ["4 groups", "6 input channels"]),
        ("n1c8h5w5-k6-3x3-g4", ["4 groups", "6 output channels"]),
        ("n0c8h5w5-k6-3x3", ["batch 0"]),
        ("n1c8h5w5-k6-3x3-s2-t2", ["output padding 2", "stride 2"]),
        ("n1c8h1w1-k6-3x3-p2-t", ["padding 2", "leaves nothing"]),
        ("n1c8h5w5-k6-3x3-s0x1", ["vertical stride 0"]),
        ("n1c8h5w5-k6-3x0", ["kernel width 0"]),
        ("n1c8h5w5-k6-3x3-g0", ["groups 0"]),
        ("resnet50", ["'resnet50'", "n1c64h56w56-k64-3x3-s2-p1-bf16"]),
    ],
)
def test_what_cannot_exist_is_named_with_its_numbers(text: str, words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        ConvProblem.parse(text)

    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        ({"dtype": "int8"}, "int8"),
        ({"memory_format": "nchw16c"}, "nchw16c"),
        ({"padding": (-1, 0)}, "-1x0"),
        ({"output_padding": (1, 0)}, "only a transposed one"),
        ({"post_ops": ("relu", "bn")}, "relu.bn is none of conv, conv.relu"),
    ],
)
def test_an_unknown_dtype_or_format_is_named(facts: dict[str, object], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        ConvProblem(1, 1, 5, 5, 1, 3, 3, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("architecture", "shape", "word"),
    [
        ("resnet50", (3, 224, 224), "'resnet50'"),
        ("conv:3x3", (3, 224, 224), "'conv:3x3'"),
        ("conv:k8-3x3", (64,), "CxHxW"),
    ],
)
def test_a_workload_that_is_no_layer_is_refused(
    architecture: str, shape: tuple[int, ...], word: str
) -> None:
    with pytest.raises(UsageError, match=word):
        of_workload(Workload(architecture, 1, shape))


@given(conv_problems())
def test_bytes_are_those_of_the_shapes(problem: ConvProblem) -> None:
    shapes = (problem.input_shape, problem.weight_shape)

    assert [problem.itemsize * math.prod(shape) for shape in shapes] == [
        problem.input_bytes,
        problem.weight_bytes,
    ]
