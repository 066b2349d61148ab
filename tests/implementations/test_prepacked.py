"""oneDNN with reordered weights, where a torch that is supported dies of it."""

from __future__ import annotations

import pytest
import torch

from cnnbench.conv.problem import ConvProblem
from cnnbench.implementations.registry import implementation
from tests.implementations.loops import computed, data, error

# Each killed its process with torch 2.11; every output column lies on padding alone.
DEADLY = ("n2c4h8w1-k12-4x1-s3x2-p1-d2-g2-channels_last", "n1c8h2w1-k4-1x1-s2x3-p0x2-d3x2")
# One step outside: rows instead of columns, and a column that is read.
HARMLESS = ("n2c4h1w8-k12-1x4-s2x3-p1-d2-g2-channels_last", "n1c8h2w2-k4-1x1-s2x1-p0x2-d3x2")

FIXED = torch.__version__ >= "2.15"


@pytest.mark.parametrize("text", [*DEADLY, *HARMLESS])
def test_a_layer_that_would_kill_is_refused_and_every_other_is_right(text: str) -> None:
    how, problem = implementation("prepacked"), ConvProblem.parse(text)
    refused = how.applies(problem, "cpu")

    assert bool(refused) is (text in DEADLY and not FIXED), refused
    if not refused:
        tensors = data(problem, 0)
        assert error(computed(how, tensors, problem), tensors, problem) <= how.tolerance(problem)
