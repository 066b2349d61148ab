"""How long reports of many records take: ``python -m bench.report_page [RECORDS [FORMAT…]]``.

The whole command in a process of its own: start, reading the run, statistics, the text. Prints the
time by the clock and that of the processor, and beside them that of a fixed piece of Python right
before and after, because on a busy machine processor time too is longer, by caches and threads
shared with others.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from cnnbench.record import Record, Run
from cnnbench.slices import Slice, Slices
from tests import made

MODES = ("eager", "channels_last", "compile", "amp=bf16", "compile+channels_last")
FORMATS = ("html", "csv", "json", "markdown")


ROUNDS, SLICES, SAMPLES = 5, 6, 8


def made_up(path: Path, count: int) -> Path:
    """A run of so many records, five modes to a network, no two with the same times."""
    dice = random.Random(0)
    return made.directory(path, [_record(dice, index) for index in range(count)])


def _record(dice: random.Random, index: int) -> Record:
    name = f"net{index // 5}/inference-b8-3x32x32/{MODES[index % 5]}/cpu-t2"
    runs = [_run(dice, number, 2e6 * 1.5 ** (index % 5)) for number in range(ROUNDS)]
    return replace(made.record(name, []), runs=tuple(runs))


def _run(dice: random.Random, number: int, ns: float) -> Run:
    """A run as a CPU gives it: every witness, two probes."""
    luck = ns * dice.lognormvariate(0, 0.02)
    slices = Slices.of(_slice(dice, turn, luck) for turn in range(SLICES))
    return replace(made.run(number, []), slices=slices)


def _slice(dice: random.Random, turn: int, ns: float) -> Slice:
    samples = tuple(round(ns * dice.lognormvariate(0, 0.05)) for _ in range(SAMPLES))
    return Slice(
        turn, 1, samples,
        cpu_ns=2 * sum(samples),
        run_delay_ns=dice.randrange(100_000),
        involuntary=dice.randrange(5),
        minor_faults=dice.randrange(3),
        steal_ns=0,
        others_ns=dice.randrange(10_000_000),
        canaries_ns={"matmul": dice.randrange(300_000, 320_000), "python": 290_000},
    )  # fmt: skip


def probe() -> float:
    """Processor seconds of the same work every time: objects, texts, a sort."""
    start = time.process_time()
    found = {str(number): (number, 2 * number) for number in range(400_000)}
    sorted(found.values(), key=lambda pair: -pair[1])
    return time.process_time() - start


def seconds(words: list[str]) -> tuple[float, float]:
    """A command's time by the clock, and that of the processor, its children included."""
    before = os.times()
    subprocess.run(words, check=True)
    after = os.times()
    old, new = (one.children_user + one.children_system for one in (before, after))
    return after.elapsed - before.elapsed, new - old


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("records", type=int, nargs="?", default=10_000)
    parser.add_argument("formats", nargs="*", metavar="FORMAT", default=FORMATS)
    given = parser.parse_args()
    count = given.records
    with tempfile.TemporaryDirectory() as folder:
        run = made_up(Path(folder) / "run", count)
        for kind in given.formats:
            out = Path(folder) / kind
            words = [sys.executable, "-m", "cnnbench", "report", str(run), "--format", kind]
            first = probe()
            clock, processor = seconds([*words, "-o", str(out)])
            print(
                f"{count} records, {kind}: {clock:.1f} s, {processor:.1f} s of processor,"
                f" {out.stat().st_size / 1e6:.1f} MB (probe {first:.2f} and {probe():.2f} s)",
                flush=True,
            )


if __name__ == "__main__":
    main()
