"""Where the judgement of a command goes: printed, and into the files that CI systems read."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnnbench.cli import again, output
from cnnbench.cli.bundle import bundle
from cnnbench.cli.output import also, say, shown, write
from cnnbench.cli.parameters import NamedPath
from cnnbench.errors import StoreError
from cnnbench.report import FOR_PEOPLE, comparison, github, junit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.cli.options import View
    from cnnbench.gate import Judgement

CI = ("github",)

_FILE = NamedPath(dir_okay=False)


@dataclass(frozen=True)
class Destinations:
    """Where a judgement goes beside its view.

    Attributes:
        ci: the CI system that is told.
        junit, markdown: files.
    """

    ci: str | None = None
    junit: Path | None = None
    markdown: Path | None = None


# The command gets them as one ``to``.
destinations = bundle(
    "to",
    {
        "ci": click.option("--ci", type=click.Choice(CI),
                           help="Write annotations and a step summary for this CI system."),
        "junit": click.option("--junit", type=_FILE, help="Write JUnit XML."),
        "markdown": click.option("--markdown", type=_FILE,
                                 help="Write Markdown for a comment on a pull request."),
    },
    lambda given: Destinations(**given),
)  # fmt: skip
thresholds = click.option("--threshold", "-t", "words", multiple=True,
                          metavar="[MODEL[/MODE]:]METRIC=LIMIT",
                          help="Largest acceptable change; may be repeated.")  # fmt: skip
config = click.option("--config", type=NamedPath(),
                      help="TOML file of thresholds.  [default: pyproject.toml]")  # fmt: skip
force = click.option("--force", is_flag=True, help="Judge times even if the environments differ.")
strict = click.option("--strict", is_flag=True, help="Exit with 4 if a verdict is inconclusive.")


def show(judgement: Judgement, view: View, to: Destinations, command: str) -> None:
    """Print a judgement and write the files that were asked for.

    Raises:
        StoreError: one cannot be written.
    """
    judgement = replace(judgement, again=again.remedy(judgement))
    also(text([judgement], view.kind), view.output)
    if to.junit is not None:
        write(junit.render(judgement, command), to.junit)
    if to.markdown is not None:
        job = os.environ.get("GITHUB_JOB", "") if to.ci == "github" else ""
        write(github.comment(judgement, command, job), to.markdown)
    if to.ci == "github":
        _for_github(judgement, command)


def text(judgements: Sequence[Judgement], kind: str) -> str:
    """Judgements in a format: one row per spec for people, one per spec and metric for machines."""
    shape = comparison.summary if kind in FOR_PEOPLE else comparison.tidy
    return shown(shape(judgements), kind)


def _for_github(judgement: Judgement, command: str) -> None:
    for line in github.annotate(judgement):
        output.command(line)
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        say("cnnbench: GITHUB_STEP_SUMMARY is not set; no step summary written")
        return
    try:
        with Path(path).open("a", encoding="utf8") as file:
            file.write(github.step_summary(judgement, command))
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
