"""Is the answer right? Judges what a step answers to several pictures.

The reference (``reference``) knows the fp32 eager and float64 answers, and how far rounding alone
moves this very network's in each precision. A mode may be as far off as rounding explains; what is
farther is wrong. Both the whole answer is judged and what of it depends on the picture: a network
that answers for another picture may still be close to what is common to all pictures.

Every timed process judges its own answers, so that what was timed is what was checked.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cnnbench.conv.problem import of_workload
from cnnbench.facts import Check, Deviation, Reference
from cnnbench.spec import Mode
from cnnbench.worker import convolution, inner, modes, outputs
from cnnbench.worker import reference as references
from cnnbench.worker.inputs import PICTURES
from cnnbench.worker.modes import PRECISIONS
from cnnbench.worker.saying import said

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from torch import Tensor

    from cnnbench.spec import Spec
    from cnnbench.worker.build import Step
    from cnnbench.worker.outputs import Joined

# How many times as far as rounding explains an answer may be before it stops being "ok", and
# before it is "wrong". Eager bfloat16 kernels were 0.9 to 1.5 times as far off as the simulation
# said, on 71 networks. In full precision another order of additions is another kernel, so the
# limits are wide; a fault is thousands of roundings and more.
_NARROW = (2.0, 3.0)
_FULL = (16.0, 160.0)
# Kernels of a backward pass round inside as well: gradients of 24 architectures were 0.4 to 1.5
# times as far off as the simulation said, those of tiny networks up to 4.7 times.
_NARROW_TRAINING = (3.0, 6.0)
# Rounding explains at least so many roundoffs, even where the simulation happened to show none.
_LEAST_ROUNDOFFS = 4
# The same of the worst channel of any layer, which is the largest of thousands of numbers.
_LAYER_NARROW, _LAYER_FULL = 6.0, 1000.0
# Where rounding alone moves this much of what depends on the picture, nothing can be judged: three
# times as much is nearly 1, what an answer that ignores the picture is off.
_BLIND = 0.3
_EXCHANGES = "detections are chosen by sorting scores, so a rounding can exchange them"
_OVERWRITES = "the network writes into its input, so later calls see other values than were checked"
# Single layers, and networks without float64: ten times the limit is wrong.
_WRONG, _NEVER_OK, _ALWAYS_WRONG = 10, 0.3, 0.9
_ROUNDOFFS, _ROUNDOFFS_NARROW = 64, 32


def check(spec: Spec, step: Step, seed: int, path: Path, known: Reference, *first: Any) -> Check:
    """Run a step on every picture and judge its answers against the kept reference.

    Args:
        spec: what is run.
        step: its iteration; afterwards it holds its own picture again.
        seed: of whatever the pass draws at random.
        path: the reference's arrays.
        known: what is known of them.
        first: what the step returned for its own picture, if it has been called.
    """
    reason = unjudgeable(known)
    if reason:
        return Check("unchecked", reason=reason)
    seen = references.observed(spec, step, seed, *first)
    answers, reason = _by_name(seen, path)
    if reason:
        return Check("wrong", reason=reason)
    roundoff = modes.roundoff(spec.mode, step.module)
    found = compare(spec, answers, path, known, selects=step.selects, roundoff=roundoff)
    least, narrow = _LEAST_ROUNDOFFS * roundoff, roundoff > PRECISIONS["fp32"].roundoff
    layers = inner.worst(seen.layers, path, spec.mode.precision, least, _BLIND)
    found = _layers_judged(found, layers, narrow=narrow, selects=step.selects)
    if step.overwrites and found.status in {"ok", "loose"}:
        return replace(found, status="unchecked", reason=_OVERWRITES)
    return found


def afterwards(check: Callable[[], Check]) -> Check:
    """A check after the last slice; an error must not lose the slices."""
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - what a network raises that has run many times
        return Check("unchecked", reason=f"no check after the measurement: {said(error)}")


def _by_name(seen: references.Observed, path: Path) -> tuple[Joined, str]:
    """The outputs in the order of fp32 eager's by their names, or why there is none."""
    names = references.kept_names(path)
    if seen.names == names or not seen.names or len(seen.names) != len(names):
        return seen.answers, ""
    place = dict(zip(seen.names, seen.answers, strict=True))
    if len(place) == len(names) and place.keys() == set(names):
        return [place[name] for name in names], ""
    mine, usual = (", ".join(sorted({*a} - {*b})) for a, b in ((place, names), (names, place)))
    return [], f"an output is named {mine or '?'}, fp32 eager's is named {usual or '?'}"


