"""Is the answer right? Compares a step's output with fp32 eager and float64.

A reference worker computes both once per workload and writes them as plain arrays to a scratch
directory. Every timed process compares its own output with them, so the code that was timed is the
code that was checked.
"""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from cnnbench.conv.problem import of_workload
from cnnbench.record import Check, Reference
from cnnbench.spec import Mode
from cnnbench.worker import build, convolution
from cnnbench.worker.modes import PRECISIONS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cnnbench.spec import Spec

# The number of rounding errors of its precision by which an output may differ and still be "ok";
# with more than ten times as many it is "wrong". A deep network accumulates tens of roundings; an
# error in a kernel is thousands and more. Narrower types round once per layer, because contractions
# add in float32; in float32 the additions round too. The worst of 183 networks: 43 in float32, 23
# in bfloat16 (detections, which sorting exchanges, apart).
_ROUNDOFFS, _ROUNDOFFS_NARROW = 64, 32
_WRONG = 10
# Unrelated outputs have a relative error near 1, however much a network amplifies rounding.
_NEVER_OK, _ALWAYS_WRONG = 0.3, 0.9


def compute_reference(
    spec: Spec, seed: int, path: Path, enter: Callable[[str], None], *, float64: bool = True
) -> Reference:
    """Run a workload in fp32 eager twice and in float64 once, and keep both outputs under ``path``.

    Args:
        spec: the plain spec (eager, contiguous, fp32).
        seed: of weights and inputs.
        path: where to leave the arrays (``.npz``, nothing pickled).
        enter: told which phase begins.
        float64: whether to do the float64 pass, which can be slow and large.
    """
    enter("build")
    architecture, module = build.construct(spec.workload, seed)

    def step(of: Spec) -> build.Step:
        return build.step(of, architecture, module, seed)

    return reference_of(spec, step, seed, path, enter, float64=float64)


def reference_of(
    spec: Spec,
    step: Callable[[Spec], build.Step],
    seed: int,
    path: Path,
    enter: Callable[[str], None] = lambda _: None,
    *,
    float64: bool = True,
) -> Reference:
    """The same for anything that can be built as a step of a spec."""
    enter("reference fp32")
    plain = step(spec)
    with _Watch(plain.module) as watch:
        first, drew = _observed(plain, seed)
    second, _ = _observed(plain, seed)
    enter("reference float64")
    exact = _float64(spec, step, seed) if float64 else None
    arrays = {f"fp32_{i}": tensor.numpy() for i, tensor in enumerate(first)}
    arrays |= {f"fp64_{i}": tensor.numpy() for i, tensor in enumerate(exact or [])}
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    return Reference(
        repeatable=_same(first, second),
        error_float64=None if exact is None else _distance(first, exact),
        subnormal_share=watch.subnormal_share,
        nonfinite=watch.nonfinite,
        random=drew,
        subnormal_layer=watch.subnormal_layer,
    )


def _observed(step: build.Step, seed: int) -> tuple[list[Tensor], bool]:
    """Outputs in float64 on the CPU, and whether the pass drew random numbers."""
    torch.manual_seed(seed)
    before = _random_states()
    outputs = _plain(step.observe(step.call()))
    return outputs, not _same(before, _random_states())


def _random_states() -> list[Tensor]:
    """State of the random number generators, including that of the CUDA device in use."""
    states = [torch.get_rng_state()]
    # A device that has not been used has drawn nothing, and asking would initialise it.
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        states.append(torch.cuda.get_rng_state())
    return states


def _plain(outputs: list[Tensor]) -> list[Tensor]:
    floats = [output for output in outputs if output.is_floating_point()]
    return [output.detach().to("cpu", torch.float64) for output in floats]


def _float64(spec: Spec, step: Callable[[Spec], build.Step], seed: int) -> list[Tensor] | None:
    """The same pass in float64, or ``None`` for a network that requires another dtype."""
    try:
        return _observed(step(replace(spec, mode=Mode(precision="fp64"))), seed)[0]
    except (RuntimeError, TypeError, ValueError):
        return None


def _differ_in_number(spec: Spec, got: list[Tensor], reference: list[Tensor]) -> bool:
    """Whether outputs differ only in the number of detections along their first axis."""
    shapes = [(tuple(a.shape), tuple(b.shape)) for a, b in zip(got, reference, strict=False)]
    first = [(a[0], b[0]) for a, b in shapes if a[1:] == b[1:] and a != b and a and b]
    others = sum(a != b for a, b in shapes) - len(first)
    # An image without detections has outputs of length 0; a batch always has the batch's length.
    by_value = all(spec.workload.batch not in pair for pair in first) or len(got) > 2
    return bool(first) and not others and len(got) == len(reference) and by_value


