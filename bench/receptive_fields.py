"""Receptive fields of random networks against the extent of float64 gradients.

``python -m bench.receptive_fields DIR [--networks N]`` judges the networks of the seeds from 0 on,
as ``tests/analysis/test_receptive_random.py`` does with the first sixty. Nothing is timed.

Writes ``fields.jsonl`` (a line per seed; a second call goes on where the first ended) and
``report.md``.
"""

from __future__ import annotations

import argparse
import json
import random
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from tests.analysis.field_truth import judge
from tests.analysis.random_networks import SIZES, network

MEANING = {
    "right": "the size is the extent of the gradient, and the centres move with the stride",
    "everything": "said to be everything, and the gradient covers the axis",
    "beyond the picture": "not decided: a field, or the maps on the way, reach a border everywhere",
    "not known": "said to be not known",
    "does not run": "a layer refuses its input",
    "wrong": "said to be something else than the extent of the gradient",
}


def judged(seed: int) -> dict[str, Any]:
    """The verdict on one network."""
    drawn, axes = network(random.Random(seed))
    verdict = judge(drawn, (1, 4, *[SIZES[axes]] * axes))
    return {"seed": seed, "axes": axes, "verdict": verdict.kind, "reason": verdict.reason}


def report(found: list[dict[str, Any]]) -> str:
    """Counts per verdict, then every network that is wrong."""
    counts = Counter(row["verdict"] for row in found)
    wrong = [row for row in found if row["verdict"] == "wrong"]
    run = len(found) - counts["does not run"]
    return "\n".join([
        "# Receptive fields of random networks", "",
        f"torch {torch.__version__}: {len(found)} networks of one to six layers, of which"
        f" {run} run: {len(wrong)} wrong, {counts['not known']} not known"
        f" ({100 * counts['not known'] / max(run, 1):.1f} %).", "",
        "| verdict | networks | meaning |", "| :-- | --: | :-- |",
        *(f"| {kind} | {counts[kind]} | {text} |" for kind, text in MEANING.items()), "",
        "Wrong:", "",
        *([f"- seed {row['seed']}: {row['reason'].splitlines()[0]}" for row in wrong]
          or ["- none"]), "",
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--networks", type=int, default=500)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    path = given.folder / "fields.jsonl"
    kept = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {row["seed"] for row in kept}
    with path.open("a", encoding="utf8") as file:
        for seed in (seed for seed in range(given.networks) if seed not in done):
            kept.append(judged(seed))
            file.write(json.dumps(kept[-1]) + "\n")
            file.flush()
    (given.folder / "report.md").write_text(report(kept), encoding="utf8")


if __name__ == "__main__":
    main()
