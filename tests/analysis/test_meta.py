"""Networks built without weights: shapes as in a real build, and values that matter kept."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn
from torchvision import models

from cnnbench.analysis import analyze, build_on_meta


def shapes(module):
    return [(name, tensor.shape, tensor.dtype) for name, tensor in module.state_dict().items()]


@pytest.mark.parametrize(
    "name", ["resnet18", "regnet_y_400mf", "swin_t", "vit_b_32", "convnext_tiny", "mobilenet_v2"]
)
def test_same_tensors_as_a_real_build(name):
    built = build_on_meta(lambda: models.get_model(name, weights=None))

    assert shapes(built) == shapes(models.get_model(name, weights=None))
    assert all(tensor.is_meta for tensor in built.state_dict(keep_vars=True).values())


def test_initialisers_are_back_afterwards():
    before = nn.init.kaiming_normal_, nn.Linear.reset_parameters

    build_on_meta(lambda: nn.Linear(2, 2))

    assert (nn.init.kaiming_normal_, nn.Linear.reset_parameters) == before
    assert not nn.Linear(2, 2).weight.is_meta


def test_no_random_number_is_drawn():
    state = torch.get_rng_state()

    build_on_meta(lambda: models.resnet18(weights=None))

    assert torch.equal(torch.get_rng_state(), state)


def test_initialisers_imported_by_name():
    from torch.nn.init import constant_, trunc_normal_

    def build():
        layer = nn.Linear(4, 4)
        trunc_normal_(layer.weight, std=0.02)
        constant_(layer.bias, 0.0)
        return layer

    assert build_on_meta(build).weight.is_meta


def test_values_that_shape_the_network_are_real_while_it_is_built():
    def build():
        widths = torch.linspace(4, 16, 4).int().tolist()
        return nn.Sequential(*(nn.Linear(a, b) for a, b in pairwise(widths)))

    assert [layer.out_features for layer in build_on_meta(build)] == [8, 12, 16]


def test_an_explicit_device_is_respected_and_moved():
    def build():
        module = nn.Linear(2, 2)
        module.register_buffer("table", torch.zeros(3, device="cpu"))
        module.attribute = torch.arange(3)
        return module

    built = build_on_meta(build)

    assert built.table.is_meta
    assert built.attribute.is_meta


def test_tied_weights_stay_tied():
    def build():
        module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
        module[1].weight = module[0].weight
        module.register_buffer("a", torch.tensor([1.0]))
        module.register_buffer("b", module.a)
        return module

    built = build_on_meta(build)

    assert built[0].weight is built[1].weight
    assert built.a is built.b


def test_tables_of_real_values_that_meet_weights_are_built_as_torch_does():
    class Rotary(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.rand(2, 2))
            self.frequencies = nn.Parameter(torch.arange(4.0).reshape(2, 2) * 1.0)
            self.both = nn.Parameter(torch.cat([self.weight, self.frequencies]))

        def forward(self, x):
            return x @ self.both

    module = build_on_meta(Rotary)

    assert all(parameter.is_meta for parameter in module.parameters())
    assert analyze(module, (torch.empty(3, 4, device="meta"),)).macs == 3 * 4 * 2
