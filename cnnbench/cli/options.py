"""Options that more than one command takes, each declared once.

A decorator attaches options and hands the command one typed value: ``grid`` a ``suite.Grid``,
``plan`` a ``Plan``, ``view`` a ``View``. What a grid is asked with stands in ``axes.AXES``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from cnnbench import axes, recipes, trust
from cnnbench.cli import completion, formats
from cnnbench.cli.bundle import bundle
from cnnbench.cli.output import WIDE, shown, write, write_picture
from cnnbench.cli.parameters import KeyValue, NamedPath, Parameter, PictureCount, Seconds, once
from cnnbench.cli.planning import plan as plan
from cnnbench.cli.planning import plan_option as plan_option
from cnnbench.cli.who import executor as executor
from cnnbench.errors import UsageError
from cnnbench.runner.device import refuse_shared
from cnnbench.suite import Grid

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from cnnbench.asking import Asking
    from cnnbench.axes import Axis
    from cnnbench.cli.bundle import Decorator
    from cnnbench.report.page.parts import Plot
    from cnnbench.report.table import Table

    # A text, nothing at all, or whatever the grid itself takes for usual.
    Usual = str | tuple[()] | None


# What --wait waits for at most, where it is given no time.
WAIT = "10m"


def refuse_others(ctx: click.Context, beside: Collection[str], why: str) -> None:
    """Refuse options on the command line that would have no effect.

    Args:
        ctx: of the command.
        beside: names of the parameters that mean something.
        why: the others do not.

    Raises:
        UsageError: there is one.
    """
    for one in ctx.command.params:
        written = ctx.get_parameter_source(one.name or "") is ParameterSource.COMMANDLINE
        if written and one.name not in beside:
            told = one.opts[0] if isinstance(one, click.Option) else _words(ctx, one)
            raise UsageError(f"{why}; drop {told}")


def _words(ctx: click.Context, argument: click.Parameter) -> str:
    """What was written for an argument, which has no name on the command line."""
    given = ctx.params[argument.name or ""]
    return " ".join(map(str, given)) if isinstance(given, tuple) else str(given)


class AxisValues(Parameter):
    """Values of an axis: a comma-separated list, or one."""

    def __init__(self, asking: Asking, *, several: bool) -> None:
        self._asking = asking
        self._several = several and asking.several
        listed = self._several and not asking.commas
        self.name = f"{asking.metavar},…" if listed else asking.metavar

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Every value once, in order; alone if the axis takes one only."""
        if not isinstance(value, str):
            return value
        try:
            return self._asking.held(value if self._several else [value])
        except UsageError as error:
            return self.fail(str(error), param, ctx)


def _joined(ctx: object, param: object, given: tuple[tuple[Any, ...], ...]) -> Any:
    """Everything that an option was given, time after time; ``None`` if it was not."""
    del ctx, param
    return tuple(one for values in given for one in values) or None


def _option(axis: Axis, asking: Asking) -> str:
    """The option for one value: named after the axis, if that is a plural's singular."""
    return asking.option if axis.kept else f"--{axis.name}"


def _axis(
    axis: Axis, asking: Asking, usual: Usual, *, several: bool, told: str | None = None
) -> Decorator:
    names = (asking.option,) if several else (_option(axis, asking), asking.argument)
    kind = AxisValues(asking, several=several)
    offer = completion.AXES.get(axis.name)
    if asking.repeated:
        return click.option(*names, type=kind, multiple=True, help=asking.help, callback=_joined)
    if asking.commas and several:
        told = f"{asking.help}  [default: {usual}]" if usual else asking.help
        return click.option(*names, type=kind, multiple=True, help=told, callback=_joined,
                            shell_complete=offer)  # fmt: skip
    if not asking.several:
        return click.option(*names, type=kind, multiple=True, help=asking.help, callback=once,
                            shell_complete=offer)  # fmt: skip
    text = asking.help if told is None else f"{asking.help}  [default: {told}]"
    return click.option(
        *names, type=kind, default=usual, show_default=bool(usual), help=text, shell_complete=offer,
    )  # fmt: skip


def names(key: str, metavar: str, *, required: bool = True) -> Decorator:
    """Arguments that are names or patterns, each of which may be a comma-separated list."""

    def split(ctx: object, param: object, given: tuple[str, ...]) -> tuple[str, ...]:
        del ctx, param
        return tuple(word for text in given for word in text.split(",") if word.strip())

    return click.argument(key, metavar=metavar, nargs=-1, required=required, callback=split,
                          shell_complete=completion.models)  # fmt: skip


