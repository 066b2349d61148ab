"""Where the judgement of a command goes: printed, and into the files that CI systems read."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnnbench.cli.output import write
from cnnbench.errors import StoreError, UnknownName
from cnnbench.report import FOR_PEOPLE, FORMATS, comparison, github, junit, render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cnnbench.gate import Judgement

    Command = Callable[..., Any]

CI = ("github",)

_FILE = click.Path(path_type=Path, dir_okay=False)
_OPTIONS: tuple[Callable[[Command], Command], ...] = (
    click.option("--ci", type=click.Choice(CI),
                 help="Annotations and step summary for a CI system."),
    click.option("--junit", type=_FILE, help="Write JUnit XML."),
    click.option("--markdown", type=_FILE, help="Write a comment for a pull request."),
    click.option("--format", "kind", default="table", show_default=True,
                 help=f"One of {', '.join(FORMATS)}."),
    click.option("--json", "as_json", is_flag=True, help="Short for --format json."),
    click.option("--output", "-o", type=_FILE, help="Write to a file, not to the terminal."),
)  # fmt: skip


@dataclass(frozen=True)
class Destinations:
    """Where a judgement goes.

    Attributes:
        kind: the format in which it is printed, one of ``FORMATS``.
        output: a file instead of the terminal.
        markdown, junit: files beside it.
        ci: the CI system that is told.
    """

    kind: str = "table"
    output: Path | None = None
    markdown: Path | None = None
    junit: Path | None = None
    ci: str | None = None


def destinations(command: Command) -> Command:
    """The command with the options that say where its judgement goes, as one ``to``.

    A format that does not exist is refused before anything is measured.
    """

    @functools.wraps(command)
    def packed(*args: Any, kind: str, as_json: bool, output: Path | None, markdown: Path | None,
               junit: Path | None, ci: str | None, **rest: Any) -> Any:  # fmt: skip
        chosen = chosen_format(kind, FORMATS, as_json=as_json)
        to = Destinations(chosen, output, markdown, junit, ci)
        return command(*args, to=to, **rest)

    found: Command = packed
    # The last decorator stands first in the help.
    for option in reversed(_OPTIONS):
        found = option(found)
    return found


def chosen_format(kind: str, known: Iterable[str], *, as_json: bool) -> str:
    """The format that two options ask for.

    Raises:
        UnknownName: there is no such format.
    """
    names = list(known)
    if not as_json and kind not in names:
        raise UnknownName("format", kind, names)
    return "json" if as_json else kind


def show(judgement: Judgement, to: Destinations, command: str) -> None:
    """Print a judgement and write the files that were asked for.

    Raises:
        StoreError: one cannot be written.
    """
    write(text([judgement], to.kind), to.output)
    if to.junit is not None:
        write(junit.render(judgement, command), to.junit)
    if to.markdown is not None:
        write(github.comment(judgement, command), to.markdown)
    if to.ci == "github":
        _for_github(judgement, command)


def text(judgements: Sequence[Judgement], kind: str) -> str:
    """Judgements in a format: one row per spec for people, one per spec and metric for machines."""
    shape = comparison.summary if kind in FOR_PEOPLE else comparison.tidy
    return render(shape(judgements), kind)


def _for_github(judgement: Judgement, command: str) -> None:
    for line in github.annotate(judgement):
        # On stderr, where the runner reads them too and JSON on stdout stays whole.
        click.echo(line, err=True)
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        click.echo("cnnbench: GITHUB_STEP_SUMMARY is not set; no step summary written", err=True)
        return
    try:
        with Path(path).open("a", encoding="utf8") as file:
            file.write(github.step_summary(judgement, command))
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
