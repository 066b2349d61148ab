"""Suites of convolution layers, and the time of a network from layers with their counts.

A suite is a file in ``suites/conv/``; those named after networks were extracted from them. Knows
shapes, counts and arithmetic, not how a layer is computed or a network taken apart.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from math import fsum
from typing import Any

from cnnbench.conv.problem import ConvProblem, of_workload
from cnnbench.errors import UnknownName
from cnnbench.spec import Mode, Phase, Workload


@dataclass(frozen=True)
class ConvLayer:
    """A convolution and how often a network computes it.

    Attributes:
        architecture: ``conv:k64-3x3-p1``.
        input: channels, height and width of one sample.
        count: calls in one pass of the network.
        where: modules that call it, in the order of their first call; in a made suite, what it is.
        batches: batch sizes that its source lists it with; empty if it names none.
    """

    architecture: str
    input: tuple[int, ...]
    count: int = 1
    where: tuple[str, ...] = ()
    batches: tuple[int, ...] = ()

    def workload(self, batch: int = 1, phase: Phase = "inference") -> Workload:
        """The layer as a workload."""
        return Workload(self.architecture, batch, self.input, phase)

    def problem(self, batch: int = 1, mode: Mode | None = None) -> ConvProblem:
        """The layer as a convolution.

        Raises:
            UsageError: no such layer can exist.
        """
        return of_workload(self.workload(batch), mode)


@dataclass(frozen=True)
class Suite:
    """A named list of layers.

    Attributes:
        name: as users say it.
        meaning: one line.
        source: where the layers come from.
        layers: each once.
    """

    name: str
    meaning: str
    source: str
    layers: tuple[ConvLayer, ...]


@dataclass(frozen=True)
class Extraction:
    """The convolutions of a network.

    Attributes:
        layers: two-dimensional convolutions, also transposed ones, each once, in the order of their
            first call.
        left_out: what else convolves (of one or three axes) -> calls.
        macs: multiply-accumulates of one sample in the layers.
        network_macs: of the whole network.
    """

    layers: tuple[ConvLayer, ...]
    left_out: Mapping[str, int]
    macs: int
    network_macs: int


def names() -> tuple[str, ...]:
    """Names of all suites, sorted."""
    files = resources.files("cnnbench").joinpath("suites", "conv").iterdir()
    return tuple(sorted(file.name.removesuffix(".toml") for file in files if _is_suite(file.name)))


def _is_suite(name: str) -> bool:
    return name.endswith(".toml")


@cache
def suite(name: str) -> Suite:
    """The suite of that name.

    Raises:
        UnknownName: there is none.
    """
    if name not in names():
        raise UnknownName("suite of layers", name, names())
    file = resources.files("cnnbench").joinpath("suites", "conv", f"{name}.toml")
    facts = tomllib.loads(file.read_text(encoding="utf8"))
    rows = tuple(_layer(row) for row in facts["layers"])
    return Suite(name, facts["meaning"], facts["source"], rows)


def _layer(row: Mapping[str, Any]) -> ConvLayer:
    return ConvLayer(
        architecture=row["layer"],
        input=tuple(map(int, row["input"].split("x"))),
        count=row.get("count", 1),
        where=tuple(row.get("where", ())),
        batches=tuple(row.get("batches", ())),
    )


def to_toml(suite: Suite) -> str:
    """The suite as its file holds it; ``suite`` reads it back."""
    head = [f"{key} = {_quoted(getattr(suite, key))}" for key in ("meaning", "source")]
    rows = [f"  {_row(layer)}," for layer in suite.layers]
    return "\n".join([*head, "layers = [", *rows, "]", ""])


def _row(layer: ConvLayer) -> str:
    shape = "x".join(map(str, layer.input))
    words = [f"layer = {_quoted(layer.architecture)}", f"input = {_quoted(shape)}"]
    words += [f"count = {layer.count}"] if layer.count != 1 else []
    words += [f"where = [{', '.join(map(_quoted, layer.where))}]"] if layer.where else []
    words += [f"batches = [{', '.join(map(str, layer.batches))}]"] if layer.batches else []
    return f"{{ {', '.join(words)} }}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def merged(layers: Sequence[ConvLayer]) -> tuple[ConvLayer, ...]:
    """Equal layers as one, their counts added; in the order of the first of each."""
    table: dict[tuple[str, tuple[int, ...]], ConvLayer] = {}
    for layer in layers:
        key = layer.architecture, layer.input
        before = table.get(key)
        table[key] = layer if before is None else _sum(before, layer)
    return tuple(table.values())


def _sum(left: ConvLayer, right: ConvLayer) -> ConvLayer:
    return ConvLayer(
        left.architecture,
        left.input,
        left.count + right.count,
        tuple(dict.fromkeys((*left.where, *right.where))),
        tuple(sorted({*left.batches, *right.batches})),
    )


@dataclass(frozen=True)
class Share:
    """The share of one layer in the time of a network.

    Attributes:
        layer: with its count.
        seconds: of all its calls together, ``None`` if it was not measured.
        fraction: of the whole, ``None`` if either is unknown.
    """

    layer: ConvLayer
    seconds: float | None
    fraction: float | None


def shares(
    layers: Sequence[ConvLayer], seconds: Mapping[ConvLayer, float], whole: float | None = None
) -> tuple[Share, ...]:
    """Count times seconds of every layer, and its share of the whole, in the order given.

    Args:
        layers: of a network.
        seconds: of one call; layers that were not measured are missing.
        whole: seconds of the network; without it, the sum over all layers if all were measured.
    """
    times = [layer.count * seconds[layer] if layer in seconds else None for layer in layers]
    if whole is None:
        whole = total(layers, seconds)
    return tuple(
        Share(layer, time, time / whole if time is not None and whole else None)
        for layer, time in zip(layers, times, strict=True)
    )


def total(layers: Sequence[ConvLayer], seconds: Mapping[ConvLayer, float]) -> float | None:
    """Seconds in all layers together; ``None`` if one of them was not measured."""
    if any(layer not in seconds for layer in layers):
        return None
    return fsum(layer.count * seconds[layer] for layer in layers)
