"""Does an epoch take as long as ``cnnbench input --dataset`` says?

A prediction is made of the times of steps and of batches, each measured by itself. Here a plain
training loop, with torch's ``DataLoader`` over generated pictures of the data set's size, does the
work: as many steps as fit into some seconds, after a few that are not timed. Prediction and loop
take turns, because the machine is not the same an hour later; the ratio of a turn's two times is
what is reported, and the load beside it. Slices of 60 ms between other work dodge much of what a
loop of ten seconds has to wait for, so where one process does everything, the ratio is also given
with the waiting for a core taken out of both.

    python -m bench.epochs results/epochs --turns 5
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cnnbench import feeding, metrics, recipes, store

_WARM = 5
_LEAST_STEPS = 12


@dataclass(frozen=True)
class Case:
    """A network behind a pipeline."""

    network: str
    recipe: str
    batch: int
    workers: int


# Small networks, so that the input takes a share of the time that can be seen.
CASES = (
    Case("lenet", "cifar-train", 128, 0),
    Case("lenet", "cifar-train", 128, 1),
    Case("mnist_cnn", "mnist", 64, 0),
    Case("alexnet", "imagenet-train", 16, 0),
    Case("alexnet", "imagenet-train", 16, 1),
    Case("resnet18", "imagenet-train", 8, 0),
)


def predicted(case: Case, folder: Path) -> dict[str, float]:
    """Seconds per step of an epoch as the tool says, and of the step and the batch alone."""
    words = (
        "input", "--recipe", case.recipe, "--backend", "pil", "--workers", str(case.workers),
        "--models", case.network, "--batch", str(case.batch), "--threads", "1", "--device", "cpu",
        "--rounds", "1", "--quiet", "--out", str(folder),
    )  # fmt: skip
    subprocess.run([sys.executable, "-m", "cnnbench", *words], check=True, capture_output=True)
    (one,) = feeding.feedings(store.read(folder).records)
    pair, steps = (one.network, one.pipeline), 1000
    epoch = feeding.epoch(*pair, steps * case.batch, os.cpu_count())
    assert epoch.seconds is not None
    step, made = (record.round_seconds[0] for record in pair)
    said = {"predicted_s": epoch.seconds.point / steps, "step_s": step, "batch_s": made}
    if not case.workers:
        awake = [metrics.latency_awake(record) for record in pair]
        said["predicted_awake_s"] = sum(found.point for found in awake if found is not None)
    return said


def loop(case: Case, steps: int) -> tuple[float, float]:
    """Seconds per step of a training loop as people write it, and how many of them it waited.

    Nothing of ours is in the loop but the pictures and the network.
    """
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, Dataset
    from torchvision.transforms import v2

    from cnnbench import architectures
    from cnnbench.worker.scenes import scenes

    torch.set_num_threads(1)
    source = recipes.recipe(case.recipe).source
    pictures = scenes(source, 0)
    transform = _TRANSFORMS[case.recipe](v2)

    class Pictures(Dataset[Any]):
        def __len__(self) -> int:
            return (steps + _WARM) * case.batch

        def __getitem__(self, index: int) -> Any:
            return transform(_opened(pictures[index % len(pictures)])), index % 10

    architecture = architectures.resolve(case.network)
    network = architectures.build(architecture).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)
    loss = nn.CrossEntropyLoss()
    loader = DataLoader(Pictures(), case.batch, shuffle=True, num_workers=case.workers)
    begun = waited = 0.0
    for number, (given, classes) in enumerate(loader):
        if number == _WARM:
            begun, waited = time.perf_counter(), _waited()
        optimizer.zero_grad()
        loss(network(given), classes).backward()
        optimizer.step()
    return (time.perf_counter() - begun) / steps, (_waited() - waited) / steps


def _waited() -> float:
    """Seconds for which this thread was ready to run but had no core, as the kernel counts them."""
    return int(Path("/proc/thread-self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9


def _opened(picture: Any) -> Any:
    import io

    from PIL import Image

    if isinstance(picture, bytes):
        return Image.open(io.BytesIO(picture)).convert("RGB")
    return Image.fromarray(picture)


def _floats(v2: Any, *first: Any, mean: tuple[float, ...], deviation: tuple[float, ...]) -> Any:
    import torch

    floats = v2.ToDtype(torch.float32, scale=True)
    return v2.Compose([*first, v2.PILToTensor(), floats, v2.Normalize(mean, deviation)])


_COLOURS = {"mean": (0.485, 0.456, 0.406), "deviation": (0.229, 0.224, 0.225)}
_TRANSFORMS: dict[str, Any] = {
    "imagenet-train": lambda v2: _floats(
        v2, v2.RandomResizedCrop(224), v2.RandomHorizontalFlip(), **_COLOURS
    ),
    "cifar-train": lambda v2: _floats(
        v2, v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip(), **_COLOURS
    ),
    "mnist": lambda v2: _floats(v2, mean=(0.1307,), deviation=(0.3081,)),
}


_HEAD = """# Epochs: predicted, and taken by a plain training loop

