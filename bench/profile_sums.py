"""Do the layers add up? Sum, clocks, residual and end-to-end time of some networks.

Run ``python bench/profile_sums.py [MODEL…]``; by default resnet50, mobilenet_v2 and googlenet,
eager, inference, batch 1, on the CPU. Each in a process of its own, as ``cnnbench profile`` does.
"""

from __future__ import annotations

import argparse

from cnnbench import units
from cnnbench.plan import Plan
from cnnbench.runner import profiling
from cnnbench.spec import Device
from cnnbench.suite import Grid

MODELS = ("resnet50", "mobilenet_v2", "googlenet")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--phase", default="inference")
    parser.add_argument("--mode", default="eager")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seconds", type=float, default=8.0)
    return parser.parse_args()


def main():
    wish = arguments()
    titles = ("sum", "clocks", "residual", "end to end", "share ± 95 %", "rounds")
    print(f"{'model':20}", *(f"{one:>12}" for one in titles))
    for name in wish.models:
        job = profiling.prepare(
            Grid(
                (name,), (wish.mode,), (wish.batch,), (wish.phase,), Device(),
                (wish.threads,) if wish.threads else None,
            ),
            Plan(),
        )  # fmt: skip
        found = profiling.profile(job, profiling.ProfilePasses(seconds=wish.seconds)).layers
        times = (found.sum_ns, found.clocks_ns, found.residual_ns, found.end_to_end_ns)
        cells = [units.seconds(ns / 1e9) for ns in times]
        share = units.percent(found.residual_share, sign=True)
        half = units.percent(found.residual_half_share or 0.0)
        cells += [f"{share} ± {half}", str(len(found.plain_ns))]
        print(f"{name:20}", *(f"{one:>12}" for one in cells), flush=True)


if __name__ == "__main__":
    main()
