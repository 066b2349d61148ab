"""Where the seconds of a gate go: a timeline of one command, from the start of its process.

    python -m bench.gate_seconds ab lenet lenet --threads 1 --core 1
    python -m bench.gate_seconds --repeat 5 ab eager compile --models lenet --threads 1

Prints the seconds in which the command waited for each part: its own imports, the imports of
starters, forks, the phases of workers, slices, ends; the median over repetitions, each of which is
a process of its own. What goes on at the same time as the part that is waited for is not told
apart. The command's results go to a directory that is removed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
OWN = "the command itself"


class Timeline:
    """Which part is waited for since when, in seconds after the process was started."""

    def __init__(self, began: float) -> None:
        self._began = began
        self.parts: list[tuple[float, str]] = [(0.0, "python, and imports of the command")]

    def mark(self, part: str) -> None:
        """From now on, the command waits for this."""
        self.parts.append((time.time() - self._began, part))


def traced(words: list[str], began: float, into: Path) -> None:
    """Run ``cnnbench`` in this process, and note what it waits for."""
    line = Timeline(began)
    from cnnbench.cli import main as command
    from cnnbench.runner import process

    names = {
        "begin": "launching starters", "_await_starter": "imports of starters", "_fork": "forks",
        "reap": "ends of workers", "_end": "ends of starters",
    }  # fmt: skip
    for name, part in names.items():
        _watch(process.Pool, name, part, line)
    _watch_workers(process.Worker, line)
    line.mark(OWN)
    try:
        command(words)
    finally:
        line.mark("")
        into.write_text(json.dumps(line.parts))


def _watch(owner: Any, name: str, part: str, line: Timeline) -> None:
    plain = getattr(owner, name)

    def watched(self: Any, *given: Any, **named: Any) -> Any:
        before = line.parts[-1][1]
        line.mark(part)
        try:
            return plain(self, *given, **named)
        finally:
            line.mark(before)

    setattr(owner, name, watched)


def _watch_workers(worker: Any, line: Timeline) -> None:
    plain = worker.ask

    def ask(self: Any, message: Any, timeout: float) -> Any:
        line.mark(str(message.get("task") or message.get("do")))
        try:
            return plain(self, message, timeout)
        finally:
            line.mark(OWN)

    def entered(self: Any, phase: str) -> None:
        self.__dict__["phase"] = phase
        if phase != "start":
            line.mark(phase)

    worker.ask = ask
    worker.phase = property(lambda self: self.__dict__["phase"], entered)


def seconds_of(words: list[str]) -> Counter[str]:
    """Seconds by part of one command in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder) / "parts.json"
        own = ["--traced", str(time.time()), str(into)]
        given = [*words, "--out", str(Path(folder) / "out")]
        subprocess.run(
            [sys.executable, "-m", "bench.gate_seconds", *own, *given], cwd=ROOT, check=False
        )
        parts = json.loads(into.read_text())
    found: Counter[str] = Counter()
    for (began, part), (end, _) in itertools.pairwise(parts):
        found[part] += end - began
    return found


def main() -> None:
    """Print the table."""
    if sys.argv[1:2] == ["--traced"]:
        traced(sys.argv[4:], float(sys.argv[2]), Path(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("words", nargs=argparse.REMAINDER, help="what follows 'cnnbench'")
    given = parser.parse_args()
    runs = [seconds_of(given.words) for _ in range(given.repeat)]
    middle = {part: statistics.median(one[part] for one in runs) for part in set().union(*runs)}
    print(f"{statistics.median(one.total() for one in runs):8.2f} s in all")
    for part, seconds in sorted(middle.items(), key=lambda item: -item[1]):
        print(f"{seconds:8.2f} s {part}")


if __name__ == "__main__":
    main()
