"""How far a latency is from that of a quiet core, beside one to three neighbours on the same core.

    python -m bench.awake_latency                             about three minutes

Ours is a worker as the runner starts it, a fresh one per round. Its slices are taken alone and
beside one, two and three neighbours in turn, in random order, each of which would use the whole
core: so that all of them meet the same machine. Shown are the latency as by the clock, the same
with the waiting for a core taken out, and CPU time per call. In the same minutes a fresh process
times the same networks by torch.utils.benchmark (median of ``blocked_autorange``), pytest-benchmark
(median) and as timm's benchmark.py does (mean of 40 calls after 10), each alone and beside one to
three neighbours. Every figure is compared with what the same tool said alone in that round. One
thread; everything, the neighbours too, runs on one core.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]

from neighbour import beside, pin  # noqa: E402

from cnnbench import units  # noqa: E402
from cnnbench.codec import encode  # noqa: E402
from cnnbench.plan import Plan  # noqa: E402
from cnnbench.requests import Finish, MeasureLatency, TakeSlice  # noqa: E402
from cnnbench.runner.inquiry import tell  # noqa: E402
from cnnbench.runner.process import Processes  # noqa: E402
from cnnbench.slices import Slices  # noqa: E402
from cnnbench.spec import Spec  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# What is asked of ours: how far from the quiet core at most.
TARGET = 0.05
MOST = 3

# Seconds per call, by tool, network and number of neighbours.
Found = dict[tuple[str, str, int], float]

OURS = {
    "ours: by the clock": lambda some: some.seconds,
    "ours: waiting taken out": lambda some: some.awake_seconds,
    "ours: CPU time": lambda some: some.cpu_seconds,
}
PEERS = ("torch.utils.benchmark", "pytest-benchmark", "timm's way")


class Neighbours:
    """Processes that would each use the whole core, and are stopped until they are asked for."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._all = [stack.enter_context(beside(1.0)).pid for _ in range(MOST)]
        time.sleep(0.5)  # until they are past their imports
        self._tell(MOST, signal.SIGSTOP)

    @contextlib.contextmanager
    def beside(self, count: int) -> Iterator[None]:
        """So many of them at work."""
        self._tell(count, signal.SIGCONT)
        try:
            yield
        finally:
            self._tell(count, signal.SIGSTOP)

    def _tell(self, count: int, what: signal.Signals) -> None:
        for one in self._all[:count]:
            os.kill(one, what)


def ours(models: list[str], plan: Plan, number: int, keep: Path | None) -> Found:
    """One round: a fresh worker per network, whose slices are alone and beside neighbours."""
    found: Found = {}
    counts, chance = range(MOST + 1), random.Random(number)
    with contextlib.ExitStack() as stack:
        near = Neighbours(stack)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pool = stack.enter_context(Processes().open(folder))
        for model in models:
            spec = Spec.parse(f"{model}/inference-b1-3x224x224/eager/cpu-t1")
            worker = pool.start()
            request = MeasureLatency.planned(spec, plan, round=number, ensemble=f"{number}")
            tell(worker, request, plan.timeout)
            for turn in range(plan.slices):
                for count in chance.sample(counts, len(counts)):
                    with near.beside(count):
                        slot = turn * len(counts) + count
                        tell(worker, TakeSlice(turn=slot, seconds=plan.slice_seconds), plan.timeout)
            run = tell(worker, Finish(), plan.timeout)
            worker.close()
            if keep is not None:
                with keep.open("a") as file:
                    file.write(json.dumps({"model": model, "run": encode(run)}) + "\n")
            for count in counts:
                some = Slices.of(one for one in run.slices if one.turn % len(counts) == count)
                for name, of in OURS.items():
                    found[name, model, count] = statistics.median(of(some) or [float("nan")])
                waited = (some.total("run_delay_ns") or 0) / some.sampled_ns
                found["waited", model, count] = waited
    return found


