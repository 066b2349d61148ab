"""The comparison of the lab with a plain loop: what it loops over, and when it says they differ."""

from __future__ import annotations

import pytest

from bench import conv_timing
from bench.conv_timing import Agreement
from cnnbench.conv.problem import ConvProblem
from cnnbench.spec import Device, Mode, Spec


def spec(text: str, mode: str) -> Spec:
    return Spec(ConvProblem.parse(text).workload(), Mode.parse(mode, "cpu"), Device(), 1)


@pytest.mark.torch
@pytest.mark.parametrize("mode", ["eager", "channels_last", "impl=im2col"])
def test_the_plain_loop_calls_the_layer_that_is_named(mode: str) -> None:
    import torch

    with torch.inference_mode():
        y = conv_timing.call_of(spec("n2c4h9w7-k6-3x3-s2-p1-g2", mode))()

    assert y.shape == (2, 6, 5, 4)
    last = mode == "channels_last"
    assert y.is_contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
    assert conv_timing.alone(spec("n1c4h9w7-k6-3x3", mode), 0.01, fresh=False) > 0


@pytest.mark.parametrize(
    ("pairs", "agrees"),
    [
        # A tenth more in every round of a machine that hardly changes.
        ([(1.10, 1.00), (1.11, 1.01), (1.10, 1.00), (1.09, 0.99)], False),
        # The same tenth where the loop itself wanders by a fifth.
        ([(1.10, 1.00), (1.32, 1.20), (0.88, 0.80), (1.10, 1.00)], True),
        # Now more, now less.
        ([(1.02, 1.00), (0.98, 1.00), (1.01, 1.00), (0.99, 1.00)], True),
    ],
)
def test_a_difference_counts_if_it_is_seen_and_beyond_the_noise(pairs, agrees: bool) -> None:
    found = Agreement(tuple(pairs))

    assert found.agrees is agrees
    assert ("DIFFERS" in conv_timing.row("x", found)) is not agrees
