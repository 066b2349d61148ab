"""How often the gate is wrong as users call it: all cores, default options, a busy machine.

    python -m bench.gate_default results/gate-default --minutes 60
    python -m bench.gate_default results/gate-default --report > results/gate-default/report.md

``gate_evidence`` keeps itself on one core with one thread; here nothing is said about cores or
threads, so networks use all of them until the gate finds that their threads wait. Conditions: a
quiet machine; on each core a neighbour that takes 60 % of it; three processes for two cores that
never sleep (half as many again as there are cores). Everything runs at this process's priority:
start it without ``nice``.

A block is a condition and an effect, and has a verdict or more of every workload: head = base, or
head = base + a layer of about 5 %. Every verdict is appended to ``verdicts.jsonl`` as it comes. It
can be stopped at any time, ends by itself before a block that would take longer than the minutes
that are left, and goes on with the block that was not finished; what is in a block without an end
is not reported, because the quick verdicts would be in it and the slow ones would not.
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
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from bench import gate_evidence
from bench.gate_evidence import ROOT, Line, Log
from bench.gate_rules import WORKLOADS, specs_of
from cnnbench import machine
from cnnbench.gate import unsure
from cnnbench.gate.outcomes import PairedComparison, PairedOutcome
from cnnbench.gate.rule import Decision
from cnnbench.runner.ab.paired import PairedPlan
from cnnbench.runner.ab.session import PairedSession
from cnnbench.runner.process import Processes

# Name -> share of every core that a neighbour takes, and processes per core that never sleep.
CONDITIONS = {
    "quiet": (0.0, 0.0),
    "neighbours 60 %": (0.6, 0.0),
    "load 1.5 per core": (0.0, 1.5),
}
EFFECTS = (0.0, 0.05)
VERDICTS = ("regression", "inconclusive", "unchanged", "improvement", "failed")


class _Kept:
    """A watcher that writes verdicts to the log as they come."""

    def __init__(self, log: Log, facts: Line, workloads: dict[str, str]) -> None:
        self._log = log
        self._facts = facts
        self._workloads = workloads

    def pair(self, number: int, undecided: int, total: int) -> None:
        print(f"  pair {number + 1}: {undecided} of {total} undecided", file=sys.stderr)

    def working(self, comparison: PairedComparison, number: int, *, confirming: bool) -> None:
        del comparison, number, confirming

    def crowded(self, comparison: PairedComparison, share: float) -> None:
        print(f"  {comparison.name}: threads waited, {share:.0%}", file=sys.stderr)

    def looked(self, comparison: PairedComparison, decision: Decision) -> None:
        del comparison, decision

    def judged(self, outcome: PairedOutcome) -> None:
        found, narrow, why = outcome.decision, outcome.one_thread, unsure.of(outcome)
        print(f"  {outcome.comparison.name}: {outcome.verdict}", file=sys.stderr)
        self._log.add(
            kind="ab", **self._facts, workload=self._workloads[outcome.comparison.base.id],
            verdict=outcome.verdict, reason=found.reason if why is None else why.reason,
            cause=None if why is None else why.cause,
            helps=None if why is None or not why.helps else why.helps[0],
            estimate=found.estimate, low=found.low, high=found.high, resolvable=found.resolvable,
            log_ratios=[round(one, 5) for one in outcome.pairs],
            confirmation=[round(one, 5) for one in outcome.confirmation],
            cpu=[round(one, 5) for one in outcome.cpu_pairs],
            seconds=round(outcome.seconds, 2), off_cpu=outcome.off_cpu,
            threads=outcome.measured_as.base.threads, repeated=outcome.repeated,
            waiting=None if narrow is None else round(narrow.waiting, 4),
            set_aside=0 if narrow is None else narrow.set_aside,
            disagreeing=outcome.disagreeing,
        )  # fmt: skip


def comparison(workload: str, layer: Line | None) -> PairedComparison:
    """A workload against itself, or with a layer more, on all cores."""
    narrow = PairedComparison(*specs_of(workload, layer), PairedPlan().rule)
    threads = machine.usable_cores()
    return replace(
        narrow,
        base=replace(narrow.base, threads=threads),
        head=replace(narrow.head, threads=threads),
    )


def measure_block(log: Log, facts: Line, layers: Line, given: argparse.Namespace) -> None:
    """Verdicts on every workload, each copy in a session of its own, as ``ab`` has one."""
    how = PairedPlan(budget=given.budget, may_narrow=True)
    for _ in range(given.copies):
        asked = [comparison(name, layers.get(name)) for name in given.workloads]
        names = {one.base.id: name for one, name in zip(asked, given.workloads, strict=True)}
        session = PairedSession(
            {"base": Processes(), "head": Processes()}, how.of_a_pair, how.budget,
            _Kept(log, facts, names), may_narrow=how.may_narrow,
        )  # fmt: skip
        list(session.measure(asked))


@contextmanager
def others(condition: str, log: Log, facts: Line) -> Iterator[None]:
    """Somebody else on the machine, as the condition says; what they took is logged."""
    share, per_core = CONDITIONS[condition]
    cores = sorted(os.sched_getaffinity(0))
    words = [sys.executable, "-m", "bench.gate_neighbour", str(share)]
    taken: list[float] = []
    with ExitStack() as stack:
        for core in cores if share else ():
            stack.enter_context(_running(["taskset", "-c", str(core), *words], taken))
        for _ in range(round(per_core * len(cores))):
            stack.enter_context(_running([sys.executable, "-c", _SPIN], taken))
        if share or per_core:
            time.sleep(1.0)
        yield
    log.add(kind="others", **facts, taken=[round(one, 3) for one in taken])


# Spins until it is told to end, or until its parent is gone; says what share of a core it got.
_SPIN = """
import os, signal, sys, time
began = time.monotonic()
def stop(*_):
    print(time.process_time() / (time.monotonic() - began), flush=True)
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
parent = os.getppid()
while os.getppid() == parent:
    pass
