"""Receptive fields of random networks against the extent of their gradients.

``CNNBENCH_NETWORKS=500`` tries that many instead of sixty. They are drawn from seeds of their own:
what hypothesis draws changes with any constant in the program.
"""

from __future__ import annotations

import os
import random

import pytest

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
