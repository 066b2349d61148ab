"""How often ``cnnbench bisect`` names the right commit, measured in real repositories.

    python -m bench.bisect_evidence results/gate/bisect --minutes 40
    python -m bench.bisect_evidence results/gate/bisect --report > results/gate/bisect.md

Every history is a git repository of its own with a first commit and 32 more, of which one makes the
network 5 to 10 % slower, or in every third history none. What costs is either a layer more, which
the structure shows, or Python between the layers, which only the clock shows. The command is called
as a user calls it. Every history is a line of ``verdicts.jsonl``; a run goes on where it ended.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from cnnbench.stats import wilson

ROOT = Path(__file__).resolve().parents[1]
COMMITS = 32
SMALLEST, LARGEST = 0.05, 0.10
KINDS = ("layer", "python")

NETWORK = '''"""A small network: revision {revision}."""

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        )
        self.head = nn.Linear(64, 10)
        self.register_buffer("numbers", torch.linspace(-1.0, 1.0, 4096))

    def forward(self, x):
        extra = self.numbers
        for _ in range({layers}):
            extra = torch.tanh(extra)
        for _ in range({loops}):
            pass
        return self.head(self.features(x).flatten(1)) + extra[0]


def tiny():
    return Net()
'''

# Prints the seconds of a step, of a layer more and of an empty iteration, one thread.
PROBE = """
import json, statistics, time, torch
torch.set_num_threads(1)
from net import tiny
model, x = tiny().eval(), torch.randn(1, 3, 64, 64)
numbers = model.numbers
def seconds(call, times):
    found = []
    for _ in range(times):
        began = time.perf_counter(); call(); found.append(time.perf_counter() - began)
    return statistics.median(found)
def loop():
    for _ in range(100000):
        pass
with torch.inference_mode():
    for _ in range(20):
        model(x)
    step = seconds(lambda: model(x), 200)
    layer = seconds(lambda: torch.tanh(numbers), 2000)
print(json.dumps({"step": step, "layer": layer, "loop": seconds(loop, 20) / 100000}))
"""


def git(folder: Path, *words: str) -> str:
    """What a git command prints."""
    who = ["-c", "user.name=bench", "-c", "user.email=bench@example.org"]
    done = subprocess.run(
        ["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def probed(folder: Path) -> dict[str, float]:
    """Seconds of a step, a layer more and an empty iteration on this machine."""
    (folder / "net.py").write_text(NETWORK.format(revision=0, layers=1, loops=0))
    done = subprocess.run(
        [sys.executable, "-c", PROBE], cwd=folder, check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def history(folder: Path, seed: int, seconds: dict[str, float]) -> dict[str, Any]:
    """Commit a history; says which commit is slower, by what and by how much."""
    chance = random.Random(f"history {seed}")
    slower = seed % 3 != 2
    culprit = chance.randint(1, COMMITS) if slower else COMMITS + 1
    effect = chance.uniform(SMALLEST, LARGEST)
    kind = KINDS[seed % 2]
    cost = effect * seconds["step"]
    layers = 1 + (max(1, round(cost / seconds["layer"])) if kind == "layer" else 0)
    loops = max(1, round(cost / seconds["loop"])) if kind == "python" else 0
    git(folder, "init", "-q", "-b", "main")
    shas = []
    for number in range(COMMITS + 1):
        late = number >= culprit
        text = NETWORK.format(
            revision=number, layers=layers if late else 1, loops=loops if late else 0
        )
        (folder / "net.py").write_text(text)
        git(folder, "add", "net.py")
        git(folder, "commit", "-q", "-m", f"Revision {number}")
        shas.append(git(folder, "rev-parse", "HEAD"))
    return {
        "seed": seed, "kind": kind if slower else "none", "culprit": culprit if slower else None,
        "effect": effect if slower else 0.0, "shas": shas,
    }  # fmt: skip


def bisected(folder: Path, shas: list[str]) -> dict[str, Any]:
    """What the command makes of a history."""
    words = [
        sys.executable, "-m", "cnnbench", "bisect", shas[0], shas[-1], "--models", "net:tiny",
        "--input", "3x64x64", "--threads", "1", "--json", "--quiet", "--out", str(folder / "kept"),
    ]  # fmt: skip
    began = time.monotonic()
    done = subprocess.run(
        words, cwd=folder, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    seconds = time.monotonic() - began
    told = json.loads(done.stdout) if done.stdout.strip() else {}
    return {
        "exit": done.returncode,
        **answer(told, shas),
        # Not the last line of those that say where it is kept.
        "said": [line for line in done.stderr.splitlines()[-1:] if "kept in" not in line],
        "seconds": round(seconds, 1),
    }


def answer(told: dict[str, Any], shas: list[str]) -> dict[str, Any]:
    """What ``bisect --json`` printed, with places instead of hashes.

    Args:
        told: the object; empty if nothing was printed.
        shas: of the commits from GOOD to BAD.
    """
    place = {sha: number for number, sha in enumerate(shas)}
    steps = told.get("steps", ())
    return {
        "named": place[told["culprit"]["commit"]] if told.get("culprit") else None,
        "range": [place[one["commit"]] for one in told.get("candidates", ())],
        "steps": [
            [place[one["commit"]], place[one["against"]], one["verdict"], one["pairs"]]
            for one in steps
        ],
    }


def outcome(line: dict[str, Any]) -> str:
    """One word for a history."""
    culprit, named = line["culprit"], line["named"]
    if named is not None:
        return "right" if named == culprit else "wrong"
    if line["range"]:
        return "range with it" if culprit in line["range"] else "range without it"
    return "nothing named"


def measure(folder: Path, histories: int, minutes: float) -> None:
    """Histories until there are enough, or the time is up."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "verdicts.jsonl"
    known = {line["seed"] for line in read(path)}
    end = time.monotonic() + 60 * minutes
    for seed in range(histories):
        if seed in known or time.monotonic() > end:
            continue
        with tempfile.TemporaryDirectory() as place:
            facts = history(Path(place), seed, probed(Path(place)))
            found = bisected(Path(place), facts.pop("shas"))
        line = facts | found
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(seed, outcome(line), json.dumps(line), file=sys.stderr)


