"""The user's own pictures as inputs: which files of a directory, and how one becomes a tensor.

A directory is flat, or has one folder per class, as torchvision's ``ImageFolder`` has it. Only
picture files are read, by Pillow; a file that it cannot read is passed over.
"""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms

from cnnbench import architectures
from cnnbench.asking import MOST_IMAGES, NO_IMAGES, PRETRAINED
from cnnbench.errors import Unsupported, UsageError
from cnnbench.worker import weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cnnbench.architectures.registry import Architecture
    from cnnbench.spec import Workload

# File endings, and the formats that are tried: no other decoder of Pillow's is started.
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".ppm", ".pgm", ".tif", ".tiff")
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "PPM", "TIFF")
# Tasks whose networks take a batch of normalised pictures and nothing else.
_TASKS = ("classification", "segmentation", "any")
# ImageNet's, by channels; a grey picture has the mean of the colours.
_MEAN = {3: (0.485, 0.456, 0.406), 1: (0.449,)}
_DEVIATION = {3: (0.229, 0.224, 0.225), 1: (0.226,)}
_FORM = {3: "RGB", 1: "L"}
# The usual share of the resized picture that is left by the centre crop: 224 of 256.
_CROP = 0.875
# A picture that is used again is mirrored, then upside down, then both.
_FLIPS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-1, -2))


@dataclass(frozen=True)
class Directory:
    """The picture files of a directory.

    Attributes:
        path: its own.
        files: those that are used, sorted by name; evenly spaced over all if these are too many.
        found: how many there are.
        classes: names of its folders, sorted; empty if it is flat.
    """

    path: Path
    files: tuple[Path, ...]
    found: int
    classes: tuple[str, ...] = ()

    def class_of(self, file: Path) -> str:
        """The folder that a file of it is in."""
        return file.relative_to(self.path).parts[0]


def given(workload: Workload) -> bool:
    """Whether a workload is run on pictures of the user's."""
    return workload.setting("images", NO_IMAGES) != NO_IMAGES


@lru_cache(maxsize=8)
def directory(path: Path) -> Directory:
    """The pictures of a directory.

    Raises:
        UsageError: it holds none, or both pictures and folders of pictures, or cannot be read.
    """
    try:
        flat, folders = _listed(path)
        inside = {folder: _below(folder, frozenset({path.resolve()})) for folder in folders}
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}") from None
    below = [file for folder in folders for file in inside[folder]]
    if flat and below:
        raise UsageError(
            f"{shown(path)} holds both pictures ({shown(Path(flat[0].name))}) and folders of"
            f" pictures ({shown(below[0].parent.relative_to(path))}); keep one kind"
        )
    files = flat or below
    if not files:
        raise UsageError(f"{shown(path)} holds no picture; looked for {', '.join(ENDINGS)}")
    classes = tuple(folder.name for folder in folders) if below else ()
    return Directory(path, tuple(_spread(files)), len(files), classes)


def _listed(folder: Path) -> tuple[list[Path], list[Path]]:
    """Picture files and folders directly in a folder, by name, hidden ones left out."""
    seen = sorted(one for one in folder.iterdir() if not one.name.startswith("."))
    files = [one for one in seen if one.suffix.lower() in ENDINGS and one.is_file()]
    return files, [one for one in seen if one.is_dir()]


def _below(folder: Path, above: frozenset[Path] = frozenset()) -> list[Path]:
    """Picture files at any depth; a link that leads back up is not followed."""
    here = folder.resolve()
    if here in above:
        return []
    files, folders = _listed(folder)
    return files + [file for inner in folders for file in _below(inner, above | {here})]


