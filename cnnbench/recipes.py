"""Input pipelines: what happens to a picture between its file and the network.

A pipeline is a workload like any other: ``input:imagenet-train`` makes a batch per call. It is
plain (mode ``eager``) on pictures of PIL, and ``impl=tensor`` on tensors. The setting ``workers``
says how many processes of a loader make batches; with 0 the process that trains makes them itself.

Values only. What each step does stands in worker/transforms.py under the same word.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnbench.errors import UnknownName, UsageError
from cnnbench.spec import Mode, Workload

if TYPE_CHECKING:
    from cnnbench.spec import Device

# The architecture of a pipeline begins with this; the recipe follows.
PREFIX = "input:"

# Name of the setting of a workload that says how many processes make batches.
WORKERS = "workers"

# More are a slip, which would fill the table of processes.
MOST_WORKERS = 1024

# What pictures are held in -> the mode that says so. The first is what torchvision's data sets
# give.
BACKENDS = {"pil": Mode(), "tensor": Mode(implementation="tensor")}


@dataclass(frozen=True)
class PictureSource:
    """Made pictures of the size of a data set's.

    Attributes:
        name: of the data set.
        shape: of a picture, channels first.
        encoded: a JPEG file in memory; otherwise an array of bytes, as small data sets keep them.
        training: number of its training pictures.
    """

    name: str
    shape: tuple[int, int, int]
    encoded: bool
    training: int


# 500x375 is the usual size of a file of ImageNet.
IMAGENET = PictureSource("imagenet", (3, 375, 500), encoded=True, training=1_281_167)
CIFAR10 = PictureSource("cifar10", (3, 32, 32), encoded=False, training=50_000)
MNIST = PictureSource("mnist", (1, 28, 28), encoded=False, training=60_000)
SOURCES = (CIFAR10, MNIST, IMAGENET)


@dataclass(frozen=True)
class Recipe:
    """What a batch of pictures goes through.

    Attributes:
        name: its word on the command line.
        source: the pictures.
        shape: of a picture at the end, channels first.
        steps: what is timed, in order; those behind ``collate`` take a batch.
        before: what is done once, before anything is timed.
        meaning: one line.
    """

    name: str
    source: PictureSource
    shape: tuple[int, int, int]
    steps: tuple[str, ...]
    meaning: str
    before: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether its batches are what a network is given; otherwise it is a single step."""
        return "collate" in self.steps

    def workload(self, batch: int, workers: int = 0) -> Workload:
        """What makes ``batch`` pictures per call, with ``workers`` processes or none."""
        settings = ((WORKERS, str(workers)),) if workers else ()
        return Workload(PREFIX + self.name, batch, self.shape, settings=settings)


_LAST = ("to_float", "normalize", "collate")
_CROP = ("decode", "random_resized_crop")
_LARGE, _SMALL, _GREY = (3, 224, 224), CIFAR10.shape, MNIST.shape


def _single(step: str, meaning: str, before: tuple[str, ...] = _CROP) -> Recipe:
    """One step by itself, on pictures of ImageNet's size that have been prepared for it."""
    return Recipe(step, IMAGENET, _LARGE, (step,), meaning, before)


_FLOATS = (*_CROP, "to_float", "normalize")