def read(path: Path) -> list[dict[str, Any]]:
    """The histories that were measured."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def report(lines: list[dict[str, Any]]) -> str:
    """The answers as a Markdown table."""
    rows = [
        "# The right commit in real histories", "",
        f"Histories of {COMMITS} commits; `cnnbench bisect --threads 1`, defaults otherwise.", "",
        "| what costs | histories | right | range that holds it | nothing named"
        " | wrong (95 % bound) | comparisons | median s |",
        "| :-- |" + " --: |" * 7,
    ]  # fmt: skip
    for kind in (*KINDS, "none"):
        some = [line for line in lines if line["kind"] == kind]
        if not some:
            continue
        counts = Counter(map(outcome, some))
        wrong = counts["wrong"] + counts["range without it"]
        bound = 100 * wilson(wrong, len(some))[1]
        middle = sorted(line["seconds"] for line in some)[len(some) // 2]
        rows.append(
            f"| {kind} | {len(some)} | {counts['right']} | {counts['range with it']} |"
            f" {counts['nothing named']} | {wrong} (<= {bound:.1f} %) |"
            f" {sum(len(line['steps']) for line in some) / len(some):.1f} | {middle:.0f} |"
        )
    rows += [
        "",
        *map(_counted, (False, True), (_verdicts(lines, slower=one) for one in (False, True))),
    ]
    return "\n".join(rows) + "\n"


def _verdicts(lines: list[dict[str, Any]], *, slower: bool) -> Counter[str]:
    """The verdicts of all comparisons whose commits differ, or do not, in speed."""
    found: Counter[str] = Counter()
    for line in lines:
        culprit = line["culprit"] or COMMITS + 1
        for place, against, verdict, _ in line["steps"]:
            found[verdict] += (against < culprit <= place) == slower
    return found


def _counted(slower: bool, found: Counter[str]) -> str:
    what = "commits of which one is slower" if slower else "commits that are equally fast"
    told = ", ".join(f"{count} {name}" for name, count in found.most_common() if count)
    return f"* {found.total()} comparisons of {what}: {told}"


def main() -> None:
    """Measure, or report what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--histories", type=int, default=30)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--report", action="store_true", help="Print the table; nothing is run.")
    options = parser.parse_args()
    if options.report:
        print(report(read(options.folder / "verdicts.jsonl")), end="")
        return
    measure(options.folder, options.histories, options.minutes)


if __name__ == "__main__":
    main()
