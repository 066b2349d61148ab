"""The cross-check explains every difference to torch's counter and to fvcore."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision import models

from cnnbench.analysis import analyze
from cnnbench.analysis.crosscheck import against_fvcore, against_torch


def reasons(check):
    assert check.explained
    return {difference.operators: difference.reason for difference in check.differences}


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "vit_b_32", "swin_t"])
def test_torch_agrees(name):
    module = models.get_model(name, weights=None)
    inputs = (torch.zeros(1, 3, 224, 224),)

    check = against_torch(module, inputs, analyze(module, inputs))

    assert check.ours == check.theirs
    assert reasons(check) == {}


def test_fvcore_counts_norms_and_pooling():
    module = models.resnet18(weights=None)
    inputs = (torch.zeros(1, 3, 64, 64),)

    check = against_fvcore(module, inputs, analyze(module, inputs))

    assert check.theirs > check.ours
    assert set(reasons(check)) == {"norm", "pooling"}


def test_fvcore_misses_fused_attention():
    module = models.vit_b_32(weights=None)
    inputs = (torch.zeros(1, 3, 224, 224),)

    check = against_fvcore(module, inputs, analyze(module, inputs))

    assert "fused attention" in reasons(check)["matrix products and attention"]


def test_fvcore_misses_padding_by_name():
    module = nn.Conv2d(3, 4, 3, padding="same")
    inputs = (torch.zeros(1, 3, 8, 8),)

    check = against_fvcore(module, inputs, analyze(module, inputs))

    assert check.theirs == 0
    assert "'same'" in reasons(check)["convolution"]


def test_torch_misses_bilinear():
    module = nn.Bilinear(4, 5, 6)
    inputs = (torch.zeros(2, 4), torch.zeros(2, 5))

    check = against_torch(module, inputs, analyze(module, inputs))

    assert list(reasons(check)) == ["bilinear"]
