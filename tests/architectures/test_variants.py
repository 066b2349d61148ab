"""Auxiliary heads, other classes and channels in finished networks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cnnbench import architectures
from cnnbench.architectures import variants
from cnnbench.architectures.meta import on_meta
from cnnbench.errors import Unsupported

CATALOGUE = architectures.catalogue()


def built(name: str, **arguments) -> nn.Module:
    return on_meta(architectures.build, CATALOGUE[name], **arguments)


@pytest.mark.parametrize(
    ("name", "heads"),
    [
        ("resnet18", ["fc"]),
        ("vgg16", ["classifier.6"]),
        ("squeezenet1_1", ["classifier.1"]),
        ("densenet121", ["classifier"]),
        ("vit_b_16", ["heads.head"]),
        ("convnext_tiny", ["classifier.2"]),
        ("lenet", ["11"]),
        ("bit_resnet152x4", ["56"]),
        ("inception_v3", ["fc", "AuxLogits.fc"]),
        ("googlenet", ["fc", "aux1.fc2", "aux2.fc2"]),
        ("googlenet_cifar", ["to_end.7", "after_4a.5", "after_4d.5"]),
    ],
)
def test_the_head_is_found(name, heads):
    assert variants.heads(built(name)) == heads


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "googlenet", "vit_b_16"])
def test_classes_of_a_finished_network_are_replaced(name):
    module = variants.with_classes(built(name), 7).eval()

    assert module(torch.empty(1, 3, 224, 224, device="meta")).shape == (1, 7)


def test_the_new_head_keeps_device_and_type():
    module = variants.with_classes(nn.Sequential(nn.Linear(4, 3, bias=False)).double(), 2)

    assert (module[0].weight.dtype, module[0].bias) == (torch.float64, None)


def test_the_first_convolution_keeps_its_form():
    first = nn.Conv2d(3, 8, 5, 2, 1, dilation=2, bias=False, padding_mode="reflect")
    (new,) = variants.with_in_channels(nn.Sequential(first), 6)

    assert (new.in_channels, new.out_channels, new.kernel_size) == (6, 8, (5, 5))
    assert (new.stride, new.padding, new.dilation) == ((2, 2), (1, 1), (2, 2))
    assert (new.bias, new.padding_mode) == (None, "reflect")


@pytest.mark.parametrize(
    ("change", "module", "message"),
    [
        (variants.with_classes, nn.Sequential(nn.ReLU()), "no last layer"),
        (variants.with_in_channels, nn.Sequential(nn.Linear(2, 2)), "no first convolution"),
        (variants.with_in_channels, nn.Sequential(nn.Conv2d(4, 4, 1, groups=2)), "groups"),
    ],
)
def test_what_cannot_be_replaced_says_so(change, module, message):
    with pytest.raises(Unsupported, match=message):
        change(module, 5)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3", "googlenet_cifar", "googlenet_2014"])
def test_auxiliary_heads_run_in_training_and_not_in_inference(name):
    module = built(name)
    images = torch.empty(2, *CATALOGUE[name].input, device="meta")

    training, inference = module.train()(images), module.eval()(images)

    assert len(training) == (2 if name == "inception_v3" else 3)
    assert isinstance(inference, torch.Tensor)


@pytest.mark.parametrize(
    ("name", "difference"),
    [
        ("googlenet", 13_004_888 - 6_624_904),
        ("inception_v3", 27_161_264 - 23_834_568),
        ("googlenet_cifar", 601_226 + 603_274),
    ],
)
def test_auxiliary_heads_can_be_removed(name, difference):
    module = built(name)
    images = torch.empty(2, *CATALOGUE[name].input, device="meta")
    before = sum(parameter.numel() for parameter in module.parameters())

    variants.without_auxiliary(module)

    assert before - sum(parameter.numel() for parameter in module.parameters()) == difference
    assert isinstance(module.train()(images), torch.Tensor)


def test_segmentation_without_its_auxiliary_head():
    module = variants.without_auxiliary(built("fcn_resnet50")).eval()

    assert list(module(torch.empty(1, 3, 64, 64, device="meta"))) == ["out"]


def test_materialising_keeps_the_mode():
    module = nn.Sequential(nn.LazyLinear(2), nn.Dropout()).train()

    variants.materialise(module, (torch.zeros(1, 5),))

    assert not variants.is_lazy(module)
    assert module.training
