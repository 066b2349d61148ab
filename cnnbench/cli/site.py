"""``cnnbench site``: stored runs as a static site."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cnnbench import units
from cnnbench.cli import completion, options, stored
from cnnbench.cli import places as below
from cnnbench.cli.output import say
from cnnbench.cli.parameters import NamedPath
from cnnbench.collector import uncollected
from cnnbench.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from cnnbench.store import StoredRun

_EPILOG = """\b
Examples:
  cnnbench site results -o site
  cnnbench site results/laptop-* results/server-* -o site --title 'Our networks'
  cnnbench site results -o site && python -m http.server --directory site
"""


@click.command(epilog=_EPILOG)
@click.argument("places", metavar="DIR…", nargs=-1, required=True, type=NamedPath(),
                shell_complete=completion.runs)  # fmt: skip
@click.option("--out", "-o", required=True, metavar="DIR",
              type=NamedPath(file_okay=False),
              help="Folder of the site; one that an earlier build has made is replaced.",
)  # fmt: skip
@click.option("--title", default="cnnbench results", show_default=True,
              help="Heading of the first page.")  # fmt: skip
@options.debug
@uncollected()
def command(places: tuple[Path, ...], out: Path, title: str) -> None:
    """Make a static site of stored runs: of any number of machines, and of any number of weeks.

    DIR is a run directory or a directory that contains some. The site has a page for every
    environment (its runs, and accuracy against latency within a budget), for every network (its
    modes everywhere, and its latency over the runs), and for every two environments (a ratio per
    network and mode). It needs no server and loads nothing from elsewhere: open index.html, or put
    the folder on any web server, in a sub-path too.
    """
    # numpy and the library of templates take a fifth of a second to import; a help text needs none.
    from cnnbench.report import site
    from cnnbench.report.site import folder

    folder.refuse_foreign(out)
    # Paths as they were given: those of this machine are nobody's business on a site.
    paths = {path.resolve(): path for path in below.runs(places)}
    runs = stored.without_copies(_once(stored.read(paths.values())))
    records = sum(len(run.records) for run in runs)
    if not records:
        raise UsageError(f"{units.number(len(runs), 'run')} without a record: nothing to show")
    pages = folder.write(out, site.pages(runs, title))
    say(f"{out}: {units.number(pages, 'page')} about {units.number(records, 'record')} of"
        f" {units.number(len(runs), 'run')}; open {out / 'index.html'}")  # fmt: skip


def _once(runs: list[StoredRun]) -> list[StoredRun]:
    """Every run once: one that was copied has the name that it had, wherever it lies."""
    found: dict[str, StoredRun] = {}
    for run in runs:
        known = found.setdefault(run.manifest.run, run)
        if known is not run:
            say(f"cnnbench: left out: {run.path}, which is run {run.manifest.run} of {known.path}")
    return list(found.values())
