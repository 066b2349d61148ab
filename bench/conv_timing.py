"""Is what the convolution lab says of a layer what a plain loop over the call says?

Run as ``python bench/conv_timing.py``; six rounds of three layers in three ways take about five
minutes. In every round the lab measures once as ``cnnbench conv`` does (workers side by side, in
slices), and every way is timed in a process of its own by nothing but two clock readings around
each call; who is first alternates. The difference is the mean log-ratio over rounds with its 95 %
t-interval. Beside it stands the noise of that run: how far the plain loop is from itself, from one
round to the next. Nothing here is compared that was not measured within the same half minute.

Two things must be alike on both sides, or other things are timed (``--fresh`` shows the first):

* what glibc has learnt. It maps blocks above a threshold anew on every call, pages and all, until
  one such block has been freed; a process that has only ever run one layer may pay for hundreds of
  page faults a call. The lab compares outputs with float64 first and so has freed larger blocks.
* the kind of the weights. Tensors made in inference mode skip what autograd keeps of a view, which
  shows where there is a view per group; weights of a network are made outside, so they are here.
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]

from neighbour import pin  # noqa: E402

from cnnbench import metrics, stats  # noqa: E402
from cnnbench.conv.layers import ConvLayer  # noqa: E402
from cnnbench.conv.problem import ConvProblem, of_workload  # noqa: E402
from cnnbench.runner import campaign, lab  # noqa: E402
from cnnbench.spec import Device, Spec  # noqa: E402
from cnnbench.suite import Grid  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cnnbench.record import Record

LAYERS = "n1c64h56w56-k64-3x3-p1,n1c256h14w14-k256-3x3-p1-g256,n8c64h28w28-k128-3x3-s2-p1"
MODES, IMPLEMENTATIONS = "eager,channels_last", "im2col"


def call_of(spec: Spec) -> Callable[[], Any]:
    """The layer as somebody would write it who knows nothing of cnnbench's workers."""
    import torch

    from cnnbench.implementations import implementation
    from cnnbench.implementations.implementation import FORMATS

    problem: ConvProblem = of_workload(spec.workload, spec.mode)
    memory = FORMATS[problem.memory_format]
    x = torch.randn(problem.input_shape).contiguous(memory_format=memory)
    layer = torch.nn.Conv2d(
        problem.c, problem.k, (problem.r, problem.s), problem.stride, problem.padding,
        problem.dilation, problem.groups,
    ).to(memory_format=memory)  # fmt: skip
    if not spec.mode.implementation:
        return inferring(lambda: layer(x))
    how = implementation(spec.mode.implementation)
    weight, bias = layer.parameters()
    prepared = how.prepare(weight.detach(), bias.detach(), problem)
    return inferring(lambda: how.convolve(x, prepared, problem))


def inferring(call: Callable[[], Any]) -> Callable[[], Any]:
    """A call as users write it, in inference mode; entering that is a part of the call."""
    import torch

    def called() -> Any:
        with torch.inference_mode():
            return call()

    return called


def alone(spec: Spec, seconds: float, *, fresh: bool) -> float:
    """Seconds of a call: the median of a plain loop, after half as long to warm up."""
    import torch

    torch.set_num_threads(spec.threads)
    call = call_of(spec)
    if not fresh:
        call().double()
    end = time.perf_counter() + seconds / 2
    while time.perf_counter() < end:
        call()
    taken: list[int] = []
    end = time.perf_counter() + seconds
    while not taken or time.perf_counter() < end:
        start = time.perf_counter_ns()
        call()
        taken.append(time.perf_counter_ns() - start)
    return statistics.median(taken) / 1e9


def in_a_process(spec: Spec, options: argparse.Namespace) -> float:
    """The plain loop in a process that has done nothing else."""
    words = [sys.executable, __file__, "--alone", spec.id, "--seconds", str(options.seconds)]
    words += ["--fresh"] if options.fresh else []
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return float(done.stdout)


