"""Options that more than one command takes, each declared once.

A decorator attaches options and hands the command one typed value: ``grid`` a ``suite.Grid``,
``plan`` a ``Plan``, ``view`` a ``View``. What a grid is asked with stands in ``axes.AXES``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from cnnbench import axes, trust
from cnnbench.cli.output import WIDE, shown, write
from cnnbench.cli.parameters import Bytes, KeyValue, Parameter, Percent, Quantity, Seconds
from cnnbench.errors import UnknownName, UsageError
from cnnbench.plan import Plan
from cnnbench.suite import Grid

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from cnnbench.asking import Asking
    from cnnbench.axes import Axis
    from cnnbench.report.table import Table

    Command = Callable[..., Any]
    Decorator = Callable[[Command], Command]
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
            raise UsageError(f"{why}; drop {one.opts[0]}")


def bundle(
    name: str, options: Mapping[str, Decorator], make: Callable[[dict[str, Any]], Any]
) -> Decorator:
    """A decorator that attaches options and hands the command one value made of theirs."""

    def attach(command: Command) -> Command:
        @wraps(command)
        def call(*args: Any, **given: Any) -> Any:
            own = {key: given.pop(key) for key in options}
            return command(*args, **given, **{name: make(own)})

        # The last decorator stands first in the help.
        found: Command = call
        for option in reversed([*options.values()]):
            found = option(found)
        return found

    return attach


class AxisValues(Parameter):
    """Values of an axis: a comma-separated list, or one."""

    def __init__(self, asking: Asking, *, several: bool) -> None:
        self._asking = asking
        self._several = several and asking.several
        self.name = f"{asking.metavar},…" if self._several else asking.metavar

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


def _axis(axis: Axis, asking: Asking, usual: Usual, *, several: bool) -> Decorator:
    names = (asking.option,) if several else (_option(axis, asking), asking.argument)
    kind = AxisValues(asking, several=several)
    if asking.repeated:
        return click.option(*names, type=kind, multiple=True, help=asking.help, callback=_joined)
    return click.option(
        *names, type=kind, default=usual, show_default=bool(usual), help=asking.help
    )


def names(key: str, metavar: str, *, required: bool = True) -> Decorator:
    """Arguments that are names or patterns, each of which may be a comma-separated list."""

    def split(ctx: object, param: object, given: tuple[str, ...]) -> tuple[str, ...]:
        del ctx, param
        return tuple(word for text in given for word in text.split(",") if word.strip())

    return click.argument(key, metavar=metavar, nargs=-1, required=required, callback=split)


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

# What stands where a model's option would: one model, or several.
ONE_MODEL = click.argument("models", metavar="MODEL", callback=lambda *given: given[-1:])
MODELS = names("models", "MODEL…")


def grid(
    *,
    models: str | Decorator | None = None,
    modes: Usual = "eager",
    batches: Usual = "1",
    several: bool = True,
    without: Collection[str] = (),
    arguments: bool = True,
) -> Decorator:
    """An option per axis; the command gets a ``grid``.

    Args:
        models: the default, ``None`` for none; or an argument instead of the option.
        modes: the default; ``()`` for a grid without.
        batches: the default.
        several: options take lists; otherwise one value each.
        without: names of axes that the command does not ask for.
        arguments: ask for arguments of the builders too.
    """
    options: dict[str, Decorator] = {}
    for axis in axes.ordered():
        asking = axis.asking
        if asking is None or axis.name in without:
            continue
        own = {"models": models, "modes": modes, "batches": batches}
        usual = own.get(asking.field, asking.usual)
        options[asking.argument] = (
            usual if callable(usual) else _axis(axis, asking, usual, several=several)
        )
    return bundle("grid", {**options, **(_ARGUMENTS if arguments else {})}, _grid)


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


# Field of a plan -> its option. A default comes from the plan that a command begins with.
_PLAN: Mapping[str, Mapping[str, Any]] = {
    "rounds": {
        "type": click.IntRange(min=1),
        "help": "Number of fresh starts of all workers; intervals need at least 2."},
    "precision": {
        "type": Percent(),
        "help": "Stop once every latency and speed-up has a 95 % interval within ±PERCENT."},
    "budget": {
        "type": Seconds(),
        "help": "Time for the whole run, e.g. 90s or 10m; the widest intervals get what is left."},
    "max_latency": {
        "type": Quantity("seconds", "TIME", "50ms"),
        "help": "After its first round, drop what is clearly slower per call, e.g. 50ms."},
    "slices": {"type": click.IntRange(min=1), "help": "Slices of each worker in a round."},
    "seed": {"type": int, "help": "Seed for weights, inputs and turn order."},
    "timeout": {
        "type": Seconds(),
        "help": "Time limit for one step of a worker, e.g. 90s or 10m."},
    "l2": {
        "type": click.Choice(["warm", "cold"]),
        "help": "CUDA only: keep the L2 cache warm, or flush it before every sample (cold)."},
    "cudnn_benchmark": {
        "is_flag": True, "help": "CUDA only: set torch.backends.cudnn.benchmark."},
    "memory_limit": {
        "type": Bytes(),
        "help": "Memory limit of a CPU worker.  [default: 90 % of the free memory]"},
}  # fmt: skip


def plan(*fields: str, base: Plan | None = None, bound: int | None = None) -> Decorator:
    """Options for fields of a plan; the command gets a ``plan``.

    Args:
        fields: names, in the order of the help.
        base: the defaults.
        bound: the default of rounds where a precision or a budget is given.
    """
    start = base or Plan()
    options = {name: plan_option(name, start) for name in fields}

    def make(given: dict[str, Any]) -> Plan:
        asked = {name: one for name, one in given.items() if one is not None and one is not False}
        if bound is not None and {"precision", "budget"} & asked.keys():
            asked.setdefault("rounds", bound)
        return replace(start, **asked)

    return bundle("plan", options, make)


def plan_option(name: str, base: Plan | None = None, **more: Any) -> Decorator:
    """The option of a single field; ``None`` if it is not given."""
    value = getattr(base or Plan(), name)
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    words = {**_PLAN[name], **more}
    if "default" in words:
        words["show_default"] = True
    elif value is not None and value is not False:
        words["help"] += f"  [default: {shown}]"
    return click.option(f"--{name.replace('_', '-')}", **words)


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


_FILE = click.Path(path_type=Path, dir_okay=False)
_DIRECTORY = click.Path(path_type=Path, file_okay=False)


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


# What else the formats are called.
_ALSO = {"text": "table"}


def view(formats: Iterable[str], *, usual: str | None = "table", what: str = "format") -> Decorator:
    """``--format``, ``--output`` and, where there is JSON, ``--json``; the command gets a ``view``.

    Args:
        formats: their names.
        usual: the default; ``None`` makes the option required.
        what: the word for them in an error message.
    """
    known = tuple(formats)
    # To click a default of None is a default.
    when: dict[str, Any] = {"required": True} if usual is None else {"default": usual}
    options: dict[str, Decorator] = {
        "kind": click.option("--format", "kind", metavar="FORMAT", show_default=True,
                             help=f"One of {', '.join(known)}.", **when),
        "output": output(),
    }  # fmt: skip
    if "json" in known:
        options["as_json"] = click.option(
            "--json", "as_json", is_flag=True, help="Short for --format json."
        )

    def make(given: dict[str, Any]) -> View:
        given |= {"kind": _ALSO.get(given["kind"], given["kind"])}
        kind = "json" if given.get("as_json") else given["kind"]
        source = click.get_current_context().get_parameter_source("kind")
        if kind != given["kind"] and source is ParameterSource.COMMANDLINE:
            raise UsageError(f"--json and --format {given['kind']} contradict each other; keep one")
        if kind not in known:
            raise UnknownName(what, kind, known)
        return View(kind, given["output"])

    return lambda command: bundle("view", options, make)(wide(command))


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
# One number, for commands that have no grid.
threads = click.option(
    "--threads", type=AxisValues(axes.asking("threads"), several=False),
    help=axes.asking("threads").help,
    callback=lambda *given: given[-1][0] if given[-1] else None,
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
executor = click.option(
    "--executor", "who", default="process", hidden=True, help="process or fake."
)
# The group looks for it; no command does.
debug = click.option(
    "--debug", is_flag=True, expose_value=False, help="Show the traceback of an error."
)


def runs(metavar: str = "DIR…") -> Decorator:
    """Directories of stored runs."""
    return click.argument("runs", metavar=metavar, nargs=-1, required=True,
                          type=click.Path(path_type=Path))  # fmt: skip
