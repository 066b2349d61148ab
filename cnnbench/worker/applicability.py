"""Which specs of single layers do not apply, and what the others do; nothing is built or run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cnnbench import implementations
from cnnbench.conv.problem import of_workload
from cnnbench.errors import CnnbenchError
from cnnbench.facts import Applicability
from cnnbench.spec import Spec
from cnnbench.worker import convolution, modes
from cnnbench.worker.modes import FREEZING

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnbench.conv.problem import ConvProblem
    from cnnbench.facts import Algorithm
    from cnnbench.requests import CheckApplicability
    from cnnbench.spec import Mode
    from cnnbench.worker.talk import Talk


def applicability(request: CheckApplicability, talk: Talk) -> None:
    """For every spec of a layer: why it does not apply, or its arithmetic and prepared bytes."""
    talk.enter("applicability")
    talk.answer({name: _answer(Spec.parse(name)) for name in request.specs})


def _answer(spec: Spec) -> Applicability:
    try:
        convolution.architecture(spec.workload)
        convolution.check(spec)
        modes.refuse_impossible(spec.mode, spec.device)
    except CnnbenchError as error:
        return Applicability(str(error))
    done = described(spec)
    return Applicability("", done.executed_macs, done.prepared_bytes)


def described(spec: Spec) -> Algorithm:
    """The formulas of a layer in a mode, or of its substitute."""
    problem = of_workload(spec.workload, spec.mode)
    other = convolution.substitute_of(spec.workload)
    how = implementations.implementation(spec.mode.implementation)
    passes = _passes(spec.mode) or how.passes
    if other is not None:
        return other.algorithm(problem, passes)
    return replace(how, passes=passes).algorithm(problem)


def _passes(mode: Mode) -> Callable[[ConvProblem], int] | None:
    """How often the output of a unit's convolution is read and written once more, compiled.

    Frozen and exported networks fold the norm and activate on the way. A compiler without that
    makes one loop of norm and activation. ``None`` where the implementation knows.
    """
    if mode.runtime or FREEZING[mode.freezing]:
        return lambda _: 0
    if mode.compiles and not mode.implementation:
        return lambda problem: min(1, len(problem.post_ops))
    return None