"""


@contextmanager
def _running(words: Sequence[str], taken: list[float]) -> Iterator[None]:
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=30)
        # The neighbour's processes may write in one go.
        taken.append(sum(map(float, out.split())))


def truths(log: Log, given: argparse.Namespace) -> Line:
    """The layer of every workload; found now, on a machine that should be quiet, if not known."""
    known = {line["workload"]: line for line in log.of("truth")}
    for workload in given.workloads:
        if workload not in known:
            print(f"truth: {workload}", file=sys.stderr)
            words = [workload, str(EFFECTS[1]), "--seconds", str(given.truth_seconds),
                     "--largest", "65536", "--threads", str(machine.usable_cores())]  # fmt: skip
            done = subprocess.run(
                [sys.executable, "-m", "bench.gate_networks", *words],
                cwd=ROOT, capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode != 0:
                raise SystemExit(done.stderr[-3000:])
            known[workload] = json.loads(done.stdout.splitlines()[-1])
            log.add(**known[workload])
    return {name: known[name]["layer"] for name in given.workloads}


def measure(log: Log, given: argparse.Namespace) -> None:
    """Block after block, until the rounds or the minutes are over."""
    end = time.monotonic() + 60 * given.minutes
    layers = truths(log, given)
    for number in range(given.rounds):
        for condition in given.conditions:
            for effect in given.effects:
                name = f"{number}/{condition}/{effect:g}"
                usual = _usual_seconds(log, condition, effect)
                if name in log.finished or time.monotonic() + usual > end:
                    continue
                # A block that was stopped is measured again under a name of its own.
                facts = {"block": name, "condition": condition, "effect": effect,
                         "take": time.time_ns(), "nice": os.nice(0)}  # fmt: skip
                log.add(kind="unrest", **facts, unrest=gate_evidence.unrest())
                print(f"block {name}", file=sys.stderr)
                began = time.monotonic()
                with others(condition, log, facts):
                    measure_block(log, facts, layers if effect else {}, given)
                log.add(kind="end", **facts, seconds=round(time.monotonic() - began, 1))


def _usual_seconds(log: Log, condition: str, effect: float) -> float:
    """How long such a block took before; a first one is begun while there is any time."""
    same = [line["seconds"] for line in log.of("end")
            if (line["condition"], line["effect"]) == (condition, effect)]  # fmt: skip
    return statistics.median(same) if same else 0.0


def report(log: Log) -> str:
    """Rates with their intervals, as Markdown."""
    whole = {line["take"] for line in log.of("end")}
    found = [line for line in log.of("ab") if line["take"] in whole]
    parts = ["# The gate with default options, on all cores", "", *_truths(log), ""]
    for effect in sorted({line["effect"] for line in found}):
        some = [line for line in found if line["effect"] == effect]
        title = "head = base" if effect == 0 else f"head = base + a layer of about {effect:.0%}"
        parts += [f"## {title}", "", *_rates(some), "", *_by_workload(some), ""]
    parts += [
        "## Why verdicts are inconclusive",
        "",
        *_causes(found),
        "",
        *_surroundings(log, whole),
    ]
    return "\n".join(parts)


def _truths(log: Log) -> list[str]:
    lines = ["| workload | cost of the layer, one thread | all cores |", "| :-- | --: | --: |"]
    for one in log.of("truth"):
        many = (
            f"{_p(one['truth_threads'])} ± {100 * one['error_threads']:.2f}"
            if "truth_threads" in one
            else "-"
        )
        lines.append(
            f"| {one['workload']} | {_p(one['truth'])} ± {100 * one['error']:.2f} | {many} |"
        )
    return lines


def _rates(some: Sequence[Line]) -> list[str]:
    lines = ["| condition | " + " | ".join(VERDICTS[:4]) + " | on one thread | median s |",
             "| :-- |" + " --: |" * 6]  # fmt: skip
    for condition in (*CONDITIONS, None):
        these = [line for line in some if condition in (None, line["condition"])]
        if these:
            rates = [gate_evidence.rate(sum(one["verdict"] == name for one in these), len(these))
                     for name in VERDICTS[:4]]  # fmt: skip
            narrowed = sum(one["waiting"] is not None for one in these)
            seconds = statistics.median(one["seconds"] for one in these)
            lines.append(f"| {condition or 'all'} | {' | '.join(rates)}"
                         f" | {narrowed} | {seconds:.0f} |")  # fmt: skip
    return lines


def _by_workload(some: Sequence[Line]) -> list[str]:
    lines = ["| workload | condition | " + " / ".join(VERDICTS) + " | sd of a pair | pairs"
             " | measured again |", "| :-- | :-- | --: | --: | --: | --: |"]  # fmt: skip
    for workload in WORKLOADS:
        for condition in CONDITIONS:
            these = [line for line in some
                     if (line["workload"], line["condition"]) == (workload, condition)]  # fmt: skip
            if these:
                lines.append(f"| {workload} | {condition} | {_of_these(these)} |")
    return lines


def _of_these(these: Sequence[Line]) -> str:
    counts = Counter(one["verdict"] for one in these)
    series = [part for one in these for part in (one["log_ratios"], one["confirmation"])]
    within = [statistics.variance(part) for part in series if len(part) > 1]
    spread = _p(math.sqrt(statistics.fmean(within))) if within else "-"
    pairs = statistics.fmean(len(one["log_ratios"]) + len(one["confirmation"]) for one in these)
    verdicts = " / ".join(str(counts[name]) for name in VERDICTS)
    return f"{verdicts} | {spread} | {pairs:.1f} | {sum(one['repeated'] for one in these)}"


def _causes(found: Sequence[Line]) -> list[str]:
    causes = Counter(one["cause"] for one in found if one["verdict"] == "inconclusive")
    return [f"* {cause}: {count}" for cause, count in causes.most_common()] or ["None is."]


def _surroundings(log: Log, whole: set[int]) -> list[str]:
    taken: dict[str, list[float]] = {}
    for line in log.of("others"):
        if line["take"] in whole and line["taken"]:
            taken.setdefault(line["condition"], []).append(sum(line["taken"]))
    lines = [f"{name}: the others got {statistics.fmean(shares):.2f} cores in the mean."
             for name, shares in taken.items()]  # fmt: skip
    restless = [line["unrest"] for line in log.of("unrest") if line["take"] in whole]
    if restless:
        apart = f"{_p(min(restless))} to {_p(max(restless))}"
        lines.append(f"Before a block, quartiles of a matrix product were {apart} apart.")
    nice = sorted({line["nice"] for line in log.of("end") if line["take"] in whole})
    return [*lines, f"Priority (nice) of everything: {', '.join(map(str, nice)) or 'unknown'}."]


def _p(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"


def _several(known: Sequence[str], text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := set(names) - set(known):
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not one of {', '.join(known)}")
    return names


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="holds verdicts.jsonl")
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no block that would"
                        " end later")  # fmt: skip
    parser.add_argument("--copies", type=int, default=1, help="verdicts per workload and block")
    parser.add_argument("--conditions", type=lambda text: _several(list(CONDITIONS), text),
                        default=tuple(CONDITIONS), metavar="NAME,…")  # fmt: skip
    parser.add_argument("--workloads", type=lambda text: _several(list(WORKLOADS), text),
                        default=tuple(WORKLOADS), metavar="NAME,…")  # fmt: skip
    parser.add_argument("--effects", default=EFFECTS, metavar="EFFECT,…",
                        type=lambda text: tuple(map(float, text.split(","))),
                        help="0 is head = base; anything else is the layer")  # fmt: skip
    parser.add_argument("--budget", type=float, default=PairedPlan.budget)
    parser.add_argument("--truth-seconds", type=float, default=6.0)
    parser.add_argument("--report", action="store_true", help="print the tables, measure nothing")
    given = parser.parse_args()
    log = Log(given.folder)
    if given.report:
        print(report(log))
        return
    cache = Path(tempfile.gettempdir()) / "cnnbench-gate-evidence"
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache))
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    os.chdir(ROOT)
    measure(log, given)


if __name__ == "__main__":
    main()
