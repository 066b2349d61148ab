"""``cnnbench history``: a metric over stored runs, with its step changes."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnnbench import store
from cnnbench.cli.output import write
from cnnbench.errors import StoreError, UnknownName, UsageError
from cnnbench.report import FORMATS, page, render
from cnnbench.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Iterable

_EPILOG = """\b
Examples:
  cnnbench history results --model resnet18
  cnnbench history results/nightly-* --metric peak_memory --model 'resnet*' --mode eager
  cnnbench history results --model resnet18 --format html -o history.html
  cnnbench history results --model resnet18 --points --format csv -o series.csv
  cnnbench history results --json
"""


_PAGE = "html"


@click.command(epilog=_EPILOG)
@click.argument("places", metavar="DIR…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--metric", default="latency", show_default=True, help="What to follow.")
@click.option("--model", default="*", help="Name or glob.  [default: all]")
@click.option("--mode", default="*", help="Mode or glob.  [default: all]")
@click.option("--points", is_flag=True, help="A row per run instead of one per spec.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the permutation test.")
@click.option(
    "--format",
    "kind",
    default="table",
    show_default=True,
    help=f"One of {', '.join([*FORMATS, _PAGE])}.",
)
@click.option("--json", "as_json", is_flag=True, help="Every run of every series as JSON.")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="A file.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def command(**options: Any) -> None:
    """Follow a metric over runs, oldest first, and mark where its level changed.

    DIR is a run or a directory that holds runs. Steps are found by E-divisive with a permutation
    test; from 8 runs on one can be told. In a table the picture is made of characters; "html" is a
    page that needs no network, with a plot of every series.
    """
    # numpy takes a tenth of a second to import; only this command needs it.
    from cnnbench.gate import history
    from cnnbench.report import history as shown

    kind = "json" if options["as_json"] else options["kind"]
    if kind not in FORMATS and kind != _PAGE:
        raise UnknownName("format", kind, [*FORMATS, _PAGE])
    runs = [store.read(path) for path in _runs(options["places"])]

    def wanted(name: str) -> bool:
        spec = Spec.parse(name)
        return fnmatchcase(spec.workload.model, options["model"]) and fnmatchcase(
            spec.mode.text, options["mode"]
        )

    found = history.series(runs, options["metric"], wanted, options["seed"])
    if not found:
        raise UsageError(
            f"none of {len(runs)} runs has {options['metric']} of a model like"
            f" '{options['model']}' in a mode like '{options['mode']}'"
        )
    if kind == _PAGE:
        write(page.over_runs(found), options["output"])
        return
    every = options["points"] or kind in {"csv", "json"}
    write(render((shown.points if every else shown.overview)(found), kind), options["output"])


def _runs(places: Iterable[Path]) -> list[Path]:
    """Run directories among and directly below the places.

    Raises:
        StoreError: a place that neither is nor holds a run.
    """
    found: dict[Path, None] = {}
    for place in places:
        inner = [place] if (place / store.MANIFEST).exists() else []
        inner += sorted(path.parent for path in place.glob(f"*/{store.MANIFEST}"))
        if not inner:
            raise StoreError(f"{place} is not a cnnbench run and holds none")
        found |= dict.fromkeys(inner)
    return list(found)
