"""The catalogue as data: what can be listed and selected without importing torch.

The table is ``catalogue.json``, written by ``python -m cnnbench.architectures`` from the code; a
test writes it again and compares. Knows names, not how anything is built.
"""

from __future__ import annotations

import fnmatch
import functools
import json
from dataclasses import dataclass
from importlib import metadata, resources
from typing import TYPE_CHECKING, Any

from cnnbench.errors import UnknownName

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


# Under this group other packages offer architectures; importing one is a worker's business.
ENTRY_POINTS = "cnnbench.architectures"


# What names of timm's models begin with; its models are a worker's business too.
TIMM = "timm:"
# What patterns begin with that select among torchvision's networks, whose names are without it.
TORCHVISION = "torchvision:"

# What names of networks begin with that differ in nothing but their activation function, and the
# functions; what each of them is stands in architectures/activations.py.
ACTIVATION = "activation:"
ACTIVATIONS = (
    "identity", "relu", "relu_in_place", "leaky_relu", "prelu", "elu", "gelu", "silu", "mish",
    "hardswish", "tanh", "sigmoid", "maxout",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class CatalogueEntry:
    """One row of the catalogue, or what timm says of a model of its own.

    Attributes:
        name: unique, what every command takes.
        family: the paper's or library's name of its kind ("ResNet").
        task: "classification", "segmentation", "detection", …
        year: of the paper.
        paper: author, title or arXiv number, and the table the numbers come from.
        input: shape of one sample without the batch axis.
        params: parameters as built by default, with every auxiliary head; ``None`` if not counted.
        macs: multiply-accumulates of one sample in inference, counted as ``cnnbench cost`` does; of
            a detector the part that does not depend on how many boxes it finds; ``None`` if not
            counted.
        published_macs: what the source states of ``macs``, rounded as there; of a detector with the
            boxes that its weights found in the publisher's input. ``None`` where it states nothing.
        top1, top5: published ImageNet accuracy in percent.
        weights: the recipe that they belong to, by the name of its weights; ``None`` where they are
            a paper's.
        depth: weighted layers (convolutions, products with weights) on the longest path.
        min_size: smallest height and width the network takes.
        tags: words to select by.
        source: the package the network comes from.
    """

    name: str
    family: str
    task: str
    year: int | None = None
    paper: str
    input: tuple[int, ...]
    params: int | None = None
    macs: int | None = None
    published_macs: int | None = None
    top1: float | None = None
    top5: float | None = None
    weights: str | None = None
    depth: int | None = None
    min_size: int | None = None
    tags: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Accepted:
    """What a model takes: the shape of one sample; its smallest height and width, if known.

    ``assumed`` says that nobody has told the shape of this network of the user's.
    """

    input: tuple[int, ...]
    min_size: int | None = None
    assumed: bool = False


@functools.cache
def _data() -> dict[str, Any]:
    text = resources.files("cnnbench").joinpath("catalogue.json").read_text(encoding="utf-8")
    data: dict[str, Any] = json.loads(text)
    return data


@functools.cache
def entries() -> tuple[CatalogueEntry, ...]:
    """Every row, sorted by name."""
    return tuple(
        CatalogueEntry(**{**row, "input": tuple(row["input"]), "tags": tuple(row["tags"])})
        for row in _data()["architectures"]
    )


def entry(name: str) -> CatalogueEntry:
    """The row of a name, or what is known of a network for an activation function.

    Raises:
        UnknownName: there is none; the message suggests the closest names.
    """
    if name.startswith(ACTIVATION) and name.removeprefix(ACTIVATION) in ACTIVATIONS:
        return CatalogueEntry(
            name=name,
            family="Activation",
            task="classification",
            paper="",
            input=(3, 32, 32),
            min_size=4,
            tags=(),
            source="cnnbench",
        )
    rows = {row.name: row for row in entries()}
    if name not in rows:
        raise UnknownName("architecture", name, rows, hint="(see 'cnnbench list')")
    return rows[name]


@functools.cache
def _by_name() -> Mapping[str, CatalogueEntry]:
    return {row.name: row for row in entries()}


def known(name: str) -> CatalogueEntry | None:
    """The row of a name, if the catalogue has it."""
    return _by_name().get(name)


def published(
    name: str, shape: tuple[int, ...], phase: str, *, arguments: bool
) -> CatalogueEntry | None:
    """The row whose stated accuracy holds for what was asked for, if one does.

    It is stated of inference of the network as built by default, at the row's input.

    Args:
        name: of the network.
        shape: of one sample.
        phase: of the workload.
        arguments: whether the builder was given any.
    """
    row = known(name)
    fits = row is not None and phase == "inference" and not arguments and row.input == shape
    return row if fits else None


# The task of networks that take regions of an image as an input.
_REGIONS = "regions"


def takes_regions(name: str) -> bool:
    """Whether regions of an image are an input of a network; so of any that is not known here."""
    row = known(name)
    return row is None or row.task == _REGIONS


def without_regions(name: str) -> str:
    """What is said of a network that is given a number of regions and takes none."""
    takers = ", ".join(row.name for row in entries() if row.task == _REGIONS)
    return f"model '{name}' takes no regions as an input; drop --regions, or choose {takers}"


def is_glob(name: str) -> bool:
    """Whether a name is a pattern."""
    return any(mark in name for mark in "*?[")


def _having(kind: str, word: str) -> list[str]:
    """Names whose tag or family matches ``word``, letter case aside."""
    words = {row.name: row.tags if kind == "tag" else (row.family,) for row in entries()}
    found = [
        name
        for name, known in words.items()
        if any(fnmatch.fnmatchcase(value.lower(), word.lower()) for value in known)
    ]
    if not found:
        raise UnknownName(
            kind, word, sorted({value for known in words.values() for value in known})
        )
    return found


def _activations(word: str) -> list[str]:
    found = [f"{ACTIVATION}{one}" for one in ACTIVATIONS if fnmatch.fnmatchcase(one, word)]
    if not found:
        raise UnknownName("activation function", word, ACTIVATIONS)
    return found


def _of_torchvision(word: str) -> list[str]:
    names = [row.name for row in entries() if row.source.split()[0] == "torchvision"]
    found = [name for name in names if fnmatch.fnmatchcase(name, word)]
    if not found:
        raise UnknownName("torchvision model", word, names)
    return found


def _match(pattern: str) -> list[str]:
    kind, colon, word = pattern.partition(":")
    if colon and kind in {"tag", "family"}:
        return _having(kind, word)
    if pattern.startswith(ACTIVATION):
        return _activations(word)
    if pattern.startswith(TORCHVISION):
        return _of_torchvision(word)
    if colon:
        return [pattern]
    if pattern == "all":
        return [row.name for row in entries()]
    if pattern == "quick":
        return _having("tag", "quick")
    found = [row.name for row in entries() if fnmatch.fnmatchcase(row.name, pattern)]
    if not found and metadata.entry_points(group=ENTRY_POINTS, name=pattern):
        return [pattern]
    return found or [entry(pattern).name]


def select(patterns: Iterable[str]) -> tuple[str, ...]:
    """The names that the patterns select, in their order, each once.

    A pattern is a name, a glob (``resnet*``), ``tag:mobile``, ``family:ResNet``, ``all``,
    ``quick``, ``torchvision:resnet*`` or ``activation:*``. Other names with a colon
    (``timm:resnet50d``, ``package.module:factory``) and names of entry points are no part of the
    catalogue and pass through as they are, timm's globs too: what those select is known where timm
    is.

    Raises:
        UnknownName: a pattern selects nothing; the message suggests the closest names.
    """
    return tuple(dict.fromkeys(name for pattern in patterns for name in _match(pattern)))