def peers(models: list[str], seconds: float) -> Found:
    """A fresh process in which three tools time the same networks."""
    command = [sys.executable, __file__, "--peers", "--models", ",".join(models)]
    command += ["--seconds", str(seconds)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return {tuple(key): value for *key, value in json.loads(done.stdout.splitlines()[-1])}


_TEST = """
import contextlib
import pytest
from awake_latency import MOST, Neighbours, network

@pytest.fixture(scope="module")
def near():
    with contextlib.ExitStack() as stack:
        yield Neighbours(stack)

@pytest.mark.parametrize("count", range(MOST + 1))
@pytest.mark.parametrize("model", {models})
def test_model(benchmark, near, model, count):
    call = network(model)
    for _ in range(10):
        call()
    with near.beside(count):
        benchmark(call)
"""


def network(model: str) -> Callable[[], Any]:
    """A call of a network in one thread."""
    import torch
    import torchvision

    torch.set_num_threads(1)
    module = torchvision.models.get_model(model, weights=None).eval()
    given = torch.randn(1, 3, 224, 224)

    def call() -> Any:
        with torch.inference_mode():
            return module(given)

    return call


def by_torch(call: Callable[[], Any], seconds: float) -> float:
    from torch.utils.benchmark import Timer

    timer = Timer("call()", globals={"call": call}, num_threads=1)
    return timer.blocked_autorange(min_run_time=seconds).median


def by_timm(call: Callable[[], Any]) -> float:
    taken = []
    for number in range(50):
        start = time.perf_counter()
        call()
        if number >= 10:
            taken.append(time.perf_counter() - start)
    return statistics.fmean(taken)


def by_pytest(models: list[str], seconds: float) -> list[tuple[str, str, int, float]]:
    import pytest

    with tempfile.TemporaryDirectory() as folder:
        test, out = Path(folder) / "test_models.py", Path(folder) / "out.json"
        test.write_text(_TEST.format(models=models))
        options = ["-q", "-p", "no:cacheprovider", f"--rootdir={folder}", f"--benchmark-json={out}"]
        with contextlib.redirect_stdout(sys.stderr):
            if pytest.main([*options, f"--benchmark-max-time={seconds}", str(test)]):
                sys.exit("pytest-benchmark failed")
        found = json.loads(out.read_text())["benchmarks"]
    return [
        (PEERS[1], one["params"]["model"], one["params"]["count"], one["stats"]["median"])
        for one in found
    ]


def inside(models: list[str], seconds: float) -> list[tuple[str, str, int, float]]:
    """What the process of the peers does."""
    sys.modules["awake_latency"] = sys.modules["__main__"]
    found = by_pytest(models, seconds)
    with contextlib.ExitStack() as stack:
        near = Neighbours(stack)
        for model in models:
            call = network(model)
            for count in range(MOST + 1):
                with near.beside(count):
                    found.append((PEERS[0], model, count, by_torch(call, seconds)))
                    found.append((PEERS[2], model, count, by_timm(call)))
    return found


def away(rounds: list[Found], name: str, model: str, count: int, alone: str) -> float:
    """Median over rounds of how far a figure is from one that was taken alone."""
    return statistics.median(one[name, model, count] / one[alone, model, 0] - 1 for one in rounds)


def report(models: list[str], rounds: list[Found], core: int) -> None:
    counts = range(1, MOST + 1)
    waited = [
        units.percent(statistics.median(one["waited", m, n] for one in rounds for m in models))
        for n in (0, *counts)
    ]
    print(f"core {core}, median of {len(rounds)} rounds; one thread, batch 1, 224x224")
    print(f"waiting for the core, share of our sampled time, 0 to {MOST} neighbours:"
          f" {', '.join(waited)}")  # fmt: skip
    print(
        f"{'network':20} {'tool':24} {'alone':>9}" + "".join(f"{f'{n} beside':>11}" for n in counts)
    )
    worst = 0.0
    for model in models:
        for name in (*OURS, *PEERS):
            alone = statistics.median(one[name, model, 0] for one in rounds)
            far = [away(rounds, name, model, count, name) for count in counts]
            cells = "".join(f"{units.percent(one, sign=True):>11}" for one in far)
            print(f"{model:20} {name:24} {units.seconds(alone):>9}{cells}")
        shown, awake = list(OURS)[:2]
        far = [away(rounds, awake, model, count, shown) for count in counts]
        worst = max([worst, *map(abs, far)])
    print(f"ours with waiting taken out is at most {units.percent(worst)} away from our latency"
          f" alone; asked for: {units.percent(TARGET)}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="mobilenet_v3_small,squeezenet1_1,resnet18")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="per network, peer and number")
    parser.add_argument("--core", type=int, help="the core of everything [the first usable]")
    parser.add_argument("--keep", type=Path, help="a file for every sample that is taken")
    parser.add_argument("--peers", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    models = options.models.split(",")
    if options.peers:
        print(json.dumps(inside(models, options.seconds)))
        return
    core, plan = pin(options.core), Plan()
    rounds: list[Found] = []
    for number in range(options.rounds):
        both = ours(models, plan, number, options.keep)
        rounds.append(both | peers(models, options.seconds))
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
    report(models, rounds, core)


if __name__ == "__main__":
    main()
