"""``--under``, ``--memory`` and ``--top1``: what a network may take to be shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cnnbench.cli.bundle import bundle
from cnnbench.cli.parameters import Accuracy, Quantity

if TYPE_CHECKING:
    from cnnbench.cli.bundle import Decorator
    from cnnbench.report.budget import Budget


def within() -> Decorator:
    """``--under``, ``--memory`` and ``--top1``; the command gets a ``within``: a ``Budget``."""
    options: dict[str, Decorator] = {
        "seconds": click.option("--under", "seconds", type=Quantity("seconds", "TIME", "20ms"),
                                help="Show what takes at most this long per call, e.g. 20ms."),
        "memory": click.option("--memory", type=Quantity("bytes", "SIZE", "200MB"),
                               help="Show what needs at most this much memory, e.g. 200MB."),
        "top1": click.option("--top1", type=Accuracy(),
                             help="Show what has at least this published top-1 accuracy."),
    }  # fmt: skip

    def make(given: dict[str, Any]) -> Budget:
        from cnnbench.report.budget import Budget

        return Budget(**given)

    return bundle("within", options, make)
