"""How soon and how rightly ``cnnbench history`` finds a step, by simulation.

    python -m bench.history_simulation                   300 series a row, as Markdown tables
    python -m bench.history_simulation --series 20

A series has one run a day, 40 in all; its values are the logarithms of times with noise of a known
size. It is looked at after every run, as somebody would who reads it every morning. The search is
that of the gate; beside it stands E-divisive (Matteson and James, "A nonparametric approach for
multiple change point analysis of multivariate data", JASA 109, 2014), with 199 permutations at 5 %,
which it was before, and which needs three runs on either side. Nothing is measured.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from cnnbench.gate import steps
from cnnbench.stats import wilson

RUNS = 40
NOISE = (0.005, 0.01, 0.02, 0.03, 0.05)
SIZES = (0.03, 0.05, 0.10)
# A step has at least so many runs before it.
HISTORY = 8
# Where a step is found as many runs off, it is the same step.
NEAR = 2
# A series is looked at so many runs long after its step, and then only whole.
LOOKS = (1, 2, 3, 6)
PERMUTATIONS, LEVEL, SMALLEST = 199, 0.05, 3

Found = list[int]
Search = Callable[[np.ndarray], Found]
Chance = np.random.Generator


def by_levels(values: np.ndarray) -> Found:
    """The gate's own search."""
    return [one.index for one in steps.levels(values.tolist(), 1e-3).steps]


def by_energy(values: np.ndarray) -> Found:
    """E-divisive: the split with the largest energy distance, while few permutations have it."""
    chance = np.random.default_rng(0)
    found: Found = []
    parts = [(0, len(values))]
    while parts:
        strength, index, start, end = max((*split(values[a:b]), a, b) for a, b in parts)
        if index < 0 or strength <= 0:
            break
        as_large = sum(
            max(split(chance.permutation(values[a:b]))[0] for a, b in parts) >= strength
            for _ in range(PERMUTATIONS)
        )
        if (as_large + 1) / (PERMUTATIONS + 1) > LEVEL:
            break
        found.append(start + index)
        parts.remove((start, end))
        parts += [(start, start + index), (start + index, end)]
    return sorted(found)


def split(values: np.ndarray) -> tuple[float, int]:
    """The largest scaled energy distance of two neighbouring parts, and the first one's length."""
    total = len(values)
    if total < 2 * SMALLEST:
        return 0.0, -1
    distances = np.abs(values[:, None] - values[None, :])
    square = np.cumsum(np.cumsum(distances, axis=0), axis=1).diagonal()
    rows = np.cumsum(distances.sum(axis=1))
    first = np.arange(SMALLEST, total - SMALLEST + 1)
    second = total - first
    inside, band = square[first - 1], rows[first - 1]
    outside = square[-1] - 2 * band + inside
    energy = (
        2 * (band - inside) / (first * second)
        - inside / (first * (first - 1))
        - outside / (second * (second - 1))
    )
    scaled = energy * first * second / total
    best = int(np.argmax(scaled))
    return float(scaled[best]), int(first[best])


SEARCHES: dict[str, Search] = {"levels": by_levels, "E-divisive": by_energy}


# --- Machines: what the noise of one run after another is like.


def steady(chance: Chance, noise: float) -> np.ndarray:
    """Independent, normal."""
    return noise * chance.standard_normal(RUNS)


def with_outliers(chance: Chance, noise: float) -> np.ndarray:
    """One run in twenty is 5 to 30 % off, mostly slower."""
    off = chance.random(RUNS) < 0.05
    size = chance.uniform(0.05, 0.30, RUNS) * chance.choice([-1, 1, 1], RUNS)
    return steady(chance, noise) + off * size


def heavy(chance: Chance, noise: float) -> np.ndarray:
    """Student's t with three degrees of freedom."""
    return noise * chance.standard_t(3, RUNS) / math.sqrt(3)


def drifting(chance: Chance, noise: float) -> np.ndarray:
    """It gets 0.1 % slower with every run."""
    return steady(chance, noise) + 0.001 * np.arange(RUNS)


def wandering(chance: Chance, noise: float) -> np.ndarray:
    """A random walk beside the noise, with a fifth of it per run."""
    return steady(chance, noise) + np.cumsum(steady(chance, noise / 5))


def alike(chance: Chance, noise: float) -> np.ndarray:
    """Days resemble the day before (correlation 0.6): a machine with moods."""
    found = steady(chance, noise)
    for number in range(1, RUNS):
        found[number] = 0.6 * found[number - 1] + 0.8 * found[number]
    return found


MACHINES: dict[str, Callable[[Chance, float], np.ndarray]] = {
    "steady": steady, "single outliers": with_outliers, "heavy tails": heavy,
    "drift of 0.1 % a run": drifting, "random walk": wandering, "days alike": alike,
}  # fmt: skip


# What else there is does not grow with the noise; of all others the answer is the same at any.
NOT_IN_PROPORTION = ("single outliers", "drift of 0.1 % a run")


