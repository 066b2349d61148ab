"""The table of sections: what a page holds, in order."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cnnbench.report.page import context, models, modes, predicted, timing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cnnbench.report.entry import Entry
    from cnnbench.report.page.parts import Section

# One line per section: heading for when it is absent -> entries to section, and what it needs.
SECTIONS: dict[str, tuple[Callable[[Sequence[Entry]], Section | None], str]] = {
    "Accuracy against latency": (
        models.accuracy, "two networks with a published accuracy"),
    "Predicted and measured": (predicted.choices, "a run of cnnbench choose"),
    "Does a mode pay?": (
        modes.strips, "a workload in two modes, one of them plain eager"),
    "Best mode of each workload": (modes.best, "a workload in two modes, one of them plain eager"),
    "Speed-up by network and mode": (
        modes.speedups, "networks in plain eager and another mode, measured side by side"),
    "Size and work": (models.size, "two networks in plain eager mode"),
    "Batch scaling": (modes.batches, "a network at two batches"),
    "Latency by process": (timing.distribution, "timed samples"),
    "Roofline": (timing.roofline, "probed ceilings of the machine and bytes moved"),
    "Convolutions by implementation": (
        modes.lab, "convolutions (conv:…) in plain eager and by an implementation"),
    "Convolutions against the best library implementation": (
        modes.library, "convolutions (conv:…) by the library and by an implementation"),
    "Failures and doubtful outputs": (context.failures, "a failed spec or a doubtful output"),
    "Environment": (context.environments, "a record"),
}  # fmt: skip


# Evidence, which is opened by readers who doubt; the others are answers or what went wrong.
FOLDED = {"best", "size", "batches", "distribution", "roofline", "environment"}


def sections(found: Sequence[Entry]) -> tuple[list[Section], list[str]]:
    """The sections with data, and a line for each section without."""
    made, absent = [], []
    for title, (make, needs) in SECTIONS.items():
        section = make(found)
        if section is not None:
            made.append(replace(section, folded=section.name in FOLDED))
        else:
            absent.append(f"{title}: needs {needs}.")
    return made, absent
