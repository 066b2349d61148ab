"""Where the seconds of a gate go: a timeline of one ``cnnbench ab``, from the start of its process.

    python -m bench.gate_seconds lenet 0 --timeline         every part of one comparison
    python -m bench.gate_seconds                            medians of the five workloads

A comparison is one whole command in a process of its own, on one core: head = base, then head =
base + a layer that costs 5 %. The parts are what the command does one after the other: importing,
describing, starting the starters, and the phases of workers. What a part takes while another is
what the command waits for is not told apart.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


class Timeline:
    """Who does what since when; written to a file as the process ends."""

    def __init__(self, began: float) -> None:
        self._began = began
        self.parts: list[tuple[float, str]] = [(0.0, "python and imports")]

    def mark(self, what: str) -> None:
        """From now on, the command does this."""
        self.parts.append((time.time() - self._began, what))


def traced(words: list[str], began: float, into: Path) -> int:
    """Run ``cnnbench`` in this process, with a note of what it does when."""
    line = Timeline(began)
    from cnnbench.cli import main as command
    from cnnbench.runner import process

    _watch_pools(process.Pool, line)
    _watch_workers(process.Worker, line)
    line.mark("command")
    try:
        command(words)
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        line.mark("end")
        into.write_text(json.dumps(line.parts))
    return 0


def _watch_pools(pool: Any, line: Timeline) -> None:
    for name in ("_start_starter", "_fork", "reap", "_end"):
        _around(pool, name, line)


def _around(owner: Any, name: str, line: Timeline) -> None:
    plain = getattr(owner, name)

    def watched(self: Any, *given: Any, **named: Any) -> Any:
        before = line.parts[-1][1]
        line.mark(name.strip("_"))
        try:
            return plain(self, *given, **named)
        finally:
            line.mark(before if name != "_start_starter" else "command")

    setattr(owner, name, watched)


def _watch_workers(worker: Any, line: Timeline) -> None:
    plain = worker.ask

    def ask(self: Any, message: Any, timeout: float) -> Any:
        line.mark(
            str(
                message.get("task")
                or message.get("command")
                or message.get("do")
                or sorted(message)
            )
        )
        try:
            return plain(self, message, timeout)
        finally:
            line.mark("command")

    def phased(self: Any, value: str) -> None:
        self.__dict__["phase"] = value
        if value != "start":
            line.mark(value)

    worker.ask = ask
    worker.phase = property(lambda self: self.__dict__["phase"], phased)


def main() -> None:
    if len(sys.argv) > 1 and sys.argv[1] == "--traced":
        sys.exit(traced(sys.argv[4:], float(sys.argv[2]), Path(sys.argv[3])))
    raise SystemExit("todo")


if __name__ == "__main__":
    main()