def _spread(files: list[Path]) -> list[Path]:
    """All of them, or as many as are used, evenly spaced."""
    count = min(len(files), MOST_IMAGES)
    return [files[place * len(files) // count] for place in range(count)]


def opened(path: Path, form: str = "RGB") -> Image.Image:
    """A picture, decoded to one of Pillow's modes.

    Raises:
        Exception: whatever Pillow raises where it cannot.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is odd about a file that can be read
        with Image.open(path, formats=_FORMATS) as image:
            return image.convert(form)


def count(path: str) -> int:
    """How many picture files a directory holds.

    Raises:
        UsageError: none, or none that can be read.
    """
    found = directory(Path(path))
    trouble = ""
    for file in found.files:
        try:
            opened(file)
        except Exception as error:  # noqa: BLE001 - decoders raise whatever they like
            trouble = trouble or f"{shown(file.relative_to(path))}: {said(error)}"
        else:
            return found.found
    raise UsageError(
        f"none of the {len(found.files)} pictures in {shown(found.path)} can be read; the first"
        f" is {trouble}"
    )


def said(error: Exception) -> str:
    """An error in one line."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def shown(path: Path) -> str:
    """A path as text of one line, whatever bytes its name is of."""
    return repr(str(path))[1:-1]


class Pictures:
    """The pictures of a workload as its network takes them.

    Attributes:
        directory: where they are from.
        unreadable: file -> why, of those that were tried.
        note: where the transforms are not exactly those of the weights; empty otherwise.
    """

    def __init__(self, workload: Workload) -> None:
        architecture = architectures.resolve(workload.architecture)
        if len(workload.input) != 3 or workload.input[0] not in _FORM:
            raise Unsupported(
                f"--images: {workload.architecture} takes {workload.shape_text}, which is no"
                " picture of 1 or 3 channels"
            )
        if architecture.task not in _TASKS:
            raise Unsupported(
                f"--images: {workload.architecture} is for {architecture.task}; pictures are for"
                " classification and segmentation"
            )
        self.directory = directory(Path(workload.setting("images", NO_IMAGES)))
        self.unreadable: dict[Path, str] = {}
        self._form = _FORM[workload.input[0]]
        self._transform, self.note = _transform(workload, architecture)
        self._usable: list[Path] = []
        self._untried = iter(self.directory.files)

    def picture(self, path: Path) -> Tensor | None:
        """A picture as its network takes it, or ``None`` if the file cannot be read."""
        try:
            image = opened(path, self._form)
        except Exception as error:  # noqa: BLE001 - decoders raise whatever they like
            self.unreadable[path] = said(error)
            return None
        found: Tensor = self._transform(image)
        return found

    def batch(self, first: int, count: int) -> Tensor:
        """Consecutive pictures of the directory; behind the last the first again, but flipped.

        Raises:
            UsageError: no file can be read.
        """
        fresh: dict[Path, Tensor] = {}
        while len(self._usable) < first + count:
            path = next(self._untried, None)
            if path is None:
                break
            picture = self.picture(path)
            if picture is not None:
                self._usable.append(path)
                fresh[path] = picture
        if not self._usable:
            raise UsageError(f"no picture in {shown(self.directory.path)} can be read")
        places = range(first, first + count)
        return torch.stack([self._placed(place, fresh) for place in places])

    def _placed(self, place: int, fresh: dict[Path, Tensor]) -> Tensor:
        again, index = divmod(place, len(self._usable))
        path = self._usable[index]
        picture = fresh[path] if path in fresh else self.picture(path)
        if picture is None:
            raise UsageError(f"{shown(path)} can no longer be read: {self.unreadable[path]}")
        return picture.flip(_FLIPS[again % len(_FLIPS)])

    def batches(self, files: Iterable[Path], size: int) -> Iterator[tuple[list[Path], Tensor]]:
        """Batches of files that can be read, the last filled up with its own first picture."""
        loaded = ((file, self.picture(file)) for file in files)
        good = ((file, picture) for file, picture in loaded if picture is not None)
        while group := list(itertools.islice(good, size)):
            values = [picture for _, picture in group]
            values += values[:1] * (size - len(values))
            yield [file for file, _ in group], torch.stack(values)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader should know of the pictures that were used, once all were tried."""
        found, lines = self.directory, [self.note]
        if len(found.files) < found.found:
            lines.append(f"{len(found.files):,} of {found.found:,} pictures used, evenly spaced")
        if self.unreadable:
            first, why = next(iter(sorted(self.unreadable.items())))
            lines.append(
                f"{len(self.unreadable)} of {len(found.files)} picture files cannot be read and are"
                f" left out, the first is {shown(first.relative_to(found.path))}: {why}"
            )
        return tuple(f"--images: {line}" for line in lines if line)


@lru_cache(maxsize=8)
def pictures(workload: Workload) -> Pictures:
    """The pictures of a workload, made once per process.

    Raises:
        Unsupported: its network does not take pictures like these.
        UsageError: the directory cannot be used.
    """
    return Pictures(workload)


def inputs(workload: Workload, number: int) -> tuple[Any, ...]:
    """The batch of that number: 0 is timed, the next ones are those of the output check."""
    size = workload.batch
    return (pictures(workload).batch(number * size, size),)


def _transform(
    workload: Workload, architecture: Architecture
) -> tuple[Callable[[Image.Image], Tensor], str]:
    """From Pillow's picture to a network's input; a note if the weights' own one was changed."""
    channels, *size = workload.input
    if workload.setting("weights", "") == PRETRAINED:
        own: Any = weights.published(architecture).transforms()
        if hasattr(own, "crop_size"):
            return _at_size(own, size)
    resized = round(max(size) / _CROP)
    usual: Callable[[Image.Image], Tensor] = transforms.Compose([
        transforms.Resize(resized),
        transforms.CenterCrop(size),
        transforms.ToTensor(),
        transforms.Normalize(_MEAN[channels], _DEVIATION[channels]),
    ])  # fmt: skip
    return usual, ""


def _at_size(own: Any, size: list[int]) -> tuple[Callable[[Image.Image], Tensor], str]:
    """Transforms of weights, scaled to another size where they end in one."""
    crop = own.crop_size
    if set(size) == set(crop):
        return own, ""
    own.resize_size = [round(own.resize_size[0] * max(size) / crop[0])]
    own.crop_size = size
    made, usual = ("x".join(map(str, pair)) for pair in (size, crop * 2))
    return own, f"the weights' own transforms end in {usual}; they are scaled to {made} here"
