"""Share of a sweep's wall time that is not measuring: small networks in four eager modes on a CPU.

Run as ``python bench/sweep_overhead.py``; with the defaults of ``cnnbench run`` (5 rounds of 6
slices) ten networks take about five minutes on two quiet cores. ``--models lenet --rounds 2`` takes
half a minute. Measuring is what was sampled, the warm-up (both as the records have them) and the
memory pass. Beside it stands what peers do: one import per spec, here measured once as the start of
``python -c 'import torch, torchvision'``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from cnnbench.plan import Plan  # noqa: E402
from cnnbench.runner import campaign  # noqa: E402
from cnnbench.spec import Device  # noqa: E402
from cnnbench.suite import Grid  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.record import Record
    from cnnbench.store import StoredRun

MODELS = ("lenet,alexnet,squeezenet1_1,mobilenet_v2,mobilenet_v3_small,shufflenet_v2_x0_5,resnet18,"
          "mnasnet0_5,efficientnet_b0,googlenet")  # fmt: skip
MODES = "eager,channels_last,amp,channels_last+amp"
TARGET = 30


class Clock:
    """A watcher that counts wall time by what is being done."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._doing, self._since = "start", time.perf_counter()

    def working(self, what: str, done: int, total: int) -> None:
        del done, total
        kinds = {"reference": "reference", "static cost": "static cost", "memory": "memory"}
        self._turn(next((kinds[k] for k in kinds if what.endswith(f": {k}")), "rounds"))

    def first(self, records: Sequence[Record]) -> None:
        del records

    def finished(self, record: Record) -> None:
        # The next batch of specs begins with a fresh pool.
        del record
        self._turn("start")

    def _turn(self, doing: str) -> None:
        now = time.perf_counter()
        self.seconds[self._doing] += now - self._since
        self._doing, self._since = doing, now

    def stop(self) -> None:
        self._turn("start")


def one_import() -> float:
    """What a peer pays for every spec."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch, torchvision"], check=True)
    return time.perf_counter() - start


def sweep(options: argparse.Namespace, folder: str, clock: Clock) -> StoredRun:
    plan = Plan(rounds=options.rounds, slices=options.slices)
    grid = Grid(
        tuple(options.models.split(",")),
        tuple(options.modes.split(",")),
        device=Device(),
        threads=(options.threads,) if options.threads else None,
    )
    return campaign.start(campaign.prepare(grid, plan), Path(folder) / "run", clock)


def inside(run: StoredRun) -> dict[str, float]:
    """Seconds that the records hold: sampled, warm-up, build."""
    runs = [one for record in run.records for one in record.runs]
    return {
        "sampled": sum(ns for one in runs for part in one.slices for ns in part.ns) / 1e9,
        "warm-up": sum(sum(one.warmup_ns) for one in runs) / 1e9,
        "build": sum(one.build_ns for one in runs) / 1e9,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--modes", default=MODES)
    parser.add_argument("--rounds", type=int, default=Plan.rounds)
    parser.add_argument("--slices", type=int, default=Plan.slices)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    clock, begin = Clock(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run = sweep(options, folder, clock)
    wall = time.perf_counter() - begin
    clock.stop()
    found = inside(run)
    measuring = found["sampled"] + found["warm-up"] + clock.seconds["memory"]
    in_rounds = found["sampled"] + found["warm-up"] + found["build"]
    rows = {
        "sampled": found["sampled"],
        "warm-up": found["warm-up"],
        "memory pass": clock.seconds["memory"],
        "reference outputs, with a first import": clock.seconds["reference"],
        "static cost": clock.seconds["static cost"],
        "build": found["build"],
        # A round's import begins with its first worker.
        "rounds: imports, forks, checks, pauses": clock.seconds["rounds"] - in_rounds,
        "before, between and after": clock.seconds["start"],
    }
    failed = [record.id for record in run.records if record.failure is not None]
    print(f"{len(run.records)} specs ({len(failed)} failed), {options.rounds} rounds: {wall:.1f} s")
    for name, seconds in rows.items():
        print(f"{name:40} {seconds:8.1f} s {100 * seconds / wall:6.1f} %")
    outside = 100 * (1 - measuring / wall)
    print(
        f"{'outside measuring':40} {wall - measuring:8.1f} s {outside:6.1f} %  (target {TARGET} %)"
    )
    peer = one_import()
    imports = len(run.records) * options.rounds * peer
    share = 100 * imports / (imports + measuring)
    print(f"peer: an import of {peer:.1f} s per spec and round: {imports:.0f} s, {share:.0f} %")


if __name__ == "__main__":
    main()
