"""Options of commands that measure in pairs; they get one ``PairedPlan``, as ``how``."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnnbench.cli import options
from cnnbench.cli.bundle import bundle
from cnnbench.cli.parameters import NamedPath, Parameter, Percent
from cnnbench.errors import UsageError
from cnnbench.gate.rule import SequentialRule
from cnnbench.runner.ab import revisions
from cnnbench.runner.ab.paired import PairedPlan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnbench.cli.bundle import Decorator


class Range(Parameter):
    """A range of whole numbers, such as ``3..10``."""

    name = "N..N"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        """Read ``3..10`` or ``5``."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d+)(?:\.\.(\d+))?", str(value).strip())
        least, most = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 2 <= least <= most:
            self.fail(f"'{value}' is not a range such as 3..10; the least allowed is 2", param, ctx)
        return least, most


# Fields of a pair's plan that are asked for.
_PLAN = ("seed", "timeout", "l2", "cudnn_benchmark")
_THRESHOLD: Mapping[str, Decorator] = {
    "threshold": click.option(
        "--threshold", type=Percent(most=10.0), default="5%", show_default=True,
        help="Largest acceptable slowdown; the verdict switches at half of it."),
}  # fmt: skip
_PAIRED: Mapping[str, Decorator] = {
    "slices": options.plan_option(
        "slices", default=PairedPlan.plan.slices, type=click.IntRange(min=3)),
    "budget": options.plan_option(
        "budget", default=f"{PairedPlan.budget:g}",
        help="Time per benchmark; the same again to confirm a regression."),
    **{name: options.plan_option(name) for name in _PLAN},
}  # fmt: skip


def _how(given: dict[str, Any]) -> PairedPlan:
    asked = {name: one for name in _PLAN if (one := given[name]) is not None and one is not False}
    least, most = given["pairs"]
    rule = SequentialRule(given["threshold"], least=least, most=most)
    plan = replace(PairedPlan.plan, slices=given["slices"], **asked)
    return PairedPlan(rule, plan, given["budget"])


def how(pairs: str = "3..10") -> Decorator:
    """The options; ``pairs`` is the default of that one."""
    option = click.option(
        "--pairs", type=Range(), default=pairs, show_default=True,
        help="Number of pairs at the first look, and the most before the last.",
    )  # fmt: skip
    return bundle("how", {**_THRESHOLD, "pairs": option, **_PAIRED}, _how)


core = click.option("--core", type=click.IntRange(min=0), help="Pin everything to this core.")
repo = click.option("--repo", type=NamedPath(file_okay=False, exists=True),
                    help="Git repository of the revisions.  [default: the current one]",
)  # fmt: skip


explain = click.option(
    "--explain/--no-explain", "explain", default=None,
    help="Say which modules changed, and why.  [default: of regressions]",
)  # fmt: skip


def repository(asked: Path | None) -> Path | None:
    """The repository that was asked for, or the current one if there is one.

    Raises:
        UsageError: what was asked for is none.
    """
    found = revisions.repository(asked or Path.cwd())
    if asked is not None and found is None:
        why = revisions.unusable(asked) or "not a git repository"
        raise UsageError(f"--repo {asked}: {why}")
    return found
