"""Stored runs of several environments and days, made by meaning, and a site of them on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cnnbench import store
from cnnbench.environment import Environment
from cnnbench.report import site
from cnnbench.report.site import folder
from cnnbench.store import StoredRun
from tests import made

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.record import Record

HERE = made.ENVIRONMENT
THERE = Environment(
    hard={**HERE.hard, "cpu": "Another <script>alert(1)</script>", "cores_usable": 4},
    soft=HERE.soft,
)
WORK = "inference-b1-3x224x224"


def one(model: str, mode: str, milliseconds: float, threads: int = 2, **more) -> Record:
    name = f"{model}/{WORK}/{mode}/cpu-t{threads}"
    # Rounds differ a little, as they do, so that intervals have a width.
    rounds = [[milliseconds * (1 + 0.002 * number)] * 3 for number in range(3)]
    return made.record(name, rounds, ensemble=model, **more)


def run(name: str, records: Sequence[Record], environment: Environment = HERE, day: int = 1):
    what = replace(
        store.manifest(name, [record.id for record in records], {}, "fake"),
        created=f"2026-03-{day:02}T00:00:00+00:00",
    )
    return StoredRun(Path(name), what, environment, tuple(records))


def networks(factor: float = 1.0, names: Sequence[str] = ("resnet18", "resnet50", "vgg11")):
    """Each in two modes, of which the second is twice as fast."""
    return [
        one(name, mode, factor * (10 + 20 * place) / speed)
        for place, name in enumerate(names)
        for mode, speed in (("eager", 1), ("channels_last", 2))
    ]


def two_machines() -> list[StoredRun]:
    """Twelve days on one machine, slower from the seventh on, and one day on another."""
    here = [run(f"day-{day}", networks(1.0 if day < 7 else 1.5), day=day) for day in range(1, 13)]
    return [*here, run("there", networks(0.25), THERE, day=5)]


def built(path: Path, runs: Sequence[StoredRun]) -> Path:
    folder.write(path, site.pages(runs, "our networks"))
    return path
