"""How often gates are wrong: ours and its peers' on the same code, core and minutes.

    taskset -c 1 python -m bench.gate_evidence results/gate --rounds 2 --minutes 37
    python -m bench.gate_evidence results/gate --report > results/gate/report.md

A round is a block for every condition and effect: a quiet core, then a neighbour that takes 30 and
60 % of it; head = base, then head = base + a layer of known cost (5 %; with every second round also
3 and 10 %). A block measures real pairs of every workload, then runs a real pytest-benchmark suite,
base first and head after it; asv's rule and two tests of significance are applied to timings of the
latter. Everything is appended to ``verdicts.jsonl``. It can be stopped at any time and goes on with
the block that was not finished; what is in a block without an end is not reported, because the
quick verdicts would be in it and the slow ones would not. ``gate_default`` does this with
default options on all cores.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import gate_rules, gate_simulation
from bench.gate_rules import WORKLOADS, specs_of
from cnnbench.gate.rule import Decision, SequentialRule
from cnnbench.plan import Plan
from cnnbench.runner.ab.paired import PairedPlan
from cnnbench.runner.ab.session import PairedComparison, PairedOutcome, PairedSession
from cnnbench.runner.process import Processes
from cnnbench.stats import wilson

ROOT = Path(__file__).resolve().parents[1]
CONDITIONS = (0.0, 0.3, 0.6)
Line = dict[str, Any]


class Log:
    """The lines that there are; appends to them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "verdicts.jsonl"
        text = self._path.read_text() if self._path.exists() else ""
        self.lines = [found for line in text.splitlines() if (found := _read(line)) is not None]

    def add(self, **line: Any) -> None:
        self.lines.append(line)
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def of(self, kind: str) -> list[Line]:
        return [line for line in self.lines if line["kind"] == kind]

    @property
    def finished(self) -> set[str]:
        """Names of the blocks that have an end."""
        return {line["block"] for line in self.of("end")}


def _read(line: str) -> Line | None:
    try:
        found: Line = json.loads(line)
    except ValueError:
        return None  # torn by a kill
    return found


def blocks(
    rounds: int, conditions: Sequence[float] = CONDITIONS, only: Sequence[float] = ()
) -> Iterator[tuple[str, float, float]]:
    """Name, condition and effect of every block, the most telling first.

    Args:
        rounds: how many.
        conditions: shares of the core that a neighbour takes.
        only: effects, instead of those that a round has.
    """
    for number in range(rounds):
        effects = (0.0, 0.05) if number % 2 == 0 else (0.0, 0.05, 0.10, 0.03)
        for effect in only or effects:
            for condition in conditions:
                yield f"{number}/{condition:g}/{effect:g}", condition, effect


class _Quiet:
    """A watcher that writes verdicts to the log as they come."""

    def __init__(self, log: Log, facts: Line) -> None:
        self._log = log
        self._facts = facts

    def pair(self, number: int, undecided: int, total: int) -> None:
        print(f"  pair {number + 1}: {undecided} of {total} undecided", file=sys.stderr)

    def working(self, comparison: PairedComparison, number: int, *, confirming: bool) -> None:
        del comparison, number, confirming

    def crowded(self, comparison: PairedComparison, share: float) -> None:
        del comparison, share

    def looked(self, comparison: PairedComparison, decision: Decision) -> None:
        del comparison, decision

    def judged(self, outcome: PairedOutcome) -> None:
        found = outcome.decision
        self._log.add(
            kind="ab", **self._facts,
            workload=gate_rules.workload_of(outcome.comparison.base),
            verdict=outcome.verdict, reason=found.reason, estimate=found.estimate,
            low=found.low, high=found.high, resolvable=found.resolvable,
            log_ratios=[round(one, 5) for one in outcome.pairs],
            confirmation=[round(one, 5) for one in outcome.confirmation],
            cpu=[round(one, 5) for one in outcome.cpu_pairs],
            seconds=round(outcome.seconds, 2), off_cpu=outcome.off_cpu,
        )  # fmt: skip


