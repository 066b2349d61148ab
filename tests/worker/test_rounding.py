"""The simulated rounding: what it rounds, what it leaves, and that it predicts real kernels."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from cnnbench.worker import rounding
from cnnbench.worker.modes import PRECISIONS
from cnnbench.worker.rounding import INT8, Rounded, rounder, to_tf32

# The steps of int8 depend on the whole tensor, so they are no roundoff of a value.
NARROW = [name for name, one in PRECISIONS.items() if one.roundoff > 2.0**-24 and name != INT8]


@given(st.floats(-8192, 8192, width=32), st.sampled_from(NARROW))
def test_rounding_is_within_the_roundoff_of_the_precision(value: float, precision: str) -> None:
    if abs(value) < 1e-4:  # float16 has all its digits above
        return
    given = torch.tensor([value])

    found = rounder(precision)(given)

    assert found.dtype == torch.float32
    assert abs(float(found) - value) <= PRECISIONS[precision].roundoff * abs(value)
    assert torch.equal(rounder(precision)(found), found)


def test_tf32_keeps_ten_bits() -> None:
    exact = torch.tensor([1 + 2.0**-10, 1 + 2.0**-11, 1 + 2.0**-12, -1 - 2.0**-12])

    assert to_tf32(exact).tolist() == [1 + 2.0**-10, 1 + 2.0**-10, 1.0, -1.0]


def test_results_are_rounded_and_views_and_whole_numbers_are_not_touched() -> None:
    values = torch.tensor([1.001, 2.002, 3.003])
    with Rounded(rounder("bf16")):
        view = values.view(3, 1)
        total = values + 0.001
        count = torch.arange(300)

    assert torch.equal(values, torch.tensor([1.001, 2.002, 3.003]))
    assert view.data_ptr() == values.data_ptr()
    assert torch.equal(total, total.bfloat16().float())
    assert count.tolist() == list(range(300))


def test_what_is_changed_in_place_is_rounded() -> None:
    values = torch.zeros(3)
    with Rounded(rounder("bf16")):
        values.add_(1.001)

    assert values.tolist() == [1.0] * 3


def test_views_that_an_operator_does_not_declare_are_left_alone() -> None:
    rows = torch.tensor([1.001, 2.002])
    with Rounded(rounder("bf16")):
        first, _ = torch.meshgrid(rows, rows, indexing="ij")
        doubled = first * 2

    assert torch.equal(first, rows[:, None].expand(2, 2))
    assert torch.equal(doubled, doubled.bfloat16().float())


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_the_error_of_real_kernels_is_predicted(precision: str) -> None:
    torch.manual_seed(0)
    layers = [part for _ in range(6) for part in (nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())]
    module = nn.Sequential(nn.Conv2d(3, 16, 3), *layers)
    given = torch.randn(4, 3, 24, 24)
    dtype = PRECISIONS[precision].dtype
    with torch.inference_mode():
        exact = module(given)
        real = module.to(dtype)(given.to(dtype)).float()
        narrow = module.float()
        with Rounded(rounder(precision)):
            simulated = narrow(given.to(dtype).float())

    ours, theirs = (functional.mse_loss(one, exact).sqrt() for one in (simulated, real))
    assert float(ours / theirs) == pytest.approx(1, abs=0.3)


def test_int8_has_256_steps_between_the_ends_and_zero_is_one_of_them() -> None:
    values = torch.linspace(-0.3, 2.0, 5000).reshape(2, 2500)
    values[0, 7] = 0.0

    found = rounding.to_int8(values)

    assert len(found.unique()) <= 256
    assert found[0, 7] == 0
    assert float((found - values).abs().max()) <= 2.3 / 255 / 2 * 1.001


def test_int8_leaves_zeros_alone() -> None:
    nothing = torch.zeros(2, 3)

    assert torch.equal(rounding.to_int8(nothing), nothing)
    assert torch.equal(rounding.weights_to_int8(nothing), nothing)


def test_each_output_channel_of_weights_has_steps_of_its_own() -> None:
    weights = torch.tensor([[1.27, 0.012], [127.0, 1.4]])

    assert torch.allclose(
        rounding.weights_to_int8(weights), torch.tensor([[1.27, 0.01], [127.0, 1.0]]), atol=0.006
    )
