"""Entries -> the figures that notebooks show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench.errors import UnknownName, UsageError
from cnnbench.report.page import models, modes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from matplotlib.figure import Figure

    from cnnbench.report.entry import Entry
    from cnnbench.report.page.parts import Section

PLOTS: Mapping[str, Callable[[Sequence[Entry]], Section | None]] = {
    "accuracy": models.accuracy,
    "size": models.size,
    "modes": modes.strips,
    "speedups": modes.speedups,
}


def plotted(found: Sequence[Entry], what: str) -> Figure:
    """The first plot of a section.

    Raises:
        UnknownName: no such plot.
        UsageError: these entries have nothing of the kind, or Matplotlib is missing.
    """
    if what not in PLOTS:
        raise UnknownName("plot", what, PLOTS)
    section = PLOTS[what](found)
    if section is None or not section.plots:
        having = [name for name, make in PLOTS.items() if (one := make(found)) and one.plots]
        others = f"; there is: {', '.join(having)}" if having else ""
        raise UsageError(f"plot: these records have nothing to show as '{what}'{others}")
    try:
        from cnnbench.report.page import pictures
    except ImportError as error:
        raise UsageError(
            f"plot needs {error.name}; install it with: pip install cnnbench[pictures]"
        ) from error
    title, plot = section.plots[0]
    return pictures.figure(plot, f"{section.title}: {title}" if title else section.title)
