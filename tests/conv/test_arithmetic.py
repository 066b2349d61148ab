"""The calculators against slides, papers, and torch itself."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnbench.conv import arithmetic
from cnnbench.errors import UsageError


def test_lenet_keeps_its_size():
    assert arithmetic.conv_output(28, 5, padding=2) == 28
    assert arithmetic.pool_output(28, 2) == 14


def test_alexnet_stem():
    assert arithmetic.conv_output(224, 11, stride=4, padding=2) == 55
    assert arithmetic.pool_output(55, 3, stride=2) == 27


def test_inception_bottleneck_of_the_lecture():
    comparison = arithmetic.bottleneck(480, (14, 14), 48, 5, 16, bias=False)

    assert comparison.left[0].macs == 14 * 14 * 48 * 5 * 5 * 480 == 112_896_000
    assert comparison.macs[1] == 14 * 14 * 16 * 480 + 14 * 14 * 48 * 25 * 16 == 5_268_480
    assert comparison.macs_ratio == pytest.approx(21.43, abs=0.01)
    assert comparison.left[0].output == comparison.right[-1].output == (48, 14, 14)


def test_three_3x3_against_7x7():
    comparison = arithmetic.stacked_small_kernels(64, (56, 56), bias=False)

    assert comparison.params == (49 * 64 * 64, 27 * 64 * 64)
    assert comparison.params_ratio == pytest.approx(49 / 27)
    assert len(comparison.right) == 3


def test_separable():
    comparison = arithmetic.separable(32, (112, 112), 64, 3, bias=False)

    assert 1 / comparison.macs_ratio == pytest.approx(1 / 64 + 1 / 9)


def test_fc_against_1x1():
    comparison = arithmetic.fc_as_conv(512, (1, 1), 10)

    assert comparison.params == (5130, 5130)
    assert arithmetic.fc_as_conv(512, (7, 7), 10).params == (250_890, 5130)


def test_vgg_head_against_global_pooling():
    comparison = arithmetic.fc_head_against_global_pooling(512, (7, 7), 1000, (4096, 4096))

    assert comparison.params == (123_642_856, 513_000)
    assert comparison.right[-1].output == (1000,)


def test_nin_first_layer_of_the_lecture():
    layer = arithmetic.conv(3, (32, 32), 192, 5, padding=2)

    assert layer.params == 14_592
    assert layer.mult_adds == 32 * 32 * 14_592
    assert layer.flops == 2 * layer.macs


def test_pool_has_no_cost():
    layer = arithmetic.pool(64, (112, 112), 3, stride=2, padding=1)

    assert (layer.output, layer.params, layer.mult_adds) == ((64, 56, 56), 0, 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: arithmetic.conv_output(4, 5), "does not fit"),
        (lambda: arithmetic.conv_output(0, 1), "size must be at least 1"),
        (lambda: arithmetic.conv_output(4, 1, padding=-1), "padding must be at least 0"),
        (lambda: arithmetic.pool_output(4, 2, padding=2), "more than half"),
        (lambda: arithmetic.conv(6, (4, 4), 8, 3, groups=4), "groups"),
        (lambda: arithmetic.same_padding(4), "no symmetric padding"),
        (lambda: arithmetic.stacked_small_kernels(8, (8, 8), kernel=6), "do not stack"),
        (lambda: arithmetic.linear(0, 1), "features"),
    ],
)
def test_impossible_layers_say_what_is_wrong(call, message):
    with pytest.raises(UsageError, match=message):
        call()


def test_no_torch():
    code = "import sys; sys.modules['torch'] = None; import cnnbench.conv.arithmetic"

    subprocess.run([sys.executable, "-c", code], check=True)


def test_ratio_without_a_denominator():
    free = arithmetic.pool(1, (2, 2), 2)
    comparison = arithmetic.ShapeComparison("", (arithmetic.linear(2, 2),), (free,))

    assert comparison.macs_ratio == comparison.params_ratio == float("inf")


GEOMETRY = {
    "size": st.integers(1, 20),
    "kernel": st.integers(1, 5),
    "stride": st.integers(1, 4),
    "padding": st.integers(0, 3),
    "dilation": st.integers(1, 3),
}


def result(call):
    """A number, or None where there is none."""
    try:
        return call()
    except (UsageError, RuntimeError):
        return None


@pytest.mark.torch
@settings(max_examples=150, deadline=None)
@given(**GEOMETRY)
def test_sizes_are_torchs(size, kernel, stride, padding, dilation):
    import torch

    window = {"stride": stride, "padding": padding, "dilation": dilation}
    source = torch.empty(1, 1, size, device="meta")

    expected = result(
        lambda: torch.nn.Conv1d(1, 1, kernel, **window, device="meta")(source).shape[-1]
    )
    assert result(lambda: arithmetic.conv_output(size, kernel, **window)) == (expected or None)


@pytest.mark.torch
@settings(max_examples=150, deadline=None)
@given(**GEOMETRY, ceil=st.booleans())
def test_pool_sizes_are_torchs(size, kernel, stride, padding, dilation, ceil):
    import torch

    window = {"stride": stride, "padding": padding, "dilation": dilation}
    source = torch.empty(1, 1, size, size, device="meta")
    pool = torch.nn.MaxPool2d(kernel, **window, ceil_mode=ceil)

    ours = result(lambda: arithmetic.pool_output(size, kernel, **window, ceil=ceil))
    if ours is not None:
        assert pool(source).shape[-1] == ours
