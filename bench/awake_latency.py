"""How far a latency is from that of a quiet core, beside one to three neighbours on the same core.

    python -m bench.awake_latency                            about 10 minutes on a core of 2024

Every round takes 0 to 3 neighbours in turn, each of which would use the whole core. Ours is the
real runner with a fresh pool per round: the latency as the clock showed it, the same with the
waiting for a core taken out, and CPU time per call. In the same minutes a fresh process times the
same networks by torch.utils.benchmark (median of ``blocked_autorange``), pytest-benchmark (median)
and as timm's benchmark.py does (mean of 40 calls after 10). Every figure is compared with what the
same tool said without a neighbour; ours without waiting also with our own latency there. One
thread; everything, the neighbours too, runs on one core.
"""

from __future__ import annotations

import argparse
import contextlib
import json
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
from cnnbench.plan import Plan  # noqa: E402
from cnnbench.record import Run  # noqa: E402
from cnnbench.requests import MeasureLatency  # noqa: E402
from cnnbench.runner.ensemble import Ensemble  # noqa: E402
from cnnbench.runner.process import Processes  # noqa: E402
from cnnbench.spec import Spec  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

# What is asked of ours: how far from the quiet core at most.
TARGET = 0.05

# Seconds per call, by tool and network.
Found = dict[tuple[str, str], float]

OURS = {
    "ours: as shown by the clock": lambda run: run.seconds,
    "ours: waiting taken out": lambda run: run.awake_seconds,
    "ours: CPU time": lambda run: run.cpu_seconds,
}
PEERS = ("torch.utils.benchmark", "pytest-benchmark", "timm's way")


def ours(models: list[str], plan: Plan, order: str, keep: Callable[[str, Run], None]) -> Found:
    """One round of the real runner."""
    found: Found = {}
    with tempfile.TemporaryDirectory() as folder, Processes().open(Path(folder)) as pool:
        for model in models:
            spec = Spec.parse(f"{model}/inference-b1-3x224x224/eager/cpu-t1")
            request = MeasureLatency.planned(spec, plan, round=0, ensemble=order)
            run = Ensemble(pool, plan, order).measure([spec], lambda _, what=request: what)[spec.id]
            if not isinstance(run, Run):
                sys.exit(f"{model} was not measured: {run}")
            keep(model, run)
            for name, of in OURS.items():
                value = of(run)
                if value is None:
                    sys.exit(f"this system does not say what '{name}' needs")
                found[name, model] = value
    return found


