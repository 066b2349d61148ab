"""Static cost -> tables: totals of models, layers of a network, operators.

Knows nothing of how it was counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from cnnbench import catalogue, cost_text, units
from cnnbench.costs import (
    CostReport,
    CostTotals,
    LayerRow,
    NotCounted,
    Totals,
    adding_up,
)
from cnnbench.errors import UnknownName
from cnnbench.report.cost_cells import cell, counts
from cnnbench.report.fitting import STAYS
from cnnbench.report.table import Column, Table
from cnnbench.spec import Mode

Found = Sequence[CostReport | NotCounted]
Row = TypeVar("Row")
# A column, and what of a row stands in it.
Columns = tuple[tuple[Column, Callable[[Row], Any]], ...]


@dataclass(frozen=True)
class _LayerShare:
    """A layer, its share of the network's multiply-accumulates, and whether the phase trains."""

    row: LayerRow
    share: float
    trains: bool

    def backward(self, value: int) -> int | None:
        """A count of the backward pass, if there is one."""
        return value if self.trains else None


@dataclass(frozen=True)
class _OperatorSum:
    """All calls of an operator in one direction, and their share of multiply-accumulates."""

    name: str
    kind: str
    sums: Totals
    share: float = 0.0


_TOTALS: Columns[CostTotals] = (
    (Column("name", "model"), lambda one: one.name),
    (Column("phase", "phase", detail=1), lambda one: one.phase),
    (Column("mode", "mode"), lambda one: _unusual(one)),
    (Column("batch", "batch", "whole", detail=1), lambda one: one.batch),
    (Column("input", "input", detail=1), lambda one: one.input),
    (Column("depth", "depth", "whole"), lambda one: one.depth),
    (Column("params", "params", "count"), lambda one: one.params),
    (Column("trainable_params", "trainable", "count", detail=2), lambda one: one.trainable_params),
    (Column("trained", "trained"), lambda one: one.trained),
    (Column("buffers", "buffers", "count", detail=3), lambda one: one.buffers),
    (Column("macs", "MACs", "count"), lambda one: one.macs),
    (Column("flops", "FLOPs", "count", detail=2), lambda one: one.inference.flops),
    (Column("mult_adds", "mult-adds", "count", detail=2), lambda one: one.inference.mult_adds),
    (
        Column("elementwise_flops", "element-wise FLOPs", "count"),
        lambda one: one.inference.elementwise_flops,
    ),
    (Column("forward_macs", "forward MACs", "count", detail=1), lambda one: one.forward_macs),
    (Column("training_macs", "training MACs", "count"), lambda one: one.training_macs),
    (
        Column("activation_peak_bytes", "activations", "bytes", detail=2),
        lambda one: one.memory.activations,
    ),
    (
        Column("saved_bytes", "kept for backward", "bytes"),
        lambda one: one.memory.saved if one.backward is not None else None,
    ),
    (Column("memory_peak_bytes", "peak memory", "bytes"), lambda one: one.memory.peak),
    (Column("uncounted", "uncounted"), lambda one: one.uncounted),
)

