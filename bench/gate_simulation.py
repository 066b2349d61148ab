"""The operating characteristic of the gate's rule, by simulation.

    python bench/gate_simulation.py                  20,000 verdicts a cell, as a Markdown table
    python bench/gate_simulation.py --verdicts 1000 --threshold 0.03

A pair's log-ratio is a true effect plus normal noise; with outliers, one pair in ten has four times
the noise. Nothing is measured: the table says what the rule does with noise of a known size.
"""

from __future__ import annotations

import argparse
import math
import random
from collections import Counter
from dataclasses import dataclass

from cnnbench.gate.rule import SequentialRule, decide
from cnnbench.stats import wilson

NOISE = (0.005, 0.01, 0.015, 0.02, 0.03, 0.05)
EFFECTS = (0.0, 0.03, 0.05, 0.10)
OUTLIERS = 0.1
WIDER = 4.0


@dataclass(frozen=True)
class Cell:
    """What many verdicts at one noise level and one true effect came to.

    Attributes:
        counts: verdict -> how often.
        pairs: mean number of pairs until it.
    """

    counts: Counter[str]
    pairs: float

    def share(self, verdict: str) -> float:
        """Share of the verdicts."""
        return self.counts[verdict] / self.counts.total()


def verdict(
    source: random.Random, noise: float, effect: float, outliers: bool, rule: SequentialRule
) -> (
    tuple[str, int]
):  # fmt: skip
    """Pairs one by one until the rule stops: what it says and after how many."""
    pairs: list[float] = []
    while True:
        wide = WIDER if outliers and source.random() < OUTLIERS else 1.0
        pairs.append(math.log1p(effect) + source.gauss(0, noise * wide))
        found = decide(pairs, rule)
        if found.verdict is not None:
            return found.verdict, len(pairs)


def cell(
    noise: float, effect: float, outliers: bool, rule: SequentialRule, verdicts: int, seed: int
) -> Cell:
    """Many verdicts with one seed."""
    source = random.Random(f"{seed} {noise} {effect} {outliers}")
    found = [verdict(source, noise, effect, outliers, rule) for _ in range(verdicts)]
    pairs = sum(count for _, count in found) / verdicts
    return Cell(Counter(name for name, _ in found), pairs)


def row(noise: float, outliers: bool, rule: SequentialRule, verdicts: int, seed: int) -> str:
    """One line of the table: a noise level under every true effect."""
    cells = [cell(noise, effect, outliers, rule, verdicts, seed) for effect in EFFECTS]
    same, rest = cells[0], cells[1:]
    high = wilson(same.counts["regression"], verdicts)[1]
    parts = [
        f"{100 * noise:.1f} %" + (" + 10 % outliers x4" if outliers else ""),
        f"{100 * same.share('regression'):.2f} (<= {100 * high:.2f})",
        *(f"{100 * same.share(name):.1f}" for name in ("unchanged", "inconclusive")),
        f"{same.pairs:.1f}",
    ]
    for one in rest:
        shares = [one.share(name) for name in ("regression", "inconclusive", "unchanged")]
        parts.append(" / ".join(f"{100 * share:.1f}" for share in shares) + f" / {one.pairs:.1f}")
    return "| " + " | ".join(parts) + " |"


def table(rule: SequentialRule, verdicts: int, seed: int) -> str:
    """The whole table as Markdown."""
    heads = [
        "noise per pair", "0 %: false alarms (95 % bound)", "unchanged", "inconclusive", "pairs",
        *(f"{100 * one:.0f} %: caught / inconclusive / missed / pairs" for one in EFFECTS[1:]),
    ]  # fmt: skip
    lines = ["| " + " | ".join(heads) + " |", "|" + " :-- |" + " --: |" * (len(heads) - 1)]
    lines += [
        row(noise, outliers, rule, verdicts, seed) for outliers in (False, True) for noise in NOISE
    ]
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--verdicts", type=int, default=20_000)
    parser.add_argument("--threshold", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rule = SequentialRule(options.threshold)
    print(
        f"{options.verdicts} verdicts per cell, threshold {100 * rule.threshold:.0f} %,"
        f" {rule.least} to {rule.most} pairs, {100 * rule.alpha:.0f} % per look,"
        f" seed {options.seed}; shares in %\n"
    )
    print(table(rule, options.verdicts, options.seed))


if __name__ == "__main__":
    main()
