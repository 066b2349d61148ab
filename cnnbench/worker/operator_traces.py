"""Which operators a pass of a network calls: the network is built on meta, and nothing is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench import analysis
from cnnbench.spec import Spec
from cnnbench.worker import build, inputs, memory, modes

if TYPE_CHECKING:
    from torch import nn

    from cnnbench.architectures.registry import Architecture
    from cnnbench.requests import TraceOperators
    from cnnbench.worker.talk import Talk


@analysis.without_collector()
def trace_operators(request: TraceOperators, talk: Talk) -> None:
    """The operators of a spec in its memory format."""
    memory.stop_malloc_caching()
    spec = Spec.parse(request.spec)
    found: list[Architecture] = []

    def make() -> nn.Module:
        architecture, module = build.construct(spec.workload, request.seed)
        found.append(architecture)
        return module

    talk.enter("build")
    module = analysis.build_on_meta(make)
    given = inputs.made(found[0], spec.workload, request.seed, dtype=inputs.dtype_for(module))
    module, given = modes.converted(spec.mode, module, given)
    talk.enter("trace operators")
    talk.answer(analysis.calls(module, given.args, given.kwargs))
