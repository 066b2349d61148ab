"""Mutated files through every command that reads files: an answer or one line, never a crash.

Seeded, so that a failure comes again: its seed and what was changed are in the message.
``CNNBENCH_FUZZ=20000`` tries as many; ``CNNBENCH_FUZZ_FROM`` says where to begin.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

import cnnbench
from cnnbench import axes, metrics
from cnnbench.cli import main
from cnnbench.report import FORMATS
from cnnbench.report.exporting import EXPORTS
from cnnbench.runner.executor import EXECUTORS
from cnnbench.runner.fake import Fake
from tests import mutated
from tests.test_imported import file as benchmark_file

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
COUNT = int(os.environ.get("CNNBENCH_FUZZ", "300"))
FIRST = int(os.environ.get("CNNBENCH_FUZZ_FROM", "0"))
PARTS = 4
DEADLINE = 60

# What is mutated lies at BAD, what it is compared with at GOOD. One list is as likely as another.
EVERY = (*FORMATS, "html")
READING = [
    [f"report BAD --format {kind}" for kind in FORMATS],
    ["report BAD --format html", "report BAD GOOD --format html",
     "report BAD --format html --baseline GOOD", "report GOOD --format html --baseline BAD",
     "report BAD --format markdown -o table.md --pictures"],
    [f"report BAD GOOD --format {kind}" for kind in FORMATS],
    [f"report BAD --pivot {field} --format {kind}" for field in axes.pivots() for kind in FORMATS],
    [f"report BAD --pivot mode --metric {one.name}" for one in metrics.METRICS],
    [f"report BAD --scaling --format {kind}" for kind in FORMATS],
    [f"report BAD --lab --format {kind}" for kind in FORMATS],
    ["report BAD --group-by status --sort -speedup,latency --color always",
     "report BAD --filter latency<5ms --columns model,mode,latency,speedup",
     *(f"report BAD --columns {one.name} --sort {one.name}" for one in metrics.METRICS)],
    [f"compare GOOD BAD --format {kind}" for kind in EVERY],
    [f"compare BAD GOOD --format {kind} -t latency=5%" for kind in FORMATS],
    ["check BAD --baseline BAD --ci github --junit junit.xml --markdown table.md -t latency=1%"],
    [f"export BAD --format {kind}" for kind in EXPORTS],
    [f"history GOOD BAD BAD --format {kind}" for kind in EVERY],
    [f"history BAD --points --metric {one.name}" for one in metrics.METRICS],
    ["baseline save BAD -o saved.json"],
    ["check BAD --baseline baseline.json", "check GOOD --baseline BAD",
     "check BAD --baseline baseline.json --structure-only --strict --force"],
    ["run --resume BAD --quiet", "run --resume BAD --quiet --retry-failed"],
]  # fmt: skip
# A baseline file is no run, whatever is in it.
NO_RUNS = ["compare BAD.json GOOD", "report BAD.json"]
KEPT = [
    "check GOOD --baseline BAD.json",
    "check GOOD --baseline BAD.json --format json --strict",
    "check GOOD --baseline BAD.json --structure-only",
    "check --baseline BAD.json --structure-only --executor fake",
    "baseline show BAD.json",
    "baseline update BAD.json GOOD",
    "baseline update BAD.json GOOD --replace",
    *NO_RUNS,
]
FOREIGN = ["import BAD.json --out imported", "import GOOD.json BAD.json --out imported"]


@dataclass(frozen=True)
class Material:
    """What is mutated: records with their environment and manifest, baselines, foreign files."""

    runs: tuple[Path, ...]
    baseline: Any
    foreign: Any


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = tmp_path_factory.mktemp("material")
    cnnbench.run(
        "lenet,alexnet", "eager,channels_last,compile", batch=(1, 8), threads=2,
        phase=("inference", "training"), out=folder / "fake", executor="fake",
    )  # fmt: skip
    call(["baseline", "save", str(folder / "fake"), "-o", str(folder / "baseline.json")], folder)
    for name in ("quick-cpu", "conv-resnet18", "modes-cpu"):
        _shortened(ROOT / "results" / name, folder / name)
    _of_schemas(folder)
    foreign = benchmark_file(folder / "foreign.json", 0.01, 0.02)
    return Material(
        tuple(folder / one for one in ("fake", "quick-cpu", "conv-resnet18", "modes-cpu", "old")),
        json.loads((folder / "baseline.json").read_bytes()),
        json.loads(foreign.read_bytes()),
    )


def _shortened(old: Path, new: Path) -> None:
    """The first records of a run, with a few of their slices, so that a call takes milliseconds."""
    shutil.copytree(old, new, ignore=shutil.ignore_patterns("report.*", "applied"))
    lines = (old / "records.jsonl").read_bytes().splitlines()[:12]
    with (new / "records.jsonl").open("w") as file:
        for line in lines:
            record = json.loads(line)
            for run in record["runs"]:
                run["slices"] = _cut(run["slices"])
            file.write(json.dumps(record) + "\n")


def _cut(slices: Any) -> Any:
    if isinstance(slices, list):
        return slices[:3]
    return {
        name: {one: some[:3] for one, some in column.items()}
        if isinstance(column, dict)
        else column and column[:3]
        for name, column in slices.items()
    }


def _of_schemas(folder: Path) -> None:
    """A run with a record of every schema that can be read."""
    shutil.copytree(folder / "fake", folder / "old")
    lines = [path.read_bytes() for path in sorted((ROOT / "tests" / "schemas").glob("*.jsonl"))]
    (folder / "old" / "records.jsonl").write_bytes(b"".join(lines))


def call(words: list[str], folder: Path) -> Any:
    before = Path.cwd()
    os.chdir(folder)
    try:
        return CliRunner().invoke(main, words)
    finally:
        os.chdir(before)


@contextmanager
def no_hang() -> Iterator[None]:
    """Seconds of the processor, so that a busy machine is no fault."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"no end within {DEADLINE} s")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, DEADLINE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def prepared(dice: random.Random, material: Material, folder: Path) -> tuple[str, list[str]]:
    """Mutated files in a folder, the command that is to read them, and what was changed."""
    kind = dice.choice(
        ["records"] * 6 + ["manifest", "environment", "baseline", "baseline", "foreign"]
    )
    run = dice.choice(material.runs)
    shutil.copytree(run, folder / "GOOD")
    shutil.copytree(run, folder / "BAD")
    (folder / "baseline.json").write_text(json.dumps(material.baseline))
    (folder / "GOOD.json").write_text(json.dumps(material.foreign))
    if kind in ("baseline", "foreign"):
        data, told = mutated.mutated(dice, getattr(material, kind))
        (folder / "BAD.json").write_bytes(mutated.bytes_of(dice, data))
        return dice.choice(KEPT if kind == "baseline" else FOREIGN), told
    name = {"records": "records.jsonl"}.get(kind, f"{kind}.json")
    lines = (folder / "BAD" / name).read_bytes().splitlines()
    whole = (
        [json.loads(line) for line in lines] if kind == "records" else json.loads(b"".join(lines))
    )
    if kind != "records":
        data, told = mutated.mutated(dice, whole)
        (folder / "BAD" / name).write_bytes(mutated.bytes_of(dice, data))
        return dice.choice(dice.choice(READING)), told
    place = dice.randrange(len(lines))
    data, told = mutated.mutated(dice, json.loads(lines[place]))
    lines[place] = mutated.bytes_of(dice, data)
    (folder / "BAD" / name).write_bytes(b"\n".join(lines) + b"\n")
    return dice.choice(dice.choice(READING)), [f"record {place}", *told]


