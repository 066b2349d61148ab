"""How much of a budget is used where more time could still decide something.

    python -m bench.budget_use results/budgets

Each command below is given a budget that does not pay for all that it would like to do, and is
timed as a whole. It may end early where nothing is left that time could decide: whether that
is so is asked of the records that it leaves (is a mode left that may be faster than the choice, and
was every mode measured?). Each command appends a line to ``budgets.jsonl``; what is there is not
measured again. Writes ``budgets.md`` as well.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cnnbench import store, units
from cnnbench.choice import choose
from cnnbench.record import Record
from cnnbench.spec import Workload

CASES = (
    ("advise", "mobilenet_v2", "60s"),
    ("advise", "resnet18", "75s"),
    ("advise", "squeezenet1_1", "120s"),
    ("conv", "--layer", "n1c64h56w56-k64-3x3-p1", "30s"),
    ("conv", "--layer", "n1c256h14w14-k256-3x3-p1-g256", "45s"),
    ("conv", "--suite", "classic", "90s"),
    ("run", "mobilenet_v2,resnet18", "--modes", "eager,channels_last", "45s"),
    ("run", "squeezenet1_1", "--modes", "eager,channels_last,compile", "60s"),
    ("run", "quick", "--modes", "eager,channels_last", "120s"),
)
_GOAL = 0.9
Line = dict[str, Any]


def one(case: tuple[str, ...]) -> Line:
    """Seconds of a command, its budget, and what its records leave open."""
    *words, budget = case
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "run")
        command = [sys.executable, "-m", "cnnbench", *words, "--budget", budget, "--device", "cpu",
                   "--threads", "1", "--out", str(out), "-q"]  # fmt: skip
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        took = time.monotonic() - began
        if done.returncode not in {0, 3}:
            raise RuntimeError(done.stderr)
        left_open = what_is_open(store.read(out))
    return {"case": " ".join(case), "seconds": took, "budget": float(budget.rstrip("s")),
            "open": left_open}  # fmt: skip


def what_is_open(run: store.StoredRun) -> list[str]:
    """What more time could have decided: specs without a record, and rivals of a choice."""
    found = [f"{one} not measured" for one in run.missing]
    groups: dict[Workload, list[Record]] = {}
    for record in run.records:
        spec = record.spec
        if not spec.workload.is_layer or spec.mode.precision == spec.plain.mode.precision:
            groups.setdefault(spec.workload, []).append(record)
    for workload, members in groups.items():
        choice = choose(members)
        if choice is not None and choice.rivals:
            rivals = ", ".join(one.spec.mode.text for one in choice.rivals)
            found.append(f"{workload.architecture}: {choice.best.spec.mode.text} or {rivals}")
    return found


def report(lines: list[Line]) -> str:
    """A row per command."""
    undecided = [line for line in lines if line["open"]]
    shares = [line["seconds"] / line["budget"] for line in undecided]
    told = [
        "# Budgets and what was used of them",
        "",
        f"{len(undecided)} of {len(lines)} commands ended with something open;"
        f" {sum(one >= _GOAL for one in shares)} of these used {units.percent(_GOAL)} or more.",
        "",
        "| command | budget | used | open at its end |",
        "|---|--:|--:|---|",
    ]
    told += [
        f"| {line['case']} | {line['budget']:.0f} s |"
        f" {units.percent(line['seconds'] / line['budget'])} |"
        f" {'; '.join(line['open'][:2]) or 'nothing'} |"
        for line in lines
    ]
    return "\n".join([*told, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    path = given.folder / "budgets.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {line["case"] for line in lines}
    for case in CASES:
        if " ".join(case) in done:
            continue
        lines.append(one(case))
        with path.open("a", encoding="utf8") as file:
            file.write(json.dumps(lines[-1]) + "\n")
        print(lines[-1], flush=True)
    (given.folder / "budgets.md").write_text(report(lines), encoding="utf8")


if __name__ == "__main__":
    main()
