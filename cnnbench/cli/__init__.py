"""The command line.

One small module per subcommand, imported when it is called. The only place that prints.
"""

from __future__ import annotations

import errno
import importlib
import sys
import traceback
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from cnnbench.cli import spelling
from cnnbench.cli.output import say
from cnnbench.cli.signals import heard
from cnnbench.cli.streams import Streams
from cnnbench.errors import CnnbenchError, Interrupted, UsageError
from cnnbench.inert import shortened
from cnnbench.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

# One line per subcommand: name -> module with a click command called ``command``, and its line in
# --help.
COMMANDS = {
    "run": ("cnnbench.cli.run", "Measure models in modes: cost, latency, memory, output check."),
    "ab": (
        "cnnbench.cli.ab",
        "Tell whether one version is slower than another, by pairs of processes.",
    ),
    "explain": ("cnnbench.cli.explain", "Show which modules made a compared version slower."),
    "bisect": ("cnnbench.cli.bisect", "Find the commit that made a network slower."),
    "report": ("cnnbench.cli.report", "Show stored runs as a table, an HTML page, CSV, JSON, …"),
    "merge": ("cnnbench.cli.merge", "Make one run of several, such as the shards of a grid."),
    "compare": ("cnnbench.cli.compare", "Compare stored runs with each other, spec by spec."),
    "check": ("cnnbench.cli.check", "Check against a baseline file: structure first, then timing."),
    "baseline": ("cnnbench.cli.baseline", "Save, show and update a baseline file."),
    "history": ("cnnbench.cli.history", "Show a metric over runs and mark its step changes."),
    "site": ("cnnbench.cli.site", "Make a static site of the runs of any machines and weeks."),
    "export": ("cnnbench.cli.export", "Write runs for pytest-benchmark, Bencher, timm and others."),
    "import": ("cnnbench.cli.importing", "Import results of pytest-benchmark as a run."),
    "profile": (
        "cnnbench.cli.profile",
        "Show where the time of a step goes, per layer; write traces.",
    ),
    "advise": (
        "cnnbench.cli.advise",
        "Recommend a mode: its gain, its cost, and what limits the model.",
    ),
    "predict": (
        "cnnbench.cli.predict",
        "Predict latencies from operators timed alone, without running networks.",
    ),
    "choose": (
        "cnnbench.cli.choose",
        "Find the most accurate network within a limit of time, by prediction and proof.",
    ),
    "conv": ("cnnbench.cli.conv", "Compare implementations of convolutions, and substitutes."),
    "input": (
        "cnnbench.cli.input",
        "Measure input pipelines, and whether they keep up with a network.",
    ),
    "cost": ("cnnbench.cli.cost", "Count parameters, MACs and memory, in total or per layer."),
    "gradients": (
        "cnnbench.cli.gradients",
        "Show how large the gradients of a network's layers are at its first step.",
    ),
    "shape": ("cnnbench.cli.shape", "Calculate output sizes, parameters and MACs of layers."),
    "list": ("cnnbench.cli.listing", "List the architectures of the catalogue."),
    "doctor": (
        "cnnbench.cli.doctor",
        "Describe this machine and what would spoil measurements on it.",
    ),
    "selftest": (
        "cnnbench.cli.selftest",
        "Test cnnbench itself on this machine, with known quantities.",
    ),
    "max-batch": ("cnnbench.cli.max_batch", "Find the largest batch that fits in memory."),
}


