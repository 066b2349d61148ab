"""The rows of a profile: what each module took, what ran in it, and how rows join."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cnnbench.profile import LayerCost, Primitive

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cnnbench.profile import Profile, Scope

# Operators that call a library's primitives.
_CALLING = re.compile(r"aten::_?(mkldnn_)?(conv|linear|addmm|mm|b?addbmm|bmm|matmul)\w*")


@dataclass(frozen=True)
class Layer:
    """A row of the layer table: times, static facts and primitives of one module or subtree.

    Attributes:
        name, type, calls, forward_ns, backward_ns: as in ``Scope``, subtree added up.
        macs, bytes: of both passes; ``None`` if they were not counted.
        primitives: what ran in it; ``None`` if that is not known.
        heaviest: its operator or kernel that took longest, as the profiler names it.
        scopes: how many modules the row stands for.
        kernel_ns: of device kernels in its forward pass; ``None`` on a CPU.
        faults: pages that are mapped anew in it, per step.
    """

    name: str
    type: str
    calls: int
    forward_ns: float
    backward_ns: float
    macs: int | None = None
    bytes: int | None = None
    primitives: tuple[Primitive, ...] | None = None
    heaviest: str = ""
    scopes: int = 1
    kernel_ns: float | None = None
    faults: float = 0.0

    @property
    def ns(self) -> float:
        """Forward and backward."""
        return self.forward_ns + self.backward_ns

    @property
    def flops_per_s(self) -> float | None:
        """Achieved FLOP/s (two per multiply-accumulate); ``None`` without multiplications."""
        return 2e9 * self.macs / self.ns if self.macs and self.ns > 0 else None

    @property
    def reorder_share(self) -> float | None:
        """Share of its primitives' time that conversions of layout took."""
        total = sum(one.ns for one in self.primitives or ())
        if not total:
            return None
        return sum(one.ns for one in self.primitives or () if one.kind == "reorder") / total

    @property
    def kernels(self) -> str:
        """Library primitives that ran, each once, reorders left out; the heaviest operator.

        The operator stands alone where no primitive is known, and first where primitives took less
        than half of the time and it is none of those that call them. An empty text if neither is
        known.
        """
        known = self.primitives or ()
        ran = [f"{p.kind} {p.implementation}" for p in known if p.kind != "reorder"]
        inside = sum(p.ns for p in known)
        if ran and (2 * inside >= self.ns or _CALLING.fullmatch(self.heaviest)):
            return ", ".join(dict.fromkeys(ran))
        return ", ".join(dict.fromkeys(filter(None, [self.heaviest, *ran])))


def layer_rows(profile: Profile, depth: int | None = None) -> tuple[Layer, ...]:
    """A row per module that did something itself; below ``depth`` modules join their ancestor."""
    if profile.layers is None:
        return ()
    costs = None if profile.costs is None else {cost.name: cost for cost in profile.costs}
    heaviest = {} if profile.trace is None else profile.trace.heaviest
    kernels = {} if profile.trace is None else profile.trace.kernel_ns
    rows: dict[str, Layer] = {}
    for scope in profile.layers.scopes:
        name = shortened(scope.name, depth)
        row = _layer(scope, costs, profile.primitives, heaviest.get(scope.name, ""))
        row = replace(
            row,
            kernel_ns=kernels.get(scope.name, 0.0) if kernels else None,
            faults=profile.layers.faults.get(scope.name, 0.0),
        )
        rows[name] = _joined(rows[name], row) if name in rows else replace(row, name=name)
    return tuple(rows.values())


def shortened(name: str, depth: int | None) -> str:
    """The ancestor of a path at a depth: ``layer1.0.conv1`` at 1 is ``layer1``."""
    return name if depth is None else ".".join(name.split(".")[:depth])


def _layer(
    scope: Scope,
    costs: Mapping[str, LayerCost] | None,
    primitives: tuple[Primitive, ...] | None,
    heaviest: str,
) -> Layer:
    cost = None if costs is None else costs.get(scope.name, LayerCost(scope.name))
    ran = None if primitives is None else tuple(p for p in primitives if p.scope == scope.name)
    return Layer(
        name=scope.name,
        type=scope.type,
        calls=scope.calls,
        forward_ns=scope.forward_ns,
        backward_ns=scope.backward_ns,
        macs=None if cost is None else cost.forward_macs + cost.backward_macs,
        bytes=None if cost is None else cost.forward_bytes + cost.backward_bytes,
        primitives=ran,
        heaviest=heaviest,
    )


def _joined(left: Layer, right: Layer) -> Layer:
    """Two rows as one; the first, which is the outer one, gives name, type and calls."""
    return replace(
        left,
        forward_ns=left.forward_ns + right.forward_ns,
        backward_ns=left.backward_ns + right.backward_ns,
        macs=_sum(left.macs, right.macs),
        bytes=_sum(left.bytes, right.bytes),
        heaviest=left.heaviest if left.ns >= right.ns else right.heaviest,
        primitives=None
        if left.primitives is None or right.primitives is None
        else left.primitives + right.primitives,
        scopes=left.scopes + right.scopes,
        kernel_ns=None if right.kernel_ns is None else (left.kernel_ns or 0.0) + right.kernel_ns,
        faults=left.faults + right.faults,
    )


def _sum(left: int | None, right: int | None) -> int | None:
    return None if left is None or right is None else left + right


def joined(rows: Sequence[Layer], name: str) -> Layer:
    """Several rows as one of another name."""
    first = replace(rows[0], name=name, type="", calls=sum(row.calls for row in rows))
    for row in rows[1:]:
        first = _joined(first, row)
    return first
