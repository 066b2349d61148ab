"""Static cost -> tables: totals of models, layers of a network, operators, cross-checks.

Takes the plain JSON that a worker's analysis answers with; knows nothing of how it was counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cnnbench import units
from cnnbench.errors import UnknownName
from cnnbench.report.table import Column, Table

Facts = Mapping[str, Any]

_TOTALS = (
    Column("name", "model"),
    Column("phase", "phase"),
    Column("batch", "batch", "whole"),
    Column("input", "input"),
    Column("params", "params", "count"),
    Column("trainable_params", "trainable", "count"),
    Column("buffers", "buffers", "count"),
    Column("macs", "MACs", "count"),
    Column("flops", "FLOPs", "count"),
    Column("mult_adds", "mult-adds", "count"),
    Column("training_macs", "training MACs", "count"),
    Column("activation_peak_bytes", "activations", "bytes"),
    Column("memory_peak_bytes", "peak memory", "bytes"),
    Column("uncounted", "uncounted"),
)

_LAYERS = (
    Column("name", "layer"),
    Column("type", "type"),
    Column("depth", "depth", "whole"),
    Column("kernel", "kernel"),
    Column("stride", "stride"),
    Column("groups", "groups", "whole"),
    Column("input", "input"),
    Column("output", "output"),
    Column("params", "params", "whole"),
    Column("mult_adds", "mult-adds", "whole"),
    Column("macs", "MACs", "whole"),
    Column("share", "share", "fraction"),
    Column("activation_bytes", "activation", "bytes"),
    Column("field", "receptive field"),
    Column("calls", "calls", "whole"),
)

_OPS = (
    Column("name", "operator"),
    Column("kind", "kind"),
    Column("calls", "calls", "whole"),
    Column("macs", "MACs", "count"),
    Column("share", "share", "fraction"),
    Column("bias_adds", "bias adds", "count"),
    Column("elementwise_flops", "element-wise FLOPs", "count"),
    Column("read_bytes", "read", "bytes"),
    Column("written_bytes", "written", "bytes"),
    Column("arithmetic_intensity", "FLOPs/byte", "number"),
)

_CHECKS = (
    Column("name", "model"),
    Column("tool", "tool"),
    Column("operators", "operators"),
    Column("ours", "our MACs", "whole"),
    Column("theirs", "their MACs", "whole"),
    Column("reason", "because the tool"),
)


def totals(facts: Sequence[Facts]) -> Table:
    """One row per model; a total that may be short says so below."""
    rows = [tuple(_cell(one, column.name) for column in _TOTALS) for one in facts]
    keep = _not_empty(rows)
    return Table(
        columns=tuple(_TOTALS[i] for i in keep),
        rows=tuple(tuple(row[i] for i in keep) for row in rows),
        captions=("MACs: multiply-accumulates of the whole batch; FLOPs are twice that",),
        notes=notes(facts),
    )


def _not_empty(rows: Sequence[tuple[Any, ...]]) -> list[int]:
    return [i for i in range(len(_TOTALS)) if any(row[i] not in (None, "") for row in rows)]


def notes(facts: Sequence[Facts]) -> tuple[str, ...]:
    """What a reader must know of each model: what was not counted, assumed, or failed."""
    lines = []
    for one in facts:
        if one.get("error"):
            lines.append(f"{one['name']}: {one['error']}")
        if one.get("uncounted"):
            short = _counts(one["uncounted"])
            lines.append(f"{one['name']}: totals may be short; without a rule: {short}")
        lines += [f"{one['name']}: {sentence}" for sentence in one.get("assumptions") or ()]
        for layer, macs in (one.get("macs_per_item") or {}).items():
            lines.append(f"{one['name']}: each item adds {macs} MACs in {layer}")
        memory = one.get("memory") or {}
        if memory.get("layer"):
            lines.append(
                f"{one['name']}: memory peaks in layer '{memory['layer']}'; the convolution"
                f" library's scratch may add {units.size(memory.get('scratch', 0))} on a CPU"
            )
    return tuple(lines)


def layers(facts: Sequence[Facts], depth: int | None, sort: str | None, top: int | None) -> Table:
    """A row per layer; without a depth the leaves, with one everything down to it.

    Raises:
        UnknownName: there is no such column to sort by.
    """
    many = len(facts) > 1
    columns = (*([Column("model", "model")] if many else []), *_LAYERS)
    rows = []
    for one in facts:
        chosen = [row for row in one.get("layers") or () if _shown(row, depth)]
        for row in _ordered(chosen, _LAYERS, sort, top):
            head = (one["name"],) if many else ()
            rows.append((*head, *(_cell(row, column.name) for column in _LAYERS)))
    return Table(columns, tuple(rows), _captions(facts), notes(facts))


def _shown(row: Facts, depth: int | None) -> bool:
    if not row["calls"]:
        return False
    if depth is None:
        return bool(row["leaf"] and (row["depth"] or row["params"]))
    return bool(row["depth"] == depth or (row["depth"] < depth and row["leaf"]))


def ops(facts: Sequence[Facts], sort: str | None, top: int | None) -> Table:
    """A row per operator type: everything of one name added up.

    Raises:
        UnknownName: there is no such column to sort by.
    """
    many = len(facts) > 1
    columns = (*([Column("model", "model")] if many else []), *_OPS)
    rows = []
    for one in facts:
        for row in _ordered(_by_operator(one), _OPS, sort or "macs", top):
            head = (one["name"],) if many else ()
            rows.append((*head, *(_cell(row, column.name) for column in _OPS)))
    return Table(columns, tuple(rows), _captions(facts), notes(facts))


_SUMMED = ("macs", "bias_adds", "elementwise_flops", "read_bytes", "written_bytes")


def _by_operator(one: Facts) -> list[dict[str, Any]]:
    table: dict[str, dict[str, Any]] = {}
    for op in one.get("ops") or ():
        name = op["name"] if op["direction"] == "forward" else f"{op['name']} (backward)"
        row = table.setdefault(
            name, {"name": name, "kind": op["kind"], "calls": 0, **dict.fromkeys(_SUMMED, 0)}
        )
        row["calls"] += 1
        for field in _SUMMED:
            row[field] += op[field]
    total = sum(row["macs"] for row in table.values())
    for row in table.values():
        row["share"] = row["macs"] / total if total else 0.0
        moved = row["read_bytes"] + row["written_bytes"]
        flops = 2 * row["macs"] + row["bias_adds"] + row["elementwise_flops"]
        row["arithmetic_intensity"] = flops / moved if moved else None
    return list(table.values())


def crosschecks(facts: Sequence[Facts]) -> Table:
    """A row per tool that agrees, and per group of operators in which it does not."""
    rows = [
        row for one in facts for check in one.get("crosschecks") or () for row in _lines(one, check)
    ]
    return Table(_CHECKS, tuple(rows), notes=notes(facts))


def _lines(one: Facts, check: Facts) -> list[tuple[Any, ...]]:
    name, tool = one["name"], check["tool"]
    if check.get("error"):
        return [(name, tool, "", None, None, check["error"])]
    head = (name, tool, "all", check["ours"], check["theirs"])
    verdict = (
        "agrees"
        if not check["differences"]
        else ("differs" if check["explained"] else "differs, unexplained")
    )
    return [
        (*head, verdict),
        *((name, tool, d["operators"], d["ours"], d["theirs"], d["reason"])
          for d in check["differences"]),
    ]  # fmt: skip


def only(table: Table, names: Sequence[str]) -> Table:
    """These columns of a table, in this order; every column if none is named.

    Raises:
        UnknownName: there is no such column.
    """
    places = {column.name: place for place, column in enumerate(table.columns)}
    for name in names:
        if name not in places:
            raise UnknownName("column", name, places)
    chosen = [places[name] for name in names] or list(places.values())
    return replace(
        table,
        columns=tuple(table.columns[place] for place in chosen),
        rows=tuple(tuple(row[place] for place in chosen) for row in table.rows),
    )


def _captions(facts: Sequence[Facts]) -> tuple[str, ...]:
    if len(facts) != 1 or "input" not in facts[0]:
        return ()
    one = facts[0]
    return (f"{one['name']}, {one['phase']}, input {_cell(one, 'input')}",)


def _ordered(
    rows: Sequence[Facts], columns: Sequence[Column], sort: str | None, top: int | None
) -> Sequence[Facts]:
    if sort is not None:
        known = [column.name for column in columns]
        if sort not in known:
            raise UnknownName("column", sort, known)
        numbers = all(isinstance(row.get(sort), (int, float, type(None))) for row in rows)
        # Numbers from large to small, because that is what one looks for; text as in a dictionary.
        rows = sorted(rows, key=lambda row: (row.get(sort) or 0) if numbers else str(row.get(sort)),
                      reverse=numbers)  # fmt: skip
    return rows if top is None else rows[:top]


def _cell(row: Facts, name: str) -> Any:
    value = row.get(name)
    if name == "field":
        return _field(value)
    if isinstance(value, Mapping):
        return _counts(value)
    if isinstance(value, list):
        return (
            ", ".join(map(_shape, value)) if value and isinstance(value[0], list) else _shape(value)
        )
    return value


def _shape(value: Sequence[Any]) -> str:
    return "x".join(map(str, value))


def _field(value: Facts | None) -> str | None:
    if value is None:
        return None
    if value["size"] is None:
        return "everything"
    return "x".join(f"{size:g}" for size in value["size"])


def _counts(value: Mapping[str, int]) -> str:
    return ", ".join(f"{name} x{count}" for name, count in value.items())
