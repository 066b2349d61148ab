"""Runs -> a static site: a page per environment, per network, per two environments; an index.

Every page is a ``page.document.Document`` and so has the tables, plots and escaping of the page of
``cnnbench report``. ``places`` sorts runs by environment, ``names`` gives pages their file names,
``folder`` writes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench.report.page.document import PageLink, html, shared_files
from cnnbench.report.site import beside, environment, index, names, network
from cnnbench.report.site.places import places

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cnnbench.report.site.beside import MachineComparison
    from cnnbench.report.site.places import Place
    from cnnbench.store import StoredRun

# Two of n environments are n (n - 1) / 2 pairs; those with the most in common have a page.
_MOST_COMPARISONS = 60


def pages(runs: Sequence[StoredRun], title: str) -> Iterator[tuple[str, str]]:
    """File name and text of everything that lies in the folder of a site, the index last.

    Args:
        runs: in any order, each once; with at least one record.
        title: of the index.
    """
    found = places(runs)
    known = network.networks(found)
    every = beside.comparisons(found)
    shown = sorted(every, key=lambda one: -len(one.pairs))[:_MOST_COMPARISONS]
    addresses = {
        "model": {one.name: one.page for one in known},
        "environment": {where.name: where.page for where in found},
        "pair": {one.name: one.page for one in shown},
    }
    home = PageLink(title, names.INDEX)
    yield from shared_files().items()
    for where in found:
        around = [home, *_pairs(where, shown)]
        yield where.page, html(environment.document(where, around, addresses))
    for one in known:
        around = [PageLink(where.name, where.page) for where, _ in one.found]
        yield one.page, html(network.document(one, [home, *around], addresses))
    for two in shown:
        around = [PageLink(where.name, where.page) for where in (two.one, two.other)]
        yield two.page, html(beside.document(two, [home, *around], addresses))
    left = len(every) - len(shown)
    yield names.INDEX, html(index.document(title, found, known, shown, left, addresses))


def _pairs(where: Place, comparisons: Sequence[MachineComparison]) -> list[PageLink]:
    """Links from an environment to its comparisons, each by the name of the other one."""
    links = []
    for two in comparisons:
        if where is two.one or where is two.other:
            other = two.other if where is two.one else two.one
            links.append(PageLink(f"beside {other.name}", two.page))
    return links
