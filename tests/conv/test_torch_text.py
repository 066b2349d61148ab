"""Convolutions in torch's own words: read as torch means them, everything else refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.conv import torch_text
from cnnbench.conv.dialects import read
from cnnbench.conv.problem import ConvProblem
from cnnbench.errors import UsageError
from tests.layers import conv_problems


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Conv2d(64, 64, 3, padding=1) on 56x56", "n1c64h56w56-k64-3x3-p1"),
        ("Conv2d(64, 64, 3, padding=1)", "n1c64h56w56-k64-3x3-p1"),
        ("nn.Conv2d(64, 128, (3, 5), 2, (1, 2)) @ 28x30", "n1c64h28w30-k128-3x5-s2-p1x2"),
        ("torch.nn.Conv2d(8, 8, 3, 1, 1, 1, 8) on 8x14x14", "n1c8h14w14-k8-3x3-p1-g8"),
        ("(conv1): Conv2d(3, 64, kernel_size=(7, 7), stride=(2, 2), padding=(3, 3), bias=False)"
         " on 4x3x224x224", "n4c3h224w224-k64-7x7-s2-p3"),
        ("Conv2d(16, 16, kernel_size=(3, 3), stride=(1, 1), padding=same, dilation=(2, 2))",
         "n1c16h56w56-k16-3x3-p2-d2"),
        ("Conv2d(16, 16, 5, padding='valid') on 9x9", "n1c16h9w9-k16-5x5"),
        ("Conv2d(4, 8, kernel_size=[1, 1], dtype=torch.float32)", "n1c4h56w56-k8-1x1"),
        ("ConvTranspose2d(64, 32, kernel_size=(4, 4), stride=(2, 2), padding=(1, 1)) on 28x28",
         "n1c64h28w28-k32-4x4-s2-p1-t"),
        ("ConvTranspose2d(64, 64, 3, 2, 1, 1, 2, False, 1) on 28x28",
         "n1c64h28w28-k64-3x3-s2-p1-t1-g2"),
        ("Conv2d(4, 8, 1, dtype=torch.bfloat16)", "n1c4h56w56-k8-1x1-bf16"),
        ("Conv2d(4, 8, 1, dtype=torch.half, device='cuda') on 9x9", "n1c4h9w9-k8-1x1-fp16"),
    ],
)  # fmt: skip
def test_torchs_own_words_are_a_layer(text: str, problem: str) -> None:
    assert read(text) == ConvProblem.parse(problem)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Conv1d(64, 64, 3)", "not Conv1d"),
        ("ConvTranspose1d(64, 64, kernel_size=(2,), stride=(2,))", "not ConvTranspose1d"),
        ("ConvTranspose2d(64, 64, 2, 2, padding='same')", "padding must be one or two"),
        ("ConvTranspose2d(64, 64, 2, 2, 0, 2)", "output padding 2"),
        ("ConvTranspose2d(64, 64, 2, pading=1)", "ConvTranspose2d has no argument 'pading'"),
        ("LazyConv2d(64, 64, 3)", "not LazyConv2d"),
        ("Conv2d(64, 64)", "kernel_size is missing"),
        ("Conv2d(64, 64, 3, padding_mode='reflect')", "only padding with zeros"),
        ("Conv2d(64, 64, 3, padding_mode=circular)", "only padding with zeros"),
        ("Conv2d(64, 64, 3, stride=2, padding='same')", "stride 1 only"),
        ("Conv2d(64, 64, 2, padding='same')", "differs on two sides"),
        ("Conv2d(64, 64, 3, kernel_size=3)", "twice"),
        ("Conv2d(64, 64, 3, pading=1)", "no argument 'pading'"),
        ("Conv2d(64, 64, 3, **more)", "no argument"),
        ("Conv2d(c, 64, 3)", "in_channels must be a whole number, not 'c'"),
        ("Conv2d(64, 64, 3.5)", "one or two whole numbers"),
        ("Conv2d(64, 64, True)", "one or two whole numbers"),
        ("Conv2d(64, 64, (3, 3, 3))", "one or two whole numbers"),
        ("Conv2d(64, f(), 3)", "is no number"),
        ("Conv2d(64, 64, 3, dtype=torch.float64)", "dtype float64 is not measured"),
        ("Conv2d(64, 64, 3, dtype=(1, 2))", "is not measured"),
        ("Conv2d(64, 64, 3) on 56", "no size"),
        ("Conv2d(64, 64, 3) on 32x56x56", "32 channels"),
        ("Conv2d(64, 64, 3", "not a convolution of torch"),
        ("Conv2d(64, 64, 3, groups=5)", "5 groups"),
        ("Conv2d(1, 1, 3) on 2x2", "covers 3x3"),
    ],
)
def test_what_is_no_such_layer_is_refused_in_one_line(text: str, word: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(text)
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@given(conv_problems(dtypes=("fp32",)))
def test_what_torch_prints_reads_back(problem: ConvProblem) -> None:
    text = (
        f"Conv2d({problem.c}, {problem.k}, kernel_size={problem.r, problem.s},"
        f" stride={problem.stride}, padding={problem.padding}, dilation={problem.dilation},"
        f" groups={problem.groups}, bias=False)"
    )
    where = "x".join(map(str, problem.input_shape))

    found = read(f"{text} on {where}")

    assert found.input_shape == problem.input_shape
    assert (found.weight_shape, found.output_shape) == (problem.weight_shape, problem.output_shape)
    assert (found.stride, found.padding, found.dilation) == (
        problem.stride, problem.padding, problem.dilation,
    )  # fmt: skip
    assert torch_text.assumes(text)
    assert not torch_text.assumes(f"{text} on {where}")


@given(st.text("(),=Conv2d 13xon@'[]*.", max_size=40))
def test_any_words_are_a_layer_or_a_usage_error(text: str) -> None:
    try:
        problem = torch_text.read(f"Conv2d({text}")
    except UsageError:
        return
    assert problem.macs > 0