def measure_pairs(log: Log, facts: Line, layers: Line, how: PairedPlan, copies: int) -> None:
    """Pairs of every workload, with ``copies`` verdicts of each."""
    rule = how.rule
    comparisons = [
        PairedComparison(*specs_of(workload, layers.get(workload)), rule)
        for workload in WORKLOADS
        for _ in range(copies)
    ]
    executors = {"base": Processes(), "head": Processes()}
    list(
        PairedSession(executors, how.of_a_pair, how.budget, _Quiet(log, facts)).measure(comparisons)
    )


def peers(log: Log, facts: Line, layers: Line) -> None:
    """A real pytest-benchmark run of the base, then of the head, and what each rule makes of it."""
    began = time.monotonic()
    suites = [_suite({}), _suite(layers)]
    seconds = (time.monotonic() - began) / len(WORKLOADS)
    for workload in WORKLOADS:
        base, head = (suite[workload] for suite in suites)
        for name, rule in gate_rules.RULES.items():
            flagged, change = rule(base, head)
            log.add(
                kind="peer", **facts, workload=workload, rule=name, flagged=flagged,
                change=change, seconds=round(seconds, 2),
            )  # fmt: skip


def _suite(layers: Line) -> dict[str, Line]:
    """Raw timings by workload of one run of the suite in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out.json"
        words = ["-q", "-p", "no:cacheprovider", f"--benchmark-json={path}", "-W", "ignore"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *words, "bench/gate_peers.py"],
            cwd=ROOT, env=_environment() | {"CNNBENCH_LAYERS": json.dumps(layers)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise SystemExit(done.stdout[-3000:] + done.stderr[-1000:])
        found = json.loads(path.read_text())["benchmarks"]
    return {
        one["params"]["workload"]: {
            "data": one["stats"]["data"],
            "min": one["stats"]["min"],
            "mean": one["stats"]["mean"],
            "asv": one["extra_info"]["asv"],
        }
        for one in found
    }


def _environment() -> dict[str, str]:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return dict(os.environ) | {"PYTHONPATH": os.pathsep.join(paths)}


@contextmanager
def neighbour(share: float, log: Log, facts: Line) -> Iterator[None]:
    """Somebody else on this core; the share it took is logged."""
    if not share:
        yield
        return
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.gate_neighbour", str(share)],
        cwd=ROOT, env=_environment(), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=30)
        log.add(kind="neighbour", **facts, share=sum(map(float, out.split())))


def truths(log: Log, effects: Sequence[float], seconds: float) -> dict[float, Line]:
    """The layer of every workload for every effect; measured now if that was never done."""
    known = {(line["workload"], line["effect"]): line for line in log.of("truth")}
    for effect in effects:
        for workload in WORKLOADS:
            if effect and (workload, effect) not in known:
                print(f"truth: {workload} {effect:g}", file=sys.stderr)
                done = subprocess.run(
                    [sys.executable, "-m", "bench.gate_networks", workload, str(effect),
                     "--seconds", str(seconds)],
                    cwd=ROOT, env=_environment(), capture_output=True, text=True, check=False,
                )  # fmt: skip
                if done.returncode != 0:
                    raise SystemExit(done.stderr[-3000:])
                line = json.loads(done.stdout.splitlines()[-1])
                log.add(**line)
                known[workload, effect] = line
    return {
        effect: {w: known[w, effect]["layer"] for w in WORKLOADS if (w, effect) in known}
        for effect in effects
    }


def measure(log: Log, given: argparse.Namespace) -> None:
    """Block after block, until the rounds or the minutes are over."""
    end = time.monotonic() + 60 * given.minutes
    how = PairedPlan(SequentialRule(0.05), Plan(slices=given.slices), given.budget)
    for name, condition, effect in blocks(given.rounds, given.conditions, given.effects):
        if name in log.finished:
            continue
        if time.monotonic() + _usual_seconds(log, condition, effect) > end:
            break
        layers = truths(log, [effect], given.truth_seconds)[effect]
        # A block that was stopped is measured again under a name of its own.
        facts = {"block": name, "condition": condition, "effect": effect, "take": time.time_ns()}
        log.add(kind="unrest", **facts, unrest=unrest())
        print(f"block {name}", file=sys.stderr)
        began = time.monotonic()
        with neighbour(condition, log, facts):
            measure_pairs(log, facts | {"slices": given.slices}, layers, how, given.copies)
            if not given.no_peers:
                peers(log, facts, layers)
        log.add(kind="end", **facts, seconds=round(time.monotonic() - began, 1))


def unrest() -> float:
    """How restless this core is just now, neighbours of ours not begun."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.gate_unrest"],
        cwd=ROOT, env=_environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(done.stdout)


