"""``cnnbench explain``: which modules changed in a comparison that is kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from cnnbench.cli import completion, options
from cnnbench.cli.output import also, shown
from cnnbench.cli.parameters import NamedPath
from cnnbench.codec import encode
from cnnbench.inert import in_json
from cnnbench.report import explanation
from cnnbench.runner.ab import explaining

if TYPE_CHECKING:
    from pathlib import Path

    from cnnbench.cli.options import View

_EPILOG = """\b
Examples:
  cnnbench explain results/ab-TIME-ID
  cnnbench explain results/ab-TIME-ID --json

\b
Exit codes: 0 fine, 2 nothing was explained there.
"""


@click.command(epilog=_EPILOG)
@click.argument("folder", metavar="DIR", type=NamedPath(),
                shell_complete=completion.runs)  # fmt: skip
@options.view(("table", "markdown", "json"))
@options.debug
def command(folder: Path, view: View) -> None:
    """Show all that is known of which modules changed between two sides.

    DIR is what 'cnnbench ab', 'cnnbench check --out' or 'cnnbench bisect' left. They measure it of
    a regression by themselves, and with --explain of everything that they compare.
    """
    found = explaining.read(folder)
    if view.kind == "json":
        also(in_json(json.dumps([encode(one) for one in found], indent=1)) + "\n", view.output)
        return
    parts = [shown(explanation.table(one), view.kind) for one in found]
    also("\n".join(parts), view.output)