_ARGUMENTS: Mapping[str, Decorator] = {
    "model_arg": click.option(
        "--model-arg", type=KeyValue(), multiple=True,
        help="Keyword argument for the builder of the network; may be repeated."),
    "classes": click.option(
        "--classes", type=click.IntRange(min=1),
        help="Number of classes; the last layer is replaced if the builder has no such argument."),
    "in_channels": click.option(
        "--in-channels", type=click.IntRange(min=1),
        help="Input channels; the first layer is replaced if the builder has no such argument."),
}  # fmt: skip

# How models may stand on a command line without an option: one, some, or none.
ONE_MODEL, MODELS, ANY_MODELS = "MODEL", "MODEL…", "[MODEL…]"


def _models(metavar: str, usual: str | None) -> dict[str, Decorator]:
    """Models as arguments and as an option; ``_named`` takes what both were given.

    The option has no default, because arguments are as good.
    """
    asking = axes.asking("model")
    several = "…" in metavar
    kind = AxisValues(asking, several=several)
    default = f"  [default: {usual}]" if usual is not None else ""
    option = asking.option if several else "--model"
    return {
        "named": names("named", metavar, required=False),
        asking.argument: click.option(
            option, asking.argument, type=kind, multiple=True, callback=_joined,
            shell_complete=completion.models,
            help=asking.help + default,
        ),
    }  # fmt: skip


def _named(given: dict[str, Any]) -> tuple[str, ...]:
    """The models that arguments and the option name, each once."""
    return tuple(dict.fromkeys((*given.pop("named", ()), *(given.pop("models", None) or ()))))


def models(metavar: str) -> Decorator:
    """Names and patterns, for a command without a grid; it gets ``patterns``."""
    return bundle("patterns", _models(metavar, None), _named)


def grid(
    *,
    models: str | None = None,
    argument: str = "",
    modes: Usual = "eager",
    batches: Usual = "1",
    told: Mapping[str, str] | None = None,
    several: bool = True,
    swept: Collection[str] = (),
    without: Collection[str] = (),
    fixed: Mapping[str, Any] | None = None,
    arguments: bool = True,
    shared: bool = False,
) -> Decorator:
    """An option per axis; the command gets a ``grid``.

    Args:
        models: the default, ``None`` for none.
        argument: how models stand on the command line without an option; empty if they do not.
        modes: the default; ``()`` for a grid without.
        batches: the default; ``()`` for a grid without.
        told: field of a grid -> its default in words, where there is none before the device is
            known.
        several: options take lists; otherwise one value each.
        swept: names of axes that still take lists.
        without: names of axes that the command does not ask for.
        fixed: argument of an axis that is not asked for -> what the grid holds of it.
        arguments: ask for arguments of the builders too.
        shared: several GPUs may share the work.
    """
    options: dict[str, Decorator] = {}
    own = {"models": models, "modes": modes, "batches": batches}
    for axis in axes.ordered():
        asking = axis.asking
        if asking is None or axis.name in without:
            continue
        usual = own.get(asking.field, asking.usual)
        if asking.field == "models" and argument:
            options |= _models(argument, models)
        else:
            options[asking.argument] = _axis(
                axis, asking, usual, several=several or axis.name in swept,
                told=(told or {}).get(asking.field),
            )  # fmt: skip

    def make(given: dict[str, Any]) -> Grid:
        if argument:
            given["models"] = _named(given) or (() if models is None else (models,))
        made = _grid(given | dict(fixed or {}))
        if not shared:
            refuse_shared(made.device)
        return made

    return bundle("grid", {**options, **(_ARGUMENTS if arguments else {})}, make)


def _grid(given: dict[str, Any]) -> Grid:
    asked = {name: value for name, value in given.items() if value is not None}
    return Grid.of(asked, _arguments(given))


def _arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    pairs = given.get("model_arg", ())
    for name, count in Counter(name for name, _ in pairs).items():
        if count > 1:
            raise UsageError(f"--model-arg {name} is given twice; keep one")
    short = {"num_classes": given.get("classes"), "in_channels": given.get("in_channels")}
    return dict(pairs) | {name: value for name, value in short.items() if value is not None}


