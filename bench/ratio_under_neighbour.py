"""How far the ratio of two identical networks varies beside a neighbour on the same core.

Run as ``python bench/ratio_under_neighbour.py``. Every network is measured against its twin (the
same network under another name), so that every ratio is 1 in truth. Ours: both in one ensemble of
the real runner, one fresh pool per round. The peer's way, in the same rounds: a fresh process for
each of the two, one after the other, and the minimum of its wall times. Everything, the neighbour
too, runs on one core with one thread.

20 rounds of 3 networks take about 25 minutes on a core of which half is taken: up to 10 s for each
of the 2 x 3 fresh processes of a round, 15 s for ours. ``--rounds 3 --models resnet18`` takes two
minutes.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]

from neighbour import beside, pin  # noqa: E402

from cnnbench import metrics  # noqa: E402
from cnnbench.plan import Plan  # noqa: E402
from cnnbench.record import Run  # noqa: E402
from cnnbench.requests import MeasureLatency  # noqa: E402
from cnnbench.runner.ensemble import Ensemble  # noqa: E402
from cnnbench.runner.process import Processes  # noqa: E402
from cnnbench.spec import Spec, arguments_of  # noqa: E402

# What is asked of ours, in %.
TARGETS = {"resnet18": 1.5, "squeezenet1_1": 2.5}


def twins(model: str) -> tuple[Spec, Spec]:
    """A network, and the same with its default number of classes given by name."""
    one = Spec.parse(f"{model}/inference-b1-3x224x224/eager/cpu-t1")
    named = arguments_of([("num_classes", 1000)])
    return one, replace(one, workload=replace(one.workload, arguments=named))


def ours(models: list[str], plan: Plan, number: int) -> dict[str, float]:
    """Log-ratio of every network to its twin in one round."""
    found = {}
    with tempfile.TemporaryDirectory() as folder, Processes().open(Path(folder)) as pool:
        for model in models:
            specs = twins(model)
            runs = Ensemble(pool, plan, f"{number}/{model}").measure(
                specs, lambda spec: request(spec, plan, number)
            )
            found[model] = log_ratio(*(runs[spec.id] for spec in specs))
    return found


def request(spec: Spec, plan: Plan, number: int) -> MeasureLatency:
    return MeasureLatency.planned(spec, plan, round=number, ensemble=f"bench-{number}")


def log_ratio(one: object, other: object) -> float:
    if not isinstance(one, Run) or not isinstance(other, Run):
        sys.exit(f"not measured: {one if not isinstance(one, Run) else other}")
    turns = {part.turn: metrics.slice_seconds(part) for part in one.slices}
    return statistics.median(
        math.log(metrics.slice_seconds(part) / turns[part.turn]) for part in other.slices
    )


def fresh(model: str, seconds: float) -> float:
    """The smallest wall time of a call in a process of its own, in seconds."""
    command = [sys.executable, __file__, "--alone", model, "--seconds", str(seconds)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout))


def alone(model: str, seconds: float) -> float:
    """What such a process does: import, build, warm up, time every call, keep the minimum."""
    import torch
    import torchvision

    torch.set_num_threads(1)
    module = torchvision.models.get_model(model, weights=None).eval()
    given = torch.randn(1, 3, 224, 224)
    taken = []
    with torch.inference_mode():
        for _ in range(10):
            module(given)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(taken) < 3:
            start = time.perf_counter()
            module(given)
            taken.append(time.perf_counter() - start)
    return min(taken)


def spread(values: list[float]) -> float:
    """Standard deviation of logarithms, in per cent."""
    return 100 * statistics.stdev(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--models", default="squeezenet1_1,resnet18,mobilenet_v3_small")
    parser.add_argument("--share", type=float, default=0.5, help="of the core, for the neighbour")
    parser.add_argument("--slices", type=int, default=10, help="of each twin in a round")
    parser.add_argument("--seconds", type=float, default=2.0, help="of timing per fresh process")
    parser.add_argument("--core", type=int, help="the core of everything [the first usable]")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(alone(options.alone, options.seconds)))
        return
    core, models = pin(options.core), options.models.split(",")
    plan = Plan(rounds=options.rounds, slices=options.slices)
    live: dict[str, list[float]] = {model: [] for model in models}
    mins: dict[str, list[tuple[float, float]]] = {model: [] for model in models}
    with beside(options.share):
        for number in range(options.rounds):
            for model, value in ours(models, plan, number).items():
                live[model].append(value)
            for model in models:
                pair = fresh(model, options.seconds), fresh(model, options.seconds)
                mins[model].append(pair)
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
    print(f"sd over {options.rounds} rounds, in %; core {core}, neighbour {options.share:.0%}")
    print(f"{'':20} {'peer: wall min of fresh processes':>34} {'ours: ensemble':>16}")
    print(
        f"{'network':20} {'one time':>10} {'max/min':>9} {'ratio':>13} {'ratio':>16} {'target':>8}"
    )
    for model in models:
        times = [time for pair in mins[model] for time in pair]
        ratios = [math.log(two / one) for one, two in mins[model]]
        target = f"{TARGETS[model]:.1f}" if model in TARGETS else "-"
        print(f"{model:20} {spread([math.log(t) for t in times]):10.2f}"
              f" {max(times) / min(times):9.2f} {spread(ratios):13.2f}"
              f" {spread(live[model]):16.2f} {target:>8}")  # fmt: skip


if __name__ == "__main__":
    main()
