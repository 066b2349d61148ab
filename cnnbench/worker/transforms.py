"""What each word of a recipe does: torchvision's v2 transforms, on pictures of PIL or on tensors.

One table; its keys are the words of ``recipes.RECIPES`` (a test compares them). A step takes what
the step before it returned: a picture, behind ``collate`` a batch ``[pictures, classes]``.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch.utils.data import default_collate
from torchvision import io as files
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from cnnbench.recipes import IMAGENET

if TYPE_CHECKING:
    from cnnbench.recipes import Recipe

Step = Callable[[Any], Any]

# Means and deviations of colours that nearly every recipe for ImageNet subtracts and divides by.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Resized to 256 where 224 is cut out, as in torchvision's evaluation.
_LARGER = 256 / 224
_PADDING = 4
CLASSES = 10


def decoder(backend: str) -> str:
    """Whose decoder of JPEG a back end uses here: torchvision has one until it is removed."""
    own = backend == "tensor" and hasattr(files, "decode_jpeg")
    return "torchvision" if own else "PIL"


def _decode(_: Recipe, backend: str) -> Step:
    if decoder(backend) == "PIL":
        # Opening reads the header only; converting decodes, as torchvision's loader does.
        def opened(data: bytes) -> Any:
            return Image.open(io.BytesIO(data)).convert("RGB")

        return opened if backend == "pil" else lambda data: functional.pil_to_tensor(opened(data))
    # Said on every call, from the version that announces the removal.
    warnings.filterwarnings("ignore", "The image decoding", DeprecationWarning)
    return lambda data: files.decode_jpeg(
        torch.frombuffer(bytearray(data), dtype=torch.uint8), mode=files.ImageReadMode.RGB
    )


def _wrap(_: Recipe, backend: str) -> Step:
    if backend == "pil":
        return Image.fromarray
    return lambda array: torch.from_numpy(array.reshape(*array.shape[:2], -1)).permute(2, 0, 1)


def _to_float(_: Recipe, backend: str) -> Step:
    floats = v2.ToDtype(torch.float32, scale=True)
    found: Step = v2.Compose([v2.PILToTensor(), floats]) if backend == "pil" else floats
    return found


def _normalize(recipe: Recipe, _: str) -> Step:
    channels = recipe.shape[0]
    found: Step = v2.Normalize(_MEAN[:channels], _DEVIATION[:channels])
    return found


def _auto_augment(recipe: Recipe, _: str) -> Step:
    policies = v2.AutoAugmentPolicy
    found: Step = v2.AutoAugment(
        policies.IMAGENET if recipe.source is IMAGENET else policies.CIFAR10
    )
    return found


def _on_device(batch: list[torch.Tensor]) -> list[torch.Tensor]:
    found = [one.to("cuda", non_blocking=True) for one in batch]
    torch.cuda.current_stream().synchronize()
    return found


# Word -> from a recipe and a back end to what is done. Parameters are torchvision's defaults unless
# a recipe of its references has others.
TRANSFORMS: dict[str, Callable[[Recipe, str], Step]] = {
    "decode": _decode,
    "wrap": _wrap,
    "resize": lambda recipe, _: v2.Resize(round(recipe.shape[-1] * _LARGER), antialias=True),
    "center_crop": lambda recipe, _: v2.CenterCrop(recipe.shape[-1]),
    "random_resized_crop": lambda recipe, _: v2.RandomResizedCrop(recipe.shape[-1], antialias=True),
    "pad_crop": lambda recipe, _: v2.RandomCrop(recipe.shape[-1], padding=_PADDING),
    "flip": lambda *_: v2.RandomHorizontalFlip(),
    "color_jitter": lambda *_: v2.ColorJitter(0.4, 0.4, 0.4, 0.1),
    "auto_augment": _auto_augment,
    "rand_augment": lambda *_: v2.RandAugment(),
    "trivial_augment": lambda *_: v2.TrivialAugmentWide(),
    "augmix": lambda *_: v2.AugMix(),
    "to_float": _to_float,
    "normalize": _normalize,
    "random_erasing": lambda *_: v2.RandomErasing(),
    "collate": lambda *_: default_collate,
    "mixup": lambda *_: v2.MixUp(num_classes=CLASSES),
    "cutmix": lambda *_: v2.CutMix(num_classes=CLASSES),
    "pin": lambda *_: lambda batch: [one.pin_memory() for one in batch],
    "copy": lambda *_: _on_device,
}

# These take a batch.
OF_BATCHES = frozenset({"mixup", "cutmix", "pin", "copy"})
