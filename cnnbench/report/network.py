"""A network of the convolution lab -> tables: the time of its layers, the gain of changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnnbench import metrics, units
from cnnbench.report.table import Column, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.conv.layers import Share
    from cnnbench.conv.network import Network, NetworkOutcome
    from cnnbench.report.table import Value
    from cnnbench.stats import Estimate

_SHARES = (
    Column("layer", "layer"),
    Column("input", "input"),
    Column("calls", "calls", "whole"),
    Column("call_s", "one call", "seconds"),
    Column("all_s", "all calls", "seconds"),
    Column("share", "share", "fraction"),
    Column("where", "first in", detail=1),
)

_OUTCOMES = (
    Column("kind", "class"),
    Column("change", "change"),
    Column("predicted_s", "predicted", "seconds", detail=1),
    Column("measured_s", "measured", "seconds", detail=1),
    Column("predicted_gain", "predicted gain", "ratio"),
    Column("speedup", "measured gain", "ratio"),
    Column("status", "output"),
)


def title(network: Network) -> str:
    """The network and where it ran."""
    spec = (
        network.eager.spec if network.eager is not None else next(iter(network.whole.values())).spec
    )
    return (
        f"{spec.workload.architecture}, batch {spec.workload.batch}, {spec.device.text},"
        f" {units.number(spec.threads, 'thread')}"
    )


def shares(network: Network) -> Table:
    """Every layer with its count and its share of the network's time, in plain eager."""
    found = network.shares
    known = [one.fraction for one in found if one.fraction is not None]
    taken = f"; its convolutions take {units.percent(sum(known))} of it" if known else ""
    whole = network.eager
    time = metrics.latency(whole) if whole is not None else None
    took = "not measured" if time is None else units.seconds(time.point)
    left = network.extraction.left_out
    notes = [f"not in the lab: {calls} x {name}" for name, calls in left.items()]
    return Table(
        _SHARES,
        tuple(_share(one) for one in found),
        (f"{title(network)}: {took} in eager{taken}",),
        tuple(notes),
    )


def _share(one: Share) -> tuple[Value, ...]:
    layer = one.layer
    call = None if one.seconds is None else one.seconds / layer.count
    shape = "x".join(map(str, layer.input))
    where = layer.where[0] if layer.where else ""
    return layer.architecture, shape, layer.count, call, one.seconds, one.fraction, where


def outcomes(network: Network, found: Sequence[NetworkOutcome]) -> Table:
    """Gains predicted by Amdahl's law from the layers, and measured on the changed network."""
    notes = [
        f"{one.change.kind} {_change(one)}: {'; '.join(one.change.mode.implementation.split(';'))}"
        for one in found
        if one.change.layers
    ]
    notes += [
        f"{_change(one)}: {one.after.reason}" for one in found if one.after and one.after.reason
    ]
    caption = f"{title(network)}: changes that need no training, predicted and measured"
    return Table(_OUTCOMES, tuple(_outcome(one) for one in found), (caption,), tuple(notes))


def _change(one: NetworkOutcome) -> str:
    mode = one.change.mode
    if not one.change.layers:
        return mode.text
    rest = "" if mode.memory_format == "contiguous" else f" in {mode.memory_format}"
    layers = units.number(one.change.layers, "layer")
    return f"{layers} by other implementations{rest}"


def _outcome(one: NetworkOutcome) -> tuple[Value | Estimate, ...]:
    predicted = one.change.predicted
    return (
        one.change.kind,
        _change(one),
        None if predicted is None else predicted.time,
        None if one.after is None else metrics.latency(one.after),
        None if predicted is None else predicted.gain,
        one.gain,
        "not measured" if one.after is None else one.after.status,
    )


def to_dict(network: Network, found: Sequence[NetworkOutcome]) -> dict[str, Any]:
    """The same for machines: seconds and fractions, intervals where there are some."""
    spec = next(iter(network.whole.values())).spec
    time = metrics.latency(network.eager) if network.eager is not None else None
    return {
        "model": spec.workload.architecture,
        "batch": spec.workload.batch,
        "device": spec.device.text,
        "threads": spec.threads,
        **_bounds("latency", "_s", time),
        "layers": [_share_dict(one) for one in network.shares],
        "not_in_the_lab": dict(network.extraction.left_out),
        "changes": [_outcome_dict(one) for one in found],
    }


def _share_dict(one: Share) -> dict[str, Any]:
    names = ("layer", "input", "calls", "call_s", "all_calls_s", "share", "first_in")
    return dict(zip(names, _share(one), strict=True))


def _outcome_dict(one: NetworkOutcome) -> dict[str, Any]:
    predicted, after = one.change.predicted, one.after
    return {
        "class": one.change.kind,
        "change": _change(one),
        "mode": one.change.mode.text,
        **_bounds("predicted", "_s", None if predicted is None else predicted.time),
        **_bounds("measured", "_s", None if after is None else metrics.latency(after)),
        **_bounds("predicted_gain", "", None if predicted is None else predicted.gain),
        **_bounds("measured_gain", "", one.gain),
        "status": "not measured" if after is None else after.status,
        "reason": "" if after is None else after.reason,
    }


def _bounds(name: str, unit: str, value: Estimate | None) -> dict[str, float | None]:
    found = (None, None, None) if value is None else (value.point, value.low, value.high)
    names = (f"{name}{unit}", f"{name}_low{unit}", f"{name}_high{unit}")
    return dict(zip(names, found, strict=True))
