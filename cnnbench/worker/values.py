"""What a network computes, in few numbers: outputs by value, so that another value is noticed.

One pass of the network itself, eager on the CPU, in float64: there, what processors, threads and
libraries do differently is ten thousand times smaller than what anybody would call a change.
Weights are initialised by numbers of our own (``draws``) and calibrated, so that neither a name nor
the version of torch decides them and every layer is seen in the output. A second pass, with
everything that goes in moved by a rounding of float32, shows how far this very network amplifies.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from cnnbench import recipes
from cnnbench.architectures.tasks import TASKS
from cnnbench.asking import CALIBRATED
from cnnbench.facts import Sketch, Values
from cnnbench.spec import OPTIMIZERS, Device, Mode, Spec
from cnnbench.worker import (
    build,
    calibration,
    draws,
    inner,
    inputs,
    modes,
    outputs,
    randomness,
    weights,
)
from cnnbench.worker.devices import open_device
from cnnbench.worker.saying import said

if TYPE_CHECKING:
    from cnnbench import requests
    from cnnbench.architectures.registry import Architecture
    from cnnbench.worker.talk import Talk

    Named = list[tuple[str, Tensor]]

_DOUBLE, _OWN = Mode(precision="fp64"), Mode()
# Samples of one call; as many as the spec's where a network takes no other number.
_BATCH = 2
# Pictures that it is calibrated on.
_PICTURES = 4
# Numbers that an output is kept in: their distance is that of the outputs within an eighth or so.
SUMS = 32
# Outputs that are kept one by one; all others together.
_OUTPUTS = 8
_ROUNDING = 2.0**-24
_CHUNK = 1 << 16
RANDOM = "the pass draws random numbers"


def values(request: requests.TakeValues, talk: Talk) -> None:
    """The values of a workload's outputs."""
    talk.enter("values of the outputs")
    talk.answer(taken(Spec.parse(request.spec), request.seed))


def taken(spec: Spec, seed: int) -> Values:
    """The values of a workload's outputs, or why there are none."""
    if spec.workload.is_layer or recipes.is_pipeline(spec.workload.architecture):
        return Values(reason="only the outputs of networks are kept by value")
    why: Exception | None = None
    # What runs in its own precision only says so at the small batch, and not at one of hundreds.
    for batch in dict.fromkeys((_BATCH, spec.workload.batch)):
        for mode in (_DOUBLE, _OWN):
            workload = replace(spec.workload, batch=batch)
            plain = replace(spec, workload=workload, mode=mode, device=Device("cpu"))
            try:
                return _taken(plain, seed)
            except Exception as error:  # noqa: BLE001 - a network may refuse in any way
                why = error
    return Values(reason=f"the network does not run that way: {said(why)}" if why else "")


def _taken(spec: Spec, seed: int) -> Values:
    modes.set_flags(spec.mode, spec.threads)
    open_device(spec.device)
    with modes.nothing_compiled(), draws.OwnDraws(seed):
        architecture, module = build.construct(spec.workload, seed)
        initial = _initial(module)
        kind = weights.kind(spec.workload)
        if kind == CALIBRATED:
            _calibrate(spec, architecture, module, seed)
        step = build.step(spec, architecture, module, seed)
        if step.optimizer is not None:
            step.call()  # targets are drawn in the first one
    with modes.nothing_compiled():
        first, drew = _answered(step, seed)
        if drew:
            return Values(random=True, reason=RANDOM)
        _move([*step.module.parameters(), *step.module.buffers(), *step.given.tensors])
        second, _ = _answered(step, seed)
    found = [
        replace(sketch(name, one), moved=_rounded(_distance(other, one)))
        for (name, one), (_, other) in zip(
            first, second if len(first) == len(second) else first, strict=True
        )
    ]
    if len(first) != len(second):
        found = [replace(one, moved=1.0) for one in found]
    precision = "float64" if spec.mode == _DOUBLE else "own"
    return Values(tuple(found), initial, kind, spec.workload.batch, precision)


def _calibrate(spec: Spec, architecture: Architecture, module: nn.Module, seed: int) -> None:
    """Calibrate in place, in the precision of the pass; one of few bits stays as it is."""
    pictures = replace(spec.workload, batch=_PICTURES, phase="inference", optimizer=OPTIMIZERS[0])
    given = inputs.made(architecture, pictures, seed, -1, dtype=inputs.dtype_for(module))
    if spec.mode == _DOUBLE:
        module, given = modes.converted(spec.mode, module, given)
    elif modes.coarsest(module) is not torch.float32:
        return
    calibration.calibrate(module, given, contractions=not TASKS[architecture.task].selects)


