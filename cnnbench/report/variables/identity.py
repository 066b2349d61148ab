"""What a record is of: workload, mode and device part by part, and where the network is from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from cnnbench import axes, catalogue, named, recipes
from cnnbench.report.variables.variable import NEVER, Type, Variable, as_json
from cnnbench.spec import MODE_AXES

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnbench.axes import Axis
    from cnnbench.report.variables.variable import StoredEntry

_SPEC = "spec"


def _published(name: str) -> Callable[[StoredEntry], Any]:
    """A fact of the catalogue about the architecture."""
    return lambda row: getattr(catalogue.known(row.workload.architecture), name, None)


def _source(row: StoredEntry) -> str:
    work = row.workload
    if work.is_layer:
        return "layer"
    if recipes.is_pipeline(work.architecture):
        return "pipeline"
    known = catalogue.known(work.architecture)
    if known is not None:
        return known.source
    if work.architecture.startswith(catalogue.TIMM):
        return catalogue.TIMM.removesuffix(":")
    return "user" if named.is_code(work.architecture) else "other"


def _setting(axis: Axis) -> Variable:
    kind: Type = "integer" if axis.kind == "whole" else "text"
    unit = "1" if axis.kind == "whole" else ""
    usual = "" if axis.default is None else f"; by default {axis.default}"
    asked = "" if axis.asking is None else f", as {axis.asking.option} gives it"

    def of(row: StoredEntry) -> Any:
        spec = row.record.spec
        return axis.of(spec) if axis.said(spec) else None

    return Variable(axis.name, kind, unit, f"setting '{axis.name}' of the workload{asked}{usual}",
                    _SPEC, "it is the usual one, or the workload has no such setting",
                    of)  # fmt: skip


def _word(axis: str) -> Variable:
    words = axis.replace("_", " ")
    return Variable(f"mode_{axis}", "text", "", f"the mode's {words}, its default spelled out",
                    _SPEC, NEVER, lambda row: getattr(row.record.spec.mode, axis))  # fmt: skip


def variables() -> list[Variable]:
    """The variables in order, after those of the CSV report."""
    apart = [axis for axis in axes.ordered() if not axis.spelled]
    return [
        Variable("workload", "text", "", "the spec's id without mode, device and threads", _SPEC,
                 NEVER, lambda row: row.workload.id),
        Variable("compared_with", "text", "",
                 "id of the spec that speedup is relative to: plain eager of the same workload",
                 _SPEC, NEVER, lambda row: row.record.spec.baseline.id),
        Variable("architecture", "text", "", "the network's name without arguments", _SPEC, NEVER,
                 lambda row: row.workload.architecture),
        Variable("arguments", "text", "",
                 "keyword arguments of the network's builder, as a JSON object",
                 _SPEC, "there are none",
                 lambda row: as_json(row.workload.keywords) if row.workload.arguments else None),
        Variable("source", "text", "",
                 "where the network is from: cnnbench, torchvision, timm, user (package.module:"
                 "function), layer (a single convolution), pipeline (of inputs)", "catalogue",
                 NEVER, _source),
        Variable("family", "text", "", "family of the network", "catalogue",
                 "the network is not in the catalogue", _published("family")),
        Variable("task", "text", "", "what the network is for, such as classification", "catalogue",
                 "the network is not in the catalogue", _published("task")),
        Variable("year", "integer", "year", "year of the paper", "catalogue",
                 "the network is not in the catalogue", _published("year")),
        Variable("published_top1_percent", "number", "percent",
                 "published top-1 accuracy on ImageNet of float weights, in the published input",
                 "catalogue", "nothing is published of this input, phase, or of int8",
                 lambda row: row.entry.top1),
        Variable("input_elements", "integer", "1", "numbers in one input sample", _SPEC,
                 NEVER, lambda row: math.prod(row.workload.input)),
        *map(_setting, apart),
        *map(_word, MODE_AXES),
        Variable("mode_implementation", "text", "",
                 "implementation of a convolution, or one for each named layer", _SPEC,
                 "the library chooses", lambda row: row.record.spec.mode.implementation),
        Variable("device_kind", "text", "", "cpu or cuda", _SPEC, NEVER,
                 lambda row: row.record.spec.device.kind),
    ]  # fmt: skip
