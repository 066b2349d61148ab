"""Entries -> the figures that notebooks show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench.errors import UnknownName, UsageError
from cnnbench.report.page import models, modes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from matplotlib.figure import Figure

    from cnnbench.report.entry import Entry
    from cnnbench.report.page.parts import Section

PLOTS: Mapping[str, Callable[[Sequence[Entry]], Section | None]] = {
    "accuracy": models.accuracy,
    "size": models.size,
    "modes": modes.strips,
    "speedups": modes.speedups,
}


def plotted(found: Sequence[Entry], what: str | None = None) -> Figure:
    """The first plot of a section, or of the first section that has one.

    Raises:
        UnknownName: no such plot.
        UsageError: these entries have nothing of the kind, or Matplotlib is missing.
    """
    if what is not None and what not in PLOTS:
        raise UnknownName("plot", what, PLOTS)
    section = next((one for _, one in _drawn(found, PLOTS if what is None else [what])), None)
    if section is None:
        having = [name for name, _ in _drawn(found, PLOTS)]
        kind = "" if what is None else f" as '{what}'"
        others = f"; there is: {', '.join(having)}" if having else ""
        raise UsageError(f"plot: these records have nothing to show{kind}{others}")
    try:
        from cnnbench.report.page import pictures
    except ImportError as error:
        raise UsageError(
            f"plot needs {error.name}; install it with: pip install cnnbench[pictures]"
        ) from error
    title, plot = section.plots[0]
    return pictures.figure(plot, f"{section.title}: {title}" if title else section.title)


def _drawn(found: Sequence[Entry], names: Iterable[str]) -> Iterator[tuple[str, Section]]:
    """The sections of these names that have a plot."""
    for name in names:
        section = PLOTS[name](found)
        if section is not None and section.plots:
            yield name, section
