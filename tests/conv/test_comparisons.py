"""Classic comparisons against slides, papers, and torch itself."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnbench.conv import arithmetic, comparisons
from cnnbench.errors import UsageError


def test_inception_bottleneck_of_the_lecture():
    comparison = comparisons.bottleneck(480, (14, 14), 48, 5, 16, bias=False)

    assert comparison.left[0].macs == 14 * 14 * 48 * 5 * 5 * 480 == 112_896_000
    assert comparison.macs[1] == 14 * 14 * 16 * 480 + 14 * 14 * 48 * 25 * 16 == 5_268_480
    assert comparison.macs_ratio == pytest.approx(21.43, abs=0.01)
    assert comparison.left[0].output == comparison.right[-1].output == (48, 14, 14)


def test_three_3x3_against_7x7():
    comparison = comparisons.stacked_small_kernels(64, (56, 56), bias=False)

    assert comparison.params == (49 * 64 * 64, 27 * 64 * 64)
    assert comparison.params_ratio == pytest.approx(49 / 27)
    assert len(comparison.right) == 3


def test_separable():
    comparison = comparisons.separable(32, (112, 112), 64, 3, bias=False)

    assert 1 / comparison.macs_ratio == pytest.approx(1 / 64 + 1 / 9)
    # A depthwise layer is not taken for the dense one of the same sizes.
    assert [one.name for one in comparison.right] == [
        "depthwise 3x3, 32 to 32",
        "conv 1x1, 32 to 64",
    ]


def test_fc_against_1x1():
    comparison = comparisons.fc_as_conv(512, (1, 1), 10)

    assert comparison.params == (5130, 5130)
    assert comparisons.fc_as_conv(512, (7, 7), 10).params == (250_890, 5130)


def test_vgg_head_against_global_pooling():
    comparison = comparisons.fc_head_against_global_pooling(512, (7, 7), 1000, (4096, 4096))

    assert comparison.params == (123_642_856, 513_000)
    assert comparison.right[-1].output == (1000,)


def test_ratio_without_a_denominator():
    free = arithmetic.pool(1, (2, 2), 2)
    comparison = comparisons.ShapeComparison("", (arithmetic.linear(2, 2),), (free,))

    assert comparison.macs_ratio == comparison.params_ratio == float("inf")


def test_kernels_that_do_not_stack():
    with pytest.raises(UsageError, match="do not stack"):
        comparisons.stacked_small_kernels(8, (8, 8), kernel=6)


@pytest.mark.parametrize(
    ("channels", "maps", "millions", "given"),
    [
        (192, (64, 96, 128, 16, 32, 32), 128, (416, 256)),
        (256, (128, 128, 192, 32, 96, 64), 304, (672, 480)),
    ],
    ids=["3a", "3b"],
)
def test_inception_blocks_have_the_operations_of_the_papers_table(channels, maps, millions, given):
    widths = comparisons.InceptionWidths(*maps)

    found = comparisons.inception(channels, (28, 28), widths, bias=False)

    assert found.macs[1] // 10**6 == millions
    assert (found.left[-1].output[0], found.right[-1].output[0]) == given
    assert found.params[0] == channels * (widths.one + 9 * widths.three + 25 * widths.five)


@pytest.mark.torch
@settings(max_examples=50, deadline=None)
@given(
    size=st.integers(1, 5),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.integers(0, 3),
    dilation=st.integers(1, 2),
    output_padding=st.integers(0, 1),
)
def test_a_map_with_zeros_gives_what_the_transposed_convolution_gives(
    size, kernel, stride, padding, dilation, output_padding
):
    import torch
    from torch.nn import functional

    window = {"stride": stride, "padding": padding, "dilation": dilation,
              "output_padding": output_padding}  # fmt: skip
    try:
        found = comparisons.zero_insertion(2, (size, size), 3, kernel, **window, bias=False)
    except UsageError:
        return
    source = torch.rand(1, 2, size, size, dtype=torch.float64)
    weights = torch.rand(2, 3, kernel, kernel, dtype=torch.float64)

    spread = torch.zeros(1, 2, *[(size - 1) * stride + 1] * 2, dtype=torch.float64)
    spread[..., ::stride, ::stride] = source
    before = dilation * (kernel - 1) - padding
    # A negative padding cuts off.
    spread = functional.pad(spread, (before, before + output_padding) * 2)
    flipped = weights.flip(2, 3).transpose(0, 1)

    zeros, plain = found.right
    assert zeros.output == tuple(spread.shape[1:])
    result = functional.conv2d(spread, flipped, dilation=dilation)
    torch.testing.assert_close(
        result, functional.conv_transpose2d(source, weights, **window), rtol=1e-12, atol=1e-12
    )
    assert found.left[0].output == plain.output == tuple(result.shape[1:])
    assert found.left[0].params == plain.params
    assert found.macs[0] == 2 * 3 * (size * kernel) ** 2
