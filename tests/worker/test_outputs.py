"""What of an output is compared, and how."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.worker import outputs

ONE, TWO = torch.ones(2, 3), torch.zeros(2)


@dataclass
class Data:
    first: torch.Tensor
    rest: list[torch.Tensor]


class Named(NamedTuple):
    first: torch.Tensor
    second: torch.Tensor


class Thing:
    def __init__(self) -> None:
        self.first = ONE
        self._hidden = TWO
        self.itself = self


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (ONE, 1), ([ONE, TWO], 2), ({"a": ONE, "b": {"c": TWO}}, 2), (Named(ONE, TWO), 2),
        (Data(ONE, [TWO, TWO]), 2), (Thing(), 1), ("text", 0), (None, 0), (3, 1), ([3, 0.5], 2),
        ((ONE, 3), 1), (np.ones(3), 1), ([ONE, np.ones(3)], 2), (np.array(["text"]), 0),
    ],
)  # fmt: skip
def test_every_holder_of_tensors_is_opened(value: object, count: int) -> None:
    found = outputs.tensors(value)

    # One that is reached twice is one output; equal ones are not the same.
    assert len(found) == count + isinstance(value, Data)


@pytest.mark.parametrize(
    ("tensor", "kind"),
    [
        (lambda: torch.ones(2, dtype=torch.bfloat16), torch.float64),
        (lambda: torch.ones(2, dtype=torch.complex64), torch.float64),
        (lambda: torch.ones(2, dtype=torch.int64), torch.int64),
        (lambda: torch.ones(2, dtype=torch.bool), torch.bool),
        (lambda: torch.quantize_per_tensor(torch.ones(2), 0.5, 0, torch.quint8), torch.float64),
        (lambda: torch.ones(2, 2).to_sparse(), torch.float64),
    ],
)
@pytest.mark.filterwarnings("ignore:torch.quantize:UserWarning")
def test_what_is_compared_is_dense_and_wide_or_exact(tensor, kind) -> None:
    found = outputs.comparable(tensor())

    assert found.dtype == kind
    assert found.layout == torch.strided


def test_rows_of_pictures_are_joined_and_what_has_none_is_stacked() -> None:
    answers = [[torch.full((2, 3), float(i)), torch.tensor(float(i))] for i in range(4)]

    rows, scalars = outputs.joined(answers, 2)

    assert rows.shape == (8, 3)
    assert rows[:, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert scalars.tolist() == [0, 1, 2, 3]


def test_outputs_whose_size_the_picture_decides_lie_one_after_the_other() -> None:
    (found,) = outputs.joined([[torch.zeros(2, 4)], [torch.ones(1, 4)]], 1)

    assert found.tolist() == [0.0] * 8 + [1.0] * 4


@given(
    st.lists(st.floats(-100, 100), min_size=4, max_size=4),
    st.floats(-1e3, 1e3),
    st.floats(0.01, 10),
)
def test_the_centred_distance_does_not_see_what_is_common(
    values: list[float], common: float, factor: float
) -> None:
    one = torch.tensor(values, dtype=torch.float64).reshape(2, 2)
    other = one * (1 + factor)
    found = outputs.centred_distance(other, one)
    shifted = outputs.centred_distance(other + common, one + 3 * common)

    if float(outputs.centred(one).abs().max()) < 1e-3:
        return
    assert found == pytest.approx(factor, rel=1e-6)
    assert shifted == pytest.approx(factor, rel=1e-6)


@pytest.mark.parametrize(
    ("got", "reference", "distance"),
    [
        (torch.tensor([1, 2, 3, 4]), torch.tensor([1, 2, 0, 0]), 0.5),
        (torch.tensor([True, False]), torch.tensor([True, False]), 0.0),
        (torch.tensor([1.0]), torch.tensor([1]), math.inf),
        (torch.zeros(2), torch.zeros(3), math.inf),
        (torch.tensor([float("nan")]), torch.tensor([1.0]), math.inf),
        (torch.tensor([3.0]), torch.tensor([0.0]), 3.0),
    ],
)
def test_distances_of_exact_types_are_shares_and_of_others_relative(
    got, reference, distance: float
) -> None:
    assert outputs.distance(got, reference) == distance


def test_the_share_that_depends_on_the_picture() -> None:
    constant = torch.ones(4, 2, dtype=torch.float64)
    half = torch.tensor([[1.0], [-1.0]], dtype=torch.float64) + 1

    assert outputs.picture_share([constant]) == 0
    assert outputs.picture_share([half]) == pytest.approx(math.sqrt(0.5))
    assert outputs.picture_share([torch.tensor([1, 2])]) is None


INF = math.inf


@pytest.mark.parametrize(
    ("got", "distance", "centred"),
    [([1.0, -INF], 0.0, 0.0), ([2.0, -INF], 1.0, None), ([1.0, INF], INF, INF),
     ([-INF, 1.0], INF, INF), ([1.0, 0.0], INF, INF)],
)  # fmt: skip
def test_an_infinity_is_right_where_the_reference_has_the_same(
    got: list[float], distance: float, centred: float | None
) -> None:
    """Scores that are masked on purpose."""
    usual = torch.tensor([[1.0, -INF], [3.0, -INF]])
    mine = torch.tensor([got, [3.0, -INF]])

    assert outputs.distance(mine, usual) == pytest.approx(distance / math.sqrt(10), abs=1e-12)
    if centred is not None:
        assert outputs.centred_distance(mine, usual) == centred
    assert 0 < outputs.picture_share([usual]) < 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1.0, INF], False), ([INF, -INF], True), ([1.0, math.nan], True), ([], False)],
)
def test_an_output_without_a_finite_value_or_with_no_number_says_nothing(values, expected) -> None:
    assert outputs.is_senseless(torch.tensor(values)) is expected
    assert not outputs.is_senseless(torch.tensor([1, 2]))
    assert outputs.alike(torch.tensor(values), torch.tensor(values))


class Slots:
    __slots__ = ("first", "second")

    def __init__(self) -> None:
        self.first = ONE


def test_outputs_have_names() -> None:
    value = {"out": [ONE, TWO], 5: Data(ONE, [TWO]), "slots": Slots()}

    names = [name for name, _ in outputs.named(value)]

    assert names == ["out.0", "out.1", "5.first", "5.rest.0", "slots.first"]


@pytest.mark.filterwarnings("ignore:.*in beta state:UserWarning")
@pytest.mark.filterwarnings("ignore:.*prototype:UserWarning")
def test_tensors_without_a_plain_layout_are_compared_too() -> None:
    layouts = (torch.strided, torch.jagged)
    with torch.inference_mode():
        rows = torch.eye(3).to_sparse_csr()
        nested = [torch.nested.nested_tensor([ONE, ONE[:1]], layout=one) for one in layouts]

    assert torch.equal(outputs.comparable(rows), torch.eye(3, dtype=torch.float64))
    assert [tuple(one.shape) for one in outputs.tensors(nested)] == [(2, 3), (1, 3)] * 2


@pytest.mark.parametrize("kind", [torch.int64, torch.float64, torch.float32])
def test_what_is_compared_does_not_change_with_the_next_answer(kind: torch.dtype) -> None:
    memory = torch.zeros(2, dtype=kind)
    found = outputs.comparable(memory)

    memory.fill_(1)

    assert not found.any()
