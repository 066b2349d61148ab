"""How a process ended, in words: by its status, and by what a driver wrote while it did."""

from __future__ import annotations

import re
import signal

_ASSERTED = "device-side assert"
# /torch/aten/src/ATen/native/cuda/Indexing.cu:1369: indexSelectSmallIndex: block: [0,0,0],
# thread: [0,0,0] Assertion `srcIndex < srcSelectDimSize` failed.
_ASSERTION = re.compile(
    r"(?P<place>[^/\s]+:\d+): (?P<kernel>.+?): block: .*? (?P<what>Assertion `.*` failed)"
)


def ending(status: int) -> str:
    """What a status says; a negative one is that of a signal."""
    if status >= 0:
        return f"exited with status {status} without an answer"
    name = signal.Signals(-status).name
    hint = "; out of memory?" if name == "SIGKILL" else ""
    return f"was killed by {name}{hint}"


def asserted(message: str, complaints: str) -> str:
    """The assertion that a kernel has failed; only the driver says it, on stderr."""
    said = _ASSERTION.search(complaints) if _ASSERTED in message else None
    return "" if said is None else f" ({said['what']} in {said['kernel']}, {said['place']})"
