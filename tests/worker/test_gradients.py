"""Norms of gradients: against formulas, in order, repeatable."""

from __future__ import annotations

import math
from typing import Any

import pytest

from cnnbench import requests
from cnnbench.errors import Unsupported, UsageError
from cnnbench.gradients import Gradients
from cnnbench.worker.gradients import gradients

HERE = "tests.worker.known_gradients"


class Talk:
    """Keeps the answer."""

    def enter(self, phase: str) -> None:
        self.phase = phase

    def answer(self, value: Gradients) -> None:
        self.answered = value


def taken(name: str, batch: int = 4, seed: int = 0, **more: Any) -> Gradients:
    talk: Any = Talk()
    gradients(requests.TakeGradients(name=name, batch=batch, seed=seed, **more), talk)
    found: Gradients = talk.answered
    return found


def known(name: str, inputs: str, **arguments: Any) -> Gradients:
    settings = {"input_factory": f"{HERE}:{inputs}", "loss": f"{HERE}:total"}
    return taken(f"{HERE}:{name}", settings=settings, arguments=arguments)


def test_the_gradient_of_a_factor_is_the_product_of_all_others_from_first_to_last() -> None:
    factors = [2.0, 0.5, -4.0, 3.0]

    found = known("chain", "ones", factors=factors).layers

    # The last module is reached first.
    assert [one.layer for one in found] == [f"steps.{place}" for place in (3, 2, 1, 0)]
    assert [one.weight_norm for one in found] == [abs(factor) for factor in factors]
    expected = [4 * abs(math.prod(factors) / factor) for factor in factors]
    assert [one.norm for one in found] == pytest.approx(expected, rel=1e-12)


def test_a_norm_is_that_of_all_weights_and_both_uses_of_them_count() -> None:
    (one,) = known("Shared", "three_and_four").layers

    assert (one.layer, one.type, one.elements) == ("holder", "Linear", 2)
    assert one.norm == pytest.approx(2 * 4 * 5.0, rel=1e-12)


def test_a_network_without_such_weights_says_so() -> None:
    with pytest.raises(Unsupported, match=r"no layer of .*frozen' with weights has a gradient"):
        known("frozen", "three_and_four")


def test_a_gradient_that_overflows_is_named_instead_of_shown() -> None:
    with pytest.raises(Unsupported, match=r"gradient of layer 'steps\.9' is not finite"):
        known("chain", "ones", factors=[1e38] * 10)


def test_the_same_seed_gives_the_same_and_another_gives_others() -> None:
    one, same, other = (taken("mnist_cnn", seed=seed) for seed in (0, 0, 1))

    assert one == same
    assert [layer.norm for layer in one.layers] != [layer.norm for layer in other.layers]
    assert (one.loss, one.input) == ("cross entropy", (1, 28, 28))
    assert [layer.type for layer in one.layers] == ["Conv2d", "Conv2d", "Linear", "Linear"]


def test_batch_norm_at_batch_1_is_told_what_helps() -> None:
    with pytest.raises(UsageError, match="use --batch 2"):
        taken("mnist_cnn", batch=1)
