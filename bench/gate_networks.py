"""Networks with one layer more, and what that layer truly costs.

    python -m bench.gate_networks lenet 0.05         a size of the layer, and its cost, as JSON

The truth comes from one process in which the two networks take turns in random order, more often
than any gate could, and blind to whatever lasts longer than a turn. A turn is some milliseconds of
calls, the first of them not timed: a call of another network right before leaves caches in which
every network takes longer, and a layer more costs a smaller share than where one runs by itself.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import time

import torch
from torch import Tensor, nn

from bench.gate_rules import WORKLOADS, specs_of
from cnnbench import architectures
from cnnbench.spec import Spec
from cnnbench.worker import build, modes


class Slowed(nn.Module):
    """A network and an element-wise layer on numbers of its own, repeated."""

    def __init__(self, network: nn.Module, size: int, repeats: int) -> None:
        super().__init__()
        self.network = network
        self.repeats = repeats
        self.register_buffer("numbers", torch.linspace(-1.0, 1.0, size))

    def forward(self, x: Tensor) -> Tensor:
        numbers = self.numbers
        for _ in range(self.repeats):
            numbers = torch.tanh(numbers)
        return self.network(x) + numbers[0]


def slowed(name: str, size: int, repeats: int) -> nn.Module:
    """A network of the catalogue with a layer more."""
    return Slowed(architectures.build(architectures.resolve(name)), size, repeats)


def step(spec: Spec) -> build.Step:
    """One iteration, as a worker of cnnbench does it."""
    architecture, module = build.construct(spec.workload, 0)
    return build.step(spec, architecture, module, 0)


# Of a turn; and the share of its calls that come first and are not timed.
_TURN_SECONDS, _UNTIMED = 6e-3, 0.5


def cost(first: build.Step, second: build.Step, seconds: float) -> tuple[float, float, int]:
    """Relative cost of the second, half its 95 % interval, and the timed calls behind it."""
    clock, order, ratios = time.perf_counter, random.Random(0), []
    calls = max(1, round(_TURN_SECONDS / max(_quickest(first), 1e-9)))
    end = clock() + seconds
    while clock() < end or len(ratios) < 30:
        pair = [first, second]
        order.shuffle(pair)
        taken = {one is second: _turn(one, calls) for one in pair}
        ratios.append(math.log(taken[True] / taken[False]))
    ratios.sort()
    count = len(ratios)
    # The order statistics that hold the median 95 times in a hundred.
    reach = 0.98 * math.sqrt(count)
    low, high = max(0, int(count / 2 - reach)), min(count - 1, int(count / 2 + reach))
    timed = 2 * count * (calls - int(_UNTIMED * calls))
    return math.expm1(statistics.median(ratios)), (ratios[high] - ratios[low]) / 2, timed


def _turn(one: build.Step, calls: int) -> float:
    """Seconds of a call within a turn."""
    untimed = int(_UNTIMED * calls)
    for _ in range(untimed):
        one.call()
    began = time.perf_counter()
    for _ in range(calls - untimed):
        one.call()
    return (time.perf_counter() - began) / (calls - untimed)


# Numbers that a layer works on at once: they stay in a cache, and torch takes one thread for them.
_LARGEST = 32768
# So many layers that one more or less is a small part of their cost.
_MANY = 10


def calibrate(
    workload: str, effect: float, seconds: float, largest: int = _LARGEST, threads: int = 1
) -> dict[str, object]:
    """A layer that costs about so much on one thread, and what it costs.

    Args:
        workload: name.
        effect: relative cost, roughly.
        seconds: for the truth.
        largest: numbers that the layer works on at once; twice ``_LARGEST`` are shared among
            threads as the network's own work is.
        threads: what the layer costs with these is found out too.
    """
    spec, _ = specs_of(workload, None)
    modes.set_flags(spec.mode, 1)
    plain = step(spec)
    for _ in range(10):
        plain.call()
    # Tanh takes about half a nanosecond a number; a layer of 32 K numbers stays in a cache.
    numbers = _quickest(plain) * effect / 0.5e-9
    repeats = max(1, round(numbers / largest))
    size = max(16, min(largest, round(numbers / repeats)))
    for _ in range(4):
        layer = {"size": size, "repeats": repeats}
        found = cost(plain, step(specs_of(workload, layer)[1]), seconds / 8)[0]
        if abs(found - effect) < 0.1 * effect:
            break
        factor = effect / max(found, effect / 3)
        # Many layers as large as they may be are shared among threads; a smaller one would not be.
        if repeats >= _MANY or not 256 <= size * factor <= 2 * largest:
            repeats = max(1, round(repeats * factor))
        else:
            size = max(16, round(size * factor))
    layer = {"size": size, "repeats": repeats}
    truth, error, count = cost(plain, step(specs_of(workload, layer)[1]), seconds)
    more = _with_threads(workload, layer, seconds, threads) if threads > 1 else {}
    return {
        "kind": "truth", "workload": workload, "effect": effect, "layer": layer,
        "truth": truth, "error": error, "calls": count,
        **more,
    }  # fmt: skip


def _with_threads(
    workload: str, layer: dict[str, int], seconds: float, threads: int
) -> dict[str, object]:
    base, head = specs_of(workload, layer)
    modes.set_flags(base.mode, threads)
    truth, error, _ = cost(step(base), step(head), seconds)
    return {"threads": threads, "truth_threads": truth, "error_threads": error}


def _quickest(one: build.Step) -> float:
    """Seconds of the quickest of some calls."""
    found = []
    for _ in range(10):
        began = time.perf_counter()
        one.call()
        found.append(time.perf_counter() - began)
    return min(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workload", choices=list(WORKLOADS))
    parser.add_argument("effect", type=float)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--largest", type=int, default=_LARGEST, help="numbers at once")
    parser.add_argument("--threads", type=int, default=1, help="its cost with these, too")
    given = parser.parse_args()
    found = calibrate(given.workload, given.effect, given.seconds, given.largest, given.threads)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
