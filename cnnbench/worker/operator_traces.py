"""Which operators a pass of a network calls: the network is built on meta, and nothing is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench import analysis
from cnnbench.prediction.operators import TracedNetwork
from cnnbench.spec import Spec
from cnnbench.worker import build, inputs, memory, modes

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from cnnbench.architectures.registry import Architecture
    from cnnbench.prediction.operators import OperatorTrace
    from cnnbench.requests import TraceEach, TraceOperators
    from cnnbench.worker.talk import Talk

_BUILD = "build"
# Of what an exception says.
_LONGEST = 300


@analysis.without_collector()
def trace_operators(request: TraceOperators, talk: Talk) -> None:
    """The operators of a spec in its memory format."""
    memory.stop_malloc_caching()
    talk.answer(_traced(Spec.parse(request.spec), request.seed, talk.enter))


def trace_each(request: TraceEach, talk: Talk) -> None:
    """The operators of several specs; whatever one of them raises is told beside the others."""
    memory.stop_malloc_caching()
    found = []
    for name in request.specs:
        with analysis.without_collector():
            try:
                spec = Spec.parse(name)
                trace = _traced(spec, request.seed, lambda _: None, request.most_macs)
            except Exception as error:  # noqa: BLE001 - a network is anybody's code
                why = f"{type(error).__name__}: {error}".partition("\n")[0]
                found.append(TracedNetwork(None, why[:_LONGEST], _exists(name)))
                continue
        found.append(TracedNetwork(trace))
    talk.answer(tuple(found))


def _exists(name: str) -> bool:
    """Whether there is a builder: what only the meta device cannot build may still be measured."""
    try:
        build.resolve(Spec.parse(name).workload)
    except Exception:  # noqa: BLE001 - importing anybody's module may raise anything
        return False
    return True


def _traced(
    spec: Spec, seed: int, enter: Callable[[str], None], most_macs: int | None = None
) -> OperatorTrace:
    found: list[Architecture] = []

    def make() -> nn.Module:
        architecture, module = build.construct(spec.workload, seed)
        found.append(architecture)
        return module

    enter(_BUILD)
    module = analysis.build_on_meta(make)
    dtype = inputs.dtype_for(module)
    given = inputs.made(found[0], spec.workload, seed, dtype=dtype, values=False)
    module, given = modes.converted(spec.mode, module, given)
    enter("trace operators")
    return analysis.calls(module, given.args, given.kwargs, most_macs)
