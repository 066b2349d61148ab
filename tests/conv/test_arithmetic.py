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


def test_nin_first_layer_of_the_lecture():
    layer = arithmetic.conv(3, (32, 32), 192, 5, padding=2)

    assert layer.params == 14_592
    assert layer.mult_adds == 32 * 32 * 14_592
    assert layer.flops == 2 * layer.macs


def test_a_name_says_how_a_convolution_is_grouped():
    def name(channels, groups):
        return arithmetic.conv(channels, (8, 8), 64, 3, groups=groups).name

    assert name(64, 1) == "conv 3x3, 64 to 64"
    assert name(64, 4) == "conv 3x3, 64 to 64, 4 groups"
    assert name(64, 64) == "depthwise 3x3, 64 to 64"
    assert name(1, 1) == "conv 3x3, 1 to 64"
    turned = arithmetic.transposed(64, (8, 8), 64, 3, groups=4)
    assert turned.name == "transposed 3x3, 64 to 64, 4 groups"


def test_pool_has_no_cost():
    layer = arithmetic.pool(64, (112, 112), 3, stride=2, padding=1)

    assert (layer.output, layer.params, layer.mult_adds) == ((64, 56, 56), 0, 0)
    assert arithmetic.pool(64, (112, 112), 3, stride=2).output == (64, 55, 55)
    assert arithmetic.pool(64, (112, 112), 3, stride=2, ceil=True).output == (64, 56, 56)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: arithmetic.conv_output(4, 5), "does not fit"),
        (lambda: arithmetic.conv_output(0, 1), "size must be at least 1"),
        (lambda: arithmetic.conv_output(4, 1, padding=-1), "padding must be at least 0"),
        (lambda: arithmetic.pool_output(4, 2, padding=2), "more than half"),
        (lambda: arithmetic.conv(6, (4, 4), 8, 3, groups=4), "groups"),
        (lambda: arithmetic.same_padding(4), "no symmetric padding"),
        (lambda: arithmetic.transposed_output(1, 1, padding=1), "leaves nothing"),
        (lambda: arithmetic.transposed_output(4, 3, output_padding=1), "must be smaller"),
        (lambda: arithmetic.transposed(6, (4, 4), 8, 3, groups=4), "groups"),
        (lambda: arithmetic.linear(0, 1), "features"),
    ],
)
def test_impossible_layers_say_what_is_wrong(call, message):
    with pytest.raises(UsageError, match=message):
        call()


def test_no_torch():
    code = "import sys; sys.modules['torch'] = None; import cnnbench.conv.arithmetic"

    subprocess.run([sys.executable, "-c", code], check=True)


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


@pytest.mark.torch
@settings(max_examples=100, deadline=None)
@given(**GEOMETRY, output_padding=st.integers(0, 2), groups=st.integers(1, 2))
def test_transposed_convolutions_are_torchs(
    size, kernel, stride, padding, dilation, output_padding, groups
):
    import torch

    given = {"stride": stride, "padding": padding, "dilation": dilation,
             "output_padding": output_padding, "groups": groups}  # fmt: skip
    source = torch.empty(1, 4, size, size)
    layer = torch.nn.ConvTranspose2d(4, 6, kernel, **given)

    expected = result(lambda: tuple(layer(source).shape[1:]))
    ours = result(lambda: arithmetic.transposed(4, (size, size), 6, kernel, **given))
    assert (ours and ours.output) == (expected if expected and min(expected) > 0 else None)
    if ours is not None:
        assert ours.params == sum(one.numel() for one in layer.parameters())
