"""Networks with one module that is slower than it was, in seven ways, and what that truly costs.

    python -m bench.explain_networks resnet18 copy layer2.0.conv1 0.08      its amount, and its cost

The class of the changed module keeps its name, as it does where somebody edits its code. The truth
comes from one process in which both networks take turns in random order, by the CPU time of its
only thread, more often than an explanation can.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from cnnbench import architectures
from cnnbench.spec import Device, Mode, Spec, Workload, arguments_of
from cnnbench.worker import build, modes

FACTORY = "bench.explain_networks:changed"
# A batch for which oneDNN is used on one thread too, and pictures that keep a step short.
BATCH, PIXELS = 2, 96
_CONVOLUTION, _ACTIVATION = (nn.Conv2d,), (nn.ReLU, nn.ReLU6, nn.Hardswish)
# Way to be slower -> the classes of modules that can be; and whether its amount is free.
KINDS: dict[str, tuple[tuple[type[nn.Module], ...], bool]] = {
    "work": ((*_CONVOLUTION, nn.BatchNorm2d), True),
    "kernel": (_CONVOLUTION, False),
    "wider": (_CONVOLUTION, False),
    "copy": (_CONVOLUTION, True),
    "activation": (_ACTIVATION, True),
    "dtype": (_CONVOLUTION, False),
    "python": ((*_CONVOLUTION, nn.BatchNorm2d), True),
}

Forward = Callable[..., Tensor]


def changed(name: str, kind: str = "", module: str = "", amount: int = 1) -> nn.Module:
    """A network of the catalogue; with a kind, one module of it is slower."""
    network = architectures.build(architectures.resolve(name))
    if not kind:
        return network
    one = network.get_submodule(module)
    if kind == "wider":
        _widen(one)
    before = type(one).forward
    forward = _FORWARDS[kind](before, amount)
    one.__class__ = type(type(one).__name__, (type(one),), {"forward": forward})
    return network


def _widen(one: Any) -> None:
    """Twice as many channels, as a convolution of one group has."""
    weight = one.weight.data
    one.weight = nn.Parameter(torch.cat([weight, weight]))
    if one.bias is not None:
        one.bias = nn.Parameter(torch.cat([one.bias.data, one.bias.data]))
    one.out_channels *= 2


def _work(before: Forward, amount: int) -> Forward:
    def forward(self: Any, x: Tensor) -> Tensor:
        y = before(self, x)
        for _ in range(amount):
            y = y + 0.0 * torch.tanh(y)
        return y

    return forward


def _kernel(before: Forward, _amount: int) -> Forward:
    def forward(self: Any, x: Tensor) -> Tensor:
        with torch.backends.mkldnn.flags(enabled=False):  # type: ignore[no-untyped-call]
            return before(self, x)

    return forward


def _wider(before: Forward, _amount: int) -> Forward:
    def forward(self: Any, x: Tensor) -> Tensor:
        return before(self, x)[:, : self.out_channels // 2].contiguous()

    return forward


def _copy(before: Forward, amount: int) -> Forward:
    def forward(self: Any, x: Tensor) -> Tensor:
        for _ in range(amount):
            x = x.contiguous(memory_format=torch.channels_last).clone().contiguous()
        return before(self, x)

    return forward


def _activation(before: Forward, amount: int) -> Forward:
    def forward(self: Any, x: Tensor) -> Tensor:
        y = before(self, x.clone())
        for _ in range(amount):
            y = y * torch.sigmoid(1.702 * y) / (torch.sigmoid(1.702 * y) + 1e-6)
        return y

    return forward


def _dtype(_before: Forward, _amount: int) -> Forward:
    def forward(self: Any, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.double()
        return self._conv_forward(x.double(), self.weight.double(), bias).to(x.dtype)

    return forward


def _python(before: Forward, amount: int) -> Forward:
    def forward(self: Any, x: Tensor) -> Tensor:
        sum(range(1000 * amount))
        return before(self, x)

    return forward


_FORWARDS = {
    "work": _work, "kernel": _kernel, "wider": _wider, "copy": _copy, "activation": _activation,
    "dtype": _dtype, "python": _python,
}  # fmt: skip


def spec(name: str, **arguments: Any) -> Spec:
    """The network, changed or not, on one thread."""
    given = arguments_of({"name": name, **arguments}.items())
    work = Workload(FACTORY, BATCH, (3, PIXELS, PIXELS), arguments=given)
    return Spec(work, Mode(), Device(), 1)


def modules(name: str, kind: str) -> list[str]:
    """Paths of the modules that can be slower in that way."""
    classes, _ = KINDS[kind]
    network = architectures.build(architectures.resolve(name))
    return [
        path
        for path, one in network.named_modules()
        if type(one) in classes
        and not (kind in {"wider", "dtype"} and getattr(one, "groups", 1) > 1)
    ]


def cost(base: build.Step, head: build.Step, seconds: float) -> tuple[float, float]:
    """Nanoseconds more, and of a step of the base: medians over turns."""
    clock, order = time.thread_time_ns, random.Random(0)
    taken: dict[bool, list[int]] = {False: [], True: []}
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(taken[True]) < 15:
        both = [False, True]
        order.shuffle(both)
        for slower in both:
            step = head if slower else base
            step.call()
            began = clock()
            step.call()
            taken[slower].append(clock() - began)
    before, after = (statistics.median(taken[slower]) for slower in (False, True))
    return after - before, before


def calibrate(name: str, kind: str, module: str, effect: float, seconds: float) -> dict[str, Any]:
    """An amount that costs about so much, if it is free, and what it costs."""
    modes.set_flags(Mode(), 1)
    base = build.built(spec(name), 0)
    amount = 1
    for _ in range(3 if KINDS[kind][1] else 0):
        more, whole = cost(base, _changed(name, kind, module, amount), seconds / 4)
        amount = max(1, min(500, round(amount * effect * whole / max(more, 0.002 * whole))))
    more, whole = cost(base, _changed(name, kind, module, amount), seconds)
    return {"amount": amount, "truth_ns": more, "step_ns": whole}


def _changed(name: str, kind: str, module: str, amount: int) -> build.Step:
    return build.built(spec(name, kind=kind, module=module, amount=amount), 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("kind", choices=list(KINDS))
    parser.add_argument("module")
    parser.add_argument("effect", type=float)
    parser.add_argument("--seconds", type=float, default=3.0)
    given = parser.parse_args()
    found = calibrate(given.name, given.kind, given.module, given.effect, given.seconds)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