# What is looked for in a layer stays longest on a narrow line: its work and its share of it.
_LAYERS: Columns[_LayerShare] = (
    (Column("name", "layer"), lambda one: one.row.name),
    (Column("type", "type", detail=3), lambda one: one.row.type),
    (Column("depth", "depth", "whole", detail=7), lambda one: one.row.depth),
    (Column("kernel", "kernel", detail=5), lambda one: one.row.kernel),
    (Column("stride", "stride", detail=6), lambda one: one.row.stride),
    (Column("groups", "groups", "whole", detail=7), lambda one: one.row.groups),
    (Column("input", "input", detail=6), lambda one: one.row.input),
    (Column("output", "output", detail=4), lambda one: one.row.output),
    (Column("params", "params", "whole", detail=1), lambda one: one.row.params),
    (Column("mult_adds", "mult-adds", "whole", detail=7), lambda one: one.row.totals.mult_adds),
    (Column("macs", "MACs", "whole"), lambda one: one.row.totals.macs),
    (Column("backward_macs", "backward MACs", "whole", detail=2),
     lambda one: one.backward(one.row.backward.macs)),
    (Column("share", "share", "fraction"), lambda one: one.share),
    (Column("activation_bytes", "activation", "bytes", detail=6),
     lambda one: one.row.activation_bytes),
    (Column("field", "receptive field", detail=6), lambda one: one.row.field),
    (Column("calls", "calls", "whole", detail=8), lambda one: one.row.calls),
    (Column("flops", "FLOPs", "whole"), lambda one: one.row.totals.flops),
    (Column("elementwise_flops", "element-wise FLOPs", "whole"),
     lambda one: one.row.totals.elementwise_flops),
    (Column("read_bytes", "read", "bytes"), lambda one: one.row.totals.read_bytes),
    (Column("written_bytes", "written", "bytes"), lambda one: one.row.totals.written_bytes),
    (Column("backward_read_bytes", "backward read", "bytes"),
     lambda one: one.backward(one.row.backward.read_bytes)),
    (Column("backward_written_bytes", "backward written", "bytes"),
     lambda one: one.backward(one.row.backward.written_bytes)),
)  # fmt: skip
# Columns of totals that count the inference pass whatever the phase.
_INFERENCE = frozenset({"macs", "flops", "mult_adds", "elementwise_flops"})
# What is trained of networks that train as a whole, and details of columns where they do not.
_WHOLE = ("", "everything")
_OF_A_PART = {"trainable_params": 0, "depth": 2, "macs": 1}
# Facts of the catalogue.
_PUBLISHED = {
    "top1": Column("top1", "top-1 %", "number"),
    "top5": Column("top5", "top-5 %", "number"),
    "weights": Column("weights", "weights"),
}
# Too wide for a terminal: shown in CSV, and where somebody asks for them.
_ON_REQUEST = frozenset(
    {"flops", "elementwise_flops", "read_bytes", "written_bytes", "backward_read_bytes",
     "backward_written_bytes", "saved_bytes"}
)  # fmt: skip

_OPS: Columns[_OperatorSum] = (
    (Column("name", "operator"), lambda one: one.name),
    (Column("kind", "kind"), lambda one: one.kind),
    (Column("calls", "calls", "whole"), lambda one: one.sums.calls),
    (Column("macs", "MACs", "count"), lambda one: one.sums.macs),
    (Column("share", "share", "fraction"), lambda one: one.share),
    (Column("bias_adds", "bias adds", "count"), lambda one: one.sums.bias_adds),
    (Column("elementwise_flops", "element-wise FLOPs", "count"),
     lambda one: one.sums.elementwise_flops),
    (Column("read_bytes", "read", "bytes"), lambda one: one.sums.read_bytes),
    (Column("written_bytes", "written", "bytes"), lambda one: one.sums.written_bytes),
    (Column("arithmetic_intensity", "FLOPs/byte", "number"),
     lambda one: one.sums.arithmetic_intensity),
)  # fmt: skip


def published(one: CostTotals, *, arguments: bool) -> dict[str, Any]:
    """What a network's publisher states of its accuracy, and of which weights; ``None``: nothing.

    Args:
        one: what was counted.
        arguments: whether the builder was given any.
    """
    shape = one.input[0][1:] if len(one.input) == 1 else ()
    row = catalogue.published(one.name, shape, one.phase, arguments=arguments)
    return {fact: getattr(row, fact, None) for fact in _PUBLISHED}


def totals(found: Found, *, arguments: bool = False) -> Table:
    """One row per model; a note marks a total that may be too low.

    Args:
        found: what was counted.
        arguments: whether the builders were given any.
    """
    rows = [_totals(one, arguments=arguments) for one in found]
    columns = (*(column for column, _ in _TOTALS), *_PUBLISHED.values())
    partly = any(isinstance(one, CostReport) and one.totals.trained not in _WHOLE for one in found)
    keep = [
        i
        for i, column in enumerate(columns)
        if column.name in _PUBLISHED or any(row[i] not in (None, "") for row in rows)
    ]
    trains = any(isinstance(one, CostReport) and one.totals.backward for one in found)
    return Table(
        columns=tuple(_of_pass(columns[i], trains=trains, partly=partly) for i in keep),
        rows=tuple(tuple(row[i] for i in keep) for row in rows),
        captions=(
            "MACs: multiply-accumulates of the whole batch; FLOPs are twice that",
            *((_PASSES,) if trains else ()),
        ),
        notes=notes(found),
    )


