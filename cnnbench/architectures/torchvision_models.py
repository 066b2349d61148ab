"""torchvision's classification, video and quantizable models, by its own registry, without weights.

Input sizes, parameter counts, GMACs (which torchvision calls GFLOPS) and ImageNet accuracy are read
from the metadata of the default weights; nothing is downloaded. Quantizable models are built in
float, ready to be quantized; their accuracy is that of the float weights.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

import torchvision
from torchvision import models

from cnnbench.architectures import variants
from cnnbench.architectures.registry import Architecture, add

if TYPE_CHECKING:
    from torch import nn

# Family and year of the paper, by the start of the name; the longest match wins.
_FAMILIES: dict[str, tuple[str, int, str]] = {
    "alexnet": ("AlexNet", 2014, "arXiv:1404.5997"),
    "convnext": ("ConvNeXt", 2022, "arXiv:2201.03545"),
    "deeplabv3": ("DeepLabV3", 2017, "arXiv:1706.05587"),
    "densenet": ("DenseNet", 2016, "arXiv:1608.06993"),
    "efficientnet": ("EfficientNet", 2019, "arXiv:1905.11946"),
    "efficientnet_v2": ("EfficientNetV2", 2021, "arXiv:2104.00298"),
    "fasterrcnn": ("Faster R-CNN", 2015, "arXiv:1506.01497"),
    "fcn": ("FCN", 2014, "arXiv:1411.4038"),
    "fcos": ("FCOS", 2019, "arXiv:1904.01355"),
    "googlenet": ("GoogLeNet", 2014, "arXiv:1409.4842"),
    "inception": ("Inception", 2015, "arXiv:1512.00567"),
    "keypointrcnn": ("Keypoint R-CNN", 2017, "arXiv:1703.06870"),
    "lraspp": ("LR-ASPP", 2019, "arXiv:1905.02244"),
    "maskrcnn": ("Mask R-CNN", 2017, "arXiv:1703.06870"),
    "maxvit": ("MaxViT", 2022, "arXiv:2204.01697"),
    "mc3": ("Video ResNet", 2017, "arXiv:1711.11248"),
    "mnasnet": ("MNASNet", 2018, "arXiv:1807.11626"),
    "mobilenet_v2": ("MobileNetV2", 2018, "arXiv:1801.04381"),
    "mobilenet_v3": ("MobileNetV3", 2019, "arXiv:1905.02244"),
    "mvit_v1": ("MViT", 2021, "arXiv:2104.11227"),
    "mvit_v2": ("MViT", 2021, "arXiv:2112.01526"),
    "r2plus1d": ("Video ResNet", 2017, "arXiv:1711.11248"),
    "r3d": ("Video ResNet", 2017, "arXiv:1711.11248"),
    "raft": ("RAFT", 2020, "arXiv:2003.12039"),
    "regnet": ("RegNet", 2020, "arXiv:2003.13678"),
    "resnet": ("ResNet", 2015, "arXiv:1512.03385"),
    "resnext": ("ResNeXt", 2016, "arXiv:1611.05431"),
    "retinanet": ("RetinaNet", 2017, "arXiv:1708.02002"),
    "s3d": ("S3D", 2017, "arXiv:1712.04851"),
    "shufflenet": ("ShuffleNetV2", 2018, "arXiv:1807.11164"),
    "squeezenet": ("SqueezeNet", 2016, "arXiv:1602.07360"),
    "ssd300": ("SSD", 2015, "arXiv:1512.02325"),
    "ssdlite320": ("SSDlite", 2018, "arXiv:1801.04381"),
    "swin": ("Swin Transformer", 2021, "arXiv:2103.14030"),
    "swin3d": ("Video Swin Transformer", 2021, "arXiv:2106.13230"),
    "swin_v2": ("Swin Transformer V2", 2021, "arXiv:2111.09883"),
    "vgg": ("VGG", 2014, "arXiv:1409.1556"),
    "vit": ("Vision Transformer", 2020, "arXiv:2010.11929"),
    "wide_resnet": ("Wide ResNet", 2016, "arXiv:1605.07146"),
}

_MOBILE = ("mobilenet", "mnasnet", "shufflenet", "squeezenet", "efficientnet_b0", "regnet_x_400mf")
_QUICK = ("squeezenet1_1", "mobilenet_v3_small", "resnet18")
# torchvision counts its video models on clips of this many frames.
_FRAMES = 16


def _family(name: str) -> tuple[str, int | None, str]:
    name = name.removeprefix("quantized_")
    prefixes = [prefix for prefix in _FAMILIES if name.startswith(prefix)]
    # A model newer than this table still works; only the year and paper of its family are unknown.
    return _FAMILIES[max(prefixes, key=len)] if prefixes else (name.split("_")[0], None, "")


def build(name: str, **arguments: Any) -> nn.Module:
    """Build the model with random weights; ``arguments`` go to torchvision's builder.

    torchvision has no argument for ``in_channels``; the first convolution is replaced.
    """
    in_channels = arguments.pop("in_channels", None)
    parameters = inspect.signature(models.get_model_builder(name)).parameters
    if name.endswith(("googlenet", "inception_v3")) and "init_weights" not in arguments:
        # Their default initialisation samples a truncated normal for minutes and warns about it.
        arguments["init_weights"] = False
    if "weights_backbone" in parameters:
        arguments.setdefault("weights_backbone", None)
    model: nn.Module = models.get_model(name, weights=None, **arguments)
    return model if in_channels is None else variants.with_in_channels(model, in_channels)


def facts(name: str, *, task: str, shape: tuple[int, ...], tags: tuple[str, ...]) -> Architecture:
    """Return one of torchvision's models with the facts of its default weights."""
    meta, recipe = models.get_model_weights(name).DEFAULT.meta, _recipe(name)
    family, year, paper = _family(name)
    return Architecture(
        name=name,
        family=family,
        task=task,
        input=shape,
        build=functools.partial(build, name, **_size(name, shape)),
        year=year,
        paper=paper,
        params=int(meta["num_params"]),
        macs=round(meta["_ops"] * 1e9),
        top1=_accuracy(recipe, 1),
        top5=_accuracy(recipe, 5),
        weights=recipe.name if _accuracy(recipe, 1) is not None else None,
        min_size=int(meta["min_size"][0]) if "min_size" in meta else None,
        tags=(*tags, "torchvision"),
        source=f"torchvision {torchvision.__version__.split('+')[0]}",
        # torchvision counts GoogLeNet without its auxiliary heads, Inception v3 with its own.
        claim={"aux_logits": False} if name.endswith("googlenet") else {},
    )


