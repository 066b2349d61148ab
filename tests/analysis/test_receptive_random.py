"""Receptive fields of random networks against the extent of their gradients.

``CNNBENCH_NETWORKS=500`` tries that many instead of sixty.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, assume, given, settings

from tests.analysis.field_truth import judge
from tests.analysis.random_networks import SIZES, networks

pytestmark = pytest.mark.torch


@settings(
    max_examples=int(os.environ.get("CNNBENCH_NETWORKS", "60")),
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(networks())
def test_fields_are_the_extents_of_gradients(drawn):
    network, axes = drawn
    verdict = judge(network, (1, 4, *[SIZES[axes]] * axes))

    assume(verdict.kind != "does not run")
    assert verdict.kind != "wrong", verdict.reason