_PASSES = (
    "forward MACs: of a training step, with heads that run in training only;"
    " training MACs: forward and backward"
)


def _of_pass(column: Column, *, trains: bool, partly: bool) -> Column:
    """The column; its heading says which pass it counts, its detail what matters of a part."""
    if partly:
        column = replace(column, detail=_OF_A_PART.get(column.name, column.detail))
    if trains and column.name in _INFERENCE:
        return replace(column, title=f"inference {column.title}")
    return column


def _totals(one: CostReport | NotCounted, *, arguments: bool) -> tuple[Any, ...]:
    if isinstance(one, NotCounted):
        return (one.name, *[None] * (len(_TOTALS) + len(_PUBLISHED) - 1))
    counted = [cell(value(one.totals)) for _, value in _TOTALS]
    return (*counted, *published(one.totals, arguments=arguments).values())


def notes(found: Found, *, memory: bool = True) -> tuple[str, ...]:
    """Notes on each model: what was not counted, what was assumed, what failed, and its peak."""
    names = [one.name for one in found]
    return tuple(
        f"{_told_apart(one, names)}: {said}" for one in found for said in _sentences(one, memory)
    )


def _told_apart(one: CostReport | NotCounted, names: Sequence[str]) -> str:
    """A network's name, and what of it is trained where the name alone stands for several rows."""
    trained = one.totals.trained if isinstance(one, CostReport) else ""
    several = names.count(one.name) > 1 and trained
    return f"{one.name}, training {trained}" if several else one.name


def _sentences(one: CostReport | NotCounted, peak: bool) -> Iterable[str]:
    if isinstance(one, NotCounted):
        yield one.error
        return
    counted, memory = one.totals, one.totals.memory
    if counted.uncounted:
        yield f"totals may be too low; operators without a rule: {counts(counted.uncounted)}"
    yield from counted.assumptions
    for slope in counted.slopes:
        yield f"each item adds {slope.macs} MACs in {slope.layer}"
    if peak and memory.layer:
        yield (
            f"memory peaks in layer '{memory.layer}'; what kernels hold"
            f" inside may add {units.size(memory.scratch)} on a CPU"
        )


def layers(found: Found, depth: int | None, sort: str | None, top: int | None) -> Table:
    """A row per layer: all leaves, or with a depth everything down to it; they add up.

    Raises:
        UnknownName: there is no such column to sort by.
    """

    def rows(one: CostReport) -> list[_LayerShare]:
        trains = one.totals.backward is not None
        return [
            _LayerShare(row, row.share(one.totals.forward.macs), trains)
            for row in adding_up(one.layers or (), depth)
        ]

    table = _table(found, _LAYERS, rows, sort, top)
    sums = [_sums(one) for one in found if isinstance(one, CostReport)]
    return replace(table, captions=(*table.captions, *(sums if len(sums) == 1 else ())))


def _sums(one: CostReport) -> str:
    parts = {"params": one.totals.params, "MACs": one.totals.forward.macs}
    if one.totals.backward is not None:
        parts["backward MACs"] = one.totals.backward.macs
    listed = [f"{count} {name}" for name, count in parts.items()]
    return f"all rows, not only the first, add up to {', '.join(listed)}"


def ops(found: Found, sort: str | None, top: int | None) -> Table:
    """A row per operator type, summed over all calls.

    Raises:
        UnknownName: there is no such column to sort by.
    """
    return _table(found, _OPS, _by_operator, sort or "macs", top)


