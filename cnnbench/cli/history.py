"""``cnnbench history``: a metric over stored runs, with its step changes."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnnbench import store
from cnnbench.cli import completion, options
from cnnbench.cli import places as below
from cnnbench.cli.parameters import NamedPath, Words
from cnnbench.errors import UsageError
from cnnbench.report import FORMATS, page
from cnnbench.spec import Spec

if TYPE_CHECKING:
    from cnnbench.cli.options import View

_EPILOG = """\b
Examples:
  cnnbench history results --model resnet18
  cnnbench history results/nightly-* --metric peak_memory --model 'resnet*' --mode eager
  cnnbench history results --model resnet18 --format html -o history.html
  cnnbench history results --model resnet18 --points --format csv -o series.csv
  cnnbench history results --json

\b
In the repository that was measured, runs are in the order of its commits, and a step comes with the
'cnnbench bisect' command that finds its commit.
"""


_PAGE = "html"


@click.command(epilog=_EPILOG)
@click.argument("places", metavar="DIR…", nargs=-1, required=True, type=NamedPath(),
                shell_complete=completion.runs)  # fmt: skip
@click.option("--metric", default="latency", show_default=True, help="Metric to show.",
              shell_complete=completion.metrics)  # fmt: skip
@click.option(
    "--model",
    "models",
    type=Words(),
    default="*",
    shell_complete=completion.models,
    help="Names or globs.  [default: all]",
)
@click.option(
    "--mode",
    "modes",
    type=Words(),
    default="*",
    shell_complete=completion.AXES["mode"],
    help="Modes or globs.  [default: all]",
)
@click.option("--points", is_flag=True, help="Show one row per run instead of one per spec.")
@options.view([*FORMATS, _PAGE])
@options.debug
def command(
    places: tuple[Path, ...],
    metric: str,
    models: tuple[str, ...],
    modes: tuple[str, ...],
    points: bool,
    view: View,
) -> None:
    """Show a metric over runs, oldest first, and mark where its level changed.

    DIR is a run directory or a directory that contains some. A step change is named by the commits
    of the runs around it; it takes two runs after it, and ten in all. Runs of different
    environments are never compared. A table draws each series in characters; "html" is an offline
    page with a plot of every series.
    """
    # numpy takes a tenth of a second to import; only this command needs it.
    from cnnbench.gate import history
    from cnnbench.report import history as shown
    from cnnbench.runner.ab import revisions

    runs = [store.read(path, reports=True) for path in below.runs(places)]

    def wanted(name: str) -> bool:
        spec = Spec.parse(name)
        return any(fnmatchcase(spec.workload.model, one) for one in models) and any(
            fnmatchcase(spec.mode.text, one) for one in modes
        )

    repo = revisions.repository(Path.cwd())
    line = {} if repo is None else revisions.first_parents(repo)
    found = history.series(runs, metric, wanted, line)
    if not found:
        raise UsageError(
            f"no run of {len(runs)} has {metric} of a model like '{','.join(models)}'"
            f" in a mode like '{','.join(modes)}'"
        )
    if view.kind == _PAGE:
        view.write(page.over_runs(found))
        return
    exact = view.kind in {"csv", "json"}
    view.show(shown.points(found, exact=exact) if points or exact else shown.overview(found))
