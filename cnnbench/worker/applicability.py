"""Which specs of single layers do not apply, and what the others do; nothing is built or run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench import implementations
from cnnbench.conv.problem import of_workload
from cnnbench.errors import CnnbenchError
from cnnbench.facts import Applicability
from cnnbench.spec import Spec
from cnnbench.worker import convolution, modes

if TYPE_CHECKING:
    from cnnbench.facts import Algorithm
    from cnnbench.requests import CheckApplicability
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
    if other is not None:
        return other.algorithm(problem)
    return implementations.implementation(spec.mode.implementation).algorithm(problem)
