"""Building with arguments, on the meta device, and the sizes that networks take."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from cnnbench import architectures
from cnnbench.architectures import registry
from cnnbench.architectures.building import inputs
from cnnbench.architectures.meta import on_meta
from cnnbench.architectures.registry import Architecture
from cnnbench.errors import Unsupported, UsageError

CATALOGUE = architectures.catalogue()


def test_names_are_unique():
    with pytest.raises(ValueError, match="lenet"):
        registry.add(CATALOGUE["lenet"])


def test_importing_the_catalogue_builds_nothing():
    code = """
import torch, torchvision
from torch import nn
def refuse(self, *arguments, **keywords):
    raise AssertionError(f"{type(self).__name__} is built on import")
nn.Module.__init__ = refuse
from cnnbench import architectures
print(len(architectures.catalogue()))
"""
    ignored = ["-W", "ignore"]
    done = subprocess.run(
        [sys.executable, *ignored, "-c", code], capture_output=True, text=True, timeout=120
    )

    assert done.stderr == ""
    assert int(done.stdout) == len(CATALOGUE)


def test_the_table_is_a_copy():
    registry.table().clear()

    assert "lenet" in registry.table()


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_network_is_built_on_the_meta_device(name):
    module = on_meta(architectures.build, CATALOGUE[name])

    assert {tensor.device.type for tensor in (*module.parameters(), *module.buffers())} == {"meta"}


def test_torchs_own_meta_device_works_as_well():
    with torch.device("meta"):
        module = architectures.build(CATALOGUE["nasnet_mobile"])

    assert next(module.parameters()).is_meta


@pytest.mark.parametrize(
    "name", [name for name, each in CATALOGUE.items() if each.source == "cnnbench"]
)
def test_own_networks_take_other_classes_and_channels(name):
    architecture = CATALOGUE[name]
    module = on_meta(architectures.build, architecture, num_classes=7, in_channels=2).eval()
    shape = (2, *architecture.input[1:])
    out = module(*(tensor.to("meta") for tensor in inputs(architecture, shape)))

    assert (out[0] if isinstance(out, tuple) else out).shape[1] == 7


@pytest.mark.parametrize(
    "name",
    ["resnet18", "vit_b_16", "mobilenet_v3_small", "quantized_resnet18", "r3d_18", "fcn_resnet50"],
)
def test_torchvisions_networks_take_other_classes_and_channels(name):
    architecture = CATALOGUE[name]
    module = on_meta(architectures.build, architecture, num_classes=7, in_channels=1).eval()

    out = module(torch.empty(2, 1, *architecture.input[1:], device="meta"))

    assert (out["out"] if isinstance(out, dict) else out).shape[1] == 7


def test_detection_and_flow_take_other_channels():
    detector = architectures.build(
        CATALOGUE["ssdlite320_mobilenet_v3_large"], in_channels=1, num_classes=4
    ).eval()
    flow = on_meta(architectures.build, CATALOGUE["raft_small"], in_channels=1).eval()

    (found,) = detector([torch.rand(1, 64, 64)])
    pair = [torch.empty(1, 1, 128, 128, device="meta")] * 2

    assert set(found) == {"boxes", "labels", "scores"}
    assert flow(*pair)[-1].shape == (1, 2, 128, 128)


def test_an_argument_that_no_builder_takes_is_refused():
    with pytest.raises(UsageError, match="takes no argument 'wdith'"):
        architectures.build(CATALOGUE["lenet"], wdith=3)


def lazy() -> nn.Module:
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(5))


def user(build, shape=(3, 32, 32)) -> Architecture:
    return Architecture("mine:net", "user", "classification", shape, build)


def test_lazy_modules_are_materialised_before_counting():
    module = architectures.build(user(lazy))

    assert sum(parameter.numel() for parameter in module.parameters()) == (
        (3 * 9 + 1) * 4 + (4 * 30 * 30 + 1) * 5
    )


def test_lazy_modules_are_materialised_on_the_meta_device():
    module = on_meta(architectures.build, user(lazy))

    assert module[-1].in_features == 3600


def test_classes_are_replaced_where_the_factory_has_no_such_argument():
    module = architectures.build(user(lazy), num_classes=9, in_channels=1)

    assert (module[0].in_channels, module[-1].out_features) == (1, 9)


@pytest.mark.parametrize(
    ("name", "shape", "smallest"),
    [
        ("lenet", (3, 16, 16), "3x32x32"),
        ("lenet", (3, 64, 64), "3x32x32"),
        ("lenet", (3, 32, 16), "3x32x32"),
        ("unet", (1, 100, 100), "1x188x188"),
        ("vit_b_16", (3, 256, 256), "3x224x224"),
        ("inception_v3", (3, 64, 64), "3x75x75"),
        ("raft_small", (3, 64, 64), "3x128x128"),
        ("r3d_18", (3, 224, 224), "3x16x112x112"),
    ],
)
def test_a_size_that_does_not_work_names_the_smallest_that_does(name, shape, smallest):
    with pytest.raises(Unsupported, match=smallest):
        architectures.check_size(CATALOGUE[name], shape)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("lenet", (3, 32, 32)),
        ("lenet", (1, 33, 35)),
        ("resnet18", (3, 1, 1)),
        ("resnet18", (1, 64, 96)),
        ("fasterrcnn_resnet50_fpn", (3, 100, 60)),
        ("fast_rcnn_vgg16", (3, 96, 96)),
        ("mc3_18", (3, 4, 56, 56)),
    ],
)
def test_sizes_that_work(name, shape):
    architectures.check_size(CATALOGUE[name], shape)


def test_the_smallest_size_of_an_unknown_network_is_found():
    def build() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 11), nn.MaxPool2d(4), nn.AdaptiveAvgPool2d(1))

    with pytest.raises(Unsupported, match="3x14x14"):
        architectures.check_size(user(build, (3, 64, 64)), (3, 5, 5))


def test_every_network_takes_its_own_input():
    for architecture in CATALOGUE.values():
        architectures.check_size(architecture, architecture.input)
