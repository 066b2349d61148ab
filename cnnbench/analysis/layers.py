"""Rows per operator and per module, made from a recording on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    """Every module in registration order, the network itself first."""
    own: dict[tuple[int, bool], list[Raw]] = {}
    for row in recording.rows:
        own.setdefault((row.layer, row.backward), []).append(row)
    forward = _inclusive(recording.stack.names, own, backward=False)
    backward = _inclusive(recording.stack.names, own, backward=True)
    fields = _output_fields(recording)
    seen: set[int] = set()
    return tuple(
        _row(recording, index, forward[index], backward[index], fields[index], seen)
        for index in range(len(recording.stack.names))
    )


def _inclusive(
    names: list[str], own: dict[tuple[int, bool], list[Raw]], *, backward: bool
) -> list[Totals]:
    """Totals of each module with its children's, children first."""
    index = {name: place for place, name in enumerate(names)}
    result = [totals(own.get((place, backward), ())) for place in range(len(names))]
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
    forward: Totals,
    backward: Totals,
    field: Field | None,
    seen: set[int],
) -> LayerRow:
    stack = recording.stack
    module, name = stack.modules[index], stack.names[index]
    parameters = list(module.parameters())
    own = list(module.parameters(recurse=False))
    shared = sum(p.numel() for p in own if id(p) in seen)
    seen.update(id(p) for p in own)
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
        own_params=sum(p.numel() for p in own),
        shared_params=shared,
        buffers=sum(b.numel() for b in module.buffers()),
        totals=forward,
        backward=backward,
        activation_bytes=stack.output_bytes[index],
        field=field,
    )
