"""Rows per operator and per module, made from a recording on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from cnnbench.analysis import receptive
from cnnbench.costs import Field, LayerRow, OpRow, Totals

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

    from cnnbench.analysis.passes import Recording
    from cnnbench.analysis.storages import Seen
    from cnnbench.analysis.trace import Raw


def totals(rows: Iterable[Raw]) -> Totals:
    """Sums over recorded operators; views are not calls."""
    calls = macs = bias = read = written = 0
    elementwise: dict[str, int] = {}
    for row in rows:
        kind = row.plan.rule.kind
        if kind == "view":
            continue
        calls += 1
        macs += row.macs
        bias += row.bias
        read += row.read_bytes
        written += row.written_bytes
        if row.flops:
            elementwise[kind] = elementwise.get(kind, 0) + row.flops
    return Totals(calls, macs, bias, read, written, elementwise)


def add(left: Totals, right: Totals) -> Totals:
    """The sum of two totals."""
    classes = {*left.elementwise, *right.elementwise}
    return Totals(
        left.calls + right.calls,
        left.macs + right.macs,
        left.bias_adds + right.bias_adds,
        left.read_bytes + right.read_bytes,
        left.written_bytes + right.written_bytes,
        {
            name: left.elementwise.get(name, 0) + right.elementwise.get(name, 0)
            for name in sorted(classes)
        },
    )


def op_rows(recording: Recording) -> tuple[OpRow, ...]:
    """Every executed operator in order, views included."""
    fields, _ = receptive.follow(recording.rows, recording.inputs, {})
    names = recording.stack.names
    return tuple(
        OpRow(
            name=row.plan.operator,
            layer=names[row.layer],
            direction="backward" if row.backward else "forward",
            kind=row.plan.rule.kind,
            macs=row.macs,
            bias_adds=row.bias,
            elementwise_flops=row.flops,
            read_bytes=row.read_bytes,
            written_bytes=row.written_bytes,
            output=tuple(row.output),
            counted=row.plan.rule.kind != "unknown",
            field=field,
        )
        for row, field in zip(recording.rows, fields, strict=True)
    )


def layer_rows(recording: Recording) -> tuple[LayerRow, ...]:
    """Every place of a module in registration order, the network itself first."""
    stack = recording.stack
    forward, backward = _own(recording, backward=False), _own(recording, backward=True)
    sums = _inclusive(stack.names, forward), _inclusive(stack.names, backward)
    fields = _output_fields(recording)
    order = stack.places.in_order()
    first = _first_owners(stack.modules, order)
    return tuple(
        _row(recording, place, _Sums(forward[place], backward[place], sums[0][place],
                                     sums[1][place]), fields[place], first, position)
        for position, place in enumerate(order)
    )  # fmt: skip


class _Sums(NamedTuple):
    """Sums of one place: its own operators, and with those of its children."""

    own: Totals
    own_backward: Totals
    forward: Totals
    backward: Totals


def _own(recording: Recording, *, backward: bool) -> list[Totals]:
    """What each place does itself."""
    rows: list[list[Raw]] = [[] for _ in recording.stack.names]
    for row in recording.rows:
        if row.backward is backward:
            rows[row.layer].append(row)
    return [totals(own) for own in rows]


def _first_owners(modules: list[nn.Module], order: list[int]) -> dict[int, int]:
    """Parameter -> where in the order its first owner stands."""
    first: dict[int, int] = {}
    for position, place in enumerate(order):
        for parameter in modules[place].parameters(recurse=False):
            first.setdefault(id(parameter), position)
    return first


def _inclusive(names: list[str], own: list[Totals]) -> list[Totals]:
    """Totals of each place with its children's, children first."""
    index = {name: place for place, name in enumerate(names)}
    result = list(own)
    for place in range(len(names) - 1, 0, -1):
        parent = names[place].rpartition(".")[0]
        result[index[parent]] = add(result[index[parent]], result[place])
    return result


def _output_fields(recording: Recording) -> list[Field | None]:
    """The receptive field of each module's output when it returned."""
    stack = recording.stack
    asked: dict[int, list[Seen]] = {}
    for view, op in zip(stack.output_seen, stack.output_op, strict=True):
        if view is not None:
            asked.setdefault(op, []).append(view)
    _, fields = receptive.follow(recording.rows, recording.inputs, asked)
    looked = zip(stack.output_seen, stack.output_op, strict=True)
    return [fields.get((view, op)) if view is not None else None for view, op in looked]


_GEOMETRY = ("kernel_size", "stride", "padding", "dilation")


def _geometry(module: nn.Module) -> list[Any]:
    """Kernel, stride, padding and dilation as tuples, where the module has them."""
    found: list[Any] = []
    for name in _GEOMETRY:
        value = getattr(module, name, None) if hasattr(module, "kernel_size") else None
        if isinstance(value, int):
            value = (value,) * _axes(module)
        fits = isinstance(value, str) or (
            isinstance(value, (tuple, list)) and all(isinstance(item, int) for item in value)
        )
        found.append(value if isinstance(value, str) else tuple(value) if fits and value else None)
    return found


def _axes(module: nn.Module) -> int:
    digits = [int(letter) for letter in type(module).__name__ if letter in "123"]
    return digits[-1] if digits else 1


def _row(
    recording: Recording,
    index: int,
    sums: _Sums,
    field: Field | None,
    first: dict[int, int],
    position: int,
) -> LayerRow:
    stack = recording.stack
    module, name = stack.modules[index], stack.names[index]
    parameters = list(module.parameters())
    own = module.parameters(recurse=False)
    kernel, stride, padding, dilation = _geometry(module)
    groups = getattr(module, "groups", None)
    taken, given = stack.inputs[index], stack.outputs[index]
    return LayerRow(
        name=name,
        type=type(module).__name__,
        depth=name.count(".") + 1 if name else 0,
        leaf=not any(True for _ in module.children()),
        calls=stack.calls[index],
        input=tuple(taken) if taken is not None else None,
        output=tuple(given) if given is not None else None,
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups if isinstance(groups, int) else None,
        params=sum(p.numel() for p in parameters),
        trainable_params=sum(p.numel() for p in parameters if p.requires_grad),
        own_params=sum(p.numel() for p in own if first[id(p)] == position),
        shared_params=sum(p.numel() for p in parameters if first[id(p)] < position),
        buffers=sum(b.numel() for b in module.buffers()),
        totals=sums.forward,
        backward=sums.backward,
        activation_bytes=stack.output_bytes[index],
        field=field,
        own=sums.own,
        own_backward=sums.own_backward,
    )
