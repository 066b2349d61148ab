"""Are the lab's ratios between implementations those of an independent loop?

    python -m bench.conv_ratios results/lab-ratios --minutes 30

For each layer, ``cnnbench conv`` measures as a user would run it, with one thread. Then a process
that has none of our workers' code calls the same implementations by turns, in an order drawn anew
every time, with a clock around each call; malloc is in the same condition. Where its memory lies
makes a process some per cent faster or slower, so that the median of three processes counts, as
the lab has three rounds. Compared are times over
that of ``eager``, so that a machine that is slower in one of the two minutes does not count. A
layer appends a line to ``layers.jsonl``; what is there is not measured again, so the script can be
stopped at any time. Writes ``ratios.md`` as well, also with ``--minutes 0``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.conv_timing import call_of
from bench.neighbour import pin
from cnnbench import allocator, metrics, store, units
from cnnbench.conv.problem import of_workload
from cnnbench.spec import Spec

# Of ResNet, VGG, MobileNet, Inception, SqueezeNet and AlexNet; batches of 1 and of 4.
LAYERS = (
    "n1c64h56w56-k64-3x3-p1", "n1c128h28w28-k128-3x3-p1", "n1c256h14w14-k256-3x3-p1",
    "n1c512h7w7-k512-3x3-p1", "n1c64h56w56-k128-3x3-s2-p1", "n1c256h14w14-k512-1x1-s2",
    "n1c64h56w56-k256-1x1", "n1c256h56w56-k64-1x1", "n1c1024h14w14-k256-1x1",
    "n1c512h7w7-k2048-1x1", "n1c32h112w112-k32-3x3-p1-g32", "n1c144h56w56-k144-3x3-p1-g144",
    "n1c256h14w14-k256-5x5-p2-g256", "n1c128h56w56-k128-3x3-p1-g32", "n1c3h224w224-k64-7x7-s2-p3",
    "n1c3h224w224-k32-3x3-s2-p1", "n1c64h27w27-k192-5x5-p2", "n1c16h55w55-k64-3x3-p1",
    "n4c64h56w56-k64-3x3-p1", "n4c256h14w14-k256-1x1",
)  # fmt: skip
_SECONDS, _PROCESSES, _WORTH = 9.0, 3, 1.05
Line = dict[str, Any]


def loop(specs: list[str], seconds: float) -> dict[str, tuple[float, float]]:
    """Median seconds and page faults of a call of each, called by turns."""
    import torch

    torch.set_num_threads(1)
    calls = {one: call_of(Spec.parse(one)) for one in specs}
    for one, call in calls.items():  # their preparation and the library's, and blocks of every size
        with _flags(one):
            for _ in range(5):
                call()
    taken: dict[str, list[int]] = {one: [] for one in specs}
    faults: dict[str, list[int]] = {one: [] for one in specs}
    turn = list(specs)
    end = time.monotonic() + seconds * len(specs) / 4
    while min(map(len, taken.values())) < 5 or time.monotonic() < end:
        random.shuffle(turn)
        for one in turn:
            with _flags(one):
                _several(calls[one], taken[one], faults[one])
    return {one: (statistics.median(taken[one]) / 1e9, statistics.median(faults[one]))
            for one in specs}  # fmt: skip


def _flags(spec: str) -> contextlib.AbstractContextManager[None]:
    """The switches of the library that a way consists of."""
    import torch

    on = Spec.parse(spec).mode.implementation != "native"
    switched: contextlib.AbstractContextManager[None] = torch.backends.mkldnn.flags(enabled=on)
    return switched


def _several(call: Callable[[], Any], taken: list[int], faults: list[int]) -> None:
    """Calls of one implementation in a row, of which the first, after another's, does not count."""
    call()
    stop = time.perf_counter_ns() + 30_000_000
    while True:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        start = time.perf_counter_ns()
        call()
        now = time.perf_counter_ns()
        taken.append(now - start)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
        if now >= stop:
            return


