"""How often an explanation names the right module: known regressions, and identical code.

    python -m bench.explain_evidence results/gate/explain --minutes 60
    python -m bench.explain_evidence results/gate/explain --report > results/gate/explain.md

A case changes one module of a network in one way, at a cost that is measured beforehand, and asks
for an explanation with the budget of a paired comparison. Every second case is identical code, of
which nothing may be named. Each case appends a line to ``verdicts.jsonl``; what is there is not
measured again, so the script can be stopped at any time. The choice of modules follows from the
number of the case alone.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import explain_networks
from bench.explain_networks import KINDS
from cnnbench.codec import encode
from cnnbench.gate.explanation import Explanation
from cnnbench.gate.outcomes import PairedComparison
from cnnbench.report import explanation
from cnnbench.runner.ab.explaining import Clocking
from cnnbench.runner.ab.paired import PairedPlan
from cnnbench.runner.process import Processes
from cnnbench.stats import wilson

ROOT = Path(__file__).resolve().parents[1]
NETWORKS = ("resnet18", "mobilenet_v3_small", "squeezenet1_1", "mobilenet_v2")
CASES = 40
# What a change is to cost, of a step; below the least it is no regression that a gate would find.
_EFFECTS, _LEAST = (0.06, 0.1, 0.2), 0.03
_TRIES = 6
Line = dict[str, Any]


class Log:
    """The lines that there are; appends to them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "verdicts.jsonl"
        text = self._path.read_text() if self._path.exists() else ""
        self.lines = [found for line in text.splitlines() if (found := _read(line)) is not None]

    def add(self, line: Line) -> None:
        """Append one."""
        self.lines.append(line)
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def has(self, case: int, *, same: bool) -> bool:
        """Whether a case is measured."""
        return any((one["case"], one["same"]) == (case, same) for one in self.lines)


def _read(line: str) -> Line | None:
    try:
        found: Line = json.loads(line)
    except ValueError:
        return None  # torn by a kill
    return found