@dataclass
class Tally:
    """What a search said of some series.

    Attributes:
        series: how many.
        false: steps that it named, at some look or other, where there is none.
        delays: runs after a step until it was named; ``None`` for never.
        errors: places by which it was named wrongly at the last look.
        whole: false steps that it names at the last look.
    """

    series: int = 0
    false: int = 0
    whole: int = 0
    delays: list[int | None] = field(default_factory=list)
    errors: list[int] = field(default_factory=list)

    def look(self, search: Search, values: np.ndarray, at: int | None, lengths: list[int]) -> None:
        """Watch one series grow."""
        self.series += 1
        named: Found = []
        delay = None
        for length in lengths:
            found = search(values[:length])
            right = [one for one in found if at is not None and abs(one - at) <= NEAR]
            for one in set(found) - set(right):
                if all(abs(one - other) > NEAR for other in named):
                    named.append(one)
            if right and delay is None and at is not None:
                delay = length - at
            if length == len(values):
                self.whole += len(found) - len(right[:1])
                self.errors += [abs(one - (at or 0)) for one in right[:1]]
        self.false += len(named)
        self.delays.append(delay)

    def within(self, runs: int) -> str:
        """The share of steps that were named so soon."""
        hits = sum(one is not None and one <= runs for one in self.delays)
        return f"{100 * hits / len(self.delays):.0f}"

    @property
    def rate(self) -> str:
        """False steps per 100 runs that were looked at day by day, with the end of the interval."""
        most = wilson(min(self.false, self.series), self.series)[1] * self.series
        runs = self.series * RUNS
        return f"{100 * self.false / runs:.2f} (<= {100 * max(most, self.false) / runs:.2f})"


def false_steps(count: int, seed: int) -> list[str]:
    """False steps without any step, of every machine and noise."""
    rows = ["| machine | noise | " + " | ".join(SEARCHES) + " |", "| :-- | --: | --: | --: |"]
    lengths = [*range(steps.FEWEST, RUNS, 2), RUNS]
    for name, machine in MACHINES.items():
        for noise in (0.01, 0.03) if name in NOT_IN_PROPORTION else (0.01,):
            told = []
            for search in SEARCHES.values():
                tally, chance = Tally(), np.random.default_rng(seed)
                # A look of E-divisive takes a thousand times as long.
                for _ in range(count if search is by_levels else max(2, count // 25)):
                    tally.look(search, machine(chance, noise), None, lengths)
                told.append(tally.rate)
            rows.append(f"| {name} | {100 * noise:.1f} % | " + " | ".join(told) + " |")
    return rows


def true_steps(count: int, seed: int) -> list[str]:
    """Steps of every size and noise, at every place up to the last but one run."""
    rows = [
        "| step | noise | search | after 2 runs | 3 | 6 | all runs | right place | false |",
        "| --: | --: | :-- | --: | --: | --: | --: | --: | --: |",
    ]
    for size in SIZES:
        for noise in NOISE:
            for name, search in SEARCHES.items():
                tally, chance = Tally(), np.random.default_rng(seed)
                for number in range(count if search is by_levels else max(2, count // 10)):
                    # Places spread evenly by the golden section, however few there are.
                    at = HISTORY + int((number * 0.618 % 1) * (RUNS - 1 - HISTORY))
                    values = with_step(chance, noise, size, at)
                    lengths = [at + one for one in LOOKS if at + one < RUNS]
                    tally.look(search, values, at, [*lengths, RUNS])
                right = sum(one == 0 for one in tally.errors)
                place = f"{100 * right / len(tally.errors):.0f}" if tally.errors else "-"
                rows.append(
                    f"| {100 * size:.0f} % | {100 * noise:.1f} % | {name} | {tally.within(2)} |"
                    f" {tally.within(3)} | {tally.within(6)} | {tally.within(RUNS)} | {place} |"
                    f" {100 * tally.whole / tally.series / RUNS:.2f} |"
                )
    return rows


def with_step(chance: Chance, noise: float, size: float, at: int) -> np.ndarray:
    """A steady machine, slower from a run on."""
    values = steady(chance, noise)
    values[at:] += math.log1p(size)
    return values


def coverage(count: int, seed: int) -> list[str]:
    """How often the interval of a step of 5 % that was found holds it."""
    rows = ["| noise | runs after | found | interval holds 5 % |", "| --: | --: | --: | --: |"]
    for noise in (0.005, 0.01, 0.02):
        for after in (2, 5, 15):
            chance, held = np.random.default_rng(seed), []
            for number in range(count):
                at = HISTORY + number % 16
                values = with_step(chance, noise, 0.05, at)[: at + after]
                for one in steps.levels(values.tolist(), 1e-3).steps:
                    if abs(one.index - at) <= NEAR:
                        held.append(abs(one.change - math.log1p(0.05)) <= one.half)
            share = f"{100 * statistics.fmean(held):.0f}" if held else "-"
            rows.append(
                f"| {100 * noise:.1f} % | {after} | {100 * len(held) / count:.0f} | {share} |"
            )
    return rows


def main() -> None:
    """Print the tables."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--series", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    count, seed = options.series, options.seed
    print(f"{count} series of {RUNS} runs per row, seed {seed}; of E-divisive one for every 25")
    print("without a step, and one for every ten with one.\n\n## Without a step\n")
    print("False steps per 100 runs: named at any of the looks, every second run.\n")
    print("\n".join(false_steps(count, seed)))
    print(f"\n## With a step\n\nAt places from run {HISTORY + 1} to the last but one; shares in %.")
    print("'Right place': to the run, where the whole series has it. 'False': further steps of the")
    print("whole series, per 100 runs.\n")
    print("\n".join(true_steps(count, seed)))
    print("\n## The interval of a step\n\nShares in %; the interval is one of 95 %.\n")
    print("\n".join(coverage(count, seed)))


if __name__ == "__main__":
    main()
