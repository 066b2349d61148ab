"""What a shell is offered where a value is typed: names that are known without torch.

Every function is click's ``shell_complete``; lists are completed after their last comma.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnbench import asking, catalogue, named, store, trained
from cnnbench import recipes as table
from cnnbench.spec import DEVICE_KINDS, OPTIMIZERS, PHASES, WORDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Offer = Callable[[Any, Any, str], list[str]]


def among(names: Callable[[], Iterable[str]], marks: str = ",", signs: str = "") -> Offer:
    """Offer names that go on as what was typed does.

    Args:
        names: asked for only once something is to be completed.
        marks: after any of them, a further name begins.
        signs: may stand before a name, as the ``-`` of a column to sort by.
    """

    def offer(ctx: object, param: object, typed: str) -> list[str]:
        del ctx, param
        place = max(typed.rfind(mark) for mark in marks) + 1
        place += typed[place : place + 1] in {*signs}
        begun = typed[place:]
        return [typed[:place] + name for name in names() if name.startswith(begun)]

    return offer


def _models() -> list[str]:
    rows = catalogue.entries()
    tags = sorted({f"tag:{tag}" for row in rows for tag in row.tags})
    families = sorted({f"family:{row.family}" for row in rows if " " not in row.family})
    functions = [f"{catalogue.ACTIVATION}{one}" for one in catalogue.ACTIVATIONS]
    return ["all", "quick", *(row.name for row in rows), *tags, *families, *functions]


def _columns() -> list[str]:
    from cnnbench.report.selection import known

    return [name for name in known(people=True) if " " not in name]


def _metrics() -> list[str]:
    from cnnbench.metrics import METRICS

    return [metric.name for metric in METRICS]


def runs(ctx: object, param: object, typed: str) -> list[str]:
    """Run directories below the directory that is typed, or in results/, and the way to others."""
    del ctx, param
    folder = Path(typed) if typed.endswith("/") else Path(typed).parent
    places = [folder] if typed else [Path(), Path("results")]
    inner = [one for place in places if place.is_dir() for one in sorted(place.iterdir())]
    there = [one for one in inner if one.is_dir() and str(one).startswith(typed)]
    found = [str(one) for one in there if (one / store.MANIFEST).is_file()]
    return found or [f"{one}/" for one in there]


def _recipes() -> list[str]:
    return ["all", *(one.name for one in table.RECIPES)]


models = among(_models)
recipes = among(_recipes)
datasets = among(lambda: [one.name for one in table.SOURCES])
columns = among(_columns)
sorting = among(_columns, signs="-")
metrics = among(_metrics)

# Axis -> what is offered for its values; for others the shell offers nothing, or files.
AXES: dict[str, Offer] = {
    "model": models,
    "mode": among(lambda: ["all", "deploy", *(word.text for word in WORDS)], ",+"),
    "device": among(lambda: DEVICE_KINDS),
    "phase": among(lambda: PHASES),
    "optimizer": among(lambda: OPTIMIZERS),
    "weights": among(lambda: [asking.CALIBRATED, asking.RANDOM, asking.PRETRAINED]),
    "loss": among(lambda: named.LOSSES),
    "train": among(lambda: trained.WORDS),
}
