"""Equal weights, equal outputs: networks written here against torchvision's and timm's.

Weights are mapped layer by layer in the order in which a forward pass runs them.
"""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from cnnbench import architectures
from cnnbench.architectures.bit import bit_resnet
from cnnbench.architectures.efficientnet import efficientnet
from cnnbench.architectures.meta import on_meta
from cnnbench.architectures.resnet import resnet

CATALOGUE = architectures.catalogue()
_LAYERS = (nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.GroupNorm)


def layers(module: nn.Module, images: torch.Tensor) -> list[nn.Module]:
    """Layers with weights in order of execution."""
    found: list[nn.Module] = []
    hooks = [
        layer.register_forward_hook(lambda layer, *_: found.append(layer))
        for layer in module.modules()
        if isinstance(layer, _LAYERS)
    ]
    module(images)
    for hook in hooks:
        hook.remove()
    return found


def randomise(module: nn.Module) -> nn.Module:
    """Give every tensor values that show a wrong mapping; default biases and statistics do not."""
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.ndim == 0:
            tensor.zero_()
        elif tensor.ndim > 1:
            tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5)
        elif name.endswith(("bias", "running_mean")):
            tensor.normal_(0, 0.05)
        else:
            tensor.uniform_(0.9, 1.1)
    return module


def same_order(found: list[nn.Module]) -> list[nn.Module]:
    return found


def empty(build, *arguments, **keywords) -> nn.Module:
    """Build without initialisation, which for timm's truncated normals takes half a minute."""
    with torch.device("meta"):
        module = build(*arguments, **keywords)
    return module.eval().to_empty(device="cpu")


@torch.no_grad()
def check(mine: nn.Module, twin: nn.Module, size: int, order=same_order) -> None:
    torch.manual_seed(0)
    images = torch.randn(1, 3, size, size, dtype=next(mine.parameters()).dtype)
    randomise(mine)
    randomise(twin)
    for layer, other in zip(layers(mine, images), order(layers(twin, images)), strict=True):
        own = layer.state_dict()
        theirs = other.state_dict()
        layer.load_state_dict({name: theirs[name].reshape(own[name].shape) for name in own})

    got, wanted = mine(images), twin(images)

    assert wanted.std() > 1e-3
    torch.testing.assert_close(got / wanted.std(), wanted / wanted.std(), rtol=1e-5, atol=1e-5)


def test_resnet18_of_the_lecture_is_torchvisions():
    check(empty(CATALOGUE["resnet18_lecture"].build), empty(torchvision.models.resnet18), 64)


def test_alexnet_of_the_lecture_is_torchvisions():
    check(empty(CATALOGUE["alexnet_lecture"].build), empty(torchvision.models.alexnet), 224)


def test_resnext_is_torchvisions():
    mine = empty(resnet, depth=50, groups=32, group_width=4)

    check(mine, empty(torchvision.models.resnext50_32x4d), 64)


def test_efficientnet_scaled_to_b5_is_torchvisions():
    check(empty(efficientnet, width=1.6, depth=2.2), empty(torchvision.models.efficientnet_b5), 32)


@pytest.mark.parametrize(
    ("name", "twin", "size"),
    [
        ("inception_v4", "inception_v4", 75),
        ("inception_resnet_v2", "inception_resnet_v2", 75),
        ("xception", "legacy_xception", 64),
        ("mobilenet_v1_100", "mobilenetv1_100", 64),
        ("se_resnet50", "legacy_seresnet50", 64),
    ],
)
def test_networks_equal_timms(name, twin, size):
    timm = pytest.importorskip("timm")

    check(empty(CATALOGUE[name].build), empty(timm.create_model, twin), size)


def test_bit_resnet50x1_is_timms():
    timm = pytest.importorskip("timm")
    mine = empty(bit_resnet, depth=50, width=1)
    twin = empty(timm.create_model, "resnetv2_50x1_bit", num_classes=1000)

    # Weights are standardised by another formula; in float64 only a wrong network differs.
    check(mine.double(), twin.double(), 32)


def test_nasnet_large_is_timms_with_symmetric_padding():
    nasnet = pytest.importorskip("timm.models.nasnet")

    def previous_state_first(found: list[nn.Module]) -> list[nn.Module]:
        # timm's second stem cell fits the current state before the previous one.
        first = next(at for at, one in enumerate(found) if one.weight.shape == (84, 168, 1, 1))
        current, previous = found[first : first + 2], found[first + 2 : first + 5]
        return [*found[:first], *previous, *current, *found[first + 5 :]]

    check(
        empty(CATALOGUE["nasnet_large"].build),
        empty(nasnet.NASNetALarge, pad_type=""),
        33,
        previous_state_first,
    )


@pytest.mark.parametrize(
    ("name", "twin"),
    [
        ("efficientnet_l2", "tf_efficientnet_l2"),
        ("bit_resnet152x4", "resnetv2_152x4_bit"),
        ("nasnet_large", "nasnetalarge"),
    ],
)
def test_giants_have_the_parameters_of_timms(name, twin):
    timm = pytest.importorskip("timm")

    with torch.device("meta"):
        other = timm.create_model(twin, num_classes=1000)

    theirs = sorted(parameter.numel() for parameter in other.parameters())
    mine = sorted(parameter.numel() for parameter in on_meta(CATALOGUE[name].build).parameters())
    assert mine == theirs