def choose(case: int) -> tuple[str, str, list[str], float]:
    """Kind, network, modules to try in order, and effect of a case."""
    chance = random.Random(case)
    kinds = list(KINDS)
    kind = kinds[case % len(kinds)]
    names = [name for name in NETWORKS if explain_networks.modules(name, kind)]
    name = names[(case // len(kinds) + case) % len(names)]
    found = explain_networks.modules(name, kind)
    return kind, name, chance.sample(found, min(_TRIES, len(found))), chance.choice(_EFFECTS)


def truth(name: str, kind: str, module: str, effect: float, seconds: float) -> Line:
    """An amount and its cost, from a process of its own."""
    words = [name, kind, module, str(effect), "--seconds", str(seconds)]
    done = subprocess.run(
        [sys.executable, "-m", "bench.explain_networks", *words],
        cwd=ROOT, env=_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        return {"truth_ns": 0.0, "step_ns": 1.0, "why": done.stderr[-500:]}
    found: Line = json.loads(done.stdout.splitlines()[-1])
    return found


def _environment() -> dict[str, str]:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return dict(os.environ) | {"PYTHONPATH": os.pathsep.join(paths)}


def explain(base: Any, head: Any, budget: float) -> Explanation:
    """One explanation, as ``cnnbench ab --explain`` measures it."""
    how = PairedPlan(budget=budget)
    who = {role: Processes() for role in ("base", "head")}
    clocking = Clocking(who, how.of_a_pair, budget, lambda text: print(text, file=sys.stderr))
    return clocking.explain(PairedComparison(base, head, how.rule))


def changed(case: int, given: argparse.Namespace) -> Line:
    """A case with a change: the first of its modules for which that costs enough."""
    kind, name, modules, effect = choose(case)
    facts: Line = {}
    module = ""
    for module in modules:
        facts = truth(name, kind, module, effect, given.truth_seconds)
        if facts["truth_ns"] > _LEAST * facts["step_ns"]:
            break
    line = {"case": case, "same": False, "kind": kind, "network": name, "module": module, **facts}
    if facts["truth_ns"] <= _LEAST * facts["step_ns"]:
        return line | {"skipped": "no module for which this costs enough"}
    more = {"kind": kind, "module": module, "amount": facts["amount"]}
    base, head = explain_networks.spec(name), explain_networks.spec(name, **more)
    return line | judged(explain(base, head, given.budget), module, facts["truth_ns"])


def judged(found: Explanation, module: str, truth_ns: float) -> Line:
    """What of an explanation is right."""
    first = found.named[0] if found.named else None
    right = first is not None and (
        first.name == module or first.name.startswith(f"{module}.")
    ) and first.kind in {"module", "within"}  # fmt: skip
    ns = first.change.ns if first is not None and right else math.nan
    total = found.total.ns
    return {
        "right": right,
        "named_anywhere": any(one.name == module for one in found.named),
        "others": sum(one.name != module for one in found.named),
        "within_truth": right and abs(ns - truth_ns) <= 0.2 * abs(truth_ns),
        "within_total": right and abs(ns - total) <= 0.2 * abs(total),
        **_facts(found),
    }


def _facts(found: Explanation) -> Line:
    return {
        "lines": explanation.lines(found),
        "total": encode(found.total),
        "named": [encode(one) for one in found.named],
        "overhead": found.overhead,
        "pairs": found.pairs,
        "seconds": round(found.seconds, 1),
        "notes": list(found.notes),
        "measured_step_ns": found.step_ns,
        "load": os.getloadavg()[0],
    }


def same(case: int, given: argparse.Namespace) -> Line:
    """A case of identical code."""
    name = NETWORKS[case % len(NETWORKS)]
    spec = explain_networks.spec(name)
    found = explain(spec, spec, given.budget)
    return {"case": case, "same": True, "network": name, "count": len(found.named), **_facts(found)}


def measure(log: Log, given: argparse.Namespace) -> None:
    """Case after case, until all are there or the minutes are over."""
    end = time.monotonic() + 60 * given.minutes
    for case in range(given.cases):
        for do, identical in ((changed, False), (same, True)):
            if log.has(case, same=identical) or given.only not in {"both", do.__name__}:
                continue
            usual = [one["seconds"] for one in log.lines if "seconds" in one]
            if time.monotonic() + (statistics.median(usual) if usual else 0) > end:
                return
            print(f"case {case}: {do.__name__}", file=sys.stderr)
            log.add(do(case, given))


def report(log: Log) -> str:
    """Rates with their intervals, as Markdown."""
    done = [one for one in log.lines if not one["same"] and "right" in one]
    identical = [one for one in log.lines if one["same"]]
    quiet = [one["load"] for one in log.lines if "load" in one]
    parts = ["# Explanations of known regressions, and of identical code", ""]
    parts += ["| kind | right module first | its time within 20 % of the change"
              " | within 20 % of the truth | others named | median s |",
              "| :-- | --: | --: | --: | --: | --: |"]  # fmt: skip
    for kind in (*KINDS, None):
        some = [one for one in done if kind in (None, one["kind"])]
        if some:
            parts.append(_row(kind or "**all**", some))
    hits = sum(one["count"] > 0 for one in identical)
    parts += ["", f"Identical code: something named in {_rate(hits, len(identical))}.", ""]
    skipped = sum("skipped" in one for one in log.lines)
    parts += [f"Cases without a module for which the change costs 3 % of a step: {skipped}.", ""]
    if quiet:
        parts += [f"Load of the machine: {min(quiet):.1f} to {max(quiet):.1f}, median"
                  f" {statistics.median(quiet):.1f}.", ""]  # fmt: skip
    parts += ["## Every case", "", "| network | kind | module | costs | of a step | first named"
              " | pairs |", "| :-- | :-- | :-- | --: | --: | :-- | --: |"]  # fmt: skip
    parts += [_case(one) for one in done]
    return "\n".join(parts) + "\n"


def _row(kind: str, some: Sequence[Line]) -> str:
    rates = [_rate(sum(bool(one[key]) for one in some), len(some))
             for key in ("right", "within_total", "within_truth")]  # fmt: skip
    others = statistics.fmean(one["others"] for one in some)
    seconds = statistics.median(one["seconds"] for one in some)
    return f"| {kind} | {' | '.join(rates)} | {others:.1f} | {seconds:.0f} |"


def _rate(hits: int, count: int) -> str:
    if not count:
        return "-"
    low, high = wilson(hits, count)
    return f"{hits}/{count} [{100 * low:.0f} %, {100 * high:.0f} %]"


def _case(one: Line) -> str:
    share = 100 * one["truth_ns"] / one["step_ns"]
    first = one["lines"][0].replace("|", "\\|")
    return (f"| {one['network']} | {one['kind']} | {one['module']} | {one['truth_ns'] / 1e6:.2f} ms"
            f" | {share:.0f} % | {first} | {one['pairs']} |")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="holds verdicts.jsonl")
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no case that would"
                        " end later")  # fmt: skip
    parser.add_argument("--only", choices=["both", "changed", "same"], default="both")
    parser.add_argument("--budget", type=float, default=PairedPlan.budget)
    parser.add_argument("--truth-seconds", type=float, default=3.0)
    parser.add_argument("--report", action="store_true", help="print the tables, measure nothing")
    given = parser.parse_args()
    log = Log(given.folder)
    if given.report:
        print(report(log), end="")
        return
    os.chdir(ROOT)
    os.environ.update(_environment())
    measure(log, given)


if __name__ == "__main__":
    main()
