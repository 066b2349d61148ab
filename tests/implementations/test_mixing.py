"""What a substitute says that it mixes is what its outputs depend on."""

from __future__ import annotations

import pytest
import torch

from cnnbench.conv import catalogue
from cnnbench.conv.problem import ConvProblem
from cnnbench.implementations.substitutes import SUBSTITUTES

# A layer that each applies to; heads have a kernel as large as their input.
_USUAL = ConvProblem(1, 64, 12, 12, 64, 3, 3, padding=(1, 1))
_LAYERS = {
    "dense_3x3": ConvProblem(1, 8, 12, 12, 8, 5, 5, padding=(2, 2)),
    "stacked_3x3": ConvProblem(1, 8, 12, 12, 8, 5, 5, padding=(2, 2)),
    "fully_connected": ConvProblem(1, 8, 6, 6, 8, 6, 6),
    "global_average_pooling": ConvProblem(1, 8, 6, 6, 8, 6, 6),
}


@pytest.mark.parametrize("name", SUBSTITUTES)
def test_an_output_depends_on_what_its_substitute_mixes(name: str) -> None:
    problem = _LAYERS.get(name, _USUAL)
    torch.manual_seed(0)
    module = SUBSTITUTES[name].build(problem).double().train()
    x = torch.rand(problem.input_shape, dtype=torch.float64, requires_grad=True)
    # Among its units a ReLU may be at zero, so several outputs of a channel are asked at once.
    place = (problem.p // 2, problem.q // 2)
    seen = torch.zeros(problem.input_shape[1:], dtype=torch.bool)
    for channel in range(problem.k):
        (found,) = torch.autograd.grad(module(x)[0, channel][place], x)
        if channel == 0:
            first = found[0] != 0
        seen |= found[0] != 0

    channels = int(first.flatten(1).any(1).sum())
    neighbors = int(seen.any(0).sum()) > 1

    mixing = catalogue.substitute(name).mixing
    assert ("group" in mixing) == (channels > 1)
    assert ("neighbors" in mixing) == neighbors
    if "channels" in mixing:
        assert channels > problem.c // 4
    else:
        assert channels <= problem.c // 4