`python -m bench.epochs`, on {cores} cores: networks train with one thread, on pictures of PIL.
Every turn is a prediction from the times of the step and of a batch, followed by a loop of some
seconds. Ratios are medians of turns; "without waiting" takes the time for which the process had
no core out of both, which is known where one process does everything. With a worker, the network
and the worker need a core each; where the load leaves them less, the prediction does not hold.
The load is that of the minute before the loop.
"""


def turn(case: Case, seconds: float) -> dict[str, float]:
    """One prediction and one loop."""
    with tempfile.TemporaryDirectory() as folder:
        said = predicted(case, Path(folder) / "run")
    steps = max(_LEAST_STEPS, round(seconds / said["predicted_s"]))
    load = os.getloadavg()[0]
    words = (case.network, case.recipe, str(case.batch), str(case.workers), str(steps))
    done = subprocess.run(
        [sys.executable, "-m", "bench.epochs", "--loop", *words],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    took, waited = map(float, done.stdout.split())
    found = {**said, "took_s": took, "waited_s": waited, "steps": steps, "load": load}
    found["ratio"] = took / said["predicted_s"]
    if "predicted_awake_s" in said:
        found["ratio_awake"] = (took - waited) / said["predicted_awake_s"]
    return found


def main() -> None:
    """Every case in turns; a line per turn, and files if a folder is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", nargs="?", type=Path)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--loop", nargs=5)
    given = parser.parse_args()
    if given.loop:
        network, recipe, *numbers = given.loop
        batch, workers, steps = map(int, numbers)
        print(*loop(Case(network, recipe, batch, workers), steps))
        return
    found: dict[Case, list[dict[str, float]]] = {case: [] for case in CASES}
    for _ in range(given.turns):
        for case, turns in found.items():
            turns.append(turn(case, given.seconds))
            print(case, {name: round(value, 4) for name, value in turns[-1].items()}, flush=True)
            if given.out:
                _keep(found, given.out)
    print(_table(found))


def _keep(found: dict[Case, list[dict[str, float]]], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    rows = [asdict(case) | one for case, turns in found.items() for one in turns]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (out / "turns.jsonl").write_text(lines, encoding="utf8")
    head = _HEAD.format(cores=os.cpu_count())
    (out / "report.md").write_text(f"{head}\n{_table(found)}", encoding="utf8")


def _table(found: dict[Case, list[dict[str, float]]]) -> str:
    head = (
        "| network | recipe | batch | workers | predicted per step | took | took / predicted |"
        " every turn | without waiting | every turn | load |\n|"
    ) + "---|" * 11
    return f"{head}\n" + "".join(_line(case, turns) for case, turns in found.items() if turns)


def _line(case: Case, turns: list[dict[str, float]]) -> str:
    """Medians of turns; what one process does not do alone has no ratio without waiting."""
    said, took, load = (
        statistics.median(one[name] for one in turns) for name in ("predicted_s", "took_s", "load")
    )
    return (
        f"| {case.network} | {case.recipe} | {case.batch} | {case.workers} |"
        f" {1e3 * said:.1f} ms | {1e3 * took:.1f} ms | {_ratios(turns, 'ratio')} |"
        f" {_ratios(turns, 'ratio_awake')} | {load:.1f} |\n"
    )


def _ratios(turns: list[dict[str, float]], name: str) -> str:
    values = [one[name] for one in turns if name in one]
    if not values:
        return "- | -"
    return f"{statistics.median(values):.3f} | {', '.join(f'{one:.2f}' for one in values)}"


if __name__ == "__main__":
    main()
