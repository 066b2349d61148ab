"""What the pretended executor says of networks: made-up but repeatable counts."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from cnnbench.catalogue import TIMM, CatalogueEntry, is_glob
from cnnbench.conv.layers import ConvLayer, Extraction
from cnnbench.costs import (
    CostReport,
    CostTotals,
    CrossCheck,
    Field,
    LayerRow,
    OpRow,
    Totals,
    TracedMemory,
)
from cnnbench.gradients import Gradients, LayerGradient
from cnnbench.prediction.operators import (
    OperatorCall,
    OperatorTime,
    OperatorTrace,
    TensorLayout,
    TracedCall,
    TracedNetwork,
)
from cnnbench.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cnnbench.requests import ReportCost, TakeGradients


def digest(text: str) -> int:
    """A number that follows from a text."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)


def report(request: ReportCost) -> CostReport:
    """A network of one convolution."""
    size = digest(request.name) % 1_000_000
    shape = (request.batch, *(request.shape or (3, *(request.size or (224, 224)))))
    out = (request.batch, 8, 112, 112)
    inside, none = Totals(1, size, 0, size, size), Totals()
    training = request.phase != "inference"
    memory = TracedMemory(size, 0, size, 0, 0, size, 0, 3 * size, "conv", "conv", "conv", "conv", 0)
    totals = CostTotals(
        request.name, request.phase, request.optimizer, request.batch, (shape,), size, size, 0, 0,
        inside, inside, inside if training else None, memory, {}, (),
        ("made up by the fake executor",), request.real, 1, request.mode,
        request.settings.get("train", "everything") if training else "",
    )  # fmt: skip
    layer = LayerRow(
        "conv", "Conv2d", 1, True, 1, shape, out, (3, 3), (2, 2), (1, 1), (1, 1), 1, size, size,
        size, 0, 0, inside, inside if training else none, size,
        Field((3.0, 3.0), (2.0, 2.0), (0.5, 0.5)),
    )  # fmt: skip
    op = OpRow(
        "aten.convolution.default", "conv", "forward", "contraction", size, 0, 0, size, size, out
    )
    return CostReport(
        totals,
        (layer,) if request.rows else None,
        (op,) if request.rows else None,
        (CrossCheck("fake", size, size),) if request.crosscheck else None,
    )


def gradients(request: TakeGradients) -> Gradients:
    """Norms that halve from layer to layer."""
    size = 1 + digest(request.name) % 1000
    layers = [LayerGradient(f"conv{n}", "Conv2d", size, size / 2**n, size) for n in range(4)]
    return Gradients(request.name, request.batch, request.seed, (3, 32, 32), "made up",
                     tuple(layers))  # fmt: skip


def timm(pattern: str) -> tuple[CatalogueEntry, ...]:
    """Two models for a glob, itself for a name."""
    ends = ("_a", "_b") if is_glob(pattern) else ("",)
    names = [TIMM + re.sub(r"[^\w.-]", "", pattern.removeprefix(TIMM)) + end for end in ends]
    return tuple(
        CatalogueEntry(
            name=name, family="made up", task="any", paper="", input=(3, 224, 224),
            params=digest(name) % 1_000_000, tags=("timm",), source="fake",
        )
        for name in names
    )  # fmt: skip


def layers() -> Extraction:
    """Two convolutions, and one of a kind that is left out."""
    stem = ConvLayer("conv:k8-3x3-s2-p1", (3, 32, 32), 1, ("stem",))
    body = ConvLayer("conv:k8-3x3-p1", (8, 16, 16), 4, ("body.0", "body.1"))
    problems = [(one.count, one.problem().macs) for one in (stem, body)]
    macs = sum(count * macs for count, macs in problems)
    return Extraction((stem, body), {"1-dimensional 2": 1}, macs, 2 * macs)


# What an element takes of an operator that pretends, in seconds; the rest of a network's time is
# missing from the sum of its operators.
_ELEMENT_SECONDS, _IN_OPERATORS = 1e-6, 0.9
_PACE_SECONDS = 1e-3


def operators(seconds: float) -> OperatorTrace:
    """The operators of a network that takes so long: two kinds, the second one twice."""
    elements = max(round(_IN_OPERATORS * seconds / _ELEMENT_SECONDS), 4)
    calls = [
        OperatorCall(name, (TensorLayout((count,), (1,), "float32"),))
        for name, count in (("aten::relu", elements // 2), ("aten::sigmoid", elements // 4))
    ]
    return OperatorTrace(
        tuple(
            TracedCall(call.text, count, 0, call.taken_bytes)
            for count, call in enumerate(calls, start=1)
        ),
        light=3,
    )


def each_traced(
    specs: Sequence[str], seconds: Callable[[Spec], float]
) -> tuple[TracedNetwork, ...]:
    """The same of several; a network whose name says so raises."""
    bad = TracedNetwork(None, "ValueError: made up", built=False)
    return tuple(
        bad
        if spec.workload.architecture == "fake:raises"
        else TracedNetwork(operators(seconds(spec)))
        for spec in map(Spec.parse, specs)
    )


def operator_time(text: str) -> OperatorTime:
    """By the number of its elements."""
    call = OperatorCall.parse(text)
    elements = sum(one.elements for one in call.tensors)
    return OperatorTime(text, _ELEMENT_SECONDS * elements, 11, pace=_PACE_SECONDS)
