"""What a timed iteration costs beyond two clock readings: an empty call, by us and by three peers.

Run as ``python bench/iteration_overhead.py``; takes about ``4 x --seconds`` (2 s each by default).
Two columns: what a sample of an empty call says beyond the time between two readings in a row (the
error of a single timing), and the CPU time that the harness spends per sample beyond two readings.
Every tool times one call per sample, as it does for networks. One thread, one core.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
import timeit
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]

from neighbour import pin  # noqa: E402

from cnnbench.worker import sampling, selftest  # noqa: E402
from cnnbench.worker.devices import Cpu  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

TARGET = 1000.0


def nothing() -> Any:
    """The call that is timed."""


# What a way found: nanoseconds of every sample, and nanoseconds of CPU time that all of it took.
# CPU time, because a neighbour that takes the core is no cost of the harness.
Found = tuple[list[float], float]


def ours(seconds: float) -> Found:
    """The sampling loop of networks."""
    with sampling.collector_off():
        start = time.thread_time_ns()
        taken = Cpu().samples(nothing, 1, seconds, 1e-6)
        return [float(ns) for ns in taken], time.thread_time_ns() - start


def by_timeit(seconds: float) -> Found:
    timer, taken, end = timeit.Timer(nothing), [], time.perf_counter() + seconds
    start = time.thread_time_ns()
    while time.perf_counter() < end:
        taken += timer.repeat(repeat=100, number=1)
    return [1e9 * one for one in taken], time.thread_time_ns() - start


def by_torch(seconds: float) -> Found:
    """A measurement per sample, which is what a caller gets who wants every sample."""
    from torch.utils.benchmark import Timer

    timer, taken = Timer("call()", globals={"call": nothing}), []
    end, start = time.perf_counter() + seconds, time.thread_time_ns()
    while time.perf_counter() < end:
        taken.append(1e9 * timer.timeit(1).raw_times[0])
    return taken, time.thread_time_ns() - start


_TEST = """
import time

def test_nothing(benchmark):
    start = time.thread_time_ns()
    benchmark.pedantic(lambda: None, rounds={rounds}, iterations=1)
    benchmark.extra_info["cost"] = time.thread_time_ns() - start
"""


def by_pytest_benchmark(seconds: float) -> Found:
    """A real run of pytest, one call per round."""
    with tempfile.TemporaryDirectory() as folder:
        test, out = Path(folder, "test_empty.py"), Path(folder, "out.json")
        test.write_text(_TEST.format(rounds=max(100, round(5e4 * seconds))), encoding="utf8")
        command = [sys.executable, "-m", "pytest", "-q", str(test), f"--benchmark-json={out}"]
        subprocess.run(command, check=True, capture_output=True, cwd=folder)
        (found,) = json.loads(out.read_text(encoding="utf8"))["benchmarks"]
    return [1e9 * one for one in found["stats"]["data"]], found["extra_info"]["cost"]


WAYS: dict[str, Callable[[float], Found]] = {
    "cnnbench": ours,
    "timeit": by_timeit,
    "torch.utils.benchmark": by_torch,
    "pytest-benchmark": by_pytest_benchmark,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="per way")
    parser.add_argument("--core", type=int, help="[the first usable]")
    options = parser.parse_args()
    core = pin(options.core)
    reading = selftest.clock()["reading_ns"]
    print(f"beyond two clock readings ({reading:.0f} ns each), in ns; core {core}")
    print(f"{'':24} {'samples':>9} {'error of a sample':>19} {'cost of a sample':>18}")
    for name, way in WAYS.items():
        if name == "pytest-benchmark" and importlib.util.find_spec("pytest_benchmark") is None:
            print(f"{name:24} {'not installed':>9}")
            continue
        way(0.05)
        taken, spent = way(options.seconds)
        cost = spent / len(taken)
        print(f"{name:24} {len(taken):9} {statistics.median(taken) - reading:19.0f}"
              f" {cost - 2 * reading:18.0f}")  # fmt: skip
    print(f"target of ours: at most {TARGET:.0f} in both")


if __name__ == "__main__":
    main()
