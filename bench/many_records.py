"""What exporting and loading many records takes: ``python -m bench.many_records [RECORDS [RUNS]]``.

Made-up records of five rounds with twelve slices of twenty samples each. Every way to read them is
tried in a process of its own, so that peak memory is its own; prints that, less what the process
takes with nothing to read, and seconds of CPU.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import cnnbench
from cnnbench.cli import main as cli
from cnnbench.slices import Slices
from tests import made

ROUNDS, SLICES, SAMPLES = 5, 12, 20
MODES = ("eager", "channels_last")
MEGABYTE = 1 << 10

WAYS = {
    "export --format tidy -o records.csv": lambda path: export(path, "tidy", "records.csv"),
    "export --format tidy -o records.parquet": lambda path: export(path, "tidy", "records.parquet"),
    "export --format slices -o slices.csv": lambda path: export(path, "slices", "slices.csv"),
    "load(...).frame()": lambda path: len(cnnbench.load(path).frame()),
    "load(...).records": lambda path: len(cnnbench.load(path).records),
}


def export(path: Path, kind: str, name: str) -> None:
    with tempfile.TemporaryDirectory() as out:
        words = ["export", str(path), "--format", kind, "-o", f"{out}/{name}"]
        with contextlib.suppress(SystemExit):
            cli(words)
        assert (Path(out) / name).stat().st_size > 1000


def fill(path: Path, records: int, runs: int) -> None:
    """The same samples in every record; only what they are of differs."""
    like = made.record(made.EAGER, [[10.0 + one / 7 for one in range(SLICES)]] * ROUNDS)
    columns = {"turn": tuple(range(SLICES)), "iterations": (2,) * SLICES}
    ns = tuple(tuple(20_000_000 + 997 * one for one in range(SAMPLES)) for _ in range(SLICES))
    counted = dict.fromkeys(("cpu_ns", "run_delay_ns", "others_ns"), (10**9,) * SLICES)
    slices = Slices(**columns, ns=ns, **counted)
    like = replace(like, runs=tuple(replace(one, slices=slices) for one in like.runs))
    for number in range(runs):
        nets = range(records // runs // len(MODES))
        ids = [f"net{net}/inference-b1-3x32x32/{mode}/cpu-t1" for net in nets for mode in MODES]
        made.directory(path / f"run-{number}", [replace(like, id=one) for one in ids])


def peak_kib() -> int:
    """The kernel's high-water mark; getrusage would begin with that of the parent process."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0])


def one_way(path: Path, way: str) -> None:
    import pandas  # noqa: F401, ICN001 - what is loaded in any case is no memory of the records

    before, start = peak_kib(), time.process_time()
    WAYS[way](path)
    took = time.process_time() - start
    megabytes = (peak_kib() - before) / MEGABYTE
    print(f"{way:42} {megabytes:6.0f} MiB {took:6.1f} s of CPU")


def main() -> None:
    if len(sys.argv) > 2 and sys.argv[1] == "--way":
        one_way(Path(sys.argv[2]), sys.argv[3])
        return
    records = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    for runs in [int(sys.argv[2])] if len(sys.argv) > 2 else [1, 20]:
        with tempfile.TemporaryDirectory() as path:
            fill(Path(path), records, runs)
            size = sum(one.stat().st_size for one in Path(path).rglob("*.jsonl"))
            print(f"{records} records in {runs} runs, {size / 1e6:.0f} MB:", flush=True)
            for way in WAYS:
                words = [sys.executable, "-m", "bench.many_records", "--way", path, way]
                subprocess.run(words, check=True)


if __name__ == "__main__":
    main()