def _usual_seconds(log: Log, condition: float, effect: float) -> float:
    """How long such a block took before; a first one is begun in any case."""
    same = [
        line["seconds"]
        for line in log.of("end")
        if (line["condition"], line["effect"]) == (condition, effect)
    ]
    return statistics.median(same) if same else 0.0


def report(log: Log, verdicts: int = 2000) -> str:
    """Rates with their intervals, as Markdown."""
    whole = {line["take"] for line in log.of("end")}
    ours = [line for line in log.of("ab") if line["take"] in whole]
    theirs = [line for line in log.of("peer") if line["take"] in whole]
    parts = ["# Gates on the same code, core and minutes", "", _truth_table(log), ""]
    for effect in sorted({line["effect"] for line in ours}):
        title = "head = base" if effect == 0 else f"head = base + a layer of about {_p(effect)}"
        parts += [f"## {title}", "", *_table(ours, theirs, effect), ""]
    parts += ["## By workload, all conditions", "", *_by_workload(ours), ""]
    shares = [f"{_p(line['condition'])} asked, {_p(line['share'])} taken"
              for line in log.of("neighbour") if line["take"] in whole]  # fmt: skip
    parts += [f"Neighbour: {'; '.join(shares) or 'none'}.", ""]
    parts += [*_unrest(log, whole), ""]
    rule = SequentialRule(0.05)
    parts += [f"## The same rule at other noise levels, {verdicts} simulated verdicts each", "",
              gate_simulation.table(rule, verdicts, 1), ""]  # fmt: skip
    return "\n".join(parts)


def _unrest(log: Log, whole: set[int]) -> list[str]:
    found = [line["unrest"] for line in log.of("unrest") if line["take"] in whole]
    if not found:
        return ["How restless the core was by itself was not measured."]
    return [
        f"How restless the core was by itself before a block (quartile distance of a small matrix"
        f" product over its median): {_p(min(found))} to {_p(max(found))}, median"
        f' {_p(statistics.median(found))}. "Quiet" means that nobody else was on this core; what'
        " other guests of the host did shows here only."
    ]