def _answered(step: build.Step, seed: int) -> tuple[Named, bool]:
    """What a step answers, and whether it drew random numbers for that."""
    randomness.seed_everything(seed)
    before = randomness.states()
    result = (step.sure or step.call)()
    if step.optimizer is None:
        found = outputs.named(result)
    else:
        found = [("loss", result), *_gradients(step.module)]
    drew = not randomness.equal(before, randomness.states())
    return _few([(name, outputs.comparable(one)) for name, one in found]), drew


def _gradients(module: nn.Module) -> Named:
    """Norms of the gradients, and sums that see signs and places, whatever comes first in it."""
    grads = [outputs.comparable(one.grad) for one in module.parameters() if one.grad is not None]
    told = sorted(
        ((tuple(one.shape), float(one.norm()), inner.sketch(one)) for one in grads),
        key=lambda one: one[:2],
    )
    if not told:
        return []
    norms = torch.tensor([norm for _, norm, _ in told], dtype=torch.float64)
    return [
        ("norms of the gradients", norms),
        ("gradients", torch.stack([sums for _, _, sums in told])),
    ]


def _few(found: Named) -> Named:
    """The outputs, the last of very many as one."""
    if len(found) <= _OUTPUTS:
        return found
    rest = [one.reshape(-1).double() for _, one in found[_OUTPUTS - 1 :]]
    return [*found[: _OUTPUTS - 1], (f"{len(rest)} others", torch.cat(rest))]


def _move(tensors: list[Tensor]) -> None:
    """Move every number by a rounding of float32, or of its own type if that has fewer bits."""
    with torch.inference_mode():
        for place, one in enumerate(tensors):
            if not one.is_floating_point() or not one.numel():
                continue
            share = max(_ROUNDING, torch.finfo(one.dtype).eps / 2)
            signs = np.where(draws.uniform(place, min(one.numel(), _CHUNK)) < 0.5, -share, share)
            whole = one if one.is_contiguous() else one.contiguous()
            for part, factor in draws.tiled(torch.from_numpy(1 + signs).to(one.dtype), whole):
                part.mul_(factor)
            one.copy_(whole)


def _distance(got: Tensor, usual: Tensor) -> float:
    found = outputs.distance(got, usual)
    return found if math.isfinite(found) else 1.0


def sketch(name: str, values: Tensor) -> Sketch:
    """An output in few numbers (Alon, Matias, Szegedy 1999: sums with random signs).

    Args:
        name: what leads to it.
        values: as ``outputs.comparable`` leaves them: float64, or of an exact type.
    """
    flat: Any = values.reshape(-1).numpy()
    if outputs.is_exact(values):
        whole = np.ascontiguousarray(flat, dtype=np.int64)
        digest = hashlib.sha256(whole.astype("<i8").tobytes()).hexdigest()[:16]
        return Sketch(name, len(flat), 0.0, digest=digest)
    finite = np.isfinite(flat)
    numbers = np.where(finite, flat, 0.0)
    found = numbers if len(numbers) <= SUMS else _sums(numbers)
    return Sketch(
        name,
        len(flat),
        _rounded(float(np.linalg.norm(numbers))),
        tuple(_rounded(float(one)) for one in found),
        int((~finite).sum()),
    )


def _sums(numbers: Any) -> Any:
    found = np.zeros(SUMS)
    shifts = np.arange(SUMS, dtype=np.uint64)
    for start in range(0, len(numbers), _CHUNK):
        part = numbers[start : start + _CHUNK]
        bits = draws.words(0, start, len(part))[:, None] >> shifts
        found += part @ ((bits & np.uint64(1)).astype(np.float64) * 2 - 1)
    return found


def _rounded(value: float) -> float:
    """To nine digits, which is more than anybody compares."""
    return float(f"{value:.9g}")


def _initial(module: nn.Module) -> Sketch:
    """The weights as they were initialised: norm and sum of each, whatever its name and place."""
    tensors = [one.detach() for one in module.state_dict().values() if isinstance(one, Tensor)]
    real = [one.double() for one in tensors if one.is_floating_point() and one.numel()]
    told = sorted((tuple(one.shape), _rounded(float(one.norm())), float(one.sum())) for one in real)
    numbers = [number for _, norm, total in told for number in (norm, total)]
    return sketch("initial weights", torch.tensor(numbers, dtype=torch.float64))