def _same(left: list[Tensor], right: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def _distance(outputs: list[Tensor], reference: list[Tensor]) -> float:
    """Relative Frobenius distance over all outputs.

    Infinite if a value is not finite or a shape differs.
    """
    if [output.shape for output in outputs] != [output.shape for output in reference]:
        return math.inf
    gap = sum(float((a - b).square().sum()) for a, b in zip(outputs, reference, strict=True))
    norm = sum(float(b.square().sum()) for b in reference)
    distance = (gap / norm) ** 0.5 if norm else gap**0.5
    return math.inf if math.isnan(distance) else distance


class _Watch:
    """Looks for subnormal numbers and non-finite values in every activation of one pass."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._handles: list[Any] = []
        self._seen = self._subnormal = 0
        self.nonfinite = False
        self.subnormal_layer: str | None = None

    def __enter__(self) -> _Watch:
        leaves = [
            (name, part) for name, part in self._module.named_modules() if not any(part.children())
        ]
        self._handles = [
            part.register_forward_hook(functools.partial(self._look, name)) for name, part in leaves
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _look(self, name: str, module: nn.Module, _inputs: Any, output: Any) -> None:
        if not isinstance(output, Tensor) or not output.is_floating_point():
            return
        values = output.detach()
        magnitude = values.abs()
        self._seen += values.numel()
        tiny = torch.finfo(values.dtype).tiny
        subnormal = int(((magnitude > 0) & (magnitude < tiny)).sum())
        self._subnormal += subnormal
        if subnormal and self.subnormal_layer is None:
            self.subnormal_layer = name or type(module).__name__
        self.nonfinite |= not bool(torch.isfinite(values).all())

    @property
    def subnormal_share(self) -> float | None:
        """Share of subnormal numbers among the activations of leaf modules."""
        return self._subnormal / self._seen if self._seen else None


def compare(
    spec: Spec, outputs: list[Tensor], path: Path, reference: Reference, *, selects: bool = False
) -> Check:
    """Judge a mode's outputs against the kept reference.

    Args:
        spec: what was run.
        outputs: its result.
        path: the reference's arrays.
        reference: what is known of them.
        selects: the outputs are chosen by sorting scores.
    """
    if reference.random:
        return Check("unchecked", reason="the pass draws random numbers (dropout)")
    if reference.nonfinite:
        return Check("unchecked", reason="the fp32 eager output itself is not finite")
    got = _plain(outputs)
    with np.load(path, allow_pickle=False) as arrays:
        fp32 = _kept(arrays, "fp32")
        fp64 = _kept(arrays, "fp64")
    if _differ_in_number(spec, got, fp32):
        return Check("unchecked", reason="the number of detections differs from fp32 eager")
    error = _distance(got, fp32)
    exact = _distance(got, fp64) if fp64 else None
    status, reason = _judge(spec, error, reference)
    if selects and status in {"loose", "wrong"} and math.isfinite(error):
        status, reason = (
            "unchecked",
            (
                f"relative error {error:.1e} against fp32 eager; detections are chosen by sorting"
                " scores, so a rounding can exchange them"
            ),
        )
    if convolution.judged_alone(spec) and fp64:
        status, reason = _judge_layer(spec, got, fp64)
    return Check(
        status=status,
        error=error if math.isfinite(error) else None,
        error_float64=exact if exact is not None and math.isfinite(exact) else None,
        top1_agreement=_top1(got, fp32),
        reason=reason,
    )


def worse(one: Check, other: Check) -> Check:
    """The worse of two checks of one step; the first if they are equal."""
    return max((one, other), key=lambda check: check.severity)


def _kept(arrays: Any, prefix: str) -> list[Tensor]:
    count = sum(name.startswith(prefix) for name in arrays.files)
    return [torch.from_numpy(arrays[f"{prefix}_{i}"]) for i in range(count)]


def _judge(spec: Spec, error: float, reference: Reference) -> tuple[str, str]:
    # The network may amplify rounding more than others do; fp32's own distance from float64 shows
    # by how much.
    amplification = max(1.0, (reference.error_float64 or 0.0) / PRECISIONS["fp32"].roundoff / 4)
    roundoff, full = PRECISIONS[spec.mode.precision].roundoff, PRECISIONS["fp32"].roundoff
    roundoffs = _ROUNDOFFS if roundoff <= full else _ROUNDOFFS_NARROW
    limit = min(roundoffs * roundoff * amplification, _NEVER_OK)
    if math.isinf(error):
        return "wrong", "an output is not finite, or its shape differs from fp32 eager"
    if error <= limit:
        return "ok", ""
    if reference.error_float64 is None and error <= _NEVER_OK:
        return "unchecked", (
            f"relative error {error:.1e} against fp32 eager; without float64 it is not known how"
            " much this network amplifies rounding"
        )
    status = "loose" if error <= min(_WRONG * limit, _ALWAYS_WRONG) else "wrong"
    return status, f"relative error {error:.1e} against fp32 eager, expected at most {limit:.1e}"


def _judge_layer(spec: Spec, got: list[Tensor], exact: list[Tensor]) -> tuple[str, str]:
    """Judge a single layer by its own distance from float64, the library's default like any other.

    The distance is relative to the usual norm of such an output, because a small output can be
    nearly zero by chance.
    """
    distance = _distance(got, exact)
    if math.isinf(distance):
        return "wrong", "an output is not finite, or its shape differs from float64"
    norm = sum(float(one.square().sum()) for one in exact) ** 0.5
    usual = convolution.usual_norm(of_workload(spec.workload, spec.mode))
    error = distance * (norm or 1.0) / max(norm, usual)
    limit = convolution.tolerance(spec)
    if error <= limit:
        return "ok", ""
    status = "loose" if error <= min(_WRONG * limit, _NEVER_OK) else "wrong"
    return status, f"relative error {error:.1e} against float64, expected at most {limit:.1e}"


def _top1(got: list[Tensor], reference: list[Tensor]) -> float | None:
    """Share of rows with the same largest entry, for outputs of shape (N, classes).

    ``None`` for a detector that found nothing, because there are no rows.
    """
    if not got or got[0].dim() != 2 or not len(got[0]) or got[0].shape != reference[0].shape:
        return None
    return float((got[0].argmax(1) == reference[0].argmax(1)).double().mean())