def _by_operator(one: CostReport) -> list[_OperatorSum]:
    table: dict[str, _OperatorSum] = {}
    for op in one.ops or ():
        name = op.name if op.direction == "forward" else f"{op.name} (backward)"
        row = table.get(name, _OperatorSum(name, op.kind, Totals()))
        sums = Totals(
            row.sums.calls + 1,
            row.sums.macs + op.macs,
            row.sums.bias_adds + op.bias_adds,
            row.sums.read_bytes + op.read_bytes,
            row.sums.written_bytes + op.written_bytes,
            {op.kind: row.sums.elementwise_flops + op.elementwise_flops},
        )
        table[name] = replace(row, sums=sums)
    total = sum(row.sums.macs for row in table.values())
    return [replace(row, share=row.sums.macs / total if total else 0.0) for row in table.values()]


def with_footer(table: Table, found: Found) -> Table:
    """The table with the sizes that torchinfo prints below its own."""
    many = len(found) > 1
    notes = [
        f"{one.name}: {line}" if many else line
        for one in found
        if isinstance(one, CostReport)
        for line in cost_text.footer(one.totals, one.layers or ())
    ]
    return replace(table, notes=(*table.notes, *notes))


def _table(
    found: Found,
    columns: Columns[Row],
    rows: Callable[[CostReport], Sequence[Row]],
    sort: str | None,
    top: int | None,
) -> Table:
    """The rows of every model under each other, with the model's name if there are several."""
    many = len(found) > 1
    lines = [
        (*([one.name] if many else []), *(cell(value(row)) for _, value in columns))
        for one in found
        if isinstance(one, CostReport)
        for row in _ordered(rows(one), columns, sort, top)
    ]
    shown = (*([Column("model", "model")] if many else []), *(column for column, _ in columns))
    return Table(shown, tuple(lines), _captions(found), notes(found))


def only(table: Table, words: Sequence[str], *, for_people: bool = True) -> Table:
    """These columns of a table, by name or heading, in this order; if none is named the usual ones.

    Raises:
        UnknownName: there is no such column.
    """
    columns = table.columns
    chosen = [columns.index(_named(word, columns)) for word in words] or [
        place
        for place, column in enumerate(columns)
        if not for_people
        or not (column.name in _ON_REQUEST | _PUBLISHED.keys() or _is_empty(table, place))
    ]
    shown = tuple(columns[place] for place in chosen)
    return replace(
        table,
        columns=tuple(replace(one, detail=STAYS) for one in shown) if words else shown,
        rows=tuple(tuple(row[place] for place in chosen) for row in table.rows),
    )


def _is_empty(table: Table, place: int) -> bool:
    name, values = table.columns[place].name, {row[place] for row in table.rows}
    idle = (name.startswith("backward"), {None}), (name == "trained", {None, *_WHOLE})
    return bool(values) and any(one and values <= nothing for one, nothing in idle)


def _named(word: str, columns: Sequence[Column]) -> Column:
    """The column of a name or of the heading that tables print."""
    asked = word.casefold()
    for column in columns:
        if asked == column.title.casefold() or asked.replace("-", "_") == column.name.casefold():
            return column
    names = [column.name for column in columns]
    raise UnknownName("column", word, names, f"(columns: {', '.join(names)})")


def _captions(found: Found) -> tuple[str, ...]:
    if len(found) != 1 or isinstance(found[0], NotCounted):
        return ()
    one = found[0].totals
    mode = f"mode {one.mode}, " if _unusual(one) else ""
    return (f"{one.name}, {one.phase}, {mode}input {cell(one.input)}",)


def _unusual(one: CostTotals) -> str:
    """The mode, where it is not the plain one."""
    return "" if one.mode == Mode().text else one.mode


def _ordered(
    rows: Sequence[Row], columns: Columns[Row], sort: str | None, top: int | None
) -> Sequence[Row]:
    if sort is not None:
        name = sort.removeprefix("-")
        by = dict(columns)[_named(name, [column for column, _ in columns])]
        numbers = all(isinstance(by(row), (int, float, type(None))) for row in rows)
        # Numbers from large to small, because that is what one looks for; text as in a dictionary.
        rows = sorted(rows, key=lambda row: (by(row) or 0) if numbers else str(by(row)),
                      reverse=numbers or name != sort)  # fmt: skip
    return rows if top is None else rows[:top]
