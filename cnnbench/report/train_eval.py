"""Forward passes in evaluation and in training mode -> a table: what batch norm and dropout add.

Both are counts of the same layers; layers of a type stand together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnnbench.cost_json import cost_to_json
from cnnbench.costs import CostReport, NotCounted, adding_up
from cnnbench.report.cost import notes
from cnnbench.report.table import Column, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.costs import LayerRow, Totals

    # Evaluation and training of one network.
    Pair = tuple[CostReport | NotCounted, CostReport | NotCounted]

_COLUMNS = (
    Column("type", "type"),
    Column("layers", "layers", "whole"),
    Column("eval_flops", "eval FLOPs", "count"),
    Column("train_flops", "train FLOPs", "count"),
    Column("eval_bytes", "eval bytes", "bytes"),
    Column("train_bytes", "train bytes", "bytes"),
    Column("backward_bytes", "backward bytes", "bytes", detail=1),
)
_WHAT = (
    "forward passes in evaluation and in training mode; FLOPs with biases and element-wise"
    " ones; bytes of the tensors that operators read and write, ignoring caches"
)


@dataclass(frozen=True)
class TypeRow:
    """All layers of a type.

    Attributes:
        type: class name; what modules with children do themselves is marked ``(own)``.
        layers: how many.
        eval_flops, train_flops: of the forward passes.
        eval_bytes, train_bytes: that these move.
        backward_bytes: that the backward pass moves.
    """

    type: str
    layers: int
    eval_flops: int
    train_flops: int
    eval_bytes: int
    train_bytes: int
    backward_bytes: int


def by_type(evaluation: CostReport, training: CostReport) -> list[TypeRow]:
    """A row per type, in the order in which training first reaches them; they add up."""
    before, after = _grouped(evaluation), _grouped(training)
    return [
        TypeRow(
            kind,
            len({row.name for row in (*before.get(kind, ()), *after.get(kind, ()))}),
            sum(_flops(row.totals) for row in before.get(kind, ())),
            sum(_flops(row.totals) for row in after.get(kind, ())),
            sum(_moved(row.totals) for row in before.get(kind, ())),
            sum(_moved(row.totals) for row in after.get(kind, ())),
            sum(_moved(row.backward) for row in after.get(kind, ())),
        )
        for kind in {**after, **before}
    ]


def _grouped(report: CostReport) -> dict[str, list[LayerRow]]:
    found: dict[str, list[LayerRow]] = {}
    for row in adding_up(report.layers or ()):
        kind = f"{row.type} (own)" if row.name.endswith("(own)") else row.type
        found.setdefault(kind, []).append(row)
    return found


def _flops(totals: Totals) -> int:
    return totals.flops + totals.bias_adds + totals.elementwise_flops


def _moved(totals: Totals) -> int:
    return totals.read_bytes + totals.written_bytes


def counted(pairs: Sequence[Pair]) -> list[tuple[CostReport, CostReport]]:
    """The networks that could be counted in both modes."""
    return [
        (before, after)
        for before, after in pairs
        if isinstance(before, CostReport) and isinstance(after, CostReport)
    ]


def train_eval(pairs: Sequence[Pair]) -> Table:
    """A row per type of layer, under each other with the model's name if there are several."""
    many = len(pairs) > 1
    rows: list[tuple[Any, ...]] = []
    for before, after in counted(pairs):
        name = [after.name] if many else []
        rows += [(*name, *vars(row).values()) for row in by_type(before, after)]
    columns = (*([Column("model", "model")] if many else []), *_COLUMNS)
    return Table(
        columns, tuple(rows), _captions(pairs), notes([after for _, after in pairs], memory=False)
    )


def _captions(pairs: Sequence[Pair]) -> tuple[str, ...]:
    said = {
        f"batch {after.totals.batch}, input {'x'.join(map(str, after.totals.input[0][1:]))}"
        for _, after in counted(pairs)
    }
    return (*(f"{pairs[0][1].name}, {one}" for one in said if len(pairs) == 1), _WHAT)


def both_counted(
    evaluation: Sequence[CostReport | NotCounted], training: Sequence[CostReport | NotCounted]
) -> list[CostReport | NotCounted]:
    """The counts of training; of a network that could not be evaluated, why not."""
    return [
        before if isinstance(before, NotCounted) else after
        for before, after in zip(evaluation, training, strict=True)
    ]


def to_json(before: CostReport | NotCounted, after: CostReport | NotCounted) -> dict[str, Any]:
    """A network as plain JSON; one that could not be counted with the reason."""
    if isinstance(before, NotCounted) or isinstance(after, NotCounted):
        return cost_to_json(before if isinstance(before, NotCounted) else after)
    totals = after.totals
    rows = [vars(row) for row in by_type(before, after)]
    return {"name": totals.name, "batch": totals.batch, "input": totals.input, "types": rows}