def fault(result: Any) -> str | None:
    """What is wrong with how a command ended, if anything is."""
    said = result.stderr.strip().splitlines()
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return f"raised {result.exception!r}"
    if result.exit_code not in range(6):
        return f"exit code {result.exit_code}: {said[-1:]}"
    if "Traceback" in result.stderr:
        return "a traceback"
    if result.exit_code == 2 and not (said and said[-1].startswith("cnnbench: ")):
        return f"exit code 2 without a line: {said[-1:]}"
    return None


@pytest.mark.parametrize("part", range(PARTS))
def test_no_file_crashes_a_command(
    part: int, material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whatever a manifest says, nothing is measured here.
    monkeypatch.setitem(EXECUTORS, "process", Fake)
    faults = []
    for seed in range(FIRST + part, FIRST + COUNT, PARTS):
        dice, folder = random.Random(seed), tmp_path / str(seed)
        folder.mkdir()
        words, told = prepared(dice, material, folder)
        with no_hang():
            found = fault(call(words.split(), folder))
        if found is not None:
            faults.append(f"seed {seed}: cnnbench {words}: {found}; changed: {', '.join(told)}")
        shutil.rmtree(folder)

    assert not faults, "\n".join(faults)


def test_the_commands_take_what_is_not_mutated(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise every mutation would only meet the reading of options."""
    monkeypatch.setitem(EXECUTORS, "process", Fake)
    for number, words in enumerate([*(some[0] for some in READING), *KEPT, *FOREIGN]):
        folder = tmp_path / str(number)
        for name in ("GOOD", "BAD"):
            shutil.copytree(material.runs[2 if "--lab" in words else 0], folder / name)
        (folder / "baseline.json").write_text(json.dumps(material.baseline))
        kept = material.foreign if words in FOREIGN else material.baseline
        (folder / "BAD.json").write_text(json.dumps(kept))
        (folder / "GOOD.json").write_text(json.dumps(material.foreign))

        done = call(words.split(), folder)

        assert done.exit_code in ({2} if words in NO_RUNS else {0, 4}), (words, done.stderr)
        assert "(see 'cnnbench" not in done.stderr