@dataclass(frozen=True)
class View:
    """How a command shows what it found.

    Attributes:
        kind: a format.
        output: a file, or ``None`` for the terminal.
    """

    kind: str
    output: Path | None

    def write(self, text: str) -> None:
        """Print, or write the file.

        Raises:
            StoreError: the file cannot be written.
        """
        write(text, self.output)

    def draw(self, plot: Plot, title: str) -> None:
        """Write a plot into the file, as the picture that the format names.

        Raises:
            Unsupported: the library that draws is not installed.
            StoreError: the file cannot be written.
        """
        # The plotting library takes half a second to import.
        from cnnbench.report.page import picture

        assert self.output is not None  # noqa: S101 - commands refuse pictures for a terminal
        write_picture(picture(plot, title, self.kind), self.output)

    def show(self, table: Table) -> None:
        """Print a table in the format, or write the file.

        Raises:
            StoreError: the file cannot be written.
        """
        write(shown(table, self.kind, self.output), self.output)


def _keep_wide(ctx: click.Context, param: object, value: bool) -> None:
    del param
    ctx.meta[WIDE] = value


# Read where lines are made; no command does.
wide = click.option("--wide", is_flag=True, expose_value=False, callback=_keep_wide,
                    help="Show every column and note, however long the lines become.")  # fmt: skip


_FILE = NamedPath(dir_okay=False)
_DIRECTORY = NamedPath(file_okay=False)


def output(
    default: str | None = None, text: str = "Write to a file instead of the terminal."
) -> Decorator:
    """``--output FILE``: in every command, the file that text is written to."""
    return click.option("--output", "-o", type=_FILE, default=default, metavar="FILE",
                        show_default=default is not None, help=text)  # fmt: skip


def out(usual: str | None = "results/TIME-ID") -> Decorator:
    """``--out DIR``: in every command, the run directory; required if ``usual`` is ``None``."""
    default = f"  [default: {usual}]" if usual is not None else ""
    return click.option("--out", type=_DIRECTORY, required=usual is None, metavar="DIR",
                        help=f"Run directory.{default}")  # fmt: skip


def view(kinds: Iterable[str], *, usual: str | None = "table", what: str = "format") -> Decorator:
    """``--format``, ``--output`` and, where there is JSON, ``--json``; the command gets a ``view``.

    Args:
        kinds: their names.
        usual: the default where no file is named after another; ``None`` makes the option required.
        what: the word for them in an error message.
    """
    known = tuple(kinds)
    default = f"  [default: by the suffix of -o, or {usual}]" if usual is not None else ""
    options: dict[str, Decorator] = {
        "kind": click.option("--format", "kind", metavar="FORMAT", required=usual is None,
                             shell_complete=completion.among(lambda: known),
                             help=f"One of {', '.join(known)}.{default}"),
        "output": output(),
    }  # fmt: skip
    if "json" in known:
        options["as_json"] = click.option(
            "--json", "as_json", is_flag=True, help="Short for --format json."
        )

    def make(given: dict[str, Any]) -> View:
        asked = given["kind"]
        if given.get("as_json"):
            if asked not in {None, "json"}:
                raise UsageError(f"--json and --format {asked} contradict each other; keep one")
            asked = "json"
        kind = formats.chosen(asked, usual, known, given["output"], what)
        return View(kind, given["output"])

    return lambda command: bundle("view", options, make)(wide(command))


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
# One number, for commands that have no grid.
threads = click.option(
    "--threads", type=AxisValues(axes.asking("threads"), several=False),
    help=axes.asking("threads").help,
    callback=lambda *given: given[-1][0] if given[-1] else None,
)  # fmt: skip
dataset = click.option(
    "--dataset", type=PictureCount(), shell_complete=completion.datasets,
    help=f"Show how long an epoch takes: of {', '.join(one.name for one in recipes.SOURCES)}, or of"
         " N pictures.",
)  # fmt: skip
dry_run = click.option(
    "--dry-run", is_flag=True, help="Show what would be measured, without measuring."
)
wait = click.option(
    "--wait", type=Seconds(), metavar="[TIME]", is_flag=False, flag_value=WAIT,
    help="Wait until the machine is quiet, at most for TIME, then measure in any case."
         f"  [TIME: {WAIT}]",
)  # fmt: skip
quiet = click.option("--quiet", "-q", is_flag=True, help="Do not show progress.")
allow = click.option(
    trust.OPTION, "allowed", multiple=True, metavar="MODEL",
    help="A model, or a glob, that may be built although the file that names it, or its code, lies"
         " outside of your working tree; may be repeated.",
)  # fmt: skip
# The group looks for it; no command does.
debug = click.option(
    "--debug", is_flag=True, expose_value=False, help="Show the traceback of an error."
)


def runs(metavar: str = "DIR…", *, required: bool = True) -> Decorator:
    """Directories of stored runs."""
    return click.argument("runs", metavar=metavar, nargs=-1, required=required,
                          shell_complete=completion.runs,
                          type=NamedPath())  # fmt: skip
