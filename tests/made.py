"""Values for tests, made by meaning: runs, records and run directories with known numbers."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cnnbench import store
from cnnbench.environment import Environment
from cnnbench.facts import Check, Reference
from cnnbench.plan import Plan
from cnnbench.record import Cost, Failure, Memory, Record, Run
from cnnbench.slices import Slice, Slices

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WORKLOAD = "lenet/inference-b8-3x32x32"
EAGER = f"{WORKLOAD}/eager/cpu-t2"
CHANNELS_LAST = f"{WORKLOAD}/channels_last/cpu-t2"
BF16 = f"{WORKLOAD}/amp=bf16/cpu-t2"

ENVIRONMENT = Environment(
    hard={"cpu": "A Processor", "cores_usable": 2, "python": "3.11.0", "torch": {"version": "2.0"}},
    soft={"load": [0.0, 0.0, 0.0], "compiler": None},
)

COST = Cost(
    params=61_706,
    trainable_params=61_706,
    buffers=0,
    param_bytes=246_824,
    buffer_bytes=0,
    input_bytes=98_304,
    macs=3_400_000,
    method="by hand",
)


def run(number: int, milliseconds: Sequence[float], ensemble: str = "", **more: Any) -> Run:
    """A run with one slice per given duration; every slice holds three equal samples."""
    fields = {"warmup_ns": (90_000_000, 10_000_000), "build_ns": 5_000_000, "check": Check("ok")}
    return Run(
        round=number,
        ensemble=ensemble or f"e-{number}",
        slices=Slices.of(
            Slice(turn, 2, (round(2e6 * one),) * 3) for turn, one in enumerate(milliseconds)
        ),
        **(fields | more),
    )


def flat(text: str) -> str:
    """What a command says, however it is broken into lines."""
    return " ".join(text.split())


def record(name: str, rounds: Sequence[Sequence[float]], **more: Any) -> Record:
    """A record whose rounds hold slices of the given milliseconds per call."""
    check = more.pop("check", Check("ok", 0.0, 1e-7, 1.0))
    ensemble = more.pop("ensemble", "e")
    compile_cache = more.pop("compile_cache", None)
    runs = [
        run(
            number,
            times,
            f"{ensemble}-{number}",
            check=check,
            compile_cache=compile_cache and ("cold" if number == 0 else "warm"),
        )
        for number, times in enumerate(rounds)
    ]
    fields: dict[str, Any] = {
        "environment": ENVIRONMENT.fingerprint,
        "measured_at": "2026-01-02T03:04:05+00:00",
        "cost": COST,
        "reference": Reference(True, 1e-7, 0.0, False),
        "memory": Memory(resident_bytes=1 << 20, cpu_peak_bytes=3 << 20),
    }
    return Record(id=name, runs=tuple(runs), **(fields | more))


def failed(name: str, message: str = "ValueError: made up", kind: str = "error") -> Record:
    """A record of a spec that raised in its first call."""
    return replace(record(name, []), memory=None, failure=Failure("first call", kind, message))


def directory(path: Path, records: Sequence[Record], specs: Sequence[str] = ()) -> Path:
    """A run directory that holds the records; its grid is ``specs`` or what was measured."""
    names = list(specs) or [one.id for one in records]
    what = replace(
        store.manifest(path.name, names, Plan(), "fake"), created="2026-01-02T03:04:05+00:00"
    )
    with store.create(path, what, ENVIRONMENT) as writer:
        writer.append(records)
    return path


def git(repo: Path, *words: str) -> None:
    """A git command of nobody in particular, at no time in particular.

    The names of commits seed the made-up numbers, so they have to be the same every day.
    """
    who = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.org")
    when = dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), "2026-01-01T00:00:00+0000")
    subprocess.run(["git", "-C", str(repo), *who, *words], check=True, capture_output=True,
                   env=os.environ | when)  # fmt: skip


def repository(path: Path, files: dict[str, str], tag: str = "") -> Path:
    """A git repository with one commit of some files."""
    path.mkdir(parents=True)
    git(path, "init", "--quiet", "--initial-branch", "main")
    commit(path, files)
    if tag:
        git(path, "tag", tag)
    return path


def commit(repo: Path, files: dict[str, str]) -> None:
    """One commit more."""
    for name, text in files.items():
        target = repo / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    git(repo, "add", "--all")
    git(repo, "commit", "--quiet", "--message", "another")