def peers(models: list[str], seconds: float) -> Found:
    """A fresh process in which three tools time the same networks."""
    command = [sys.executable, __file__, "--peers", "--models", ",".join(models)]
    command += ["--seconds", str(seconds)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return {(tool, model): value for tool, model, value in json.loads(done.stdout.splitlines()[-1])}


_TEST = """
import pytest
from awake_latency import network

@pytest.mark.parametrize("model", {models})
def test_model(benchmark, model):
    call = network(model)
    for _ in range(10):
        call()
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


def by_torch(model: str, seconds: float) -> float:
    from torch.utils.benchmark import Timer

    timer = Timer("call()", globals={"call": network(model)}, num_threads=1)
    return timer.blocked_autorange(min_run_time=seconds).median


def by_timm(model: str) -> float:
    call, taken = network(model), []
    for number in range(50):
        start = time.perf_counter()
        call()
        if number >= 10:
            taken.append(time.perf_counter() - start)
    return statistics.fmean(taken)


def by_pytest(models: list[str], seconds: float) -> dict[str, float]:
    import pytest

    with tempfile.TemporaryDirectory() as folder:
        test, out = Path(folder) / "test_models.py", Path(folder) / "out.json"
        test.write_text(_TEST.format(models=models))
        options = ["-q", "-p", "no:cacheprovider", f"--rootdir={folder}", f"--benchmark-json={out}"]
        with contextlib.redirect_stdout(sys.stderr):
            if pytest.main([*options, f"--benchmark-max-time={seconds}", str(test)]):
                sys.exit("pytest-benchmark failed")
        found = json.loads(out.read_text())["benchmarks"]
    return {one["params"]["model"]: one["stats"]["median"] for one in found}


def inside(models: list[str], seconds: float) -> list[tuple[str, str, float]]:
    """What the process of the peers does."""
    sys.modules["awake_latency"] = sys.modules["__main__"]
    found = [(PEERS[0], model, by_torch(model, seconds)) for model in models]
    found += [(PEERS[1], *pair) for pair in by_pytest(models, seconds).items()]
    return found + [(PEERS[2], model, by_timm(model)) for model in models]


def line(name: str, model: str, rounds: dict[int, list[Found]], quiet: float) -> str:
    """Seconds per call without a neighbour, and how far each number of neighbours is from that."""
    medians = {
        count: statistics.median(one[name, model] for one in found)
        for count, found in rounds.items()
    }
    away = [
        f"{units.percent(value / quiet - 1, sign=True):>10}"
        for count, value in medians.items()
        if count
    ]
    return f"{model:20} {name:28} {units.seconds(medians[0]):>9} {' '.join(away)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="mobilenet_v3_small,squeezenet1_1,resnet18")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--neighbours", type=int, default=3, help="at most")
    parser.add_argument("--seconds", type=float, default=1.0, help="per network and peer")
    parser.add_argument("--core", type=int, help="the core of everything [the first usable]")
    parser.add_argument("--keep", type=Path, help="folder for every sample that was taken")
    parser.add_argument("--peers", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    models = options.models.split(",")
    if options.peers:
        print(json.dumps(inside(models, options.seconds)))
        return
    core, plan = pin(options.core), Plan()
    rounds: dict[int, list[Found]] = {count: [] for count in range(options.neighbours + 1)}
    delays: dict[int, list[float]] = {count: [] for count in rounds}
    for number in range(options.rounds):
        for count, found in rounds.items():

            def keep(model: str, run: Run, count: int = count, number: int = number) -> None:
                waited = run.slices.total("run_delay_ns") or 0
                delays[count].append(waited / run.slices.sampled_ns)
                if options.keep is not None:
                    kept(options.keep, {"neighbours": count, "round": number, "model": model}, run)

            with contextlib.ExitStack() as stack:
                for _ in range(count):
                    stack.enter_context(beside(1.0))
                both = ours(models, plan, f"{number}-{count}", keep)
                both |= peers(models, options.seconds)
            found.append(both)
            print(f"round {number + 1}, neighbours: {count}", file=sys.stderr)
    report(models, rounds, delays, core)


def kept(folder: Path, facts: dict[str, Any], run: Run) -> None:
    from cnnbench.codec import encode

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "runs.jsonl").open("a") as file:
        file.write(json.dumps(facts | {"run": encode(run)}) + "\n")


def report(
    models: list[str],
    rounds: dict[int, list[Found]],
    delays: dict[int, list[float]],
    core: int,
) -> None:
    shares = ", ".join(
        f"{count}: {units.percent(statistics.median(some))}" for count, some in delays.items()
    )
    print(f"core {core}, median over {len(rounds[0])} rounds; one thread, batch 1, 224x224")
    print(f"waiting for the core as a share of the sampled time, by neighbours: {shares}")
    heads = " ".join(f"{f'{count} beside':>10}" for count in rounds if count)
    print(f"{'network':20} {'tool':28} {'alone':>9} {heads}")
    worst = 0.0
    for model in models:
        for name in (*OURS, *PEERS):
            alone = statistics.median(one[name, model] for one in rounds[0])
            print(line(name, model, rounds, alone))
        shown, awake = list(OURS)[:2]
        quiet = statistics.median(one[shown, model] for one in rounds[0])
        for count, found in rounds.items():
            value = statistics.median(one[awake, model] for one in found)
            worst = max(worst, abs(value / quiet - 1)) if count else worst
    print(f"ours with waiting taken out, beside neighbours, is at most {units.percent(worst)}"
          f" away from our latency alone; asked for: {units.percent(TARGET)}")  # fmt: skip


if __name__ == "__main__":
    main()