def one(layer: str, condition: str, seconds: float) -> Line:
    """A layer by the lab, and by the loop."""
    env = os.environ | {allocator.VARIABLE: condition}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "lab")
        words = ["conv", "--layer", layer, "--modes", "eager,channels_last", "--impl", "all",
                 "--device", "cpu", "--threads", "1", "--out", str(out), "-q"]  # fmt: skip
        subprocess.run(
            [sys.executable, "-m", "cnnbench", *words], check=True, env=env, capture_output=True
        )
        kept = {
            record.spec.id: found.point
            for record in store.read(out).records
            if (found := metrics.latency(record)) is not None
            and of_workload(record.spec.workload, record.spec.mode).dtype == "fp32"
        }
    words = [sys.executable, "-m", "bench.conv_ratios", "--loop", json.dumps([*kept])]
    words += ["--seconds", str(seconds / _PROCESSES)]
    found = []
    for _ in range(_PROCESSES):
        done = subprocess.run(
            words, check=True, capture_output=True, text=True,
            env=env | allocator.variables(env, condition),
        )  # fmt: skip
        found.append(json.loads(done.stdout))
    plain = {name: [statistics.median(one[name][column] for one in found) for column in (0, 1)]
             for name in kept}  # fmt: skip
    rows = {Spec.parse(name).mode.text: (kept[name], *plain[name]) for name in kept}
    return {"layer": layer, "allocator": condition, "rows": rows}


def differences(line: Line) -> dict[str, float]:
    """The lab's ratio to ``eager`` over the loop's, less one."""
    rows = line["rows"]
    lab, plain, _ = rows["eager"]
    return {
        mode: (row[0] / lab) / (row[1] / plain) - 1 for mode, row in rows.items() if mode != "eager"
    }


def report(lines: list[Line]) -> str:
    """How many ratios agree, and those that do not."""
    found = [
        (line["layer"], line["allocator"], mode, off, line["rows"][mode][2])
        for line in lines
        for mode, off in differences(line).items()
    ]
    near = [abs(math.log1p(off)) for *_, off, _ in found]
    far = sorted((one for one in found if abs(one[3]) > _WORTH - 1), key=lambda one: -abs(one[3]))
    told = [
        "# Ratios of the lab against those of a plain loop",
        "",
        f"{len(lines)} layers, {len(found)} ratios to eager: {len(found) - len(far)} within"
        f" {units.percent(_WORTH - 1)}, median difference {units.percent(statistics.median(near))},"
        f" {sum(one[4] >= 100 for one in found)} of them with 100 or more page faults a call.",
        "",
        "| layer | malloc | implementation | the lab's ratio off by | page faults of a call |",
        "|---|---|---|--:|--:|",
    ]
    told += [
        f"| {layer} | {condition} | {mode} | {units.percent(off, sign=True)} | {faults:.0f} |"
        for layer, condition, mode, off, faults in far
    ]
    return "\n".join([*told, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--layers", default=",".join(LAYERS))
    parser.add_argument("--allocator", default=allocator.DEFAULT, choices=[*allocator.CONDITIONS])
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="of the loop of a layer")
    parser.add_argument("--core", type=int, help="[the first usable]")
    parser.add_argument("--loop", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.loop:
        print(json.dumps(loop(json.loads(given.loop), given.seconds)))
        return
    pin(given.core)
    until = time.monotonic() + 60 * given.minutes
    given.folder.mkdir(parents=True, exist_ok=True)
    path = given.folder / "layers.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {(line["layer"], line["allocator"]) for line in lines}
    for layer in given.layers.split(","):
        if (layer, given.allocator) in done or time.monotonic() > until:
            continue
        lines.append(one(layer, given.allocator, given.seconds))
        with path.open("a", encoding="utf8") as file:
            file.write(json.dumps(lines[-1]) + "\n")
        off = differences(lines[-1])
        print(layer, {mode: f"{100 * one:+.1f} %" for mode, one in off.items()}, flush=True)
    (given.folder / "ratios.md").write_text(report(lines), encoding="utf8")


if __name__ == "__main__":
    main()
