"""Copies of modules are what ``copy.deepcopy`` makes of them."""

from __future__ import annotations

import copy
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torchvision import models

from cnnbench.analysis import analyze, build_on_meta
from cnnbench.analysis.copies import modules_of, tensors_of, twin_of

pytestmark = pytest.mark.torch


class Odd(nn.Module):
    """Attributes of every kind, some of them shared."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        self.cache, self.names = {}, ["a", ("b", 1)]
        self.same = self.cache
        self.inner[0].cache = self.cache
        self.out_of_sight = [self.inner[1], nn.Linear(2, 2)]
        self.table = OrderedDict(first=self.inner[0], size=torch.Size([1, 2]))
        self.register_buffer("count", torch.zeros(1), persistent=False)

    def forward(self, x):
        return self.inner(x)


def shape_of(value):
    """An object's structure without its identity."""
    if isinstance(value, nn.Module):
        return type(value), {name: shape_of(item) for name, item in vars(value).items()}
    if isinstance(value, dict):
        return type(value), [(key, shape_of(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value), [shape_of(item) for item in value]
    if isinstance(value, torch.Tensor):
        return type(value), value.shape, value.requires_grad
    return value


def test_a_copy_has_what_a_deep_copy_has_and_shares_nothing():
    original = Odd()

    twin = twin_of(original, {})

    assert shape_of(twin) == shape_of(copy.deepcopy(original))
    assert twin.same is twin.cache is twin.inner[0].cache
    assert twin.out_of_sight[0] is twin.inner[1]
    assert twin.table["first"] is twin.inner[0]
    apart = {id(one) for one in (*modules_of(original), *tensors_of(original))}
    assert apart.isdisjoint(map(id, (*modules_of(twin), *tensors_of(twin))))
    assert twin.cache is not original.cache
    assert twin.names is not original.names


def test_what_was_compiled_is_left_behind_as_by_a_deep_copy():
    original = nn.Linear(2, 2)
    original._compiled_call_impl = lambda *_: None

    assert twin_of(original, {})._compiled_call_impl is None


class WithAWay(nn.Linear):
    """Copied in a way of its own."""

    def __deepcopy__(self, memo):
        return memo.setdefault(id(self), nn.Identity())


class WithState(nn.Linear):
    def __getstate__(self):
        return {**vars(self), "came": "by state"}


def test_modules_that_say_how_they_are_copied_are_asked():
    network = nn.Sequential(WithAWay(1, 1), WithState(1, 1))

    twin = twin_of(network, {})

    assert type(twin[0]) is nn.Identity
    assert twin[1].came == "by state"


def test_every_module_once_and_parents_first():
    shared = nn.Linear(1, 1)
    network = nn.Sequential(nn.Sequential(shared), shared, nn.ReLU())

    assert modules_of(network) == list(network.modules())
    assert [id(one) for one in tensors_of(network)] == [id(shared.weight), id(shared.bias)]


CASES = (("resnet18", "inference"), ("swin_t", "training"),
         ("ssdlite320_mobilenet_v3_large", "inference"))  # fmt: skip


@pytest.mark.parametrize(("name", "phase"), CASES)
def test_a_module_of_ones_own_counts_as_its_twin_would(name, phase):
    detects = name.startswith("ssd")
    more = {"weights_backbone": None} if detects else {}
    image = torch.empty(3, 64, 64, device="meta")
    given = ([image],) if detects else (image.expand(2, 3, 64, 64),)

    counts = [
        analyze(
            build_on_meta(lambda: models.get_model(name, weights=None, **more)), given,
            phase=phase, own=own,
        ).to_json()
        for own in (False, True)
    ]  # fmt: skip

    assert counts[0] == counts[1]


def test_hooks_of_ones_own_module_are_said_to_be_left_out():
    module, called = nn.Sequential(nn.Linear(4, 4)), []
    module[0].register_forward_hook(lambda *_: called.append(1))

    analysis = analyze(module.to("meta"), (torch.zeros(1, 4),), own=True)

    assert called == []
    assert any("1 hook of" in sentence for sentence in analysis.assumptions)


@pytest.mark.parametrize("real", [False, True], ids=["meta", "real"])
def test_generators_of_random_numbers_are_copied(real):
    class Noisy(nn.Linear):
        def forward(self, x):
            return super().forward(x) + torch.rand(4, generator=self.source[0]).to(x.device)

    network = Noisy(4, 4)
    generator = torch.Generator().manual_seed(1)
    network.generator, network.source = generator, [generator]
    before = generator.get_state()

    assert analyze(network, (torch.zeros(2, 4),), real=real).macs == 32
    assert torch.equal(generator.get_state(), before)
    twin = twin_of(network, {})
    assert twin.source[0] is twin.generator


@pytest.mark.parametrize("real", [False, True], ids=["meta", "real"])
def test_tensors_of_inference_mode_can_be_trained_in_a_copy(real):
    with torch.inference_mode():
        network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
        given = torch.zeros(2, 4)

    assert analyze(network, (given,), phase="training", real=real).backward.macs == 32
