"""Options of the commands that take one model, and the order that they say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cnnbench.cli.parameters import Pair, Seconds, Shape
from cnnbench.errors import UsageError
from cnnbench.plan import Plan
from cnnbench.runner.campaign import Order
from cnnbench.spec import PHASES

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[..., Any]

_OPTIONS: tuple[Callable[[Command], Command], ...] = (
    click.argument("model"),
    click.option("--device", help="cpu, cuda or cuda:INDEX.  [default: the best present]"),
    click.option("--batch", type=click.IntRange(min=1), default=1, show_default=True,
                 help="Samples."),
    click.option("--size", type=Shape("224 or 224x192", (1, 2)), help="Height and width."),
    click.option("--input", "shape", type=Shape("1x28x28", (1, 2, 3, 4)),
                 help="Shape of one sample."),
    click.option("--phase", type=click.Choice(PHASES), default="inference", show_default=True,
                 help="What the model is to do; training phases have a backward pass."),
    click.option("--threads", type=click.IntRange(min=1),
                 help="CPU threads.  [default: the cores this process may use]"),
    click.option("--model-arg", type=Pair(), multiple=True, help="Argument of the builder."),
    click.option("--seed", type=int, default=Plan.seed, show_default=True, help="Of the weights."),
    click.option("--timeout", type=Seconds(), default=f"{Plan.timeout:g}", show_default=True,
                 help="Longest that one step of a worker may take."),
    click.option("--executor", default="process", hidden=True, help="process or fake."),
)  # fmt: skip


def of_one_model(command: Command) -> Command:
    """The command with the options that say which model, how and where."""
    # The last decorator stands first in the help.
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def order(options: dict[str, Any], plan: Plan, **more: Any) -> Order:
    """What these options ask for; the seed and the timeout are the plan's.

    Raises:
        UsageError: the shape is said twice.
    """
    size = options["size"]
    if size and options["shape"]:
        raise UsageError("--size and --input both say the shape; keep one")
    return Order(
        models=(options["model"],),
        device=options["device"],
        batches=(options["batch"],),
        phases=(options["phase"],),
        sizes=((size[0], size[-1]),) if size else (),
        input=options["shape"],
        threads=(options["threads"],) if options["threads"] else None,
        arguments=dict(options["model_arg"]),
        plan=plan,
        executor=options["executor"],
        **more,
    )
