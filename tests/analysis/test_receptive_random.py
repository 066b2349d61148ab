"""Receptive fields of random networks against the extent of their gradients.

``CNNBENCH_NETWORKS=500`` tries that many instead of sixty. They are drawn from seeds of their own:
what hypothesis draws changes with any constant in the program.
"""

from __future__ import annotations

import os
import random
from dataclasses import replace
from types import SimpleNamespace

import pytest
from torch import nn

from cnnbench.analysis import analyze
from tests.analysis import field_truth
from tests.analysis.field_truth import judge
from tests.analysis.random_networks import SIZES, network

pytestmark = [
    pytest.mark.torch,
    # Even kernels, of which torch warns once per process.
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths"),
]


@pytest.mark.parametrize("seed", range(int(os.environ.get("CNNBENCH_NETWORKS", "60"))))
def test_fields_are_the_extents_of_gradients(seed):
    drawn, axes = network(random.Random(seed))
    verdict = judge(drawn, (1, 4, *[SIZES[axes]] * axes))

    assert verdict.kind != "wrong", verdict.reason


BORDERS = (
    # The widest pair of neighbouring windows would be the last one with the one after it.
    nn.Sequential(nn.AdaptiveAvgPool1d(9), nn.Conv1d(4, 2, 2, padding=1)),
    # The first element is nothing but what wraps around.
    nn.Sequential(nn.AvgPool1d(6), nn.Conv1d(4, 2, 1, 3, 2, padding_mode="circular")),
)


@pytest.mark.parametrize("drawn", BORDERS, ids=["window", "seam"])
def test_borders_do_not_make_a_field_wrong(drawn):
    assert judge(drawn, (1, 4, 28)).kind in {"right", "beyond the picture"}


@pytest.mark.parametrize("more", [-2, 1])
def test_a_field_that_is_wrong_is_called_wrong(monkeypatch, more):
    def wrong(*given):
        found = analyze(*given)
        field = found.layers[0].field
        other = replace(found.layers[0], field=replace(field, size=(field.size[0] + more,)))
        return SimpleNamespace(layers=(other,))

    monkeypatch.setattr(field_truth, "analyze", wrong)

    assert judge(BORDERS[0], (1, 4, 28)).kind == "wrong"