def _layers_judged(found: Check, layers: inner.Worst, *, narrow: bool, selects: bool) -> Check:
    """What the layers say where the outputs say nothing.

    A fault may be too small for the outputs. And detections that rounding has exchanged cannot be
    compared; if every layer answered as it should, they were chosen from the right scores.
    """
    agree = layers.times <= (_LAYER_NARROW if narrow else _LAYER_FULL)
    if selects and found.status == "unchecked" and layers.every and agree:
        return replace(found, status="ok", reason="")
    if agree or found.status not in {"ok", "loose"}:
        return found
    return replace(
        found,
        status="wrong",
        reason=f"layer {layers.layer}: a channel is off by {layers.error:.1e} of the layer's root"
        f" mean square, rounding explains {layers.explained:.1e}",
    )


def unjudgeable(known: Reference) -> str:
    """Why no answer of a workload can be compared with its reference; empty if it can."""
    if known.random:
        return "the pass draws random numbers (dropout), so no two outputs are alike"
    if known.nonfinite:
        return "fp32 eager itself is not finite with these weights"
    if not known.repeatable:
        return "two fp32 eager passes differ, so a difference says nothing"
    return ""


def compare(
    spec: Spec,
    got: Joined,
    path: Path,
    known: Reference,
    *,
    selects: bool = False,
    roundoff: float | None = None,
) -> Check:
    """Judge answers that are there already; see ``check``.

    ``roundoff`` is that of the network in the mode; that of the mode's words if not given.
    """
    roundoff = roundoff or PRECISIONS[spec.mode.precision].roundoff
    fp32, fp64 = references.kept(path, "fp32"), references.kept(path, "fp64")
    if not fp32:
        return Check("unchecked", reason="the output holds no tensor, so nothing was compared")
    sound = not any(outputs.is_senseless(one) for one in got)
    if sound and _differ_in_number(got, fp32, spec.workload.batch, selects=selects):
        return Check("unchecked", reason="another number of detections than fp32 eager found")
    found = references.differences(got, fp32) if len(got) == len(fp32) else ()
    if convolution.judged_alone(spec) and fp64:
        status, reason = _judge_layer(spec, got, fp64)
    else:
        status, reason = _judge(spec, found, fp32, known, roundoff)
    error, top1 = references.relative(got, fp32), _top1(got, fp32)
    explained = all(one.whole is not None for one in known.rounding.get(spec.mode.precision, ()))
    if selects and sound and status != "ok":
        status, reason = "unchecked", f"{reason}; {_EXCHANGES}" if explained else _EXCHANGES
    exact = references.relative(got, fp64) if fp64 else math.inf
    return Check(
        status=status,
        error=_finite(error),
        error_float64=_finite(exact),
        top1_agreement=top1,
        reason=reason,
        error_centred=max((one.centred for one in found if one.centred is not None), default=None),
        top1_pictures=None if top1 is None else len(got[0]),
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _differ_in_number(got: Joined, fp32: Joined, batch: int, *, selects: bool) -> bool:
    """Whether outputs differ in nothing but how much there is, which the values decide."""
    apart = [(a, b) for a, b in zip(got, fp32, strict=False) if a.shape != b.shape]
    if not apart or len(got) != len(fp32):
        return False
    if selects:
        return True
    if all(outputs.is_counted(b, batch, PICTURES) for _, b in apart):
        return True
    return len(fp32) > 1 and all(
        a.dim() and b.dim() and a.shape[1:] == b.shape[1:] for a, b in apart
    )


def _judge(
    spec: Spec, found: tuple[Deviation, ...], fp32: Joined, known: Reference, roundoff: float
) -> tuple[str, str]:
    """Every output by itself, in all and in what depends on the picture; the worst decides."""
    if not found or any(one.whole is None for one in found):
        return "wrong", "an output is not finite or has another shape or type than fp32 eager's"
    explained = known.rounding.get(spec.mode.precision)
    if explained is None or len(explained) != len(found):
        return _judge_roughly(max(one.whole or 0.0 for one in found), known, roundoff)
    if any(one.whole is None for one in explained):
        return "unchecked", f"this network leaves the range of {_named(spec)}"
    centred = [
        expected.centred
        for one, expected in zip(found, explained, strict=True)
        if one.centred is not None and expected.centred is not None
    ]
    if centred and min(centred) > _BLIND:
        return "unchecked", _blind(_named(spec), min(centred))
    narrow = _NARROW if spec.workload.phase == "inference" else _NARROW_TRAINING
    verdicts = [
        verdict
        for one, expected, usual in zip(found, explained, fp32, strict=True)
        for verdict in _verdicts(roundoff, narrow, one, expected, usual)
    ]
    if not verdicts:
        moved = min(one.whole for one in explained if one.whole is not None)
        return "unchecked", _blind(_named(spec), moved, "the output")
    return _worst(verdicts)


def _verdicts(
    roundoff: float,
    limits: tuple[float, float],
    found: Deviation,
    expected: Deviation,
    usual: Tensor,
) -> Iterator[tuple[float, str]]:
    """How many limits an output is off, in all and in what depends on the picture, and why."""
    exact = outputs.is_exact(usual)
    narrow = exact or roundoff > PRECISIONS["fp32"].roundoff
    least = 1 / max(usual.numel(), 1) if exact else _LEAST_ROUNDOFFS * roundoff
    parts = (
        ("of the output", found.whole, expected.whole),
        ("of what depends on the picture", found.centred, expected.centred),
    )
    for what, mine, other in parts:
        if mine is None or other is None or other > _BLIND:
            continue
        explained = max(other, least)
        name = "share of unequal elements" if exact else f"relative error {what}"
        reason = f"{name} {mine:.1e}, rounding explains {explained:.1e}"
        yield _limits(mine / explained, limits if narrow else _FULL), reason


def _limits(times: float, limits: tuple[float, float]) -> float:
    """Times as far as explained, so scaled that 1 is the limit of "ok" and 2 that of "loose"."""
    ok, wrong = limits
    return times / ok if times <= ok else 1 + (times - ok) / (wrong - ok)


def _worst(verdicts: list[tuple[float, str]]) -> tuple[str, str]:
    off, reason = max(verdicts)
    if off <= 1:
        return "ok", ""
    return ("loose" if off <= 2 else "wrong"), reason


def _named(spec: Spec) -> str:
    """The precision in words; the usual one is the network's own."""
    return spec.mode.precision if spec.mode.precision != Mode.precision else "its own precision"


def _blind(precision: str, usual: float, what: str = "what depends on the picture") -> str:
    return (
        f"rounding to {precision} alone moves {usual:.0%} of {what} in this network, so a fault"
        " cannot be told from it"
    )


def _judge_roughly(error: float, known: Reference, roundoff: float) -> tuple[str, str]:
    """Without the network's own rounding: by what most networks show."""
    # fp32's own distance from float64 shows by how much the network amplifies rounding.
    full = PRECISIONS["fp32"].roundoff
    amplification = max(1.0, (known.error_float64 or 0.0) / full / 4)
    roundoffs = _ROUNDOFFS if roundoff <= full else _ROUNDOFFS_NARROW
    limit = min(roundoffs * roundoff * amplification, _NEVER_OK)
    if error <= limit:
        return "ok", ""
    if known.error_float64 is None and error <= _NEVER_OK:
        return "unchecked", (
            f"relative error {error:.1e} against fp32 eager; without float64 it is not known how"
            " much this network amplifies rounding"
        )
    status = "loose" if error <= min(_WRONG * limit, _ALWAYS_WRONG) else "wrong"
    return status, f"relative error {error:.1e} against fp32 eager, expected at most {limit:.1e}"


def _judge_layer(spec: Spec, got: Joined, exact: Joined) -> tuple[str, str]:
    """A single layer by its own distance from float64, the library's default like any other.

    Against the norm that such an output usually has: by chance a small one can be nearly zero.
    """
    distance = references.relative(got, exact)
    if math.isinf(distance):
        return "wrong", "an output is not finite or has another shape than float64's"
    norm = sum(float(one.square().sum()) for one in exact) ** 0.5
    usual = convolution.usual_norm(of_workload(spec.workload, spec.mode))
    error = distance * (norm or 1.0) / max(norm, usual)
    limit = convolution.tolerance(spec)
    if error <= limit:
        return "ok", ""
    status = "loose" if error <= min(_WRONG * limit, _NEVER_OK) else "wrong"
    return status, f"relative error {error:.1e} against float64, expected at most {limit:.1e}"


def _top1(got: Joined, reference: Joined) -> float | None:
    """Share of rows with the same largest entry, for outputs of shape (N, classes).

    A detector that found nothing gives no rows, and nothing has no share.
    """
    if not got or got[0].dim() != 2 or not len(got[0]) or got[0].shape != reference[0].shape:
        return None
    if outputs.is_exact(got[0]):
        return None
    return float((got[0].argmax(1) == reference[0].argmax(1)).double().mean())