def _size(name: str, shape: tuple[int, ...]) -> dict[str, int]:
    """Return the argument that sizes a Vision Transformer: it has a parameter per image patch."""
    return {"image_size": shape[-1]} if name.startswith("vit_") else {}


def _recipe(name: str) -> Any:
    """Return the default weights; of a quantizable model, the float weights that it is made of."""
    weights = models.get_model_weights(name).DEFAULT
    return weights.meta.get("unquantized", weights)


def _accuracy(recipe: Any, k: int) -> float | None:
    accuracy = recipe.meta["_metrics"].get("ImageNet-1K", {}).get(f"acc@{k}")
    return None if accuracy is None else float(accuracy)


def crop(name: str) -> tuple[int, int]:
    """Return height and width that the preprocessing of the default weights ends in."""
    # The keywords of the preprocessing: calling it would build a module.
    size = models.get_model_weights(name).DEFAULT.transforms.keywords["crop_size"]
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[-1]))


def _tags(name: str) -> tuple[str, ...]:
    mobile = ("mobile",) if name.removeprefix("quantized_").startswith(_MOBILE) else ()
    return ("imagenet", *mobile, *(("quick",) if name in _QUICK else ()))


for _name in models.list_models(module=models):
    add(facts(_name, task="classification", shape=(3, *crop(_name)), tags=_tags(_name)))

for _name in models.list_models(module=models.quantization):
    _all = (*_tags(_name), "quantizable")
    add(facts(_name, task="classification", shape=(3, *crop(_name)), tags=_all))

for _name in models.list_models(module=models.video):
    add(facts(_name, task="video", shape=(3, _FRAMES, *crop(_name)), tags=("video",)))