# The one table of recipes.
RECIPES: tuple[Recipe, ...] = (
    Recipe("imagenet-train", IMAGENET, _LARGE, (*_CROP, "flip", *_LAST),
           "JPEG, random resized crop to 224, flip"),
    Recipe("imagenet-eval", IMAGENET, _LARGE, ("decode", "resize", "center_crop", *_LAST),
           "JPEG, resize to 256, centre crop of 224"),
    Recipe("imagenet-strong", IMAGENET, _LARGE,
           (*_CROP, "flip", "trivial_augment", "to_float", "normalize", "random_erasing",
            "collate", "mixup"),
           "the same as training, with TrivialAugment, random erasing and MixUp"),
    Recipe("cifar-train", CIFAR10, _SMALL, ("wrap", "pad_crop", "flip", *_LAST),
           "array, padded by 4 and cropped to 32, flip"),
    Recipe("cifar-eval", CIFAR10, _SMALL, ("wrap", *_LAST), "array, no augmentation"),
    Recipe("cifar-strong", CIFAR10, _SMALL,
           ("wrap", "pad_crop", "flip", "auto_augment", "to_float", "normalize",
            "random_erasing", "collate", "cutmix"),
           "the same as training, with AutoAugment, random erasing and CutMix"),
    Recipe("mnist", MNIST, _GREY, ("wrap", *_LAST), "array of grey values, no augmentation"),
    Recipe("decode", IMAGENET, IMAGENET.shape, ("decode",), "JPEG to pixels"),
    _single("resize", "the shorter side to 256", ("decode",)),
    _single("random_resized_crop", "8 to 100 % of the area, resized to 224", ("decode",)),
    _single("flip", "left to right, half of the pictures"),
    _single("color_jitter", "brightness, contrast and saturation by 40 %, hue by 10 %"),
    _single("auto_augment", "two random operations of a learnt policy"),
    _single("rand_augment", "two random operations of strength 9"),
    _single("trivial_augment", "one random operation of random strength"),
    _single("augmix", "three chains of random operations, mixed"),
    _single("random_erasing", "a random rectangle, half of the pictures", _FLOATS),
    _single("mixup", "each picture mixed with another of the batch", (*_FLOATS, "collate")),
    _single("cutmix", "a rectangle of another picture of the batch", (*_FLOATS, "collate")),
)  # fmt: skip


def recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        UnknownName: there is none.
    """
    table = {one.name: one for one in RECIPES}
    if name not in table:
        raise UnknownName("recipe", name, table, "(see 'cnnbench input --list')")
    return table[name]


def is_pipeline(architecture: str) -> bool:
    """Whether an architecture is an input pipeline."""
    return architecture.startswith(PREFIX)


def of_workload(workload: Workload) -> Recipe:
    """The recipe of a pipeline.

    Raises:
        UnknownName: there is none of its name.
    """
    return recipe(workload.architecture.removeprefix(PREFIX))


def backend(mode: Mode) -> str | None:
    """What pictures are held in; ``None`` if the mode is none of a pipeline."""
    return next((name for name, one in BACKENDS.items() if one == mode), None)


def workers(workload: Workload) -> int:
    """How many processes make its batches beside the one that takes them.

    Raises:
        UsageError: not a number.
    """
    return workers_of(workload.setting(WORKERS, "0"))


def workers_of(text: str) -> int:
    """Read a number of workers, zero among them.

    Raises:
        UsageError: not a number, or more than ``MOST_WORKERS``.
    """
    if not text.isdecimal():
        raise UsageError(f"'{text}' is not a number of workers: 0, 1, 2, …")
    if len(text) > 9 or int(text) > MOST_WORKERS:
        raise UsageError(f"at most {MOST_WORKERS:,} workers: each is a process of its own")
    return int(text)


def alone(workload: Workload) -> bool:
    """Whether it must be measured by itself: its workers read ahead while others have a turn."""
    return is_pipeline(workload.architecture) and workers(workload) > 0


def steps(one: Recipe, device: Device) -> tuple[str, ...]:
    """What is timed on a device: on CUDA the batch is copied there through pinned memory."""
    further = ("pin", "copy") if device.kind == "cuda" and one.whole else ()
    return (*one.steps, *further)


def training_pictures(text: str) -> int:
    """The number of pictures in an epoch: of a data set by name, or as many as that.

    Raises:
        UnknownName: neither a number nor a data set.
    """
    table = {one.name: one.training for one in SOURCES}
    if text.isdecimal() and int(text) > 0:
        return int(text)
    if text not in table:
        raise UnknownName("data set", text, table, "(or give a number of pictures)")
    return table[text]


def batches(pictures: int, batch: int) -> int:
    """Steps of an epoch; the last batch may be smaller and counts as a whole one."""
    return math.ceil(pictures / batch)