def by_the_lab(options: argparse.Namespace) -> dict[str, Record]:
    """One round of the lab."""
    problems = [ConvProblem.parse(text) for text in options.layers.split(",")]
    order = lab.LabOrder(
        layers=tuple(
            ConvLayer(one.architecture, one.input_shape[1:], batches=(one.n,)) for one in problems
        ),
        implementations=tuple(options.impl.split(",")),
        grid=Grid(
            (), tuple(options.modes.split(",")), (), device=Device(), threads=(options.threads,)
        ),
    )
    plan = replace(lab.PLAN, rounds=1, ceilings=False)
    with tempfile.TemporaryDirectory() as folder:
        stored = campaign.start(lab.prepare(order, plan).job, Path(folder) / "run", Silent())
    return {one.id: one for one in stored.records if metrics.latency(one) is not None}


class Silent:
    """A watcher that says nothing."""

    def working(self, what: str, done: int, total: int) -> None:
        """Something begins."""

    def first(self, records: Sequence[Record]) -> None:
        """Specs have had their first round."""

    def finished(self, record: Record) -> None:
        """A spec has its record."""


@dataclass(frozen=True)
class Agreement:
    """One way of one layer: seconds by the lab and by the plain loop, a pair per round."""

    pairs: tuple[tuple[float, float], ...]

    @property
    def difference(self) -> stats.Estimate:
        """The lab's time over the loop's."""
        return stats.log_ratio([math.log(ours / plain) for ours, plain in self.pairs])

    @property
    def noise(self) -> float:
        """Standard deviation of the loop from round to round, relative."""
        return statistics.stdev(math.log(plain) for _, plain in self.pairs)

    @property
    def agrees(self) -> bool:
        """Whether no difference is seen, or one smaller than the noise of this run."""
        found = self.difference
        sees = found.low is not None and found.high is not None and not found.low <= 1 <= found.high
        return not sees or abs(math.log(found.point)) <= self.noise


def rounds(options: argparse.Namespace) -> dict[str, Agreement]:
    """Every way in every round, both ways of timing it within half a minute."""
    found: dict[str, list[tuple[float, float]]] = {}
    names: list[str] = list(by_the_lab(options))
    for number in range(options.rounds):
        early = {} if number % 2 else _loops(names, options)
        records = by_the_lab(options)
        plain = early or _loops(names, options)
        for name in names:
            if name in records:
                ours = metrics.latency(records[name])
                assert ours is not None
                found.setdefault(name, []).append((ours.point, plain[name]))
    return {name: Agreement(tuple(pairs)) for name, pairs in found.items()}


def _loops(names: list[str], options: argparse.Namespace) -> dict[str, float]:
    return {name: in_a_process(Spec.parse(name), options) for name in names}


def row(name: str, one: Agreement) -> str:
    """A line of the table."""
    ours, plain = (statistics.median(side) for side in zip(*one.pairs, strict=True))
    found = one.difference
    low, high = found.low or found.point, found.high or found.point
    word = "agrees" if one.agrees else "DIFFERS"
    return (f"{name:74} {1e6 * plain:9.1f} {1e6 * ours:9.1f} {100 * (found.point - 1):+7.1f} %"
            f"  [{100 * (low - 1):+6.1f}, {100 * (high - 1):+6.1f}] {100 * one.noise:7.1f} %"
            f"  {word}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", default=LAYERS)
    parser.add_argument("--modes", default=MODES)
    parser.add_argument("--impl", default=IMPLEMENTATIONS)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=0.4, help="of a plain loop")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--core", type=int, help="[the first usable]")
    parser.add_argument(
        "--fresh", action="store_true", help="plain loops that have freed no larger block before"
    )
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        print(alone(Spec.parse(options.alone), options.seconds, fresh=options.fresh))
        return
    if options.threads == 1:
        print(f"core {pin(options.core)}; microseconds of a call")
    print(f"{'':74} {'loop':>9} {'lab':>9} {'difference':>9}  {'95 % interval':>16} {'noise':>9}")
    found = rounds(options)
    for name, one in found.items():
        print(row(name, one))
    agreeing = sum(one.agrees for one in found.values())
    print(f"{agreeing} of {len(found)} agree within the noise of this run")


if __name__ == "__main__":
    main()
