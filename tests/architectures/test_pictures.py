"""Structured pictures: seeded, different, of unit scale, coarse more than fine."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from cnnbench.architectures.pictures import photographs, pictures


def seeded(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


@pytest.mark.parametrize("sample", [(3, 32, 32), (1, 28, 28), (3, 4, 16, 16), (2, 50), (7,)])
def test_any_shape_is_seeded_finite_and_of_unit_scale(sample: tuple[int, ...]) -> None:
    one, other = pictures(64, sample, seeded()), pictures(64, sample, seeded())

    assert one.shape == (64, *sample)
    assert torch.equal(one, other)
    assert torch.isfinite(one).all()
    assert abs(float(one.mean())) < 0.4
    assert 0.6 < float(one.std()) < 1.8


def test_every_picture_is_another_with_its_own_mean_and_contrast() -> None:
    made = pictures(16, (3, 32, 32), seeded())

    assert float(made.mean((1, 2, 3)).std()) > 0.1
    assert float(made.std((1, 2, 3)).std()) > 0.05
    assert not torch.equal(made, pictures(16, (3, 32, 32), seeded(1)))


def test_neighbouring_pixels_are_alike_as_in_photographs_and_not_as_in_noise() -> None:
    def alike(made: torch.Tensor) -> float:
        near, all_of_it = (made[..., 1:] - made[..., :-1]).var(), made.var()
        return float(near / all_of_it)

    assert alike(pictures(8, (3, 64, 64), seeded())) < 0.6
    assert alike(torch.randn(8, 3, 64, 64, generator=seeded())) > 1.8


def test_the_mean_over_a_picture_still_tells_pictures_apart() -> None:
    pooled = functional.adaptive_avg_pool2d(pictures(16, (3, 224, 224), seeded()), 1)
    noise = functional.adaptive_avg_pool2d(torch.randn(16, 3, 224, 224, generator=seeded()), 1)

    assert float(pooled.std(0).mean()) > 20 * float(noise.std(0).mean())


def test_photographs_have_values_from_0_to_1() -> None:
    made = photographs(8, (3, 32, 32), seeded())

    assert float(made.min()) >= 0
    assert float(made.max()) <= 1
    assert 0.1 < float(made.std()) < 0.5
