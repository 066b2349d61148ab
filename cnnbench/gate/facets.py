"""Structural differences between two records of one spec, exact: no clock, no tolerance.

A facet is one side of a structure (operators, kernels, output shapes, …); its differences are lines
for people. What either side did not measure is not compared, and can be asked for by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnbench.errors import UnknownName
from cnnbench.gate import values
from cnnbench.record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

Lines = list[str] | None


# The facet of whether the answer is right, and the one of what the network computes.
OUTPUT, VALUES = "output", "values"


@dataclass(frozen=True)
class Difference:
    """One thing that changed.

    Attributes:
        facet: a name of ``FACETS``.
        text: what it was and what it is, on one line.
    """

    facet: str
    text: str


@dataclass(frozen=True)
class Facet:
    """One side of a structure.

    Attributes:
        name: how thresholds say it.
        lines: the differences of two records, ``None`` where one of them does not know.
        meaning: one line for documentation.
        unknown: why ``lines`` is ``None``, if that is worth a line; may be empty.
    """

    name: str
    lines: Callable[[Record, Record], Lines]
    meaning: str
    unknown: Callable[[Record, Record], str] = lambda _old, _new: ""


def _counts(title: str, old: Mapping[str, int], new: Mapping[str, int]) -> list[str]:
    """Differences of two histograms; an equal number that went and came shares a line."""
    changed = {key: (old.get(key, 0), new.get(key, 0)) for key in sorted({*old, *new})}
    gone = {key: before for key, (before, after) in changed.items() if before and not after}
    come = {key: after for key, (before, after) in changed.items() if after and not before}
    lines = [
        f"{title}: {key} {before} -> {after}"
        for key, (before, after) in changed.items()
        if before and after and before != after
    ]
    for key, count in gone.items():
        successor = next((name for name, other in come.items() if other == count), None)
        if successor is None:
            lines.append(f"{title}: {key} {count} -> none")
        else:
            lines.append(f"{title}: {key} {count} -> {successor} {come.pop(successor)}")
    return lines + [f"{title}: {key} none -> {count}" for key, count in come.items()]


def _number(title: str, old: int | None, new: int | None) -> Lines:
    if old is None or new is None:
        return None
    return [] if old == new else [f"{title}: {old} -> {new} ({new - old:+})"]


_COST_TITLES = (
    ("params", "parameters"),
    ("trainable_params", "trainable parameters"),
    ("buffers", "elements of buffers"),
    ("input_bytes", "bytes of input"),
    ("macs", "MACs"),
    ("training_macs", "training MACs"),
    ("bias_adds", "additions of biases"),
)


def _cost(old: Record, new: Record) -> Lines:
    if old.cost is None or new.cost is None:
        return None
    lines = []
    for field, title in _COST_TITLES:
        lines += _number(title, getattr(old.cost, field), getattr(new.cost, field)) or []
    flops = (old.cost.elementwise_flops, new.cost.elementwise_flops)
    if flops[0] is not None and flops[1] is not None:
        lines += _counts("element-wise FLOPs", flops[0], flops[1])
    return lines + _counts("operators without a rule", old.cost.uncounted, new.cost.uncounted)


def _histogram(field: str, title: str) -> Callable[[Record, Record], Lines]:
    def lines(old: Record, new: Record) -> Lines:
        if not _known(old, field) or not _known(new, field):
            return None
        return _counts(title, getattr(old.structure, field), getattr(new.structure, field))

    return lines


def _count(*fields: tuple[str, str]) -> Callable[[Record, Record], Lines]:
    def lines(old: Record, new: Record) -> Lines:
        if old.structure is None or new.structure is None:
            return None
        parts = [
            _number(title, getattr(old.structure, field), getattr(new.structure, field))
            for field, title in fields
        ]
        known = [part for part in parts if part is not None]
        return [line for part in known for line in part] if known else None

    return lines


def _compiled(field: str, title: str) -> Callable[[Record, Record], Lines]:
    """The difference of a number about compiled code; none where neither side compiles."""
    number = _count((field, title))

    def lines(old: Record, new: Record) -> Lines:
        plain = _known(old, field) and _known(new, field)
        if plain and getattr(old.structure, field) is getattr(new.structure, field) is None:
            return []
        return number(old, new)

    return lines


def _known(record: Record, field: str) -> bool:
    return record.structure is not None and field not in record.structure.missing


def _outputs(old: Record, new: Record) -> Lines:
    if not _known(old, "outputs") or not _known(new, "outputs"):
        return None
    before, after = old.structure.outputs, new.structure.outputs  # type: ignore[union-attr]
    return [] if before == after else [f"outputs: {_names(before)} -> {_names(after)}"]


def _names(outputs: tuple[str, ...]) -> str:
    return ", ".join(outputs) or "none"


def _check(old: Record, new: Record) -> Lines:
    if old.check is None or new.check is None:
        return None
    if old.check.status == new.check.status:
        return []
    why = f" ({new.check.reason})" if new.check.reason else ""
    return [f"output: {old.check.status} -> {new.check.status}{why}"]


# The one table of facets.
FACETS: tuple[Facet, ...] = (
    Facet("cost", _cost, "parameters, buffers, MACs, element-wise FLOPs"),
    Facet("operators", _histogram("operators", "operators"), "calls of each ATen operator"),
    Facet("kernels", _histogram("kernels", "kernels"),
          "calls of each library primitive or device kernel"),
    Facet("reorders", _count(("reorders", "layout conversions")), "layout conversions"),
    Facet("outputs", _outputs, "type and shape of the outputs"),
    Facet("allocations", _count(("allocations", "allocations"), ("allocated_bytes", "bytes")),
          "blocks allocated in a step, and their bytes"),
    Facet("graphs", _compiled("graphs", "compiled graphs"), "graphs that the compiler made"),
    Facet("graph_breaks", _histogram("graph_breaks", "graph breaks"), "where the compiler gave up"),
    Facet("recompiles", _compiled("recompiles", "recompiles"), "further compilations"),
    Facet(VALUES, values.changed, "what the network computes, within what rounding explains",
          values.unjudged),
    Facet(OUTPUT, _check, "status of the output: ok, loose, wrong"),
)  # fmt: skip


def facet(name: str) -> Facet:
    """The facet of that name.

    Raises:
        UnknownName: there is none.
    """
    table = {one.name: one for one in FACETS}
    if name not in table:
        raise UnknownName("facet", name, table)
    return table[name]


def differences(old: Record, new: Record) -> tuple[Difference, ...]:
    """All differences, in the order of ``FACETS``."""
    return tuple(Difference(one.name, text) for one in FACETS for text in one.lines(old, new) or [])


def uncompared(old: Record, new: Record) -> dict[str, str]:
    """Names of the facets that one side does not know -> why; empty if there is no more to say."""
    return {one.name: one.unknown(old, new) for one in FACETS if one.lines(old, new) is None}
