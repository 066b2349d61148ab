"""Matrices of a convolution against what torch unfolds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnbench.conv.arithmetic import conv
from cnnbench.conv.product import as_product
from cnnbench.errors import UsageError


@pytest.mark.parametrize(
    ("stride", "expansion"), [(1, 9), (2, 9 / 4)], ids=["every place", "every second place"]
)
def test_3x3_patches_hold_the_input_nine_times_at_every_place(stride, expansion):
    found = as_product(64, (56, 56), 64, 3, padding=1, stride=stride)

    assert found.expansion == expansion
    assert found.patches.bytes == 4 * expansion * 64 * 56 * 56


def test_1x1_patches_are_the_input():
    assert as_product(64, (56, 56), 256, 1).expansion == 1


@pytest.mark.torch
@settings(max_examples=50, deadline=None)
@given(
    size=st.integers(1, 9),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    groups=st.integers(1, 3),
)
def test_matrices_are_those_that_unfold_makes(size, kernel, stride, padding, dilation, groups):
    import torch
    from torch.nn import functional

    window = {"stride": stride, "padding": padding, "dilation": dilation}
    given = (3 * groups, (size, size), 2 * groups, kernel)
    try:
        found = as_product(*given, **window, groups=groups)
    except UsageError:
        return
    layer = conv(*given, **window, groups=groups, bias=False)
    source = torch.empty(1, 3, size, size, device="meta")

    patches = functional.unfold(source, kernel, **window)
    assert (found.patches.rows, found.patches.columns) == tuple(patches.shape[1:])
    assert groups * found.weights.elements == layer.params
    assert found.macs == layer.macs
    assert found.output.elements * groups == 2 * groups * found.patches.columns
