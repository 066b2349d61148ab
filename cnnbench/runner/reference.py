"""Asks a worker what the right answer is; with less where not all of it can be had."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cnnbench.errors import WorkerError
from cnnbench.runner.inquiry import ask
from cnnbench.spec import Mode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cnnbench.facts import Reference
    from cnnbench.requests import ComputeReference
    from cnnbench.runner.executor import AnyPool
    from cnnbench.spec import Spec


def ask_reference(pool: AnyPool, request: ComputeReference, timeout: float) -> Reference:
    """The reference of a workload, without the parts of it that fail.

    Raises:
        WorkerError: the plain network itself fails.
    """
    try:
        return ask(pool, request, timeout)
    except WorkerError as error:
        less = _without(request, error)
        if less is None:
            raise
        found = ask_reference(pool, less, timeout)
        if request.every_image == less.every_image:
            return found
        note = f"--images: modes did not answer for all of the pictures: {error}"
        return replace(found, notes=(*found.notes, note))


def narrow(specs: Iterable[Spec]) -> tuple[str, ...]:
    """The precisions of some specs in which rounding must be known."""
    return tuple(sorted({spec.mode.precision for spec in specs} - {Mode.precision}))


def _without(request: ComputeReference, error: WorkerError) -> ComputeReference | None:
    """The request without the part that failed, if there is a reference without it."""
    if error.phase == "reference float64":
        # Too slow or too large in float64 only: fp32 eager alone is a reference too.
        return replace(request, float64=False)
    if error.phase.startswith("rounding "):
        failed = error.phase.removeprefix("rounding ")
        return replace(
            request, precisions=tuple(one for one in request.precisions if one != failed)
        )
    if error.phase == "reference on every picture":
        return replace(request, every_image=False)
    if error.phase == "calibrate" and error.kind != "timeout":
        # Several pictures at once may need more memory than one, or be refused.
        return replace(request, calibrate=None)
    return None
