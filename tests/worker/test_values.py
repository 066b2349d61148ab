from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnbench.gate import values as gate_values
from cnnbench.record import Record
from cnnbench.spec import Spec, arguments_of
from cnnbench.worker import draws, values
from tests.worker.valued_networks import FAULTS, SAME


def record(factory: str, phase: str = "inference", threads: int = 1, **arguments: Any) -> Record:
    name = f"tests.worker.valued_networks:{factory}/{phase}-b1-3x16x16/eager/cpu-t{threads}"
    plain = Spec.parse(name)
    workload = replace(plain.workload, arguments=arguments_of(arguments.items()))
    spec = replace(plain, workload=workload)
    return Record(spec.id, "", "", values=values.taken(spec, 0))


@pytest.fixture(scope="module")
def usual() -> Record:
    return record("net")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_a_change(usual: Record, fault: str) -> None:
    assert gate_values.changed(usual, record("net", fault=fault))


@pytest.mark.parametrize("phase", ["inference", "training"])
@pytest.mark.parametrize("way", SAME)
def test_another_way_to_write_it_is_none(phase: str, way: str) -> None:
    assert gate_values.changed(record("net", phase), record("net", phase, fault=way)) == []


@pytest.mark.parametrize("fault", ["epsilon", "sign", "residual", "permuted"])
def test_a_fault_changes_a_training_step(fault: str) -> None:
    assert gate_values.changed(record("net", "training"), record("net", "training", fault=fault))


def test_threads_and_torchs_own_seed_change_nothing(usual: Record) -> None:
    torch.manual_seed(17)

    assert gate_values.changed(usual, record("net", threads=2)) == []


@pytest.mark.parametrize(
    "kind",
    ["argmax", "bool", "complex", "dict", "empty", "half", "found", "many", "infinite", "zero",
     "float32 only", "one sample"],
)  # fmt: skip
def test_every_kind_of_output_is_kept(kind: str) -> None:
    assert gate_values.changed(record("odd", kind=kind), record("odd", kind=kind)) == []


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("chaotic", "calls that differ in roundings differ by"),
        ("stateful", "calls that differ in roundings differ by"),
        ("noise", "the pass draws random numbers"),
        ("refuses", "not on this machine"),
    ],
)
def test_what_cannot_be_kept_says_why(kind: str, why: str) -> None:
    one, other = record("odd", kind=kind), record("odd", kind=kind)

    assert gate_values.changed(one, other) is None
    assert why in gate_values.unjudged(one, other)


def test_a_layer_has_an_output_check_of_its_own() -> None:
    layer = Spec.parse("conv:k4-3x3-p1/inference-b1-4x8x8/eager/cpu-t1")

    assert "only the outputs of networks" in values.taken(layer, 0).reason


# --- Sketches.


@given(st.integers(1, 5000), st.integers(0, 99), st.floats(1e-6, 1))
@settings(max_examples=40, deadline=None)
def test_the_distance_of_sketches_is_that_of_the_outputs(n: int, seed: int, share: float) -> None:
    one = torch.from_numpy(draws.normal(seed, n))
    other = one + share * torch.from_numpy(draws.normal(seed + 1000, n))
    true = float((other - one).norm() / one.norm())

    found = gate_values.distance(values.sketch("", one), values.sketch("", other))

    # 32 sums: a standard deviation of an eighth; six of them, and the nine digits.
    assert found == pytest.approx(true, rel=0.75, abs=1e-8)


@given(st.integers(2, 3000), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_a_permutation_is_far_away(n: int, seed: int) -> None:
    one = torch.from_numpy(draws.normal(seed, n))

    assert gate_values.distance(values.sketch("", one), values.sketch("", one.roll(1))) > 0.1


@given(st.sampled_from([torch.int64, torch.bool, torch.uint8]), st.integers(1, 50))
@settings(deadline=None)
def test_exact_types_have_a_digest(kind: torch.dtype, n: int) -> None:
    numbers = torch.ones(n, dtype=kind)
    other = numbers.clone()
    other[-1] = 0

    assert values.sketch("", numbers).digest != values.sketch("", other).digest


def test_infinities_and_nan_are_counted_apart() -> None:
    found = values.sketch("", torch.tensor([3.0, math.inf, 4.0, math.nan]).double())

    assert (found.norm, found.nonfinite, found.sums) == (5.0, 2, (3.0, 0.0, 4.0, 0.0))


# --- Numbers of our own.


def test_numbers_are_those_of_splitmix64() -> None:
    # Of Vigna's splitmix64.c with the state 1234567.
    assert draws.words(1234567, 0, 3).tolist() == [
        6457827717110365317, 3203168211198807973, 9817491932198370423,
    ]  # fmt: skip


def test_draws_have_the_distribution_that_is_asked_for() -> None:
    with draws.OwnDraws(0):
        normal, uniform = torch.empty(40_000).normal_(2, 3), torch.empty(40_000).uniform_(-1, 3)
        whole = torch.randint(5, 9, (40_000,))
        coins = torch.full((40_000,), 0.25).bernoulli()
        order = torch.randperm(100)
        like = torch.rand_like(torch.empty(200, 200, dtype=torch.float64))
        truncated = torch.nn.init.trunc_normal_(torch.empty(40_000), std=0.5, a=-1, b=1)

    for found, mean, deviation in (
        (normal, 2, 3), (uniform, 1, 4 / math.sqrt(12)), (whole.double(), 6.5, math.sqrt(1.25)),
        (coins, 0.25, math.sqrt(3) / 4), (like, 0.5, 1 / math.sqrt(12)), (truncated, 0, 0.44),
    ):  # fmt: skip
        assert float(found.mean()) == pytest.approx(mean, abs=0.04)
        assert float(found.std()) == pytest.approx(deviation, rel=0.02)
    assert sorted(order.tolist()) == list(range(100))
    assert (int(whole.min()), int(whole.max())) == (5, 8)


def test_a_draw_depends_on_its_shape_and_place_alone() -> None:
    with draws.OwnDraws(0):
        first, second = torch.randn(3, 4), torch.randn(3, 4)
    with draws.OwnDraws(0):
        torch.randn(7)
        again = torch.randn(3, 4)
    with draws.OwnDraws(1):
        other = torch.randn(3, 4)

    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert not torch.equal(first, other)


def test_what_has_strides_is_filled_too() -> None:
    with draws.OwnDraws(0):
        found = torch.zeros(50, 40).t().normal_()

    assert float(found.std()) == pytest.approx(1, abs=0.1)
    assert np.unique(found.numpy()).size == 2000