def _p(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"


def rate(hits: int, count: int) -> str:
    """A share with its 95 % interval (Wilson)."""
    if not count:
        return "-"
    low, high = wilson(hits, count)
    return f"{hits}/{count} = {_p(hits / count)} [{100 * low:.1f}, {100 * high:.1f}]"


def _table(ours: Sequence[Line], theirs: Sequence[Line], effect: float) -> list[str]:
    """A row per rule and condition."""
    lines = ["| rule | condition | called a regression | inconclusive | called unchanged"
             " | median s |", "| :-- | :-- | --: | --: | --: | --: |"]  # fmt: skip
    mine = [line for line in ours if line["effect"] == effect]
    for condition in (*CONDITIONS, None):
        some = [one for one in mine if condition in (None, one["condition"])]
        counts = [sum(one["verdict"] == verdict for one in some)
                  for verdict in ("regression", "inconclusive", "unchanged")]  # fmt: skip
        if some:
            seconds = statistics.median(one["seconds"] for one in some)
            rates = " | ".join(rate(count, len(some)) for count in counts)
            lines.append(f"| **cnnbench ab** | {_condition(condition)} | {rates} | {seconds:.1f} |")
    for rule in gate_rules.RULES:
        for condition in (*CONDITIONS, None):
            some = [one for one in theirs if (one["rule"], one["effect"]) == (rule, effect)
                    and condition in (None, one["condition"])]  # fmt: skip
            if some:
                seconds = statistics.median(one["seconds"] for one in some)
                hit = rate(sum(one["flagged"] for one in some), len(some))
                lines.append(
                    f"| {rule} | {_condition(condition)} | {hit} | - | - | {seconds:.1f} |"
                )
    return lines


def _condition(share: float | None) -> str:
    return "all" if share is None else "quiet" if share == 0 else f"neighbour {100 * share:.0f} %"


def _by_workload(ours: Sequence[Line]) -> list[str]:
    lines = ["| workload | effect | regression / inconclusive / unchanged / other | sd of a pair"
             " | pairs | median s |", "| :-- | --: | --: | --: | --: | --: |"]  # fmt: skip
    for effect in sorted({line["effect"] for line in ours}):
        for workload in WORKLOADS:
            some = [one for one in ours if (one["workload"], one["effect"]) == (workload, effect)]
            if some:
                lines.append(_workload_row(workload, effect, some))
    return lines


def _workload_row(workload: str, effect: float, some: Sequence[Line]) -> str:
    names = ("regression", "inconclusive", "unchanged")
    counts = [sum(one["verdict"] == name for one in some) for name in names]
    counts.append(len(some) - sum(counts))
    series = [part for one in some for part in (one["log_ratios"], one["confirmation"])]
    within = [statistics.variance(part) for part in series if len(part) > 1]
    spread = math.sqrt(statistics.fmean(within)) if within else math.nan
    pairs = statistics.fmean(len(one["log_ratios"]) + len(one["confirmation"]) for one in some)
    seconds = statistics.median(one["seconds"] for one in some)
    return (f"| {workload} | {_p(effect)} | {' / '.join(map(str, counts))} | {_p(spread)}"
            f" | {pairs:.1f} | {seconds:.1f} |")  # fmt: skip


def _truth_table(log: Log) -> str:
    lines = ["| workload | layer asked to cost | truth | calls |", "| :-- | --: | --: | --: |"]
    for one in log.of("truth"):
        truth = f"{_p(one['truth'])} ± {100 * one['error']:.2f}"
        lines.append(f"| {one['workload']} | {_p(one['effect'])} | {truth} | {one['calls']} |")
    return "\n".join(lines)


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(one) for one in text.split(","))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="holds verdicts.jsonl")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no block that would"
                        " end later")  # fmt: skip
    parser.add_argument("--copies", type=int, default=3, help="verdicts per workload and block")
    parser.add_argument(
        "--conditions", type=_numbers, default=CONDITIONS, metavar="SHARE,…",
        help="of the core that a neighbour takes",
    )  # fmt: skip
    parser.add_argument("--effects", type=_numbers, default=(), metavar="EFFECT,…")
    parser.add_argument("--slices", type=int, default=PairedPlan.plan.slices)
    parser.add_argument("--budget", type=float, default=PairedPlan.budget)
    parser.add_argument("--truth-seconds", type=float, default=6.0)
    parser.add_argument("--truth", action="store_true", help="only find layers and their cost")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--report", action="store_true", help="print the tables, measure nothing")
    given = parser.parse_args()
    log = Log(given.folder)
    if given.report:
        print(report(log))
        return
    cache = Path(tempfile.gettempdir()) / "cnnbench-gate-evidence"
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache))
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    os.chdir(ROOT)
    if given.truth:
        truths(log, (0.05, 0.10, 0.03), given.truth_seconds)
    else:
        measure(log, given)


if __name__ == "__main__":
    main()
