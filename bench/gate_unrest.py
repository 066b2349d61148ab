"""How restless a core is, before anything is measured on it.

    taskset -c 0 python -m bench.gate_unrest          e.g. 0.06

The spread of a small matrix product over a few seconds: the distance of its quartiles as a share of
its median. Nobody else on this machine need be to blame: in a virtual machine it is mostly other
guests of its host, whom no counter in here shows.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch


def unrest(seconds: float) -> float:
    """Quartile distance over median of a product that stays in the second-level cache."""
    torch.set_num_threads(1)
    matrix = torch.ones(256, 256)
    samples: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(samples) < 8:
        began = time.perf_counter()
        for _ in range(20):
            matrix @ matrix
        samples.append(time.perf_counter() - began)
    low, middle, high = statistics.quantiles(samples, n=4)
    return (high - low) / middle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    print(round(unrest(parser.parse_args().seconds), 4))


if __name__ == "__main__":
    main()
