"""How far the mode that ``cnnbench advise`` picks is from the best, measured apart.

    python -m bench.advise_evidence results/advise --minutes 60

For each network, advice is asked for as a user would, with one thread; then every mode that was
near the fastest, or had no time there, is measured anew, in a run of its own with more rounds. A
pick is wrong by the ratio of its time to that of the fastest mode with a correct output there. Each
network appends a line to ``picks.jsonl``; what is there is not measured again, so the script can be
stopped at any time. Writes ``picks.md`` as well.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnnbench import flaws, metrics, store, units
from cnnbench.record import Record

NETWORKS = (
    "squeezenet1_1", "mobilenet_v2", "resnet18", "mobilenet_v3_small", "shufflenet_v2_x1_0",
    "mnasnet0_5", "regnet_y_400mf", "efficientnet_b0", "googlenet", "timm:convnext_atto",
)  # fmt: skip
# Rounds of the run apart: more than advice has.
ROUNDS = 5
_WORTH = 1.05
# A mode that was slower than the fastest by this is not measured again.
_FAR = 1.5
Line = dict[str, Any]


def one(network: str, budget: str) -> Line:
    """Advice, and the same modes measured apart."""
    with tempfile.TemporaryDirectory() as folder:
        advised, apart = Path(folder, "advised"), Path(folder, "apart")
        limit = ["--budget", budget] if budget else []
        began = time.monotonic()
        advice = json.loads(_cnnbench("advise", network, "--json", "--out", str(advised), *limit))
        took = time.monotonic() - began
        modes = ",".join([*_contenders(store.read(advised).records), *advice["untried"]])
        _cnnbench("run", network, "--modes", modes, "--rounds", str(ROUNDS), "--out", str(apart))
        records = {one.spec.mode.text: one for one in store.read(apart).records}
    base = records["eager"]
    gains = {
        mode: gain.point
        for mode, record in records.items()
        if flaws.fit(record) and (gain := metrics.speedup(record, base)) is not None
    } | {"eager": 1.0}
    best, pick = max(gains, key=lambda mode: gains[mode]), advice["recommended"]
    # A pick whose output is not right in the run apart is as wrong as a slow one.
    loss = gains[best] / gains[pick] - 1 if pick in gains else None
    return {
        "network": network, "budget": budget, "seconds": took, "pick": pick, "best": best,
        "loss": loss, "gains": gains, "untried": [*advice["untried"]],
        "open": [one["text"] for one in advice["findings"] if one["name"] == "verified"],
    }  # fmt: skip


def _contenders(records: Sequence[Record]) -> list[str]:
    """Eager, and what may be the best by the advice's own figures, however wrong by half."""
    times = {one.spec.mode.text: found.point for one in records
             if (found := metrics.latency(one)) is not None}  # fmt: skip
    best = min(times[one.spec.mode.text] for one in records if flaws.fit(one))
    return [mode for mode, time in times.items() if mode == "eager" or time <= _FAR * best]


def _cnnbench(*words: str) -> str:
    command = [sys.executable, "-m", "cnnbench", *words, "--device", "cpu", "--threads", "1", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in {0, 3}:
        raise RuntimeError(done.stderr)
    return done.stdout


def report(lines: list[Line]) -> str:
    """A row per network, and how many picks are near the best."""
    near = sum(line["loss"] is not None and 1 + line["loss"] <= _WORTH for line in lines)
    told = [
        "# The mode that is advised, and the best one measured apart",
        "",
        f"{near} of {len(lines)} picks within {units.percent(_WORTH - 1)} of the best.",
        "",
        "| network | pick | best apart | pick slower by | gain of the best | advice took |",
        "|---|---|---|--:|--:|--:|",
    ]
    told += [
        f"| {line['network']} | {line['pick']} | {line['best']} |"
        f" {_loss(line)} | {units.ratio(line['gains'][line['best']])} |"
        f" {line['seconds']:.0f} s |"
        for line in lines
    ]
    return "\n".join([*told, ""])


def _loss(line: Line) -> str:
    return "its output was not right" if line["loss"] is None else units.percent(line["loss"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", default=",".join(NETWORKS))
    parser.add_argument("--budget", default="", help="of each advice; none if not given")
    parser.add_argument("--minutes", type=float, default=60)
    given = parser.parse_args()
    until = time.monotonic() + 60 * given.minutes
    given.folder.mkdir(parents=True, exist_ok=True)
    path = given.folder / "picks.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {(line["network"], line["budget"]) for line in lines}
    for network in given.models.split(","):
        if (network, given.budget) in done or time.monotonic() > until:
            continue
        lines.append(one(network, given.budget))
        with path.open("a", encoding="utf8") as file:
            file.write(json.dumps(lines[-1]) + "\n")
        print(f"{network}: {lines[-1]['pick']}, {_loss(lines[-1])}", flush=True)
    (given.folder / "picks.md").write_text(report(lines), encoding="utf8")


if __name__ == "__main__":
    main()