class Lazy(click.Group):
    """Imports a subcommand only when it is called, so that --help answers at once."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line; remember it for remedies that are this line with changes."""
        ctx.meta["cnnbench.cli.words"] = tuple(args)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The subcommands, in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one subcommand."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offer subcommands from the table, without importing any; options as click does."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [
            CompletionItem(name, help=line)
            for name, (_, line) in COMMANDS.items()
            if name.startswith(incomplete)
        ]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand; an error about an unknown one suggests the closest."""
        from cnnbench.errors import UnknownName

        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise UnknownName("command", args[0], COMMANDS, "(see 'cnnbench --help')")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the subcommands from the table, without importing any."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a subcommand; handle Ctrl-C here rather than in click."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted("interrupted") from None

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command; an error is one line on stderr and an exit code."""
        streams = Streams()
        with heard() as signals:
            try:
                code = self._code(*args, **extra)
            except (Interrupted, KeyboardInterrupt, click.Abort) as error:
                say(f"cnnbench: {error if str(error) else 'interrupted'}")
                code = signals.exit_code
        lost = streams.ended()
        if lost is not None:
            say(f"cnnbench: {lost}")
            # A verdict is known by its exit code, whether or not its table could be printed.
            code = code or UsageError.exit_code
        sys.exit(code)

    def _code(self, *args: Any, **extra: Any) -> int:
        """Run a command and say in a line how it failed, if it did; its exit code.

        Raises:
            Interrupted: by a signal.
        """
        words = args[0] if args else extra.get("args")
        debug = "--debug" in (sys.argv[1:] if words is None else words)
        try:
            # Not click's own way of ending, which takes four lines for one mistake.
            status = super().main(*args, **(extra | {"standalone_mode": False}))  # type: ignore[call-overload]
        except Interrupted:
            raise
        except Exception as error:  # noqa: BLE001 - a crash must not look like a regression, which is 1
            if isinstance(error, _NO_ARGUMENTS):
                click.echo(error.format_message())
                return 0
            if debug:
                traceback.print_exc()
            text, code = _told(error, sys.argv[1:] if words is None else words)
            say(f"cnnbench: {shortened(text)}")
            return code
        return status if isinstance(status, int) else 0


# A group without a subcommand shows its help; click before 8.2 does that without an error.
_NO_ARGUMENTS = getattr(click.exceptions, "NoArgsIsHelpError", ())

# EX_SOFTWARE of sysexits.h.
CRASHED = 70
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def _told(error: Exception, words: Sequence[str] = ()) -> tuple[str, int]:
    """The line for an error of a command line, and the exit code."""
    if isinstance(error, click.ClickException):
        text = " ".join(error.format_message().split())
        if isinstance(error, click.NoSuchOption):
            text = text.replace(*_as_written(error.option_name, words), 1)
        return f"{text}{_where_to_look(error)}", error.exit_code
    if isinstance(error, CnnbenchError):
        return " ".join(str(error).split()), error.exit_code
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}", UsageError.exit_code
    if isinstance(error, OSError) and error.errno in _FULL:
        return f"a file could not be written: {error.strerror}", UsageError.exit_code
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return (
        f"internal error: {said}; rerun with 'cnnbench --debug' and please report it",
        CRASHED,
    )


def _as_written(option: str, words: Sequence[str]) -> tuple[str, str]:
    """The own name of an option, and the name that stands on the command line for it."""
    written = [word.partition("=")[0] for word in words if word.startswith("--")]
    names = (one for one in written if f"--{spelling.option(one[2:])}" == option)
    return option, next(names, option)


def _where_to_look(error: Exception) -> str:
    """Which help page explains an error in the command line."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f" (see '{context.command_path} --help')" if context is not None else ""


_HELP = """Trustworthy CNN benchmarks on your own machine.

\b
Examples:
  cnnbench run                                  a quick look, on the best device
  cnnbench run resnet50 --modes all             every sensible mode of one network
  cnnbench report results/RUN --pivot mode      one column per mode
"""


@click.command(
    cls=Lazy,
    help=_HELP,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": spelling.option,
    },
    epilog="Exit codes: 0 fine, 1 regression, 2 bad input, 3 some specs failed, 4 inconclusive,"
    " 5 incomparable, 70 an internal error of cnnbench,"
    " 128+N interrupted by signal N (130 for Ctrl-C).",
)
@click.version_option(VERSION, "-V", "--version", prog_name="cnnbench")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Run a subcommand."""
    del debug
