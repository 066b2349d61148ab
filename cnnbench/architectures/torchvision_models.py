"""torchvision's classification models, through its own registry, without weights.

Input sizes, parameter counts, GMACs (which torchvision calls GFLOPS) and ImageNet accuracy are read from the metadata of
the default weights; nothing is downloaded.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

import torchvision
from torch import nn
from torchvision import models

from cnnbench.architectures.registry import Architecture, add

# Family and year of the paper, by the start of the name; the longest match wins.
_FAMILIES: dict[str, tuple[str, int, str]] = {
    "alexnet": ("AlexNet", 2014, "arXiv:1404.5997"),
    "convnext": ("ConvNeXt", 2022, "arXiv:2201.03545"),
    "densenet": ("DenseNet", 2016, "arXiv:1608.06993"),
    "efficientnet": ("EfficientNet", 2019, "arXiv:1905.11946"),
    "efficientnet_v2": ("EfficientNetV2", 2021, "arXiv:2104.00298"),
    "googlenet": ("GoogLeNet", 2014, "arXiv:1409.4842"),
    "inception": ("Inception", 2015, "arXiv:1512.00567"),
    "maxvit": ("MaxViT", 2022, "arXiv:2204.01697"),
    "mnasnet": ("MNASNet", 2018, "arXiv:1807.11626"),
    "mobilenet_v2": ("MobileNetV2", 2018, "arXiv:1801.04381"),
    "mobilenet_v3": ("MobileNetV3", 2019, "arXiv:1905.02244"),
    "regnet": ("RegNet", 2020, "arXiv:2003.13678"),
    "resnet": ("ResNet", 2015, "arXiv:1512.03385"),
    "resnext": ("ResNeXt", 2016, "arXiv:1611.05431"),
    "shufflenet": ("ShuffleNetV2", 2018, "arXiv:1807.11164"),
    "squeezenet": ("SqueezeNet", 2016, "arXiv:1602.07360"),
    "swin": ("Swin Transformer", 2021, "arXiv:2103.14030"),
    "swin_v2": ("Swin Transformer V2", 2021, "arXiv:2111.09883"),
    "vgg": ("VGG", 2014, "arXiv:1409.1556"),
    "vit": ("Vision Transformer", 2020, "arXiv:2010.11929"),
    "wide_resnet": ("Wide ResNet", 2016, "arXiv:1605.07146"),
}

_MOBILE = ("mobilenet", "mnasnet", "shufflenet", "squeezenet", "efficientnet_b0", "regnet_x_400mf")

_QUICK = ("squeezenet1_1", "mobilenet_v3_small", "resnet18")


def _family(name: str) -> tuple[str, int | None, str]:
    prefixes = [prefix for prefix in _FAMILIES if name.startswith(prefix)]
    # A model newer than this table still works; only its family's year and paper are unknown.
    return _FAMILIES[max(prefixes, key=len)] if prefixes else (name.split("_")[0], None, "")


def _build(name: str, **arguments: Any) -> nn.Module:
    """The model with random weights; ``arguments`` go to torchvision's builder."""
    parameters = inspect.signature(models.get_model_builder(name)).parameters
    if name in {"googlenet", "inception_v3"} and "init_weights" not in arguments:
        # Their default initialisation samples a truncated normal for minutes and warns about it.
        arguments["init_weights"] = False
    if "weights_backbone" in parameters:
        arguments.setdefault("weights_backbone", None)
    model: nn.Module = models.get_model(name, weights=None, **arguments)
    return model


def _tags(name: str) -> tuple[str, ...]:
    mobile = ("mobile",) if name.startswith(_MOBILE) else ()
    return ("imagenet", "torchvision", *mobile, *(("quick",) if name in _QUICK else ()))


def _crop(weights: Any) -> int:
    """Side of the square image that the weights' own preprocessing ends in."""
    (crop,) = set(weights.transforms().crop_size)
    return int(crop)


def _register(name: str) -> None:
    weights = models.get_model_weights(name).DEFAULT
    family, year, paper = _family(name)
    add(
        Architecture(
            name=name,
            family=family,
            task="classification",
            input=(3, _crop(weights), _crop(weights)),
            build=functools.partial(_build, name),
            year=year,
            paper=paper,
            params=int(weights.meta["num_params"]),
            macs=round(weights.meta["_ops"] * 1e9),
            top1=float(weights.meta["_metrics"]["ImageNet-1K"]["acc@1"]),
            min_size=int(weights.meta["min_size"][0]),
            tags=_tags(name),
            source=f"torchvision {torchvision.__version__.split('+')[0]}",
        )
    )


for _name in models.list_models(module=models):
    _register(_name)
