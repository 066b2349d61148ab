"""How often ``cnnbench bisect`` names the right commit, by simulation.

    python -m bench.bisection_simulation                  500 histories a row, as a Markdown table
    python -m bench.bisection_simulation --histories 50

A history has 32 commits after GOOD, and one of them costs 5 to 10 %, or none does. A pair's
log-ratio is the true effect plus normal noise; with outliers, one pair in ten has four times the
noise. The search and the rule are those of the gate. Nothing is measured.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from dataclasses import dataclass

from bench.gate_simulation import verdict
from cnnbench.gate import bisection
from cnnbench.gate.bisection import BisectionStep, of_steps
from cnnbench.gate.rule import SequentialRule
from cnnbench.stats import wilson

LAST = 32
SMALLEST, LARGEST = 0.05, 0.10
# As the command has it by default.
MOST = 20
NOISE = (0.005, 0.01, 0.015, 0.02, 0.03, 0.05)


@dataclass(frozen=True)
class World:
    """What is true of a history.

    Attributes:
        culprit: place of the slower commit; beyond the end if there is none.
        effect: by how much it is slower.
        noise: standard deviation of a pair's log-ratio.
        outliers: one pair in ten has four times as much.
        chance: of the pairs.
    """

    culprit: int
    effect: float
    noise: float
    outliers: bool
    chance: random.Random


def compared(world: World, place: int, against: int, rule: SequentialRule) -> BisectionStep:
    """Two commits, pair after pair; a regression is looked at twice where the search does."""
    effect = world.effect if against < world.culprit <= place else 0.0
    said, pairs = verdict(world.chance, world.noise, effect, world.outliers, rule)
    if said == "regression" and bisection.confirms(place, against, LAST):
        again, more = verdict(world.chance, world.noise, effect, world.outliers, rule)
        said, pairs = (said if again == said else "inconclusive"), pairs + more
    return BisectionStep(place, against, "", said, pairs=pairs)  # type: ignore[arg-type]


def outcome(world: World, rule: SequentialRule) -> tuple[str, int]:
    """What a bisection comes to, and the pairs that it takes."""
    steps = [compared(world, LAST, 0, rule)]
    if steps[0].verdict == "regression":
        while (wanted := of_steps(LAST, steps).next) is not None:
            steps.append(compared(world, *wanted, rule))
    pairs = sum(one.pairs for one in steps)
    if steps[0].verdict != "regression":
        return "refused" if steps[0].verdict == "unchanged" else "undecided", pairs
    search = of_steps(LAST, steps)
    if search.named is not None:
        return "right" if search.named == world.culprit else "wrong", pairs
    inside = search.good < world.culprit <= search.bad
    return "range with it" if inside else "range without it", pairs


def row(noise: float, outliers: bool, histories: int, seed: int) -> str:
    """One line of the table."""
    rule = SequentialRule(0.05, bisection.error(LAST), most=MOST)
    chance = random.Random(f"{seed} {noise} {outliers}")
    counts: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    pairs = 0
    for slower in (True, False):
        for _ in range(histories):
            effect = chance.uniform(SMALLEST, LARGEST)
            culprit = chance.randint(1, LAST) if slower else LAST + 1
            told, taken = outcome(World(culprit, effect, noise, outliers, chance), rule)
            counts[slower][told] += 1
            pairs += taken * slower
    found, none = counts[True], counts[False]
    bound = 100 * wilson(found["wrong"] + found["range without it"], histories)[1]
    false = none["right"] + none["wrong"] + none["range with it"] + none["range without it"]
    parts = [
        f"{100 * noise:.1f} %" + (" + 10 % outliers x4" if outliers else ""),
        *(f"{100 * found[name] / histories:.1f}" for name in ("right", "range with it")),
        f"{100 * (found['undecided'] + found['refused']) / histories:.1f}",
        f"{100 * (found['wrong'] + found['range without it']) / histories:.1f} (<= {bound:.1f})",
        f"{100 * false / histories:.1f}",
        f"{pairs / histories:.0f}",
    ]
    return "| " + " | ".join(parts) + " |"


def table(histories: int, seed: int) -> str:
    """The whole table as Markdown."""
    heads = (
        "noise per pair", "named, rightly", "range that holds it", "not bisected",
        "wrong (95 % bound)", "no culprit: anything said", "pairs",
    )  # fmt: skip
    lines = ["| " + " | ".join(heads) + " |", "|" + " :-- |" + " --: |" * (len(heads) - 1)]
    return "\n".join(
        [*lines, *(row(one, bad, histories, seed) for bad in (False, True) for one in NOISE)]
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--histories", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(
        f"{options.histories} histories of {LAST} commits per row with one that costs"
        f" {100 * SMALLEST:.0f} to {100 * LARGEST:.0f} %, and as many without; threshold 5 %,"
        f" 3 to {MOST} pairs,"
        f" {100 * bisection.error(LAST):.2f} % per look, seed {options.seed}; shares in %\n"
    )
    print(table(options.histories, options.seed))


if __name__ == "__main__":
    main()
