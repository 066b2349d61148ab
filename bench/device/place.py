"""Where a check works: its folder of evidence, and how it calls commands there."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bench.device.check import NotShown
from cnnbench import store
from cnnbench.record import Record

ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str
    seconds: float

    def json(self) -> Any:
        """Its output as JSON.

        Raises:
            ValueError: it is none; with what the command said instead.
        """
        try:
            return json.loads(self.out)
        except ValueError:
            raise ValueError(f"exit code {self.code}, no JSON: {self.err[-300:]}") from None


@dataclass(frozen=True)
class Place:
    """The folder of one check, beside those of the others.

    Attributes:
        folder: of this check.
        pretended: the device is a pretended one.
    """

    folder: Path
    pretended: bool = False

    def pick(self, real: T, pretended: T) -> T:
        """What is asked of a GPU, or the smaller that is asked of a pretended one."""
        return pretended if self.pretended else real

    def run_of(self, check: str) -> Path:
        """The run directory that another check has left.

        Raises:
            NotShown: it has left none.
        """
        found = self.folder.parent / check / "run"
        if not (found / "manifest.json").exists():
            raise NotShown(f"the check '{check}', whose run it reads, has left none")
        return found

    def cnnbench(self, *words: str, env: Mapping[str, str] | None = None) -> Done:
        """A command of cnnbench, as a user types it."""
        return self.python("-m", "cnnbench", *words, env=env)

    def python(self, *words: str, env: Mapping[str, str] | None = None) -> Done:
        """A call of this Python; command line, output and exit code are kept."""
        return self.call([sys.executable, *words], env)

    def call(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> Done:
        """Any command."""
        began = time.monotonic()
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
            capture_output=True, check=False, text=True, errors="replace",
        )  # fmt: skip
        taken = time.monotonic() - began
        with (self.folder / "commands.txt").open("a", encoding="utf8") as file:
            file.write(
                f"$ {shlex.join(command)}\n{done.stdout}\n{done.stderr}\n"
                f"exit code {done.returncode} after {taken:.1f} s\n\n"
            )
        return Done(done.returncode, done.stdout, done.stderr, taken)


def records(run: Path) -> list[Record]:
    """The records of a run directory."""
    return list(store.read(run).records)


def by_mode(run: Path) -> dict[str, Record]:
    """Records of a run of one network."""
    return {one.spec.mode.text: one for one in records(run)}


def row(record: Record) -> dict[str, Any]:
    """What most rules ask of a record."""
    check, time_taken = record.check, record.latency
    return {
        "status": record.status,
        "reason": record.reason,
        "kind": None if record.failure is None else record.failure.kind,
        "seconds": None if time_taken is None else time_taken.point,
        "error": None if check is None else check.error,
        "notes": list(record.notes),
    }
