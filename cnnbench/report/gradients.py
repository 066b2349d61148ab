"""Gradients of layers -> tables and a plot: how they change with depth, network beside network."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from cnnbench import units
from cnnbench.report.page.parts import PlotAxis, PlotPoint, Points
from cnnbench.report.table import Column, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.gradients import Gradients

TITLE = "Gradients of the weights, by depth"

_WHAT = "Euclidean norm of the gradient of each layer's weights, in the order of the forward pass"


def layers(found: Sequence[Gradients]) -> Table:
    """A row per layer: of one network with its facts, of several with a norm for each."""
    texts = (_WHAT, _conditions(found)), _spans(found)
    if len(found) == 1:
        return Table(_FACTS[1:], tuple(row[1:] for row in _rows(found)), *texts)
    norms = ([layer.norm for layer in one.layers] for one in found)
    rows = tuple((number, *row) for number, row in enumerate(zip_longest(*norms), 1))
    return Table((_NUMBER, *(Column(one.name, one.name, "number") for one in found)), rows, *texts)


def tidy(found: Sequence[Gradients]) -> Table:
    """A row per network and layer, with every fact."""
    return Table(_FACTS, tuple(_rows(found)))


_NUMBER = Column("number", "#", "whole")
_FACTS: tuple[Column, ...] = (
    Column("model", "model"),
    _NUMBER,
    Column("layer", "layer"),
    Column("type", "type", detail=1),
    Column("elements", "weights", "count"),
    Column("norm", "norm", "number"),
    Column("weight_norm", "of weights", "number", detail=1),
    Column("relative", "norm / of weights", "number"),
)


def _rows(found: Sequence[Gradients]) -> list[tuple[str | int | float | None, ...]]:
    return [
        (one.name, number, layer.layer, layer.type, layer.elements, layer.norm, layer.weight_norm,
         layer.relative)
        for one in found
        for number, layer in enumerate(one.layers, 1)
    ]  # fmt: skip


def _conditions(found: Sequence[Gradients]) -> str:
    said = dict.fromkeys(
        f"input {units.shape(one.input)}, batch {one.batch}, seed {one.seed}, loss {one.loss}"
        for one in found
    )
    return f"at initialisation, in float64: {'; '.join(said)}"


def _spans(found: Sequence[Gradients]) -> tuple[str, ...]:
    return tuple(
        f"{one.name}: {units.number(len(one.layers), 'layer')};"
        f" the largest gradient is {units.significant(one.span)} times the smallest"
        if one.span is not None
        else f"{one.name}: every gradient is zero"
        for one in found
    )


def plot(found: Sequence[Gradients]) -> Points:
    """Norms over depth, a line per network; a gradient of zero has no place on this scale."""
    return Points(
        PlotAxis("layer with weights, counted from the input"),
        PlotAxis("norm of the gradient", log=True),
        tuple(
            PlotPoint(number, layer.norm, one.name, (layer.layer,), size=5.0)
            for one in found
            for number, layer in enumerate(one.layers, 1)
            if layer.norm > 0
        ),
        joined=True,
    )
