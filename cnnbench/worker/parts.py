"""Times the parts of a training step, after the slices and separately from them.

The code waits for each part, so the parts together take a little longer than the whole step, which
is timed without waiting in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench.record import Part
from cnnbench.worker.sampling import timed
from cnnbench.worker.saying import said

if TYPE_CHECKING:
    from cnnbench.worker.build import Parts
    from cnnbench.worker.devices import Kind

# Enough steps for a median, in a time that is short compared with a round; a network that needs
# longer than _LIMIT for the fewest is timed once.
_SECONDS, _FEWEST, _MOST, _LIMIT = 0.3, 5, 64, 2.0

_NAMES = ("forward", "loss", "backward", "optimizer")


def steps(estimate: float) -> int:
    """The number of steps to time, given the seconds that one takes."""
    count = min(_MOST, int(_SECONDS / max(estimate, 1e-9)))
    if count >= _FEWEST:
        return count
    return _FEWEST if _FEWEST * estimate <= _LIMIT else 1


def measure(parts: Parts, device: Kind, count: int) -> tuple[Part, ...]:
    """Time every part in each of ``count`` steps, after a separate warm-up step."""
    if count > 1:
        _step(parts, device)
    taken = [_step(parts, device) for _ in range(count)]
    return tuple(
        Part(name, tuple(step[index] for step in taken)) for index, name in enumerate(_NAMES)
    )


def tried(
    parts: Parts | None, device: Kind, estimate: float
) -> tuple[tuple[Part, ...], dict[str, str]]:
    """The parts, and a flag that says why they are missing; an error must not lose the slices."""
    if parts is None:
        return (), {}
    try:
        return measure(parts, device, steps(estimate)), {}
    except Exception as error:  # noqa: BLE001 - what a network raises when taken apart
        return (), {"parts": f"not measured: {said(error)}"}


def _step(parts: Parts, device: Kind) -> tuple[int, int, int, int]:
    forward, loss, backward, optimizer = (
        timed(part, device)[0]
        for part in (parts.forward, parts.loss, parts.backward, parts.optimizer)
    )
    return forward, loss, backward, optimizer
