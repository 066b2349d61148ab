"""An eager forward pass as one CUDA graph: captured once, replayed by every call.

The host then launches one graph where it launched every kernel, so that a network that waits for
its host does not any more. Nothing is compiled or fused: the kernels are those of eager mode, on
static inputs and outputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from cnnbench.errors import Unsupported
from cnnbench.worker.devices import is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnbench.spec import Mode
    from cnnbench.worker.build import Step

# Libraries choose algorithms and get their workspaces in the first calls, which must not be
# captured; as many as torch's documentation makes.
_WARM_CALLS = 3


def refuse_training(mode: Mode) -> None:
    """Refuse a training step.

    Raises:
        Unsupported: the mode would capture one.
    """
    if mode.compiler == "graph":
        raise Unsupported(
            "graph captures forward passes only: a training step reads values on the host (the"
            " optimizer's step counts, the loss scale), which a graph would keep as they were"
        )


def replaying(step: Step) -> Step:
    """The step, whose call is captured."""
    step.call = captured = Graphed(step.call)
    step.facts = captured.facts
    return step


class Graphed:
    """A call that is captured when it is first made, and replayed from then on.

    What it returns lies where the next replay writes again. Inputs are read where they lay when it
    was captured.

    Attributes:
        replays: how many there have been.
    """

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._graph: Any = None
        self._output: Any = None
        self.replays = 0

    def __call__(self) -> Any:
        """What the network returns.

        Raises:
            Unsupported: it cannot be captured.
        """
        if self._graph is None:
            self._warm_up()
            self._capture()
        self._graph.replay()
        self.replays += 1
        return self._output

    def facts(self) -> dict[str, int]:
        """What a run keeps: that what was timed are replays, by their number."""
        return {"graph_replays": self.replays}

    def _warm_up(self) -> None:
        """On another stream, as capturing needs it."""
        side, usual = torch.cuda.Stream(), torch.cuda.current_stream()  # type: ignore[no-untyped-call]
        side.wait_stream(usual)
        with torch.cuda.stream(side):
            for _ in range(_WARM_CALLS):
                self._call()
        usual.wait_stream(side)

    def _capture(self) -> None:
        graph = torch.cuda.CUDAGraph()
        found: list[Exception] = []
        try:
            with torch.cuda.graph(graph):
                try:
                    self._output = self._call()
                except Exception as error:
                    # The end of the capture fails after that, and says only that it has.
                    found.append(error)
                    raise
        except Exception as error:  # noqa: BLE001 - what ends a capture has no other base
            cause = found[0] if found else error
            if is_out_of_memory(cause):
                raise cause from None
            first = (str(cause).splitlines() or [type(cause).__name__])[0]
            raise Unsupported(f"cannot be captured as a CUDA graph: {first}") from cause
        self._graph = graph
